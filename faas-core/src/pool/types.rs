//! The words in which the pool is asked and answers.

use std::{sync::Arc, time::Duration};

use super::table::Key;
use crate::{
    clock::Time,
    invocation::{FunctionSpec, Start},
    transition::StopReason,
};

/// Names a deployed function, through all its generations, until it is retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionId(pub(super) Key);

impl FunctionId {
    /// A small number, unique among the functions that exist: for tables beside the pool.
    pub fn index(self) -> usize {
        self.0.index as usize
    }
}

/// Names an instance. Never used again for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub(super) Key);

impl InstanceId {
    /// A number that no other instance of its pool has, or will have: for records.
    pub fn number(self) -> u64 {
        u64::from(self.0.version) << 32 | u64::from(self.0.index)
    }

    /// A small number, unique among the instances that exist: for tables beside the pool.
    pub fn index(self) -> usize {
        self.0.index as usize
    }
}

/// Names an invocation that waits. Later ones compare greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TicketId(pub(super) u64);

/// How much may run, and how much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Instances on the host, of all functions together, in whatever state.
    pub max_instances: u32,
    /// Invocations of one function that may wait for capacity. Those whose instance is being started do not
    /// count. With 0 an invocation without capacity is throttled at once.
    pub max_queued: usize,
    /// How long an invocation may wait for capacity.
    pub max_wait: Duration,
    /// Memory of all instances together, in whatever state, in MiB; not limited when absent. An instance counts with its
    /// function's `memory_mib`.
    pub memory_mib: Option<u64>,
    /// Invocations of all functions that may run at once: AWS Lambda's concurrency of an account. Not limited when absent. What
    /// functions reserve is kept free for them out of it, and so is what their minimum of instances can serve.
    pub max_running: Option<u32>,
    /// How fast each function may start instances; not limited when absent. Those that it must have are exempt.
    pub start_rate: Option<StartRate>,
    /// Instances that were started ahead of demand and have not served yet.
    pub max_prewarmed: u32,
    /// Which of several idle instances serves.
    pub choice: Choice,
}

impl Limits {
    /// Those of a laptop: 1,000 instances (AWS Lambda's default for an account), 1,000 invocations of a function that may
    /// wait for up to 10 s, 32 instances started ahead; no other limits.
    pub const LAPTOP: Limits = Limits {
        max_instances: 1000,
        max_queued: 1000,
        max_wait: Duration::from_secs(10),
        memory_mib: None,
        max_running: None,
        start_rate: None,
        max_prewarmed: 32,
        choice: Choice::MostRecent,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Limits::LAPTOP
    }
}

/// A token bucket: each start takes a token, and tokens come back evenly, up to `burst`.
///
/// AWS Lambda's is 1,000 in 10 s for each function (developer guide, *Lambda function scaling*): refilled continuously, not
/// accumulating.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartRate {
    /// How many starts may be made at once; without a pause this many in each `per`.
    pub burst: u32,
    /// In how long an empty bucket fills.
    pub per: Duration,
}

/// Which of a function's idle instances serves the next invocation. Those that the function must have
/// (`min_instances`) come first in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The one used last, so that those not needed idle on and go. No provider documents its own; this is the usual
    /// assumption.
    MostRecent,
    /// The one used least recently, so that all stay in use.
    LeastRecent,
    /// Any, by seed.
    Random {
        /// The same seed makes the same choices.
        seed: u64,
    },
}

/// What becomes of an invocation that asks for an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It runs now, in this instance, which was ready.
    Run(InstanceId),
    /// It waits. An [`Effect`] with this ticket will follow, unless the ticket is cancelled.
    Wait {
        /// Its place in the queue.
        ticket: TicketId,
        /// How many of its function wait for capacity, it included; absent when an instance is being started
        /// that will serve it.
        depth: Option<usize>,
    },
    /// It does not run.
    Refuse(Refusal),
}

/// What the pool's owner has to do next, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Start an instance of the function's newest generation; then say `started` or `start_failed`.
    Start {
        /// The new instance.
        instance: InstanceId,
        /// What it is to serve.
        function: FunctionId,
        /// [`Pool::prewarm`](super::Pool::prewarm) or a policy wants it: nobody waits for it yet.
        is_ahead: bool,
    },
    /// Run the invocation that holds this ticket; then say `release`.
    Run {
        /// The invocation.
        ticket: TicketId,
        /// Where it runs.
        instance: InstanceId,
        /// Whether it waited for this instance's start.
        start: Start,
        /// How long it waited in all.
        waited: Duration,
    },
    /// The invocation that holds this ticket does not run.
    Refuse {
        /// The invocation.
        ticket: TicketId,
        /// Why.
        why: Refusal,
    },
    /// Abandon the instance's start, or drop the instance. The pool has forgotten it.
    Stop {
        /// The instance.
        instance: InstanceId,
        /// Why.
        reason: StopReason,
        /// Since when it had been idle; absent when it was not.
        idle_since: Option<Time>,
    },
}

/// Why an invocation does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No capacity, and `max_queued` others wait for some already.
    QueueFull {
        /// How many wait.
        queued: usize,
        /// The limit in the way.
        limit: Limit,
    },
    /// `max_wait` passed.
    WaitedTooLong {
        /// How long it waited.
        waited: Duration,
        /// The limit in the way.
        limit: Limit,
    },
    /// The start it waited for failed.
    StartFailed,
    /// There is no such function, or no longer.
    NoSuchFunction,
    /// The pool is shutting down.
    ShuttingDown,
}

/// A limit that stands in the way of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The function's own `max_instances`.
    Function(u32),
    /// The host's [`Limits::max_instances`].
    Host(u32),
    /// The function's own `reserved_concurrency`.
    Reserved(u32),
    /// The host's [`Limits::max_running`].
    Running {
        /// All that may run.
        max: u32,
        /// Of it, what is kept for other functions.
        reserved: usize,
    },
    /// The host's [`Limits::start_rate`].
    StartRate(StartRate),
    /// The host's [`Limits::memory_mib`].
    Memory {
        /// The host's memory.
        budget_mib: u64,
        /// What one instance needs.
        instance_mib: u32,
    },
}

/// How one function stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionStatus {
    /// The newest generation.
    pub spec: Arc<FunctionSpec>,
    /// Instances being started.
    pub starting: usize,
    /// Instances that are ready and serve nobody.
    pub idle: usize,
    /// Instances that serve somebody, those of older generations included.
    pub busy: usize,
    /// Invocations that wait for an instance being started.
    pub pending: usize,
    /// Invocations that wait for capacity.
    pub queued: usize,
}
