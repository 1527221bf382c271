//! Where a function's code runs: the small border between scheduling and execution.
//!
//! A [`Sandbox`] is one generation of one function and makes [`Instance`]s of it. The scheduler knows nothing
//! below this file, and nothing below knows the scheduler: it hands over an invocation with a [`Lease`] and
//! gets a reply.
//!
//! - [`mimic`]: another sandbox whose cold starts are as slow as a provider's.
//! - [`native`]: any `tower::Service` in this process.
//! - `wasmer`: compiled wasm guests (feature `wasmer`).

pub mod mimic;
pub mod native;
#[cfg(any(feature = "wasmer", test))]
mod quota;
#[doc(hidden)]
pub mod scripted;
#[cfg(feature = "wasmer")]
pub mod wasmer;

use std::sync::Arc;

use crate::{
    clock::BoxFuture,
    invocation::{Failure, Init, Invocation, InvocationError, Reply},
    pool::Lease,
};

/// Makes instances of one generation of one function.
pub trait Sandbox: Send + Sync + std::fmt::Debug + 'static {
    /// Starts an instance and runs its init, within the function's `init_timeout`.
    ///
    /// Dropping the future abandons the start and frees what it took.
    fn start(&self) -> BoxFuture<'static, Result<Started, InvocationError>>;

    /// An instance that is there without running any of the function's code, if there is one: as quick as taking it
    /// from a list.
    fn start_at_once(&self) -> Option<Started> {
        None
    }
}

/// An instance that is ready, and what making it took.
#[derive(Debug)]
pub struct Started {
    /// The instance.
    pub instance: Arc<dyn Instance>,
    /// What making it took.
    pub init: Init,
}

/// A started copy of a function.
pub trait Instance: Send + Sync + std::fmt::Debug + 'static {
    /// Runs one invocation to its reply.
    ///
    /// The lease is held until the call has truly ended, streaming included, and then given back by
    /// [`Lease::release`]; a lease that is merely dropped condemns the instance. Dropping the future cancels the
    /// call.
    fn invoke(
        self: Arc<Self>,
        invocation: Invocation,
        lease: Lease,
    ) -> BoxFuture<'static, Result<Reply, Failure>>;
}
