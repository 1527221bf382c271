//! One pool under one policy, and the events that drive it: what a scheduler is to live traffic, in virtual time.
//!
//! It is told of arrivals in order of time. Between them it lets happen what is due: starts and invocations end,
//! keep-alives run out. It decides nothing; that is the pool's.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::Duration,
};

use fastrand::Rng;

use super::{draw::ColdStart, measure::Counted, shard::NewApp};
use crate::{
    billing::{Quantities, Standby, Tally, Tariff},
    clock::Time,
    invocation::Start,
    policy::Policy,
    pool::{Decision, Effect, FunctionId, InstanceId, Limits, Pool, TicketId},
    profile::Profile,
};

/// An invocation that arrives: nanoseconds, and which of the engine's apps it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) at: u64,
    pub(super) duration_ns: u64,
    pub(super) app: u32,
}

/// What is due when. What ends at one instant comes before what has started then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    /// Twice the nanosecond, and one more for what comes after. Packed: the heap that these are in is the busiest place of a
    /// simulation.
    at: u64,
    instance: InstanceId,
}

/// In the order in which they come at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Ended,
    Started,
}

impl Due {
    /// A trace, and an invocation of it, last a century at most: their nanoseconds leave a bit.
    fn new(at_ns: u64, what: What, instance: InstanceId) -> Reverse<Self> {
        Reverse(Due { at: at_ns << 1 | what as u64, instance })
    }

    fn ns(self) -> u64 {
        self.at >> 1
    }

    fn what(self) -> What {
        if self.at & 1 == What::Ended as u64 { What::Ended } else { What::Started }
    }
}

/// An invocation that found no instance ready.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    arrival: Arrival,
    /// Whether one is started for it, so that it does not wait for others to end.
    is_started_for: bool,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    app: u32,
    serving: u32,
    /// Since when it has served nobody; absent while it does, or starts.
    idle_since: Option<u64>,
}

#[derive(Debug)]
struct App {
    id: FunctionId,
    memory_mib: u32,
    tariff: Tariff,
    cold_starts: u64,
    /// Those of its invocations that started cold.
    cold: Tally,
    /// The same and the refused, and those that [`kept`](Self::kept) instances served, as if they had been warm and on demand.
    elsewhere: Tally,
    kept: Option<Kept>,
}

/// Instances of an app that are kept ready.
#[derive(Debug)]
struct Kept {
    since: u64,
    /// As they are billed.
    instances: u32,
    memory_mib: u32,
    tariff: Tariff,
    /// What they served.
    served: Tally,
}

#[derive(Debug)]
pub(super) struct Engine {
    pool: Pool,
    cold_start: ColdStart,
    rng: Rng,
    apps: Vec<App>,
    /// By the pool's own number of each function.
    app_of: Vec<u32>,
    /// By the pool's own number of each instance.
    slots: Vec<Slot>,
    due: BinaryHeap<Reverse<Due>>,
    waiting: HashMap<TicketId, Waiting>,
    effects: Vec<Effect>,
    counted: Counted,
    /// Idle memory counts until then.
    end: u64,
}

impl Kept {
    /// For being there until the end, and for what they served.
    fn billed(&self, profile: &Profile, end: u64) -> Quantities {
        let Kept { since, instances, memory_mib, tariff, served } = self;
        let served = tariff.quantities(served);
        let time_ns = end.saturating_sub(*since);
        let kept = [Standby { instances: *instances, memory_mib: *memory_mib, time_ns }];
        served + profile.standby(&kept, &served)
    }
}

impl Engine {
    pub(super) fn new(limits: Limits, policy: Box<dyn Policy>, cold_start: ColdStart, seed: u64) -> Self {
        Engine {
            pool: Pool::new(limits, policy),
            cold_start,
            rng: Rng::with_seed(seed),
            apps: Vec::new(),
            app_of: Vec::new(),
            slots: Vec::new(),
            due: BinaryHeap::new(),
            waiting: HashMap::new(),
            effects: Vec::new(),
            counted: Counted::default(),
            end: u64::MAX,
        }
    }

    /// One more app: what the pool holds, and how it is billed.
    pub(super) fn add_app(&mut self, now: u64, app: &NewApp) {
        let (spec, memory_mib) = (app.held.clone(), app.held.memory_mib);
        let kept = app.kept.as_ref().map(|(tariff, memory_mib)| Kept {
            since: now,
            instances: spec.min_instances,
            memory_mib: *memory_mib,
            tariff: tariff.clone(),
            served: Tally::default(),
        });
        let id = self.pool.deploy(Time::from_unix_nanos(now), spec, &mut self.effects);
        if self.app_of.len() <= id.index() {
            self.app_of.resize(id.index() + 1, 0);
        }
        self.app_of[id.index()] = u32::try_from(self.apps.len()).expect("as many as functions at most");
        self.apps.push(App {
            id,
            memory_mib,
            tariff: app.tariff.clone(),
            cold_starts: 0,
            cold: Tally::default(),
            elsewhere: Tally::default(),
            kept,
        });
        if !self.effects.is_empty() {
            self.carry_out(now); // what is kept ready starts
        }
    }

    /// Invocations arrive, in order of time.
    pub(super) fn arrive(&mut self, arrivals: &[Arrival]) {
        for arrival in arrivals {
            self.advance(arrival.at);
            let function = self.apps[arrival.app as usize].id;
            let now = Time::from_unix_nanos(arrival.at);
            match self.pool.acquire(now, function, false, &mut self.effects) {
                Decision::Run(instance) => {
                    self.lend(arrival.at, instance);
                    self.bill(*arrival, instance, Start::Warm);
                    self.due.push(Due::new(arrival.at + arrival.duration_ns, What::Ended, instance));
                }
                Decision::Wait { ticket, depth } => {
                    let waiting = Waiting { arrival: *arrival, is_started_for: depth.is_none() };
                    self.waiting.insert(ticket, waiting);
                }
                Decision::Refuse(_) => self.refuse(*arrival),
            }
            if !self.effects.is_empty() {
                self.carry_out(arrival.at);
            }
        }
    }

    /// The trace ends here; who has arrived is served to the end.
    pub(super) fn finish(&mut self, end: u64) {
        self.end = end;
        self.advance(end);
        while !self.waiting.is_empty() {
            let Some(next) = self.next_due() else { break };
            self.advance(next);
        }
        for n in 0..self.slots.len() {
            self.close_idle(n, end);
        }
    }

    /// What has been counted, and how many cold starts each app had.
    pub(super) fn counted(&self) -> (&Counted, impl Iterator<Item = u64>) {
        (&self.counted, self.apps.iter().map(|app| app.cold_starts))
    }

    /// What the provider bills, if these are all apps' invocations as if each had been warm.
    pub(super) fn billed(&self, profile: &Profile, all_warm: impl Iterator<Item = Tally>) -> Quantities {
        let of_each = |(app, all): (&App, Tally)| {
            let on_demand = app.tariff.quantities(&all.exchange(app.elsewhere, app.cold));
            match &app.kept {
                None => on_demand,
                Some(kept) => on_demand + kept.billed(profile, self.end),
            }
        };
        self.apps.iter().zip(all_warm).map(of_each).sum()
    }

    fn next_due(&self) -> Option<u64> {
        let event = self.due.peek().map(|Reverse(due)| due.ns());
        let deadline = self.pool.next_deadline().map(Time::unix_nanos);
        event.into_iter().chain(deadline).min()
    }

    /// Lets happen what is due until then.
    fn advance(&mut self, until: u64) {
        loop {
            let event = self.due.peek().map_or(u64::MAX, |Reverse(due)| due.ns());
            let deadline = self.pool.next_deadline().map_or(u64::MAX, Time::unix_nanos);
            if event.min(deadline) > until {
                return;
            }
            let now = Time::from_unix_nanos(event.min(deadline));
            if event > deadline {
                self.pool.expire(now, &mut self.effects);
            } else if let Some(Reverse(due)) = self.due.pop() {
                let instance = due.instance;
                match due.what() {
                    What::Ended => {
                        let slot = &mut self.slots[instance.index()];
                        slot.serving -= 1;
                        if slot.serving == 0 {
                            slot.idle_since = Some(event);
                        }
                        self.pool.release(now, instance, true, &mut self.effects);
                    }
                    What::Started => {
                        // nobody has stopped it: its place would be another's
                        if self.pool.started(now, instance, &mut self.effects) {
                            self.slots[instance.index()].idle_since = Some(event);
                        }
                    }
                }
            } else {
                return; // both are at the end of time
            }
            if !self.effects.is_empty() {
                self.carry_out(now.unix_nanos());
            }
        }
    }

    fn carry_out(&mut self, now: u64) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Start { instance, function, .. } => {
                    let app = self.app_of[function.index()];
                    let slot = Slot { app, serving: 0, idle_since: None };
                    match self.slots.get_mut(instance.index()) {
                        Some(place) => *place = slot,
                        None => self.slots.resize(instance.index() + 1, slot),
                    }
                    self.counted.instances_started += 1;
                    let takes = self.cold_start.draw_ns(&mut self.rng);
                    self.due.push(Due::new(now + takes, What::Started, instance));
                }
                Effect::Run { ticket, instance, start, waited } => {
                    let Some(Waiting { arrival, is_started_for }) = self.waiting.remove(&ticket) else {
                        continue;
                    };
                    self.lend(now, instance);
                    self.due.push(Due::new(now + arrival.duration_ns, What::Ended, instance));
                    self.counted.delays.add(nanos(waited));
                    if is_started_for || start == Start::Cold {
                        self.apps[arrival.app as usize].cold_starts += 1;
                        self.counted.cold_starts += 1;
                        self.counted.rescued += u64::from(start == Start::Warm);
                    }
                    // who did not need its own start is not billed for it
                    self.bill(arrival, instance, start);
                }
                Effect::Refuse { ticket, .. } => {
                    if let Some(waiting) = self.waiting.remove(&ticket) {
                        self.refuse(waiting.arrival);
                    }
                }
                Effect::Stop { instance, .. } => self.close_idle(instance.index(), now),
            }
        }
        self.effects = effects;
    }

    /// Counts for the bill what is not warm and on demand, as nearly all is.
    #[inline]
    fn bill(&mut self, arrival: Arrival, instance: InstanceId, start: Start) {
        let app = &mut self.apps[arrival.app as usize];
        let kept = app.kept.as_mut().filter(|_| self.pool.is_provisioned(instance));
        if start == Start::Warm && kept.is_none() {
            return;
        }
        app.tariff.add_warm(&mut app.elsewhere, arrival.duration_ns);
        let (tariff, tally) = match kept {
            Some(kept) => (&kept.tariff, &mut kept.served),
            None => (&app.tariff, &mut app.cold),
        };
        match start {
            Start::Warm => tariff.add_warm(tally, arrival.duration_ns),
            Start::Cold => tariff.add_cold(tally, arrival.duration_ns),
        }
    }

    fn lend(&mut self, now: u64, instance: InstanceId) {
        self.close_idle(instance.index(), now);
        self.slots[instance.index()].serving += 1;
    }

    /// Counts the memory of an instance that has been idle until now.
    fn close_idle(&mut self, slot: usize, now: u64) {
        let slot = &mut self.slots[slot];
        if let Some(since) = slot.idle_since.take() {
            let idle_ns = now.min(self.end).saturating_sub(since);
            let memory_mib = self.apps[slot.app as usize].memory_mib;
            self.counted.idle_mib_ns += u128::from(idle_ns) * u128::from(memory_mib);
        }
    }

    fn refuse(&mut self, arrival: Arrival) {
        self.counted.refused += 1;
        let app = &mut self.apps[arrival.app as usize];
        app.tariff.add_warm(&mut app.elsewhere, arrival.duration_ns);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
