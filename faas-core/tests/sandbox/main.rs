//! The wasm sandbox under guests that behave and guests that do not.
//!
//! Guests are written in WAT where they break the ABI's rules, which Rust guests cannot.

mod accounting;
mod cargo;
mod fuzzing;
mod guests;
mod hostile;
mod leaks;
mod modules;
mod replies;
mod rust;
mod shares;
mod snapshots;
mod support;
