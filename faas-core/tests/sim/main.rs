//! The simulator against arithmetic, against a naive simulator, and against the real traces' samples.

mod bad_traces;
mod by_hand;
mod naive;
mod real;
mod support;
