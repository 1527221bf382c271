//! The workbench: a scheduler with a sandbox that lets others run wherever it can, and what must hold in any order.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use faas_core::{
    clock::{BoxFuture, VirtualClock},
    invocation::{
        End, ErrorKind, Failure, FunctionSpec, Init, Injected, Invocation, InvocationError, Origin, Reply,
        ReplyBody, Tally,
    },
    policy::FixedTtl,
    pool::{Lease, Limits},
    sandbox::{Instance, Sandbox, Started},
    transition::{Observer, Transition},
};
use http_body_util::BodyExt;
use shuttle::{
    Config, Runner,
    future::{JoinHandle, block_on, spawn},
    scheduler::{PctScheduler, RandomScheduler},
};
use tower::Service;

use crate::{
    faults::Fault,
    scheduler::{self, Deployment, Scheduler},
    stand_ins::{all_tasks_end, assert_unlocked, is_broken, step},
};

pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(60);
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(10);

/// How many schedules a test tries in each of the two ways.
fn schedules() -> usize {
    std::env::var("FAAS_SCHEDULES").ok().and_then(|n| n.parse().ok()).unwrap_or(1500)
}

pub(crate) fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = 256 << 10; // unoptimised futures are large
    config.max_steps = shuttle::MaxSteps::FailAfter(50_000);
    config.ungraceful_shutdown_config.immediately_return_on_panic = true;
    config
}

/// Tries a scenario in many orders: at random, and by priorities that change at up to two points, which finds what takes
/// one task to be slow at the wrong moment (Burckhardt et al., ASPLOS '10).
pub(crate) fn in_many_orders(scenario: impl AsyncFn(Bench) + Send + Sync + Copy + 'static, limits: Limits) {
    let scenario = move || block_on(async move { scenario(Bench::new(limits)).await });
    Runner::new(RandomScheduler::new(schedules()), config()).run(scenario);
    Runner::new(PctScheduler::new(3, schedules()), config()).run(scenario);
}

/// Of one instance; whoever finds it taken waits.
pub(crate) fn one_instance() -> Limits {
    Limits { max_instances: 1, max_wait: MAX_WAIT, ..Limits::LAPTOP }
}

/// Lets any other task run, and may be the place where a task is dropped.
pub(crate) async fn pause() {
    struct Pause(bool);
    impl Future for Pause {
        type Output = ();
        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            if std::mem::replace(&mut self.0, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }
    Pause(false).await;
}

/// What the sandboxes and the observer have seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Starts that have begun.
    pub(crate) starts: AtomicUsize,
    /// Instances that are ready and have not been dropped.
    pub(crate) alive: AtomicUsize,
    /// Calls that run in some instance.
    pub(crate) running: AtomicUsize,
    /// How often each invocation has run.
    pub(crate) served: Mutex<HashMap<Arc<str>, usize>>,
    /// How each invocation has ended, as often as that was told.
    pub(crate) ends: Mutex<HashMap<Arc<str>, Vec<End>>>,
}

impl Observer for Seen {
    fn observe(&self, transition: &Transition<'_>) {
        assert_unlocked();
        step();
        if let Transition::Finished(record) = transition {
            let mut ends = self.ends.lock().expect("no test panics with it");
            ends.entry(record.id.clone()).or_default().push(record.end.clone());
        }
    }
}

/// A generation of a function.
#[derive(Debug, Clone)]
pub(crate) struct Steps {
    pub(crate) seen: Arc<Seen>,
    pub(crate) spec: FunctionSpec,
    /// Its starts do not end by themselves.
    pub(crate) never_starts: bool,
    /// How many more starts fail.
    pub(crate) failing_starts: Arc<AtomicUsize>,
    /// How many more calls trap.
    pub(crate) traps: Arc<AtomicUsize>,
    pub(crate) _dropped: NotUnderTheLock,
}

/// In what a sandbox or an instance owns.
#[derive(Debug, Clone)]
pub(crate) struct NotUnderTheLock;

impl Drop for NotUnderTheLock {
    fn drop(&mut self) {
        assert_unlocked();
    }
}

/// Takes one of those that are left.
fn take_one(left: &AtomicUsize) -> bool {
    left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl Sandbox for Steps {
    fn start(&self) -> BoxFuture<'static, Result<Started, InvocationError>> {
        let this = self.clone();
        Box::pin(async move {
            assert_unlocked();
            this.seen.starts.fetch_add(1, SeqCst);
            pause().await;
            if this.never_starts {
                std::future::pending::<()>().await;
            }
            if take_one(&this.failing_starts) {
                return Err(InvocationError::new(ErrorKind::InitFailed, "as the test wants it"));
            }
            this.seen.alive.fetch_add(1, SeqCst);
            let init = Init {
                origin: Origin::Plain,
                wall: Duration::ZERO,
                cpu: Duration::ZERO,
                injected: Injected::default(),
            };
            Ok(Started {
                instance: Arc::new(Stepping {
                    of: this,
                    serving: AtomicUsize::new(0),
                    is_spoilt: AtomicBool::new(false),
                }),
                init,
            })
        })
    }
}

#[derive(Debug)]
struct Stepping {
    of: Steps,
    serving: AtomicUsize,
    /// A call in it has trapped or was stopped.
    is_spoilt: AtomicBool,
}

impl Drop for Stepping {
    fn drop(&mut self) {
        assert_unlocked();
        step();
        let calls = self.serving.load(SeqCst);
        assert!(calls == 0 || std::thread::panicking(), "an instance is not dropped under a call");
        self.of.seen.alive.fetch_sub(1, SeqCst);
    }
}

/// One call in an instance. Dropped, it spoils the instance; it is to [`end`](Serving::end).
struct Serving<'a>(&'a Stepping);

impl<'a> Serving<'a> {
    fn begin(instance: &'a Stepping) -> Self {
        let calls = instance.serving.fetch_add(1, SeqCst) + 1;
        let places = instance.of.spec.instance_concurrency as usize;
        // with more places than one, it may have been lent already
        let is_spoilt = places == 1 && instance.is_spoilt.load(SeqCst);
        assert!(!is_spoilt, "nobody runs where a call was stopped");
        assert!(calls <= places, "{calls} calls in an instance with {places} places");
        instance.of.seen.running.fetch_add(1, SeqCst);
        Serving(instance)
    }

    fn end(self, is_healthy: bool) {
        let was_spoilt = self.0.is_spoilt.load(SeqCst);
        let instance = self.0;
        drop(self);
        instance.is_spoilt.store(was_spoilt || !is_healthy, SeqCst);
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.0.of.seen.running.fetch_sub(1, SeqCst);
        self.0.serving.fetch_sub(1, SeqCst);
        self.0.is_spoilt.store(true, SeqCst);
    }
}

impl Instance for Stepping {
    fn invoke(
        self: Arc<Self>,
        invocation: Invocation,
        lease: Lease,
    ) -> BoxFuture<'static, Result<Reply, Failure>> {
        Box::pin(async move {
            assert_unlocked();
            let mut lease = Some(lease); // dropped after what is declared later: who is counted holds it
            if is_broken(Fault::LeasesEndEarly) {
                lease.take().expect("it is there").release();
            }
            step();
            let serving = Serving::begin(&self);
            let id = invocation.tally.record().id.clone();
            *self.of.seen.served.lock().expect("no test panics with it").entry(id).or_default() += 1;
            pause().await;
            let traps = take_one(&self.of.traps);
            serving.end(!traps);
            step();
            if traps {
                drop(lease);
                let error = InvocationError::new(ErrorKind::Trap, "as the test wants it");
                return Err(invocation.tally.fail(error));
            }
            lease.into_iter().for_each(Lease::release);
            let end = End::Replied { status: http::StatusCode::OK, is_fault: false };
            let response = http::Response::new(ReplyBody::Whole(bytes::Bytes::new()));
            Ok(Reply { response, record: invocation.tally.finish(end) })
        })
    }
}

/// What a caller is told: the generation that replied, or what went wrong.
pub(crate) type Told = Result<u64, ErrorKind>;

#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) clock: VirtualClock,
    pub(crate) seen: Arc<Seen>,
    pub(crate) scheduler: Scheduler,
    calls: Arc<AtomicUsize>,
}

impl Bench {
    pub(crate) fn new(limits: Limits) -> Self {
        let (clock, seen) = (VirtualClock::default(), Arc::<Seen>::default());
        let config = scheduler::Config { limits, policy: Box::new(FixedTtl(KEEP_ALIVE)) };
        let scheduler = Scheduler::new(config, Arc::new(clock.clone()), seen.clone());
        Bench { clock, seen, scheduler, calls: Arc::default() }
    }

    pub(crate) fn steps(&self, spec: FunctionSpec) -> Steps {
        Steps {
            seen: self.seen.clone(),
            spec,
            never_starts: false,
            failing_starts: Arc::default(),
            traps: Arc::default(),
            _dropped: NotUnderTheLock,
        }
    }

    pub(crate) fn deploy(&self, sandbox: Steps) {
        self.scheduler
            .deploy(Deployment { spec: Arc::new(sandbox.spec.clone()), sandbox: Arc::new(sandbox) });
    }

    /// Deploys a generation of `name` that serves one call at a time and never fails.
    pub(crate) fn deploy_plain(&self, name: &str, generation: u64) {
        self.deploy(self.steps(FunctionSpec { generation, ..FunctionSpec::new(name) }));
    }

    pub(crate) fn call(&self, name: &str) -> impl Future<Output = Told> + Send + 'static {
        self.call_as(name, false)
    }

    pub(crate) fn call_as(
        &self,
        name: &str,
        force_cold: bool,
    ) -> impl Future<Output = Told> + Send + 'static {
        let id: Arc<str> = format!("#{}", self.calls.fetch_add(1, SeqCst)).into();
        let function: Arc<str> = name.into();
        let tally = Tally::open(id, function.clone(), Arc::new(self.clock.clone()), self.seen.clone());
        let body = http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync();
        let invocation = Invocation { function, request: http::Request::new(body), force_cold, tally };
        let call = self.scheduler.clone().call(invocation);
        async move {
            match call.await {
                Ok(reply) => Ok(reply.record.spec.expect("who replied has run").generation),
                Err(failure) => Err(failure.error().kind),
            }
        }
    }

    /// Whether the invocation has begun to run.
    pub(crate) fn has_run(&self, id: &str) -> bool {
        self.seen.served.lock().expect("no test panics with it").contains_key(id)
    }

    /// Calls on a task of its own.
    pub(crate) fn send(&self, name: &str) -> JoinHandle<Told> {
        spawn(self.call(name))
    }

    /// The end of every scenario, when all callers have been told: every function still serves, so no place is lost, and a
    /// shutdown finds nothing that runs. Either waits for who is about to give an instance back (a grant may have reached a
    /// caller who had gone); for one that is lost they would wait for ever, which is a deadlock, and reported.
    pub(crate) async fn close(self) {
        for function in self.scheduler.snapshot().functions {
            self.call(&function.spec.name)
                .await
                .expect("a function whose calls have all ended serves the next");
        }
        self.scheduler.shutdown().await;
        let snapshot = self.scheduler.snapshot();
        assert_eq!((snapshot.instances, snapshot.running), (0, 0), "nothing is left");
        self.end().await;
    }

    /// Drops the scheduler while these calls are under way.
    pub(crate) async fn end_by_drop<const N: usize>(self, calls: [JoinHandle<Told>; N]) {
        let scheduler = self.scheduler.clone();
        let end = spawn(async move { drop(scheduler) });
        for call in calls {
            assert_eq!(call.await.expect("it does not panic"), Ok(1));
        }
        end.await.expect("it does not panic");
        self.end().await;
    }

    /// The end of the scheduler, shut down or not.
    pub(crate) async fn end(self) {
        let Bench { seen, scheduler, calls, .. } = self;
        drop(scheduler);
        all_tasks_end().await;
        assert_eq!(seen.alive.load(SeqCst), 0, "every instance has been dropped");
        let (ends, served) =
            (seen.ends.lock().expect("no test panics"), seen.served.lock().expect("as above"));
        assert_eq!(ends.len(), calls.load(SeqCst), "every invocation is reported");
        for (id, ends) in ends.iter() {
            assert_eq!(ends.len(), 1, "{id} is reported once: {ends:?}");
            let runs = served.get(id).copied().unwrap_or_default();
            assert!(runs <= 1, "{id} ran {runs} times");
            assert!(runs == 1 || !matches!(ends[0], End::Replied { .. }), "{id} has a reply and has not run");
        }
    }
}
