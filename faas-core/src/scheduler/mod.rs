//! The scheduler: admission, queue and warm pool behind one `tower::Service`.
//!
//! An [`Invocation`](crate::invocation::Invocation) goes in; the scheduler finds it an instance (a warm one, or a
//! fresh one, or a place in the queue, or none), hands it over with a [`Lease`](crate::pool::Lease), and the
//! instance replies. Every decision is [`Pool`](crate::pool::Pool)'s; this is the shell that carries them out: it
//! holds the lock and the instances, starts them on tokio, keeps the timers, and tells the observer.
//!
//! ```text
//! service   Scheduler: the tower Service, and deploy, retire, snapshot, shutdown
//! shared    the lock, and how the pool's effects are carried out
//! wait      an invocation in the queue, cancelled by dropping it
//! refusal   the pool's refusals in words
//! ```
//!
//! **Invariants**: what belongs to users (instances, sandboxes, observers, wakers) never runs under the lock.
//! Nothing is acquired in `poll_ready`, so nothing can leak from a service that is polled and never called.

mod refusal;
mod service;
mod shared;
mod wait;

use std::{sync::Arc, time::Duration};

pub use service::Scheduler;

use crate::{
    invocation::FunctionSpec,
    policy::{FixedTtl, Policy},
    pool::{FunctionStatus, Limits},
    sandbox::Sandbox,
};

/// What a scheduler decides by.
#[derive(Debug)]
pub struct Config {
    /// How much may run and wait.
    pub limits: Limits,
    /// Which instances are kept warm, and how long.
    pub policy: Box<dyn Policy>,
}

/// Settings for a laptop: [`Limits::LAPTOP`], and 10 minutes of keep-alive (what OpenWhisk and many measurements of clouds
/// use).
impl Default for Config {
    fn default() -> Self {
        Config { limits: Limits::LAPTOP, policy: Box::new(FixedTtl(Duration::from_secs(600))) }
    }
}

/// A generation of a function, ready to be served.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Its name and settings.
    pub spec: Arc<FunctionSpec>,
    /// Where its instances come from.
    pub sandbox: Arc<dyn Sandbox>,
}

/// How a scheduler stands at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Every deployed function, by name.
    pub functions: Vec<FunctionStatus>,
    /// Instances on the host in whatever state, those of retired functions included.
    pub instances: usize,
    /// Invocations that run.
    pub running: usize,
}

impl Snapshot {
    /// The function of that name.
    pub fn function(&self, name: &str) -> Option<&FunctionStatus> {
        self.functions.iter().find(|f| &*f.spec.name == name)
    }
}
