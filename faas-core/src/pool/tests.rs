//! Random histories against the pool, checked by a model that knows only the rules.
//!
//! Each rule is named in the assertion that guards it. The model believes nothing that the pool says of itself:
//! it keeps its own books from the effects.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;

use super::*;
use crate::{
    abi::manifest::Isolation,
    clock::Time,
    invocation::{FunctionSpec, Start},
    policy::FixedTtl,
    transition::StopReason,
};

const NAMES: [&str; 3] = ["a", "b", "c"];
const KEEP_ALIVE: Duration = Duration::from_millis(50);
const LIMITS: Limits = Limits { max_instances: 4, max_queued: 2, max_wait: Duration::from_millis(30) };

/// One thing that can happen. Numbers choose among what is there, modulo.
#[derive(Debug, Clone)]
enum Event {
    Acquire { function: usize, force_cold: bool },
    Started(usize),
    StartFailed(usize),
    Release { lease: usize, is_healthy: bool },
    Cancel(usize),
    Pass(u64),
    Deploy { function: usize, instance_concurrency: u32, max_instances: Option<u32>, is_isolated: bool },
    Retire(usize),
    Shutdown,
}

fn event() -> impl Strategy<Value = Event> {
    let any = 0..64_usize;
    prop_oneof![
        12 => (0..3_usize, prop::bool::weighted(0.15))
            .prop_map(|(function, force_cold)| Event::Acquire { function, force_cold }),
        8 => any.clone().prop_map(Event::Started),
        1 => any.clone().prop_map(Event::StartFailed),
        8 => (any.clone(), prop::bool::weighted(0.9))
            .prop_map(|(lease, is_healthy)| Event::Release { lease, is_healthy }),
        2 => any.prop_map(Event::Cancel),
        4 => (0..40_u64).prop_map(Event::Pass),
        2 => (0..3_usize, 1..4_u32, prop::option::of(0..4_u32), prop::bool::weighted(0.3)).prop_map(
            |(function, instance_concurrency, max_instances, is_isolated)| Event::Deploy {
                function, instance_concurrency, max_instances, is_isolated
            }
        ),
        1 => (0..3_usize).prop_map(Event::Retire),
    ]
}

#[derive(Debug)]
struct InstanceModel {
    function: FunctionId,
    generation: u64,
    is_started: bool,
    is_condemned: bool,
    serving: u32,
    has_served: bool,
    idle_since: Time,
}

#[derive(Debug)]
struct TicketModel {
    function: FunctionId,
    is_forced: bool,
    arrived: Time,
}

struct World {
    pool: Pool,
    now: Time,
    instances: BTreeMap<InstanceId, InstanceModel>,
    waiting: BTreeMap<TicketId, TicketModel>,
    /// One for each invocation that runs.
    leases: Vec<InstanceId>,
    /// What is deployed. Retired functions are absent.
    specs: HashMap<FunctionId, Arc<FunctionSpec>>,
    generation: u64,
    is_closing: bool,
}

impl World {
    fn new() -> Self {
        let mut world = World {
            pool: Pool::new(LIMITS, FixedTtl(KEEP_ALIVE)),
            now: Time::EPOCH,
            instances: BTreeMap::new(),
            waiting: BTreeMap::new(),
            leases: Vec::new(),
            specs: HashMap::new(),
            generation: 0,
            is_closing: false,
        };
        for function in 0..NAMES.len() {
            world.happen(Event::Deploy {
                function,
                instance_concurrency: 1,
                max_instances: None,
                is_isolated: false,
            });
        }
        world
    }

    fn happen(&mut self, event: Event) {
        let mut effects = Vec::new();
        let mut failing = None;
        match event {
            Event::Acquire { function, force_cold } => {
                let Some(function) = self.pool.find(NAMES[function]) else { return };
                let decision = self.pool.acquire(self.now, function, force_cold, &mut effects);
                match decision {
                    Decision::Run(instance) => {
                        assert!(!force_cold, "who insists on a fresh instance gets no warm one");
                        self.lend(instance, function);
                    }
                    Decision::Wait { ticket, .. } => {
                        let model = TicketModel { function, is_forced: force_cold, arrived: self.now };
                        assert!(self.waiting.insert(ticket, model).is_none(), "tickets are unique");
                    }
                    Decision::Refuse(Refusal::ShuttingDown) => assert!(self.is_closing),
                    Decision::Refuse(Refusal::QueueFull { .. }) => {}
                    Decision::Refuse(other) => panic!("no reason to refuse: {other:?}"),
                }
            }
            Event::Started(n) => {
                let Some(id) = self.nth_starting(n) else { return };
                let model = self.instances.get_mut(&id).expect("it is there");
                (model.is_started, model.idle_since) = (true, self.now);
                assert!(self.pool.started(self.now, id, &mut effects), "the pool waits for it");
            }
            Event::StartFailed(n) => {
                let Some(id) = self.nth_starting(n) else { return };
                failing = Some(id);
                assert!(self.pool.start_failed(self.now, id, &mut effects), "the pool waits for it");
            }
            Event::Release { lease, is_healthy } => {
                if self.leases.is_empty() {
                    return;
                }
                let id = self.leases.swap_remove(lease % self.leases.len());
                let model = self.instances.get_mut(&id).expect("a lent instance is not stopped");
                model.serving -= 1;
                model.idle_since = self.now;
                model.is_condemned |= !is_healthy;
                self.pool.release(self.now, id, is_healthy, &mut effects);
            }
            Event::Cancel(n) => {
                let Some(ticket) = self.waiting.keys().nth(n % self.waiting.len().max(1)).copied() else {
                    return;
                };
                self.waiting.remove(&ticket);
                assert!(self.pool.cancel(ticket), "it waits");
                assert!(!self.pool.cancel(ticket), "once");
            }
            Event::Pass(ms) => {
                self.now = self.now + Duration::from_millis(ms);
                self.pool.expire(self.now, &mut effects);
                assert!(self.pool.next_deadline().is_none_or(|at| at > self.now), "what is due is done");
            }
            Event::Deploy { function, instance_concurrency, max_instances, is_isolated } => {
                self.generation += 1;
                let spec = Arc::new(FunctionSpec {
                    generation: self.generation,
                    instance_concurrency,
                    isolation: if is_isolated { Isolation::Request } else { Isolation::Instance },
                    max_instances,
                    ..FunctionSpec::new(NAMES[function])
                });
                let id = self.pool.deploy(self.now, spec.clone(), &mut effects);
                self.specs.insert(id, spec);
            }
            Event::Retire(function) => {
                let Some(id) = self.pool.find(NAMES[function]) else { return };
                self.specs.remove(&id);
                assert!(self.pool.retire(self.now, id, &mut effects));
                assert!(!self.waiting.values().any(|w| w.function == id) || !effects.is_empty());
            }
            Event::Shutdown => {
                self.is_closing = true;
                self.pool.shutdown(self.now, &mut effects);
            }
        }
        for effect in effects {
            self.follow(effect, failing);
        }
        self.check();
    }

    fn follow(&mut self, effect: Effect, failing: Option<InstanceId>) {
        match effect {
            Effect::Start { instance, function } => {
                let spec = &self.specs[&function];
                let own = self.instances.values().filter(|i| i.function == function).count();
                assert!(
                    spec.max_instances.is_none_or(|max| own < max as usize),
                    "a start respects its function's limit"
                );
                assert!(
                    self.instances.len() < LIMITS.max_instances as usize,
                    "a start respects the host's limit"
                );
                let model = InstanceModel {
                    function,
                    generation: spec.generation,
                    is_started: false,
                    is_condemned: false,
                    serving: 0,
                    has_served: false,
                    idle_since: self.now,
                };
                assert!(self.instances.insert(instance, model).is_none(), "instance ids are unique");
            }
            Effect::Run { ticket, instance, start, waited } => {
                let ticket_model = self.waiting.remove(&ticket).expect("no ticket is served twice");
                assert_eq!(waited, self.now - ticket_model.arrived);
                assert!(!ticket_model.is_forced || start == Start::Cold, "forced means cold");
                let overtaken = self.waiting.iter().find(|(earlier, w)| {
                    **earlier < ticket
                        && (w.function, w.is_forced) == (ticket_model.function, ticket_model.is_forced)
                });
                // of several forced ones, each waits for its own start, and starts may end in any order
                assert!(
                    overtaken.is_none() || ticket_model.is_forced,
                    "first come, first served: {overtaken:?}"
                );
                self.lend(instance, ticket_model.function);
            }
            Effect::Refuse { ticket, why } => {
                let ticket = self.waiting.remove(&ticket).expect("no ticket ends twice");
                match why {
                    Refusal::WaitedTooLong { waited, .. } => assert!(waited >= LIMITS.max_wait),
                    Refusal::StartFailed => assert!(failing.is_some(), "only a failed start fails"),
                    Refusal::NoSuchFunction => assert!(!self.specs.contains_key(&ticket.function)),
                    other => panic!("not a reason to give up a queued ticket: {other:?}"),
                }
            }
            Effect::Stop { instance, reason, idle_since } => {
                let model = self.instances.remove(&instance).expect("an instance stops once");
                assert_eq!(model.serving, 0, "no instance stops under an invocation");
                if reason == StopReason::Expired {
                    assert!(self.now - model.idle_since >= KEEP_ALIVE, "keep-alive is kept");
                }
                if let Some(since) = idle_since {
                    assert_eq!(since, model.idle_since);
                }
            }
        }
    }

    fn lend(&mut self, id: InstanceId, function: FunctionId) {
        let spec = &self.specs[&function];
        let model = self.instances.get_mut(&id).expect("a stopped instance serves nobody");
        assert!(model.is_started && !model.is_condemned);
        assert_eq!(model.function, function);
        assert_eq!(model.generation, spec.generation, "an invocation runs in the newest generation");
        assert!(
            spec.isolation == Isolation::Instance || !model.has_served,
            "an instance for one request serves one"
        );
        model.has_served = true;
        model.serving += 1;
        assert!(model.serving <= spec.instance_concurrency, "no instance serves more than it may");
        self.leases.push(id);
    }

    fn nth_starting(&self, n: usize) -> Option<InstanceId> {
        let starting: Vec<_> =
            self.instances.iter().filter(|(_, i)| !i.is_started).map(|(id, _)| *id).collect();
        starting.get(n % starting.len().max(1)).copied()
    }

    /// What holds between any two events.
    fn check(&self) {
        assert_eq!(self.pool.instances(), self.instances.len());
        assert_eq!(self.pool.running(), self.leases.len());
        let room = self.instances.len() < LIMITS.max_instances as usize
            || self.instances.values().any(|i| i.is_started && i.serving == 0);
        for status in self.pool.status() {
            let function = self.pool.find(&status.spec.name).expect("it is deployed");
            let own: Vec<_> = self.instances.values().filter(|i| i.function == function).collect();
            let waiting = self.waiting.values().filter(|w| w.function == function);
            let (forced, ordinary): (Vec<_>, Vec<_>) = waiting.partition(|w| w.is_forced);

            let starting = own.iter().filter(|i| !i.is_started).count();
            let idle = own.iter().filter(|i| i.is_started && i.serving == 0).count();
            assert_eq!(
                (status.starting, status.idle, status.busy, status.pending + status.queued),
                (starting, idle, own.len() - starting - idle, forced.len() + ordinary.len()),
                "the pool's books and the model's agree"
            );
            let has_free = own.iter().any(|i| {
                i.is_started
                    && !i.is_condemned
                    && i.generation == status.spec.generation
                    && i.serving < status.spec.instance_concurrency
                    && (status.spec.isolation == Isolation::Instance || !i.has_served)
            });
            let is_used_up = own.iter().any(|i| {
                i.has_served
                    && i.serving == 0
                    && i.generation == status.spec.generation
                    && status.spec.isolation == Isolation::Request
            });
            assert!(!is_used_up, "what was for one request does not stay");
            assert!(ordinary.is_empty() || !has_free, "nobody waits while a free instance could serve them");
            if status.queued > 0 {
                let is_full = status.spec.max_instances.is_some_and(|max| own.len() >= max as usize);
                assert!(is_full || !room, "nobody queues while there is room to start");
            }
            assert!(
                status.pending <= starting * status.spec.instance_concurrency as usize,
                "promises are covered"
            );
        }
        let next = self.pool.next_deadline().unwrap_or(Time::from_unix_nanos(u64::MAX));
        for idle in self.instances.values().filter(|i| i.is_started && i.serving == 0) {
            assert!(next <= idle.idle_since + KEEP_ALIVE, "no keep-alive is forgotten");
        }
    }

    /// Lets everything end that has begun, and time pass.
    fn wind_down(&mut self) {
        while !self.leases.is_empty() || self.instances.values().any(|i| !i.is_started) {
            self.happen(Event::Started(0));
            self.happen(Event::Release { lease: 0, is_healthy: true });
        }
        self.happen(Event::Pass(1000));
        self.happen(Event::Pass(1000));
        assert!(self.waiting.is_empty(), "every ticket ends: {:?}", self.waiting);
        assert!(self.instances.is_empty(), "every instance ends: {:?}", self.instances);
        assert_eq!(self.pool.next_deadline(), None, "nothing is left to wait for");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_the_rules_and_leaves_nothing(history in prop::collection::vec(event(), 1..120)) {
        let mut world = World::new();
        for event in history {
            world.happen(event);
        }
        world.wind_down();
    }

    #[test]
    fn shutdown_at_any_moment_serves_who_was_let_in(
        before in prop::collection::vec(event(), 1..60),
        after in prop::collection::vec(event(), 1..30),
    ) {
        let mut world = World::new();
        before.into_iter().for_each(|event| world.happen(event));
        world.happen(Event::Shutdown);
        after.into_iter().for_each(|event| world.happen(event));
        world.wind_down();
        prop_assert!(world.pool.is_drained());
    }
}

#[test]
fn the_most_recently_used_instance_serves_first() {
    let mut pool = Pool::new(Limits { max_instances: 9, ..LIMITS }, FixedTtl(KEEP_ALIVE));
    let mut effects = Vec::new();
    let function = pool.deploy(Time::EPOCH, Arc::new(FunctionSpec::new("a")), &mut effects);
    for _ in 0..3 {
        pool.acquire(Time::EPOCH, function, false, &mut effects);
    }
    let started: Vec<_> = effects
        .drain(..)
        .filter_map(|effect| if let Effect::Start { instance, .. } = effect { Some(instance) } else { None })
        .collect();
    for id in &started {
        pool.started(Time::EPOCH, *id, &mut effects);
    }
    for i in [1, 0, 2] {
        pool.release(Time::EPOCH, started[i], true, &mut effects);
    }
    for i in [2, 0, 1] {
        assert_eq!(pool.acquire(Time::EPOCH, function, false, &mut effects), Decision::Run(started[i]));
    }
}

#[test]
fn timers_of_stopped_instances_do_not_pile_up() {
    let mut pool = Pool::new(LIMITS, FixedTtl(Duration::from_secs(3600)));
    let mut effects = Vec::new();
    let function = pool.deploy(Time::EPOCH, Arc::new(FunctionSpec::new("a")), &mut effects);
    for _ in 0..10_000 {
        effects.clear();
        pool.acquire(Time::EPOCH, function, true, &mut effects);
        let start = effects.iter().find_map(|effect| match effect {
            Effect::Start { instance, .. } => Some(*instance),
            _ => None,
        });
        let instance = start.expect("there always is an idle one to evict");
        pool.started(Time::EPOCH, instance, &mut effects);
        pool.release(Time::EPOCH, instance, true, &mut effects);
    }
    assert!(pool.armed_timers() < 100, "{}", pool.armed_timers());
}

#[test]
fn a_deploy_gives_who_loses_their_start_another_deadline() {
    let mut pool = Pool::new(LIMITS, FixedTtl(KEEP_ALIVE));
    let (mut effects, ms) = (Vec::new(), |n| Time::EPOCH + Duration::from_millis(n));
    let spec = FunctionSpec { max_instances: Some(1), ..FunctionSpec::new("a") };
    let function = pool.deploy(ms(0), Arc::new(spec.clone()), &mut effects);
    pool.acquire(ms(0), function, false, &mut effects);
    let Decision::Wait { ticket, depth: Some(1) } = pool.acquire(ms(0), function, false, &mut effects) else {
        panic!("the one instance is being started for another");
    };
    // room for both: the second is promised a place, and its deadline passes without consequence
    let wide = FunctionSpec { instance_concurrency: 2, generation: 2, ..spec.clone() };
    pool.deploy(ms(1), Arc::new(wide), &mut effects);
    effects.clear();
    pool.expire(ms(100), &mut effects);
    assert_eq!(effects, []);
    // and back: it waits for capacity again
    pool.deploy(ms(100), Arc::new(FunctionSpec { generation: 3, ..spec }), &mut effects);
    effects.clear();
    pool.expire(ms(130), &mut effects);
    let why = Refusal::WaitedTooLong { waited: Duration::from_millis(130), limit: Limit::Function(1) };
    assert_eq!(effects, [Effect::Refuse { ticket, why }]);
}
