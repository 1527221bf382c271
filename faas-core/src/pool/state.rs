//! The pool's state and its inputs.
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
    Decision, Effect, FunctionId, FunctionStatus, InstanceId, Limit, Limits, Refusal, TicketId,
    list::{Lane, Linked, Links, List},
    queue::{Place, Queue},
    table::{Key, Table},
    timers::{Timer, Timers},
};
use crate::{
    clock::Time,
    invocation::{FunctionSpec, Start},
    policy::KeepAlive,
    transition::StopReason,
};

/// The warm pool's state machine.
///
/// `now` must not go backwards from one call to the next. Effects are appended to the vector passed in, in the
/// order in which they are to be carried out; the warm path appends none.
#[derive(Debug)]
pub struct Pool {
    pub(super) limits: Limits,
    policy: Box<dyn KeepAlive>,
    names: HashMap<Arc<str>, FunctionId>,
    pub(super) functions: Table<Function>,
    pub(super) instances: Table<Slot>,
    /// Idle instances of all functions.
    pub(super) idle: List,
    pub(super) waiting: HashMap<TicketId, Waiter>,
    next_ticket: u64,
    /// Functions that want an instance and may be stopped by the host's limit, the longest-waiting first.
    pub(super) hungry: VecDeque<FunctionId>,
    timers: Timers,
    /// Invocations that run.
    running: usize,
    is_closing: bool,
}

/// One function, through its generations.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) spec: Arc<FunctionSpec>,
    /// Counts deployments; an instance of another epoch serves nobody new.
    epoch: u64,
    is_retired: bool,
    /// Whether it is in `Pool::hungry`.
    pub(super) is_hungry: bool,
    /// Its instances, in whatever state and of whatever epoch.
    pub(super) alive: usize,
    /// Its starts that serve whoever waits, as opposed to one forced invocation.
    pub(super) open_starts: usize,
    pub(super) starting: List,
    /// Instances that serve some and have room for more.
    partly: List,
    pub(super) idle: List,
    pub(super) queue: Queue,
}

impl Function {
    pub(super) fn instance_concurrency(&self) -> usize {
        self.spec.instance_concurrency.max(1) as usize
    }
}

/// One instance.
#[derive(Debug)]
pub(super) struct Slot {
    function: FunctionId,
    epoch: u64,
    pub(super) stage: Stage,
    links: Links,
    idle_since: Time,
    expires: Option<Time>,
    /// The earliest timer armed for it.
    timer: Option<Time>,
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
    arrived: Time,
    /// When it is refused if it still waits for capacity.
    deadline: Option<Time>,
}

/// The list that an instance belongs in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shelf {
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
    pub fn new(limits: Limits, policy: impl KeepAlive) -> Self {
        Pool {
            limits,
            policy: Box::new(policy),
            names: HashMap::new(),
            functions: Table::new(),
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

    /// An invocation wants an instance; with `force_cold` a fresh one.
    pub fn acquire(
        &mut self,
        now: Time,
        function: FunctionId,
        force_cold: bool,
        effects: &mut Vec<Effect>,
    ) -> Decision {
        if self.is_closing {
            return Decision::Refuse(Refusal::ShuttingDown);
        }
        let Some(f) = self.functions.get_mut(function.0).filter(|f| !f.is_retired) else {
            return Decision::Refuse(Refusal::NoSuchFunction);
        };
        if !force_cold && let Some(index) = f.partly.front().or(f.idle.front()) {
            self.unshelve(index);
            self.lend(index);
            self.shelve(now, index);
            return Decision::Run(InstanceId(self.instances.key_at(index)));
        }

        let ticket = TicketId(self.next_ticket);
        self.next_ticket += 1;
        let place = if force_cold {
            f.queue.forced.insert(ticket);
            Place::Forced
        } else {
            f.queue.queued.insert(ticket);
            Place::Queued
        };
        self.waiting.insert(ticket, Waiter { function, place, arrived: now, deadline: None });
        self.cover(function);
        self.ask_for_room(function);
        self.give_room(now, effects);
        if matches!(self.waiting[&ticket].place, Place::Pending | Place::Bound(_)) {
            return Decision::Wait { ticket, depth: None };
        }

        let depth = self.functions.at(function.0.index).queue.depth();
        let limit = self.limit_in_the_way(function);
        let is_hopeless = matches!(limit, Limit::Function(0) | Limit::Host(0));
        if is_hopeless || depth > self.limits.max_queued {
            self.forget(ticket);
            return Decision::Refuse(Refusal::QueueFull { queued: depth - 1, limit });
        }
        self.arm_ticket(ticket, now + self.limits.max_wait);
        Decision::Wait { ticket, depth: Some(depth) }
    }

    /// An instance that was to be started is ready. False when it is no longer wanted: drop it.
    pub fn started(&mut self, now: Time, instance: InstanceId, effects: &mut Vec<Effect>) -> bool {
        let Some(Slot { stage: Stage::Starting { bound }, function, .. }) = self.instances.get(instance.0)
        else {
            return false;
        };
        let (bound, function, index) = (*bound, *function, instance.0.index);
        self.unshelve(index);
        self.instances.at(index).stage = Stage::Ready { serving: 0, is_condemned: false };
        let start = if let Some(ticket) = bound {
            self.run(now, ticket, index, Start::Cold, effects);
            Start::Warm
        } else {
            self.functions.at(function.0.index).open_starts -= 1;
            Start::Cold
        };
        self.serve(now, index, start, effects);
        self.after(now, function, effects);
        true
    }

    /// An instance could not be started: whoever waited for it is refused. False when it was not wanted any more.
    pub fn start_failed(&mut self, now: Time, instance: InstanceId, effects: &mut Vec<Effect>) -> bool {
        let Some(Slot { stage: Stage::Starting { bound }, function, .. }) = self.instances.get(instance.0)
        else {
            return false;
        };
        let (bound, function) = (*bound, *function);
        self.stop(instance.0.index, StopReason::Failed, effects);
        let f = self.functions.at(function.0.index);
        let failed: Vec<TicketId> = match bound {
            Some(ticket) => vec![ticket],
            None => f.queue.pending.iter().take(f.instance_concurrency()).copied().collect(),
        };
        for ticket in failed {
            self.forget(ticket);
            effects.push(Effect::Refuse { ticket, why: Refusal::StartFailed });
        }
        self.after(now, function, effects);
        true
    }

    /// An invocation in `instance` has ended; unless `is_healthy`, the instance must not serve again.
    pub fn release(&mut self, now: Time, instance: InstanceId, is_healthy: bool, effects: &mut Vec<Effect>) {
        let Some(slot) = self.instances.get_mut(instance.0) else {
            debug_assert!(false, "released more often than lent");
            return;
        };
        let (index, function) = (instance.0.index, slot.function);
        self.unshelve(index);
        let slot = self.instances.at(index);
        let Stage::Ready { serving, is_condemned } = &mut slot.stage else {
            unreachable!("only a ready instance is lent");
        };
        *serving -= 1;
        *is_condemned |= !is_healthy;
        self.running -= 1;
        let (serving, is_condemned, epoch) = (*serving, *is_condemned, slot.epoch);
        let is_current = {
            let f = self.functions.at(function.0.index);
            epoch == f.epoch && !f.is_retired
        };
        if is_current && !is_condemned {
            self.serve(now, index, Start::Warm, effects);
        } else if serving == 0 {
            let reason = if is_condemned { StopReason::Failed } else { StopReason::Replaced };
            self.stop(index, reason, effects);
        }
        self.after(now, function, effects);
    }

    /// Nobody waits for this ticket any more. False when it has ended already.
    pub fn cancel(&mut self, ticket: TicketId) -> bool {
        let Some(waiter) = self.forget(ticket) else {
            return false;
        };
        if let Place::Bound(instance) = waiter.place {
            // its start goes on, for whoever comes
            self.instances.at(instance.0.index).stage = Stage::Starting { bound: None };
            self.functions.at(waiter.function.0.index).open_starts += 1;
        }
        self.cover(waiter.function);
        true
    }

    /// Does what is due: stops instances whose keep-alive is over, refuses who has waited too long.
    pub fn expire(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while let Some((at, timer)) = self.timers.pop_due(now) {
            match timer {
                Timer::Instance(instance) => self.expire_instance(now, instance, at, effects),
                Timer::Ticket(ticket) => self.expire_ticket(now, ticket, at, effects),
            }
        }
        self.give_room(now, effects);
    }

    /// When [`Pool::expire`] has something to do next: never late, perhaps early.
    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// A new function, or a new generation of one: from here on it alone starts and serves. Idle instances of
    /// the old one stop, starts are abandoned, busy ones stop as their invocations end; who waits, waits on.
    pub fn deploy(&mut self, now: Time, spec: Arc<FunctionSpec>, effects: &mut Vec<Effect>) -> FunctionId {
        let Some(function) = self.find(&spec.name) else {
            let name = spec.name.clone();
            let function = FunctionId(self.functions.insert(Function {
                spec,
                epoch: 0,
                is_retired: false,
                is_hungry: false,
                alive: 0,
                open_starts: 0,
                starting: List::new(Lane::Function),
                partly: List::new(Lane::Function),
                idle: List::new(Lane::Function),
                queue: Queue::default(),
            }));
            self.names.insert(name, function);
            return function;
        };
        self.supersede(function, effects);
        self.functions.at(function.0.index).spec = spec;
        self.after(now, function, effects);
        let late: Vec<TicketId> = {
            let queue = &self.functions.at(function.0.index).queue;
            queue.queued.iter().chain(&queue.forced).copied().collect()
        };
        for ticket in late {
            if self.waiting[&ticket].deadline.is_none() {
                self.arm_ticket(ticket, now + self.limits.max_wait);
            }
        }
        function
    }

    /// The function is gone: who waits is refused, who runs runs to the end. False when there is none.
    pub fn retire(&mut self, now: Time, function: FunctionId, effects: &mut Vec<Effect>) -> bool {
        let Some(f) = self.functions.get_mut(function.0).filter(|f| !f.is_retired) else {
            return false;
        };
        f.is_retired = true;
        f.alive += 1; // holds the row until the end of this call, though its last instance may stop in it
        self.names.remove(&f.spec.name);
        self.supersede(function, effects);
        let queue = std::mem::take(&mut self.functions.at(function.0.index).queue);
        for ticket in queue.queued.into_iter().chain(queue.forced) {
            self.waiting.remove(&ticket);
            effects.push(Effect::Refuse { ticket, why: Refusal::NoSuchFunction });
        }
        self.functions.at(function.0.index).alive -= 1;
        self.reclaim(function);
        self.give_room(now, effects);
        true
    }

    /// Takes no more invocations. Idle instances stop now, busy ones when nobody needs them any more; whoever
    /// was let in is served.
    pub fn shutdown(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.is_closing = true;
        while let Some(index) = self.idle.back() {
            self.stop(index, StopReason::Shutdown, effects);
        }
        self.give_room(now, effects);
    }

    /// Whether a shutdown has been asked for and every invocation has ended.
    pub fn is_drained(&self) -> bool {
        self.is_closing && self.running == 0 && self.waiting.is_empty()
    }

    /// Abandons the starts that are under way though nobody waits: the last act of a drained pool.
    pub fn abandon_starts(&mut self, effects: &mut Vec<Effect>) {
        let functions: Vec<Key> = self.instances.iter().map(|slot| slot.function.0).collect();
        for key in functions {
            while let Some(index) = self.functions.get(key).and_then(|f| f.starting.back()) {
                self.stop(index, StopReason::Shutdown, effects);
            }
        }
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

    // ---- steps that the inputs share ----------------------------------------------------------------------

    /// Every input that may have freed something ends here.
    fn after(&mut self, now: Time, function: FunctionId, effects: &mut Vec<Effect>) {
        self.cover(function);
        self.ask_for_room(function);
        self.give_room(now, effects);
    }

    /// Lets a ready, unshelved instance serve whoever waits, then puts it where it belongs.
    fn serve(&mut self, now: Time, index: u32, start: Start, effects: &mut Vec<Effect>) {
        let function = self.instances.at(index).function;
        loop {
            let Stage::Ready { serving, .. } = self.instances.at(index).stage else {
                unreachable!("the caller passes a ready instance");
            };
            let f = self.functions.at(function.0.index);
            if serving == 0 && f.queue.is_forced_next() && start == Start::Warm {
                break; // it makes room for the instance that the oldest insists on
            }
            if serving == f.instance_concurrency() {
                break;
            }
            let Some(ticket) = f.queue.next() else { break };
            self.run(now, ticket, index, start, effects);
        }
        self.shelve(now, index);
        if self.is_closing && self.shelf(index) == Shelf::Idle {
            self.stop(index, StopReason::Shutdown, effects);
        }
    }

    /// Lends an unshelved instance to a ticket.
    fn run(&mut self, now: Time, ticket: TicketId, index: u32, start: Start, effects: &mut Vec<Effect>) {
        let waiter = self.forget(ticket).expect("a ticket in a queue waits");
        self.lend(index);
        let instance = InstanceId(self.instances.key_at(index));
        effects.push(Effect::Run { ticket, instance, start, waited: now.since(waiter.arrived) });
    }

    /// Lends an unshelved instance.
    fn lend(&mut self, index: u32) {
        let Stage::Ready { serving, .. } = &mut self.instances.at(index).stage else {
            unreachable!("only a ready instance is lent");
        };
        *serving += 1;
        self.running += 1;
    }

    /// Takes a ticket out of wherever it waits.
    fn forget(&mut self, ticket: TicketId) -> Option<Waiter> {
        let waiter = self.waiting.remove(&ticket)?;
        self.functions.at(waiter.function.0.index).queue.remove(ticket, waiter.place);
        Some(waiter)
    }

    /// Forgets an instance, in whatever stage.
    pub(super) fn stop(&mut self, index: u32, reason: StopReason, effects: &mut Vec<Effect>) {
        let was_idle = self.unshelve(index) == Shelf::Idle;
        let key = self.instances.key_at(index);
        let slot = self.instances.remove(key).expect("the caller holds the index of an instance that exists");
        let f = self.functions.at(slot.function.0.index);
        f.alive -= 1;
        if slot.stage == (Stage::Starting { bound: None }) {
            f.open_starts -= 1;
        }
        self.reclaim(slot.function);
        let idle_since = was_idle.then_some(slot.idle_since);
        effects.push(Effect::Stop { instance: InstanceId(key), reason, idle_since });
    }

    /// Forgets a retired function once its last instance has stopped.
    fn reclaim(&mut self, function: FunctionId) {
        if self.functions.get(function.0).is_some_and(|f| f.is_retired && f.alive == 0) {
            self.functions.remove(function.0);
        }
    }

    /// Takes everything of the current epoch out of service.
    fn supersede(&mut self, function: FunctionId, effects: &mut Vec<Effect>) {
        let at = function.0.index;
        while let Some(index) = self.functions.at(at).idle.back() {
            self.stop(index, StopReason::Replaced, effects);
        }
        while let Some(index) = self.functions.at(at).starting.back() {
            if let Stage::Starting { bound: Some(ticket) } = self.instances.at(index).stage {
                self.waiting.get_mut(&ticket).expect("a bound ticket waits").place = Place::Forced;
                self.functions.at(at).queue.forced.insert(ticket);
            }
            self.stop(index, StopReason::Replaced, effects);
        }
        while let Some(index) = self.functions.at(at).partly.back() {
            self.unshelve(index);
        }
        let f = self.functions.at(at);
        f.epoch += 1;
        for ticket in std::mem::take(&mut f.queue.pending) {
            f.queue.queued.insert(ticket);
            self.waiting.get_mut(&ticket).expect("a pending ticket waits").place = Place::Queued;
        }
    }

    fn limit_in_the_way(&mut self, function: FunctionId) -> Limit {
        let f = self.functions.at(function.0.index);
        match f.spec.max_instances {
            Some(max) if f.alive >= max as usize => Limit::Function(max),
            _ => Limit::Host(self.limits.max_instances),
        }
    }

    // ---- lists --------------------------------------------------------------------------------------------

    fn shelf(&self, index: u32) -> Shelf {
        let slot = self.instances.peek(index);
        let f = self.functions.peek(slot.function.0.index); // a function outlives its instances
        match slot.stage {
            Stage::Starting { .. } => Shelf::Starting,
            _ if slot.epoch != f.epoch => Shelf::None,
            Stage::Ready { is_condemned: true, .. } => Shelf::None,
            Stage::Ready { serving: 0, .. } => Shelf::Idle,
            Stage::Ready { serving, .. } if serving < f.instance_concurrency() => Shelf::Partly,
            Stage::Ready { .. } => Shelf::None,
        }
    }

    /// Takes an instance out of the list it is in, before its state changes.
    fn unshelve(&mut self, index: u32) -> Shelf {
        let shelf = self.shelf(index);
        let f = self.functions.at(self.instances.at(index).function.0.index);
        match shelf {
            Shelf::None => {}
            Shelf::Starting => f.starting.remove(&mut self.instances, index),
            Shelf::Partly => f.partly.remove(&mut self.instances, index),
            Shelf::Idle => {
                f.idle.remove(&mut self.instances, index);
                self.idle.remove(&mut self.instances, index);
            }
        }
        shelf
    }

    /// Puts an instance into the list where it belongs, after its state has changed.
    fn shelve(&mut self, now: Time, index: u32) {
        let shelf = self.shelf(index);
        let f = self.functions.at(self.instances.at(index).function.0.index);
        match shelf {
            Shelf::None => {}
            Shelf::Starting => f.starting.push_front(&mut self.instances, index),
            Shelf::Partly => f.partly.push_front(&mut self.instances, index),
            Shelf::Idle => {
                f.idle.push_front(&mut self.instances, index);
                self.idle.push_front(&mut self.instances, index);
                let expires = self.policy.keep_alive(now, &f.spec).map(|keep| now + keep);
                let slot = self.instances.at(index);
                (slot.idle_since, slot.expires) = (now, expires);
                if let Some(expires) = expires
                    && slot.timer.is_none_or(|armed| armed > expires)
                {
                    slot.timer = Some(expires);
                    self.arm(expires, Timer::Instance(InstanceId(self.instances.key_at(index))));
                }
            }
        }
    }

    /// A new instance, being started.
    pub(super) fn begin_start(
        &mut self,
        now: Time,
        function: FunctionId,
        bound: Option<TicketId>,
    ) -> InstanceId {
        let f = self.functions.at(function.0.index);
        f.alive += 1;
        let epoch = f.epoch;
        let key = self.instances.insert(Slot {
            function,
            epoch,
            stage: Stage::Starting { bound },
            links: Links::NONE,
            idle_since: now,
            expires: None,
            timer: None,
        });
        self.shelve(now, key.index);
        InstanceId(key)
    }

    // ---- timers -------------------------------------------------------------------------------------------

    fn expire_instance(&mut self, now: Time, instance: InstanceId, at: Time, effects: &mut Vec<Effect>) {
        let Some(slot) = self.instances.get_mut(instance.0).filter(|slot| slot.timer == Some(at)) else {
            return;
        };
        slot.timer = None;
        let expires = slot.expires;
        if self.shelf(instance.0.index) != Shelf::Idle {
            return; // armed again when it is idle
        }
        match expires {
            Some(expires) if expires <= now => {
                self.stop(instance.0.index, StopReason::Expired, effects);
            }
            Some(expires) => {
                self.instances.at(instance.0.index).timer = Some(expires);
                self.arm(expires, Timer::Instance(instance));
            }
            None => {}
        }
    }

    fn expire_ticket(&mut self, now: Time, ticket: TicketId, at: Time, effects: &mut Vec<Effect>) {
        let Some(waiter) = self.waiting.get_mut(&ticket).filter(|waiter| waiter.deadline == Some(at)) else {
            return;
        };
        if matches!(waiter.place, Place::Pending | Place::Bound(_)) {
            waiter.deadline = None; // what it waits for is on its way; should a deploy undo that, it gets a new one
            return;
        }
        let (function, waited) = (waiter.function, now.since(waiter.arrived));
        let limit = self.limit_in_the_way(function);
        self.forget(ticket);
        effects.push(Effect::Refuse { ticket, why: Refusal::WaitedTooLong { waited, limit } });
    }

    fn arm_ticket(&mut self, ticket: TicketId, deadline: Time) {
        self.waiting.get_mut(&ticket).expect("the caller has just queued it").deadline = Some(deadline);
        self.arm(deadline, Timer::Ticket(ticket));
    }

    fn arm(&mut self, at: Time, timer: Timer) {
        self.timers.arm(at, timer);
        let (instances, waiting) = (&self.instances, &self.waiting);
        self.timers.compact(instances.len() + waiting.len(), |at, timer| match timer {
            Timer::Instance(id) => instances.get(id.0).is_some_and(|slot| slot.timer == Some(at)),
            Timer::Ticket(id) => waiting.get(&id).is_some_and(|waiter| waiter.deadline == Some(at)),
        });
    }
}
