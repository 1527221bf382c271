//! A function crate inside the sandbox: the exports that the host calls, and what runs behind them.
//!
//! - [`imports`]: the host's functions, made safe to call.
//! - [`executor`]: polls a call's future when the host says so.
//! - [`body`]: request bodies that arrive, reply bodies that leave.
//! - [`log`]: `tracing` events and panics.
//!
//! Compiled for wasm only. Entered by [`main!`](crate::main) alone.

#![allow(unsafe_code)]

mod body;
mod executor;
mod imports;
mod log;

use std::{future::poll_fn, task::Poll, time::Duration};

pub use executor::{cancel, poll};

use crate::abi;

/// The export `faas_v1_init`.
pub fn init() -> i32 {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    // SAFETY: the linker makes this function. The host calls init once, before anything else, and constructors may
    // run then. Naming it here also keeps the linker from wrapping each export in constructors of its own.
    unsafe { __wasm_call_ctors() };
    log::install();
    let prepared = std::env::var(abi::ENV_FUNCTION).map_or(Ok(()), |name| executor::prepare(&name));
    match prepared {
        Ok(()) => abi::init::OK,
        Err(error) => {
            imports::log(abi::log::PANIC, &executor::in_full(&error));
            abi::init::FAILED
        }
    }
}

/// The time by the host's clock.
#[allow(clippy::disallowed_methods)] // a guest's clock is the host's injected one
pub fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

/// Waits without holding the instance: others are served meanwhile.
pub async fn sleep(duration: Duration) {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let Ok(op) = imports::Op::begin(abi::op::SLEEP, &nanos.to_le_bytes()) else {
        panic!(
            "too many operations at once in one call: at most 256 sleeps, fetches and the like may be under way"
        )
    };
    poll_fn(|_| if op.is_pending() { Poll::Pending } else { Poll::Ready(()) }).await;
}
