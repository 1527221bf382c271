//! A world around the pool: things happen to it, and a model that knows only the rules checks what it does.
//!
//! Each rule is named in the assertion that guards it. The model believes nothing that the pool says of itself:
//! it keeps its own books from the effects.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use super::bucket::Bucket;
use super::events::{Event, Keeper, Setup};
use super::model::{InstanceModel, TicketModel};
use crate::pool::*;
use crate::{
    abi::manifest::Isolation,
    clock::Time,
    invocation::{FunctionSpec, Start},
    transition::StopReason,
};

/// Functions `a` and `b` are of one app.
const NAMES: [&str; 3] = ["a", "b", "c"];
pub(super) const KEEP_ALIVE: Duration = Duration::from_millis(50);
pub(super) const LIMITS: Limits =
    Limits { max_instances: 4, max_queued: 2, max_wait: Duration::from_millis(30), ..Limits::LAPTOP };

pub(super) struct World {
    pub(super) pool: Pool,
    setup: Setup,
    now: Time,
    instances: BTreeMap<InstanceId, InstanceModel>,
    waiting: BTreeMap<TicketId, TicketModel>,
    /// One for each invocation that runs.
    leases: Vec<InstanceId>,
    /// What is deployed. Retired functions are absent.
    specs: HashMap<FunctionId, Arc<FunctionSpec>>,
    generation: u64,
    is_closing: bool,
    buckets: HashMap<FunctionId, Bucket>,
    /// Functions have reserved what others still use.
    is_overbooked: bool,
    /// A start of an instance that had to be has failed, so that another may be a while.
    has_failed: bool,
}

impl World {
    pub(super) fn new(setup: Setup) -> Self {
        let mut world = World {
            pool: Pool::new(setup.limits, setup.keeper.policy()),
            setup,
            now: Time::EPOCH,
            instances: BTreeMap::new(),
            waiting: BTreeMap::new(),
            leases: Vec::new(),
            specs: HashMap::new(),
            generation: 0,
            is_closing: false,
            buckets: HashMap::new(),
            has_failed: false,
            is_overbooked: false,
        };
        for function in 0..NAMES.len() {
            let spec = FunctionSpec { memory_mib: 1, ..FunctionSpec::new("") };
            world.happen(Event::Deploy { function, spec });
        }
        world
    }

    pub(super) fn happen(&mut self, event: Event) {
        let mut effects = Vec::new();
        let (mut failing, mut prewarm) = (None, None);
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
                self.has_failed |= self.instances[&id].is_provisioned;
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
                assert!(self.pool.cancel(self.now, ticket, &mut effects), "it waits");
                assert!(!self.pool.cancel(self.now, ticket, &mut effects), "once");
            }
            Event::Pass(ms) => {
                self.now = self.now + Duration::from_millis(ms);
                self.pool.expire(self.now, &mut effects);
                assert!(self.pool.next_deadline().is_none_or(|at| at > self.now), "what is due is done");
            }
            Event::Deploy { function, spec } => {
                self.generation += 1;
                self.is_overbooked = true;
                let spec = Arc::new(FunctionSpec {
                    name: NAMES[function].into(),
                    app: (function < 2).then(|| "a and b".into()),
                    generation: self.generation,
                    ..spec
                });
                let id = self.pool.deploy(self.now, spec.clone(), &mut effects);
                self.specs.insert(id, spec);
            }
            Event::Retire(function) => {
                let Some(id) = self.pool.find(NAMES[function]) else { return };
                self.specs.remove(&id);
                self.buckets.remove(&id);
                assert!(self.pool.retire(self.now, id, &mut effects));
                assert!(!self.waiting.values().any(|w| w.function == id) || !effects.is_empty());
            }
            Event::Prewarm { function, unused } => {
                let Some(id) = self.pool.find(NAMES[function]) else { return };
                let has_started = match unused {
                    None => self.pool.prewarm(self.now, id, &mut effects),
                    Some(unused) => self.pool.prewarm_for(self.now, id, unused, &mut effects),
                };
                prewarm = Some(unused);
                assert_eq!(effects.len(), usize::from(has_started), "nothing else happens for it");
            }
            Event::Shutdown => {
                self.is_closing = true;
                self.pool.shutdown(self.now, &mut effects);
            }
        }
        for effect in effects {
            self.follow(effect, failing, prewarm);
        }
        self.check();
    }

    fn follow(&mut self, effect: Effect, failing: Option<InstanceId>, prewarm: Option<Option<Duration>>) {
        match effect {
            Effect::Start { instance, function, is_ahead } => {
                let warms = prewarm.is_some() || (is_ahead && self.setup.keeper == Keeper::Restless);
                assert_eq!(is_ahead, warms, "a start says whether somebody waits for it");
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
                let provisioned = self.instances.values().filter(|i| {
                    i.is_provisioned && (i.function, i.generation) == (function, spec.generation)
                });
                let is_provisioned = !self.is_closing && provisioned.count() < spec.min_instances as usize;
                if let Some(rate) = self.setup.limits.start_rate
                    && !is_provisioned
                {
                    self.buckets.entry(function).or_insert_with(|| Bucket::full(rate)).take(self.now, rate);
                }
                let model = InstanceModel {
                    memory_mib: spec.memory_mib,
                    is_provisioned,
                    is_prewarmed: is_ahead,
                    unused: prewarm.flatten(),
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
                    assert!(!model.is_provisioned, "what must be does not expire");
                    let unused = model.unused.filter(|_| !model.has_served);
                    let is_over = |keep| self.now - model.idle_since >= keep;
                    match self.setup.keeper {
                        _ if unused.is_some_and(is_over) => {}
                        Keeper::Fixed => assert!(is_over(KEEP_ALIVE), "keep-alive is kept"),
                        Keeper::Restless => {}
                        other => panic!("nothing expires under {other:?}"),
                    }
                }
                if reason == StopReason::Evicted && model.is_provisioned {
                    let mut own = self.waiting.values().filter(|w| w.function == model.function);
                    assert!(own.any(|w| w.is_forced), "what must be makes room for its own function alone");
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
        model.is_prewarmed = false;
        model.serving += 1;
        assert!(model.serving <= spec.instance_concurrency, "no instance serves more than it may");
        self.leases.push(id);
        let own = self.leases.iter().filter(|id| self.instances[*id].function == function).count();
        assert!(
            spec.reserved_concurrency.is_none_or(|most| own <= most as usize),
            "no more of a function runs than it has reserved"
        );
    }

    fn nth_starting(&self, n: usize) -> Option<InstanceId> {
        let starting: Vec<_> =
            self.instances.iter().filter(|(_, i)| !i.is_started).map(|(id, _)| *id).collect();
        starting.get(n % starting.len().max(1)).copied()
    }

    /// What holds between any two events.
    fn check(&mut self) {
        self.check_running();
        assert_eq!(self.pool.instances(), self.instances.len());
        assert_eq!(self.pool.running(), self.leases.len());
        let limits = &self.setup.limits;
        let memory_mib: u64 = self.instances.values().map(|i| u64::from(i.memory_mib)).sum();
        assert_eq!(self.pool.memory_mib(), memory_mib);
        assert!(limits.memory_mib.is_none_or(|budget| memory_mib <= budget), "memory is within the budget");
        let prewarmed = self.instances.values().filter(|i| i.is_prewarmed).count();
        assert!(prewarmed <= limits.max_prewarmed as usize, "few are started for nobody");
        let (mut wanting, mut has_blocked) = (false, false);
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
            let may_run = self.may_run(function, &status.spec);
            // who is promised a start has leave to run; among others who insist on theirs, the pool alone knows who is
            let has_leave = may_run || (status.pending > 0 && forced.is_empty());
            assert!(
                ordinary.is_empty() || !has_free || !has_leave,
                "nobody waits while a free instance could serve them"
            );
            let provisioned =
                own.iter().filter(|i| i.is_provisioned && i.generation == status.spec.generation).count();
            assert!(provisioned <= status.spec.min_instances as usize);
            let lacks = !self.is_closing && provisioned < status.spec.min_instances as usize;
            let asks = status.queued > 0 && may_run;
            let may_start = lacks || self.has_token(function);
            if (asks || lacks) && may_start && !self.is_stopped_by_its_own(&status.spec, own.len()) {
                wanting |= asks || !self.has_failed;
                has_blocked |= !self.could_fit(status.spec.memory_mib);
            }
            assert!(
                status.pending <= starting * status.spec.instance_concurrency as usize,
                "promises are covered"
            );
        }
        assert!(
            !wanting || has_blocked,
            "nobody waits for room, and no minimum is missed, but for who cannot be given any and those behind"
        );
        let next = self.pool.next_deadline().unwrap_or(Time::from_unix_nanos(u64::MAX));
        let idle = self.instances.values().filter(|i| i.is_started && i.serving == 0 && !i.is_provisioned);
        for idle in idle {
            let unused = idle.unused.filter(|_| !idle.has_served);
            let keep = (self.setup.keeper == Keeper::Fixed).then_some(KEEP_ALIVE);
            let until = keep.into_iter().chain(unused).min().map(|keep| idle.idle_since + keep);
            assert!(until.is_none_or(|until| next <= until), "no keep-alive is forgotten");
        }
    }

    /// What of a function runs or is promised an instance; of the latter the pool alone knows.
    fn admitted(&self, function: FunctionId) -> usize {
        let leases = self.leases.iter().filter(|id| self.instances[*id].function == function).count();
        let status = self.pool.status().find(|s| self.pool.find(&s.spec.name) == Some(function));
        leases + status.map_or(0, |s| s.pending)
    }

    /// What runs, what is promised, and what is kept free for who has reserved it.
    fn booked(&self) -> usize {
        let retired = |id: &&InstanceId| !self.specs.contains_key(&self.instances[*id].function);
        let deployed = self.specs.iter().map(|(id, spec)| self.admitted(*id).max(guarantee(spec)));
        deployed.sum::<usize>() + self.leases.iter().filter(retired).count()
    }

    fn check_running(&mut self) {
        let Some(max) = self.setup.limits.max_running else { return };
        self.is_overbooked &= self.booked() > max as usize;
        assert!(self.is_overbooked || self.booked() <= max as usize, "no more runs than may");
    }

    /// Whether one more invocation of this function may run.
    fn may_run(&self, function: FunctionId, spec: &FunctionSpec) -> bool {
        let admitted = self.admitted(function);
        let is_capped = spec.reserved_concurrency.is_some_and(|most| admitted >= most as usize);
        let is_full = self.setup.limits.max_running.is_some_and(|max| self.booked() >= max as usize);
        !is_capped && (admitted < guarantee(spec) || !is_full)
    }

    fn has_token(&self, function: FunctionId) -> bool {
        let Some(rate) = self.setup.limits.start_rate else { return true };
        self.buckets.get(&function).is_none_or(|bucket| bucket.level(self.now, rate) >= Bucket::token(rate))
    }

    fn is_stopped_by_its_own(&self, spec: &FunctionSpec, instances: usize) -> bool {
        spec.max_instances.is_some_and(|max| instances >= max as usize)
            || self.setup.limits.memory_mib.is_some_and(|budget| budget < u64::from(spec.memory_mib))
    }

    /// Whether one more instance of this size would fit, were everything evicted that may be.
    fn could_fit(&self, memory_mib: u32) -> bool {
        let stays = self.instances.values().filter(|i| !i.is_started || i.serving > 0 || i.is_provisioned);
        let (count, total) = stays.fold((0, memory_mib), |(n, mib), i| (n + 1, mib + i.memory_mib));
        count < self.setup.limits.max_instances
            && self.setup.limits.memory_mib.is_none_or(|budget| u64::from(total) <= budget)
    }

    /// Lets everything end that has begun, and time pass.
    pub(super) fn wind_down(&mut self) {
        self.end_all();
        self.happen(Event::Pass(1000));
        self.happen(Event::Pass(1000));
        assert!(self.waiting.is_empty(), "every ticket ends: {:?}", self.waiting);
        (0..NAMES.len()).for_each(|function| self.happen(Event::Retire(function)));
        self.happen(Event::Pass(100_000));
        assert!(self.instances.is_empty(), "every instance ends: {:?}", self.instances);
        assert_eq!(self.pool.next_deadline(), None, "nothing is left to wait for");
    }

    fn end_all(&mut self) {
        while !self.leases.is_empty() || self.instances.values().any(|i| !i.is_started) {
            self.happen(Event::Started(0));
            self.happen(Event::Release { lease: 0, is_healthy: true });
        }
    }
}

/// How many invocations of a function may run whatever others do.
fn guarantee(spec: &FunctionSpec) -> usize {
    let places = match spec.isolation {
        Isolation::Instance => spec.instance_concurrency,
        Isolation::Request => 1,
    };
    spec.reserved_concurrency.unwrap_or(spec.min_instances * places) as usize
}
