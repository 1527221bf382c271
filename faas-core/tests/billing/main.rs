//! Bills: those that providers publish, to the cent, and laws that every bill obeys.

mod hostile;
mod laws;
mod published;
