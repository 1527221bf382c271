//! What the pool knows, and what must always be true of it.
//!
//! **Invariants** (`tests.rs` checks them after every step of random histories):
//! - The host's instances, in whatever state, are never more than [`Limits::max_instances`]; an instance starts
//!   only while its function has fewer than `max_instances`, those of older generations included.
//! - An instance serves at most `instance_concurrency` invocations, and only of its own generation; an
//!   invocation runs in the generation that is newest at the moment it gets its instance.
//! - Every ticket ends once: run, refused or cancelled. Nobody waits while a free instance could serve them.
//! - Invocations of a function are served in order of arrival. (Those that insist on a cold start wait for room
//!   while others, who need none, may pass.)
//! - A function waits for room on the host only while there is neither room nor an idle instance to evict.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::{
    FunctionId, FunctionStatus, Limits, TicketId,
    apps::Apps,
    list::{Lane, Linked, Links, List},
    queue::{Place, Queue},
    table::Table,
    timers::Timers,
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
    /// Idle instances of all functions.
    pub(super) idle: List,
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
    pub(super) queue: Queue,
}

impl Function {
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
}

impl Linked for Table<Slot> {
    fn links(&mut self, index: u32) -> &mut Links {
        &mut self.at(index).links
    }
}

impl Pool {
    /// An empty pool.
    pub fn new(limits: Limits, policy: impl Policy) -> Self {
        Pool {
            limits,
            policy: Box::new(policy),
            names: HashMap::new(),
            functions: Table::new(),
            apps: Apps::default(),
            instances: Table::new(),
            idle: List::new(Lane::Host),
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
            idle: f.idle.len(),
            busy: f.alive - f.starting.len() - f.idle.len(),
            pending: f.queue.pending.len() + (f.starting.len() - f.open_starts),
            queued: f.queue.depth(),
        })
    }

    /// Instances on the host, in whatever state.
    pub fn instances(&self) -> usize {
        self.instances.len()
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
