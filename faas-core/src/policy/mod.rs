//! Policies: what the warm pool decides by, apart from how it does it.
//!
//! A policy is a pure object that the pool asks at certain moments. It reads no clock and does no IO; what it
//! learns, it learns from the arguments. One file for each policy.

mod fixed_ttl;
mod until_evicted;

pub use fixed_ttl::FixedTtl;
pub use until_evicted::UntilEvicted;

use std::{fmt::Debug, time::Duration};

use crate::{clock::Time, invocation::FunctionSpec};

/// How long an instance that has become idle is kept warm.
pub trait KeepAlive: Send + Debug + 'static {
    /// Asked each time an instance of `function` becomes idle: how long it stays if nobody needs it until then.
    /// `None` keeps it until its capacity is needed for something else.
    fn keep_alive(&mut self, now: Time, function: &FunctionSpec) -> Option<Duration>;
}

impl KeepAlive for Box<dyn KeepAlive> {
    fn keep_alive(&mut self, now: Time, function: &FunctionSpec) -> Option<Duration> {
        (**self).keep_alive(now, function)
    }
}
