//! The lock, and how the pool's effects are carried out.
//!
//! Each input takes the lock once: the pool decides, the tables beside it follow ([`Core::apply`]), and whatever
//! belongs to users is collected into an [`Errands`] that runs after the lock is released.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
    task::AbortHandle,
};

use super::{
    Config, Deployment, Snapshot,
    refusal::explain,
    wait::{Answer, Grant, Waiting},
};
use crate::{
    clock::{SharedClock, Time, within},
    invocation::{ErrorKind, FunctionSpec, Init, InvocationError, Start},
    pool::{Decision, Effect, InstanceId, Lease, Pool, Refusal, TicketId},
    sandbox::{Instance, Sandbox, Started},
    transition::{SharedObserver, StopReason, Transition},
};

pub(super) struct Shared {
    clock: SharedClock,
    observer: SharedObserver,
    runtime: Handle,
    core: Mutex<Core>,
    /// Told when a deadline is earlier than the timer task thinks.
    sooner: Arc<Notify>,
    timer: AbortHandle,
    drained: Notify,
}

struct Core {
    pool: Pool,
    /// By `FunctionId::index`; absent for functions that are gone.
    deployments: Vec<Option<Deployment>>,
    /// By `InstanceId::index`.
    instances: Vec<Option<Entry>>,
    waiting: HashMap<TicketId, (Arc<str>, oneshot::Sender<Answer>)>,
    /// When the timer task will wake by itself.
    wakes_at: Option<Time>,
}

/// An instance, as far as the scheduler knows it.
struct Entry {
    spec: Arc<FunctionSpec>,
    /// Absent while it starts.
    instance: Option<Arc<dyn Instance>>,
    /// What its start took, until somebody is billed for it.
    init: Option<Init>,
    /// Absent when it took no time.
    start: Option<AbortHandle>,
}

/// What an invocation that asks for an instance gets.
pub(super) enum Admission {
    Run(Grant),
    Wait(Waiting, Option<usize>),
    Refuse(InvocationError),
}

/// What follows from one input: the pool's effects, and what is done after the lock is released.
#[derive(Default)]
struct Errands {
    effects: Vec<Effect>,
    /// Why a start failed, where that was the input.
    failure: Option<InvocationError>,
    /// How many that failed.
    failed: usize,
    /// What nobody waits for yet.
    ahead: Vec<Arc<FunctionSpec>>,
    started: Vec<(Arc<FunctionSpec>, Duration)>,
    stopped: Vec<(Entry, StopReason, Option<Time>)>,
    answers: Vec<(oneshot::Sender<Answer>, Answer)>,
    is_sooner: bool,
    is_drained: bool,
}

impl Shared {
    pub(super) fn new(
        config: Config,
        clock: SharedClock,
        observer: SharedObserver,
        runtime: Handle,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Shared>| {
            let sooner = Arc::new(Notify::new());
            let timer = runtime.spawn(keep_time(this.clone(), clock.clone(), sooner.clone())).abort_handle();
            let core = Core {
                pool: Pool::new(config.limits, config.policy),
                deployments: Vec::new(),
                instances: Vec::new(),
                waiting: HashMap::new(),
                wakes_at: None,
            };
            Shared { clock, observer, runtime, core: Mutex::new(core), sooner, timer, drained: Notify::new() }
        })
    }

    /// Finds an instance for an invocation, or a place in the queue.
    pub(super) fn acquire(self: &Arc<Self>, name: &Arc<str>, force_cold: bool) -> Admission {
        let refuse = |why| Admission::Refuse(explain(name, why, None));
        self.step(|core, now, errands| {
            let Some(function) = core.pool.find(name) else {
                return refuse(Refusal::NoSuchFunction);
            };
            match core.pool.acquire(now, function, force_cold, &mut errands.effects) {
                Decision::Run(id) => Admission::Run(core.grant(self, id, Start::Warm, Duration::ZERO)),
                Decision::Wait { ticket, depth } => {
                    let (sender, answer) = oneshot::channel();
                    core.waiting.insert(ticket, (name.clone(), sender));
                    Admission::Wait(Waiting { shared: self.clone(), ticket, answer }, depth)
                }
                Decision::Refuse(why) => refuse(why),
            }
        })
    }

    pub(super) fn cancel(self: &Arc<Self>, ticket: TicketId) {
        let sender = self.step(|core, now, errands| {
            core.pool.cancel(now, ticket, &mut errands.effects);
            core.waiting.remove(&ticket)
        });
        drop(sender); // its waker is the caller's, so not under the lock
    }

    pub(super) fn deploy(self: &Arc<Self>, deployment: Deployment) {
        let old = self.step(|core, now, errands| {
            let function = core.pool.deploy(now, deployment.spec.clone(), &mut errands.effects);
            put(&mut core.deployments, function.index(), deployment)
        });
        drop(old); // a sandbox may be slow to drop
    }

    pub(super) fn retire(self: &Arc<Self>, name: &str) -> bool {
        let old = self.step(|core, now, errands| {
            let function = core.pool.find(name)?;
            core.pool.retire(now, function, &mut errands.effects);
            core.deployments[function.index()].take()
        });
        old.is_some()
    }

    pub(super) fn prewarm(self: &Arc<Self>, name: &str, unused: Option<Duration>) -> bool {
        self.step(|core, now, errands| {
            let Some(function) = core.pool.find(name) else { return false };
            match unused {
                None => core.pool.prewarm(now, function, &mut errands.effects),
                Some(unused) => core.pool.prewarm_for(now, function, unused, &mut errands.effects),
            }
        })
    }

    pub(super) async fn shutdown(self: &Arc<Self>) {
        self.step(|core, now, errands| core.pool.shutdown(now, &mut errands.effects));
        loop {
            let mut drained = pin!(self.drained.notified());
            drained.as_mut().enable(); // before looking, so that no notice is missed
            if self.core.lock().pool.is_drained() {
                break;
            }
            drained.await;
        }
        self.step(|core, now, errands| core.pool.abandon_starts(now, &mut errands.effects));
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let core = self.core.lock();
        let mut functions: Vec<_> = core.pool.status().collect();
        let (instances, running) = (core.pool.instances(), core.pool.running());
        drop(core);
        functions.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        Snapshot { functions, instances, running }
    }

    pub(super) fn spec(&self, name: &str) -> Option<Arc<FunctionSpec>> {
        let core = self.core.lock();
        core.pool.find(name).and_then(|function| core.pool.spec(function)).cloned()
    }

    pub(super) fn observe(&self, transition: &Transition<'_>) {
        self.observer.observe(transition);
    }

    fn release(self: &Arc<Self>, id: InstanceId, is_healthy: bool) {
        self.step(|core, now, errands| core.pool.release(now, id, is_healthy, &mut errands.effects));
    }

    fn start_ended(self: &Arc<Self>, id: InstanceId, result: Result<Started, InvocationError>) {
        let unwanted = self.step(|core, now, errands| match result {
            Err(error) => {
                errands.failure = Some(error);
                core.pool.start_failed(now, id, &mut errands.effects);
                None
            }
            Ok(started) => {
                if !core.pool.started(now, id, &mut errands.effects) {
                    return Some(started.instance);
                }
                core.enter(id, started, errands);
                None
            }
        });
        drop(unwanted);
    }

    /// Does what is due and says when to look again.
    fn expire(self: &Arc<Self>) -> Option<Time> {
        self.step(|core, now, errands| {
            core.pool.expire(now, &mut errands.effects);
            core.wakes_at = core.pool.next_deadline();
            core.wakes_at
        })
    }

    /// One input to the pool, and everything that follows from it.
    fn step<R>(self: &Arc<Self>, input: impl FnOnce(&mut Core, Time, &mut Errands) -> R) -> R {
        let mut errands = Errands::default();
        let result = {
            let mut core = self.core.lock();
            let now = self.clock.now(); // under the lock: the pool's time must not go backwards
            let result = input(&mut core, now, &mut errands);
            // what is carried out may have effects of its own
            while !errands.effects.is_empty() {
                for effect in std::mem::take(&mut errands.effects) {
                    core.apply(self, now, effect, &mut errands);
                }
            }
            if let Some(next) = core.pool.next_deadline()
                && core.wakes_at.is_none_or(|at| next < at)
            {
                core.wakes_at = Some(next);
                errands.is_sooner = true;
            }
            errands.is_drained = core.pool.is_drained();
            result
        };
        errands.run(self);
        result
    }

    /// Starts an instance on a task of its own, so that it goes on when the invocation it was for goes away.
    fn spawn_start(self: &Arc<Self>, id: InstanceId, sandbox: Arc<dyn Sandbox>) -> AbortHandle {
        let shared = Arc::downgrade(self);
        let start = async move {
            // made here, not before: a task that never ran has nothing to report
            let report = StartReport { shared, id, is_made: false };
            let result = sandbox.start().await;
            report.make(result);
        };
        self.runtime.spawn(start).abort_handle()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

impl Core {
    /// Brings the tables in line with one of the pool's effects.
    fn apply(&mut self, shared: &Arc<Shared>, now: Time, effect: Effect, errands: &mut Errands) {
        match effect {
            Effect::Start { instance: id, function, is_ahead } => {
                let Deployment { spec, sandbox } = self.deployments[function.index()]
                    .clone()
                    .expect("only deployed functions start instances");
                if is_ahead {
                    errands.ahead.push(spec.clone());
                }
                let at_once = sandbox.start_at_once();
                let start = at_once.is_none().then(|| shared.spawn_start(id, sandbox));
                put(&mut self.instances, id.index(), Entry { spec, instance: None, init: None, start });
                if let Some(started) = at_once
                    && self.pool.started(now, id, &mut errands.effects)
                {
                    self.enter(id, started, errands);
                }
            }
            Effect::Run { ticket, instance, start, waited } => {
                let (_, sender) = self.waiting.remove(&ticket).expect("the pool and the table agree");
                let grant = self.grant(shared, instance, start, waited);
                errands.answers.push((sender, Ok(grant)));
            }
            Effect::Refuse { ticket, why } => {
                let (name, sender) = self.waiting.remove(&ticket).expect("the pool and the table agree");
                let error = explain(&name, why, errands.failure.as_ref());
                errands.failed += usize::from(why == Refusal::StartFailed);
                errands.answers.push((sender, Err(error)));
            }
            Effect::Stop { instance, reason, idle_since } => {
                let entry = self.instances[instance.index()].take().expect("it has been started");
                errands.stopped.push((entry, reason, idle_since));
            }
        }
    }

    /// Makes a started instance known.
    fn enter(&mut self, id: InstanceId, started: Started, errands: &mut Errands) {
        let entry = entry(&mut self.instances, id);
        errands.started.push((entry.spec.clone(), started.init.took()));
        entry.init = Some(started.init);
        entry.instance = Some(started.instance);
    }

    /// Hands an instance that the pool has lent to an invocation that has waited for so long.
    fn grant(&mut self, shared: &Arc<Shared>, id: InstanceId, start: Start, waited: Duration) -> Grant {
        let is_provisioned = self.pool.is_provisioned(id);
        let entry = entry(&mut self.instances, id);
        let (init, queue) = match start {
            Start::Warm => (None, waited),
            Start::Cold => {
                let init = entry.init.take();
                // waiting for the start itself is not queueing
                (init, waited.saturating_sub(init.map_or(waited, |init| init.took())))
            }
        };
        let shared = shared.clone();
        Grant {
            instance: entry.instance.clone().expect("the pool lends ready instances only"),
            spec: entry.spec.clone(),
            start,
            number: id.number(),
            is_provisioned,
            queue,
            init,
            lease: Some(Lease::new(move |is_healthy| shared.release(id, is_healthy))),
        }
    }
}

impl Errands {
    fn run(self, shared: &Shared) {
        for spec in &self.ahead {
            shared.observe(&Transition::StartingAhead { spec });
        }
        for (spec, took) in &self.started {
            shared.observe(&Transition::Started { spec, took: *took });
        }
        for (entry, reason, idle_since) in self.stopped {
            match (entry.instance, &self.failure) {
                (None, Some(error)) if reason == StopReason::Failed => {
                    let failed = Transition::StartFailed { spec: &entry.spec, error, waiting: self.failed };
                    shared.observe(&failed);
                }
                (None, _) => entry.start.iter().for_each(AbortHandle::abort), // it never was
                (Some(instance), _) => {
                    shared.observe(&Transition::Stopped { spec: &entry.spec, reason, idle_since });
                    drop(instance);
                }
            }
        }
        for (sender, answer) in self.answers {
            // whoever has left meanwhile gives the instance back by dropping the grant
            drop(sender.send(answer));
        }
        if self.is_sooner {
            shared.sooner.notify_one();
        }
        if self.is_drained {
            shared.drained.notify_waiters();
        }
    }
}

/// Tells the pool how a start went, even if the sandbox panics.
struct StartReport {
    shared: Weak<Shared>,
    id: InstanceId,
    is_made: bool,
}

impl StartReport {
    fn make(mut self, result: Result<Started, InvocationError>) {
        self.is_made = true;
        if let Some(shared) = self.shared.upgrade() {
            shared.start_ended(self.id, result);
        }
    }
}

impl Drop for StartReport {
    fn drop(&mut self) {
        // an abandoned start comes by here too: the pool no longer wants it and ignores this
        if !self.is_made
            && let Some(shared) = self.shared.upgrade()
        {
            let message = "the sandbox panicked while it started an instance: this is a bug in the sandbox";
            shared.start_ended(self.id, Err(InvocationError::new(ErrorKind::Platform, message)));
        }
    }
}

/// The timer task: does what is due, sleeps until there is more. It ends with the scheduler.
async fn keep_time(shared: Weak<Shared>, clock: SharedClock, sooner: Arc<Notify>) {
    let mut next = None;
    loop {
        match next {
            Some(at) => _ = within(&*clock, at, sooner.notified()).await,
            None => sooner.notified().await,
        }
        let Some(shared) = shared.upgrade() else { return };
        next = shared.expire();
    }
}

fn entry(instances: &mut [Option<Entry>], id: InstanceId) -> &mut Entry {
    instances[id.index()].as_mut().expect("an entry lives as long as the pool knows its instance")
}

/// Puts a value at an index of a table that grows as needed; returns what was there.
fn put<T>(table: &mut Vec<Option<T>>, index: usize, value: T) -> Option<T> {
    if table.len() <= index {
        table.resize_with(index + 1, || None);
    }
    table[index].replace(value)
}
