//! What observers fold: every step of the stack that somebody may want to count, print or bill.
//!
//! Observers see and never decide. They run inline, so they must be quick: add to a sum, push to a bounded
//! channel.

use std::sync::Arc;

use crate::{
    clock::Time,
    delivery::Progress,
    invocation::{FunctionSpec, InvocationError, Record},
};

/// A step that has just happened.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Transition<'a> {
    /// An invocation found no capacity and waits.
    Queued {
        /// Its function.
        function: &'a Arc<str>,
        /// How many of this function wait now, it included.
        depth: usize,
    },
    /// An instance is being started though nobody waits for it: a policy wants it, or who asked for
    /// [`prewarm`](crate::scheduler::Scheduler::prewarm).
    StartingAhead {
        /// The function and generation it is to serve.
        spec: &'a Arc<FunctionSpec>,
    },
    /// An instance is ready to serve.
    Started {
        /// The function and generation it serves.
        spec: &'a Arc<FunctionSpec>,
        /// How long start and init took.
        took: std::time::Duration,
    },
    /// An instance could not be started. Invocations that waited for it fail with the same error, each in a
    /// [`Transition::Finished`] of its own; of a start ahead of demand, or of an instance that its function must have,
    /// nobody else hears.
    StartFailed {
        /// The function and generation it was to serve.
        spec: &'a Arc<FunctionSpec>,
        /// Why.
        error: &'a InvocationError,
        /// How many invocations waited for it.
        waiting: usize,
    },
    /// An instance is gone.
    Stopped {
        /// The function and generation it served.
        spec: &'a Arc<FunctionSpec>,
        /// Why.
        reason: StopReason,
        /// Since when it had been idle; absent when it was not.
        idle_since: Option<Time>,
    },
    /// A guest wrote a line.
    Log(&'a LogLine),
    /// An invocation has ended.
    Finished(&'a Record),
    /// An event that nobody waits for has come a step further.
    Event(&'a Progress),
}

/// Why an instance stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// Its keep-alive ran out.
    Expired,
    /// Its function has a newer generation, or is gone.
    Replaced,
    /// It has served the one invocation that it was for.
    Used,
    /// Its capacity was needed for another function.
    Evicted,
    /// It misbehaved, or a call was stopped in it.
    Failed,
    /// The host stops.
    Shutdown,
}

/// A line that a guest wrote, whole, without its newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The invocation during which it was written; absent during init.
    pub id: Option<Arc<str>>,
    /// The function that wrote it.
    pub function: Arc<str>,
    /// Where it came from.
    pub level: LogLevel,
    /// The text; invalid UTF-8 replaced, control characters left as they are.
    pub text: String,
}

/// Where a line came from, or how grave it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogLevel {
    /// Written to standard output.
    Stdout,
    /// Written to standard error.
    Stderr,
    /// `tracing::error!`.
    Error,
    /// `tracing::warn!`.
    Warn,
    /// `tracing::info!`.
    Info,
    /// `tracing::debug!`.
    Debug,
    /// `tracing::trace!`.
    Trace,
    /// The host's own words about the guest, such as lines it dropped.
    Host,
}

impl LogLevel {
    /// A stable lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Stdout => "stdout",
            LogLevel::Stderr => "stderr",
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
            LogLevel::Host => "host",
        }
    }
}

/// Sees every [`Transition`].
pub trait Observer: Send + Sync + 'static {
    /// Called inline, once for each step.
    fn observe(&self, transition: &Transition<'_>);
}

/// An observer, shared.
pub type SharedObserver = Arc<dyn Observer>;

/// Sees nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn observe(&self, _: &Transition<'_>) {}
}

/// Passes each step to every one of several observers, in order.
impl Observer for Vec<SharedObserver> {
    fn observe(&self, transition: &Transition<'_>) {
        for observer in self {
            observer.observe(transition);
        }
    }
}
