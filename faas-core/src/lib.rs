//! Serverless functions in Rust: write once, run in a metered sandbox on the laptop, ship anywhere.
//!
//! ```text
//! guest half (default, small)          host half (feature `host`, not on wasm)
//!   function  event  context  error      clock  invocation  transition
//!   abi  guest                           scheduler  pool  policy  stack
//!                                        profile  billing
//!                                        sandbox (native; wasm with feature `wasmer`)
//! ```
//!
//! This is the only file with feature `cfg`s for modules.

pub mod abi;

#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod billing;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod clock;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod invocation;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod policy;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod pool;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod profile;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod sandbox;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod scheduler;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod stack;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod transition;
