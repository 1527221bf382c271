//! What the pool knows, and what must always be true of it.
//!
//! **Invariants** (`tests.rs` checks them after every step of random histories):
//! - The host's instances, in whatever state, are never more than [`Limits::max_instances`], and their memory is within
//!   [`Limits::memory_mib`]; an instance starts
//!   only while its function has fewer than `max_instances`, those of older generations included.
//! - An instance serves at most `instance_concurrency` invocations, and only of its own generation; an
//!   invocation runs in the generation that is newest at the moment it gets its instance.
//! - What runs is never more than [`Limits::max_running`] (unless what functions reserve was raised meanwhile), nor, of a
//!   function, than its `reserved_concurrency` (unless that was lowered); a function's guarantee is free for it whatever others do.
//! - A function starts no more instances than its bucket has tokens, but for those that it must have.
//! - Every ticket ends once: run, refused or cancelled. Nobody waits while a free instance could serve them and they may
//!   run.
//! - Invocations of a function are served in order of arrival. (Those that insist on a cold start wait for room
//!   while others, who need none, may pass.)
//! - The first in line for room waits only while evicting every idle instance would not make enough; the others wait
//!   for it.
//! - A function has its minimum of instances, starting ones included, unless its own or the host's limits or a failed
//!   start's delay stand in the way. None of them expires or is evicted for another function.
//! - Instances started ahead that have not served are at most [`Limits::max_prewarmed`], and nothing is evicted for them.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    Choice, FunctionId, FunctionStatus, InstanceId, Limits, TicketId,
    admission::{Admitted, Bucket},
    apps::Apps,
    list::{Lane, Linked, Links, List},
    queue::{Place, Queue},
    table::Table,
    timers::Timers,
    victims::{Rank, Ranks},
};
use crate::{abi::manifest::Isolation, clock::Time, invocation::FunctionSpec, policy::Policy};

/// The warm pool's state machine.
///
/// `now` must not go backwards from one call to the next. Effects are appended to the vector passed in, in the
/// order in which they are to be carried out; the warm path appends none.
#[derive(Debug)]
pub struct Pool {
    pub(super) limits: Limits,
    pub(super) policy: Box<dyn Policy>,
    pub(super) names: HashMap<Arc<str>, FunctionId>,
    pub(super) functions: Table<Function>,
    pub(super) apps: Apps,
    pub(super) instances: Table<Slot>,
    /// Idle instances of all functions, but for those that functions must have.
    pub(super) idle: List,
    /// Their memory.
    pub(super) idle_mib: u64,
    /// The memory of all instances, in whatever state.
    pub(super) memory_mib: u64,
    pub(super) ranks: Ranks,
    /// Instances that were started ahead of demand and have not served yet.
    pub(super) prewarmed: u32,
    pub(super) rng: fastrand::Rng,
    pub(super) admitted: Admitted,
    pub(super) waiting: HashMap<TicketId, Waiter>,
    pub(super) next_ticket: u64,
    /// Functions that want an instance and may be stopped by the host's limit, the longest-waiting first.
    pub(super) hungry: VecDeque<FunctionId>,
    pub(super) timers: Timers,
    /// Invocations that run.
    pub(super) running: usize,
    pub(super) is_closing: bool,
}

/// One function, through its generations.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) spec: Arc<FunctionSpec>,
    /// Which of `Pool::apps` it is part of.
    pub(super) app: u32,
    /// Its invocations that run or wait.
    pub(super) active: usize,
    /// Counts deployments; an instance of another epoch serves nobody new.
    pub(super) epoch: u64,
    pub(super) is_retired: bool,
    /// Whether it is in `Pool::hungry`.
    pub(super) is_hungry: bool,
    /// Its instances, in whatever state and of whatever epoch.
    pub(super) alive: usize,
    /// Its starts that serve whoever waits, as opposed to one forced invocation.
    pub(super) open_starts: usize,
    pub(super) starting: List,
    /// Instances that serve some and have room for more.
    pub(super) partly: List,
    pub(super) idle: List,
    /// Idle instances that it must have; the others are in `idle`.
    pub(super) kept: List,
    /// The same as `idle`, in no order, if one is to be chosen at random.
    pub(super) bag: Vec<u32>,
    pub(super) queue: Queue,
    /// Its invocations that run or are promised an instance that is being started.
    pub(super) admitted: usize,
    /// How many of them may be whatever others do.
    pub(super) guarantee: usize,
    /// Whether its queue waits for others' invocations to end.
    pub(super) is_in_line_to_run: bool,
    pub(super) bucket: Bucket,
    /// When it may start an instance again, if that is what it waits for.
    pub(super) tokens_at: Option<Time>,
    /// Its instances of this epoch that it must have.
    pub(super) provisioned: u32,
    /// Starts of those that have failed since the last that did not.
    pub(super) failures: usize,
    /// Until when no other is tried.
    pub(super) retry_at: Option<Time>,
    /// Its idle instances were stopped because its app rested, and it has had none since.
    pub(super) is_unloaded: bool,
    /// When to start one ahead of demand.
    pub(super) warm_at: Option<Time>,
    /// Whether that is done even if invocations of its app run then.
    pub(super) warms_anyway: bool,
    /// The earliest timer armed for it.
    pub(super) alarm: Option<Time>,
    /// Its entry among `Pool::ranks`.
    pub(super) rank: Option<Rank>,
}

impl Function {
    pub(super) fn new(spec: Arc<FunctionSpec>, app: u32) -> Self {
        Function {
            spec,
            app,
            active: 0,
            epoch: 0,
            is_retired: false,
            is_hungry: false,
            alive: 0,
            open_starts: 0,
            starting: List::new(Lane::Function),
            partly: List::new(Lane::Function),
            idle: List::new(Lane::Function),
            kept: List::new(Lane::Function),
            bag: Vec::new(),
            queue: Queue::default(),
            admitted: 0,
            guarantee: 0,
            is_in_line_to_run: false,
            bucket: Bucket::default(),
            tokens_at: None,
            provisioned: 0,
            failures: 0,
            retry_at: None,
            is_unloaded: false,
            warm_at: None,
            warms_anyway: false,
            alarm: None,
            rank: None,
        }
    }

    /// Whether it has as many instances as it may.
    pub(super) fn is_full(&self) -> bool {
        self.spec.max_instances.is_some_and(|max| self.alive >= max as usize)
    }

    /// When it has to be looked at.
    pub(super) fn next_due(&self) -> Option<Time> {
        [self.warm_at, self.retry_at, self.tokens_at].into_iter().flatten().min()
    }

    pub(super) fn instance_concurrency(&self) -> usize {
        match self.spec.isolation {
            Isolation::Instance => self.spec.instance_concurrency.max(1) as usize,
            Isolation::Request => 1,
        }
    }
}

/// One instance.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) function: FunctionId,
    pub(super) epoch: u64,
    pub(super) stage: Stage,
    pub(super) links: Links,
    pub(super) memory_mib: u32,
    /// Its function must have it.
    pub(super) is_provisioned: bool,
    /// It was started ahead of demand and has not served yet.
    pub(super) is_prewarmed: bool,
    /// How long it is kept at most if it never serves.
    pub(super) unused: Option<Duration>,
    /// Its place in its function's `bag`.
    pub(super) bag_at: u32,
    /// Invocations that it has served or serves. Before it is ready, when its start began is in `idle_since`.
    pub(super) served: u64,
    pub(super) idle_since: Time,
    pub(super) expires: Option<Time>,
    /// The earliest timer armed for it.
    pub(super) timer: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Starting {
        /// The forced invocation that it is for.
        bound: Option<TicketId>,
    },
    Ready {
        /// How many invocations it serves.
        serving: usize,
        /// It serves nobody new.
        is_condemned: bool,
    },
}

/// Why an instance is started.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Somebody waits for it, or its function must have it.
    Demand,
    /// Somebody may come.
    Ahead {
        /// How long it is kept at most until they do.
        unused: Option<Duration>,
    },
}

/// An invocation that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) function: FunctionId,
    pub(super) place: Place,
    pub(super) arrived: Time,
    /// When it is refused if it still waits for capacity.
    pub(super) deadline: Option<Time>,
}

/// The list that an instance belongs in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shelf {
    None,
    Starting,
    Partly,
    Idle,
    /// Idle, and its function must have it.
    Kept,
}

impl Linked for Table<Slot> {
    #[inline]
    fn links(&mut self, index: u32) -> &mut Links {
        &mut self.at(index).links
    }
}

impl Pool {
    /// An empty pool.
    pub fn new(limits: Limits, policy: impl Policy) -> Self {
        Pool {
            limits,
            policy: policy.boxed(),
            names: HashMap::new(),
            functions: Table::new(),
            apps: Apps::default(),
            instances: Table::new(),
            idle: List::new(Lane::Host),
            idle_mib: 0,
            memory_mib: 0,
            ranks: Ranks::default(),
            prewarmed: 0,
            admitted: Admitted::default(),
            rng: fastrand::Rng::with_seed(if let Choice::Random { seed } = limits.choice { seed } else { 0 }),
            waiting: HashMap::new(),
            next_ticket: 0,
            hungry: VecDeque::new(),
            timers: Timers::default(),
            running: 0,
            is_closing: false,
        }
    }

    /// The deployed function of that name.
    pub fn find(&self, name: &str) -> Option<FunctionId> {
        self.names.get(name).copied()
    }

    /// What was last deployed for a function.
    pub fn spec(&self, function: FunctionId) -> Option<&Arc<FunctionSpec>> {
        self.functions.get(function.0).map(|f| &f.spec)
    }

    /// Whether a shutdown has been asked for and every invocation has ended.
    pub fn is_drained(&self) -> bool {
        self.is_closing && self.running == 0 && self.waiting.is_empty()
    }

    /// How every deployed function stands, in no particular order.
    pub fn status(&self) -> impl Iterator<Item = FunctionStatus> {
        self.functions.iter().filter(|f| !f.is_retired).map(|f| FunctionStatus {
            spec: f.spec.clone(),
            starting: f.starting.len(),
            idle: f.idle.len() + f.kept.len(),
            busy: f.alive - f.starting.len() - f.idle.len() - f.kept.len(),
            pending: f.queue.pending.len() + (f.starting.len() - f.open_starts),
            queued: f.queue.depth(),
        })
    }

    /// Whether an instance is one that its function must have. It is or is not so from its start to its end.
    #[inline]
    pub fn is_provisioned(&self, instance: InstanceId) -> bool {
        self.instances.get(instance.0).is_some_and(|slot| slot.is_provisioned)
    }

    /// Instances on the host, in whatever state.
    pub fn instances(&self) -> usize {
        self.instances.len()
    }

    /// Memory of all instances, in whatever state, in MiB.
    pub fn memory_mib(&self) -> u64 {
        self.memory_mib
    }

    /// Invocations that run.
    pub fn running(&self) -> usize {
        self.running
    }

    #[cfg(test)]
    pub(super) fn armed_timers(&self) -> usize {
        self.timers.len()
    }
}
