//! Everything at once, on four threads: calls that reply, trap, or are dropped at any await, cold by force or not;
//! deployments, retirements, starts ahead, starts that fail; and time that moves on. The sandbox here waits for no time:
//! it yields, so that threads interleave as they like. What must hold is asserted where it would break.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

use faas_core::{
    clock::{BoxFuture, SystemClock, VirtualClock},
    invocation::{
        End, ErrorKind, Failure, FunctionSpec, Init, Injected, Invocation, InvocationError, Origin, Reply,
        ReplyBody, Tally,
    },
    policy::FixedTtl,
    pool::{Lease, Limits},
    sandbox::{Instance, Sandbox, Started},
    scheduler::{Config, Deployment, Scheduler},
    transition::{Observer, SharedObserver, Transition},
};
use parking_lot::Mutex;
use tokio::task::yield_now;
use tower::Service;

use crate::bench_top::empty;

const CALLERS: u64 = 8;
const CALLS: usize = 400;
const INSTANCES: usize = 6;
const RUNNING: usize = 4;
const RESERVED: usize = 2;
const MEMORY_MIB: usize = 640;
const NAMES: [&str; 3] = ["one", "many", "mine"];

fn spec(name: &str, generation: u64) -> FunctionSpec {
    FunctionSpec {
        generation,
        memory_mib: if name == "many" { 256 } else { 128 },
        instance_concurrency: if name == "many" { 3 } else { 1 },
        reserved_concurrency: (name == "mine").then_some(RESERVED as u32),
        min_instances: u32::from(name == "one"),
        ..FunctionSpec::new(name)
    }
}

/// What must never be too much, counted by those who are it.
#[derive(Debug, Default)]
struct Host {
    running: AtomicUsize,
    running_mine: AtomicUsize,
    served: Mutex<HashMap<Arc<str>, usize>>,
    /// Instances that are ready and have not been dropped.
    alive: AtomicUsize,
}

/// One of something that is counted, and not more than there may be.
struct One<'a>(&'a AtomicUsize);

impl<'a> One<'a> {
    fn of(count: &'a AtomicUsize, at_most: usize, what: &str) -> Self {
        let now = count.fetch_add(1, SeqCst) + 1;
        assert!(now <= at_most, "{now} {what}, {at_most} may be");
        One(count)
    }
}

impl Drop for One<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[derive(Debug)]
struct Yielding {
    host: Arc<Host>,
    spec: FunctionSpec,
    rng: Mutex<fastrand::Rng>,
}

impl Yielding {
    fn draw(&self, below: usize) -> usize {
        self.rng.lock().usize(..below)
    }
}

async fn pause(yields: usize) {
    for _ in 0..yields {
        yield_now().await;
    }
}

impl Sandbox for Storm {
    fn start(&self) -> BoxFuture<'static, Result<Started, InvocationError>> {
        let this = self.0.clone();
        Box::pin(async move {
            pause(this.draw(6)).await;
            if this.draw(10) == 0 {
                return Err(InvocationError::new(ErrorKind::InitFailed, "as it was drawn"));
            }
            this.host.alive.fetch_add(1, SeqCst);
            let init = Init {
                origin: Origin::Plain,
                wall: Duration::ZERO,
                cpu: Duration::ZERO,
                injected: Injected::default(),
            };
            Ok(Started { instance: Arc::new(Running { of: this, serving: AtomicUsize::new(0) }), init })
        })
    }
}

#[derive(Debug)]
struct Storm(Arc<Yielding>);

#[derive(Debug)]
struct Running {
    of: Arc<Yielding>,
    serving: AtomicUsize,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.of.host.alive.fetch_sub(1, SeqCst);
    }
}

impl Instance for Running {
    fn invoke(
        self: Arc<Self>,
        invocation: Invocation,
        lease: Lease,
    ) -> BoxFuture<'static, Result<Reply, Failure>> {
        let host = self.of.host.clone();
        Box::pin(async move {
            let lease = lease; // dropped after what is declared later: who is counted holds it
            let places = self.of.spec.instance_concurrency as usize;
            let one = One::of(&self.serving, places, "calls in an instance");
            let all = One::of(&host.running, RUNNING, "calls on the host");
            let is_mine = &*self.of.spec.name == "mine";
            let mine = is_mine.then(|| One::of(&host.running_mine, RESERVED, "calls of `mine`"));
            *host.served.lock().entry(invocation.tally.record().id.clone()).or_default() += 1;
            pause(self.of.draw(8)).await;
            drop((one, all, mine));
            if self.of.draw(20) == 0 {
                drop(lease);
                return Err(invocation.tally.fail(InvocationError::new(ErrorKind::Trap, "as it was drawn")));
            }
            lease.release();
            let end = End::Replied { status: http::StatusCode::OK, is_fault: false };
            let response = http::Response::new(ReplyBody::Whole(bytes::Bytes::new()));
            Ok(Reply { response, record: invocation.tally.finish(end) })
        })
    }
}

/// How often each invocation was reported to have ended, and how many reports there were.
#[derive(Default)]
struct Ends(Mutex<HashMap<Arc<str>, (usize, bool)>>, AtomicUsize);

impl Observer for Ends {
    fn observe(&self, transition: &Transition<'_>) {
        if let Transition::Finished(record) = transition {
            let mut ends = self.0.lock();
            let (count, replied) = ends.entry(record.id.clone()).or_default();
            *count += 1;
            *replied |= matches!(record.end, End::Replied { .. });
            self.1.fetch_add(1, SeqCst);
        }
    }
}

/// Polls a future, and drops it after so many polls.
async fn within_polls<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_on_four_threads_breaks_no_rule_and_leaves_nothing() {
    for seed in 0..8 {
        storm(seed).await;
    }
}

async fn storm(seed: u64) {
    let (host, ends, clock) = (Arc::<Host>::default(), Arc::<Ends>::default(), VirtualClock::default());
    let limits = Limits {
        max_instances: INSTANCES as u32,
        max_running: Some(RUNNING as u32),
        memory_mib: Some(MEMORY_MIB as u64),
        max_queued: 6,
        max_wait: Duration::from_millis(40),
        ..Limits::LAPTOP
    };
    let config = Config { limits, policy: Box::new(FixedTtl(Duration::from_millis(30))) };
    let observer: SharedObserver = ends.clone();
    let scheduler = Scheduler::new(config, Arc::new(clock.clone()), observer.clone());
    let deploy = {
        let (scheduler, host) = (scheduler.clone(), host.clone());
        move |name: &str, generation: u64| {
            let spec = spec(name, generation);
            let rng = Mutex::new(fastrand::Rng::with_seed(seed * 1000 + generation));
            let sandbox = Storm(Arc::new(Yielding { host: host.clone(), spec: spec.clone(), rng }));
            scheduler.deploy(Deployment { spec: Arc::new(spec), sandbox: Arc::new(sandbox) });
        }
    };
    NAMES.iter().for_each(|name| deploy(name, 1));

    let callers = (0..CALLERS).map(|caller| {
        let (scheduler, clock, observer) = (scheduler.clone(), clock.clone(), observer.clone());
        tokio::spawn(async move {
            let mut rng = fastrand::Rng::with_seed(seed * 100 + caller);
            for n in 0..CALLS {
                let function: Arc<str> = NAMES[rng.usize(..NAMES.len())].into();
                let id: Arc<str> = format!("{caller}-{n}").into();
                let tally = Tally::open(id, function.clone(), Arc::new(clock.clone()), observer.clone());
                let request = http::Request::new(empty());
                let force_cold = rng.u8(..10) == 0;
                let call = scheduler.clone().call(Invocation { function, request, force_cold, tally });
                match rng.u8(..5) {
                    0 => drop(within_polls(call, rng.usize(..12)).await),
                    _ => drop(call.await),
                }
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    let weather = tokio::spawn({
        let (scheduler, clock, ends) = (scheduler.clone(), clock.clone(), ends.clone());
        async move {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut ended = 0;
            for generation in 2.. {
                let name = NAMES[rng.usize(..NAMES.len())];
                match rng.u8(..8) {
                    0 => deploy(name, generation),
                    1 => {
                        // not those that reserve something: what runs meanwhile in their share goes on when they are back
                        scheduler.retire("many");
                        pause(rng.usize(..4)).await;
                        deploy("many", generation);
                    }
                    2 => _ = scheduler.prewarm(name),
                    3 => {
                        let snapshot = scheduler.snapshot();
                        assert!(
                            snapshot.instances <= INSTANCES && snapshot.running <= RUNNING,
                            "{snapshot:?}"
                        );
                    }
                    _ => {
                        // Not much faster than calls end: on a machine where no other thread has a processor, all who wait
                        // would wait too long.
                        for _ in 0..10_000 {
                            if ends.1.load(SeqCst) > ended {
                                break;
                            }
                            yield_now().await;
                        }
                        ended = ends.1.load(SeqCst);
                        clock.advance(Duration::from_millis(rng.u64(..20)));
                    }
                }
                pause(rng.usize(..10)).await;
            }
        }
    });
    for caller in callers {
        caller.await.expect("no rule is broken");
    }
    weather.abort();
    assert!(weather.await.expect_err("it has no end of its own").is_cancelled(), "no rule is broken");
    scheduler.shutdown().await;

    let snapshot = scheduler.snapshot();
    assert_eq!((snapshot.instances, snapshot.running), (0, 0), "nothing is left");
    // a start that had just ended when it was abandoned may still drop what it made, on a thread that waits for a processor
    let system = SystemClock::shared();
    for _ in 0..10_000 {
        if host.alive.load(SeqCst) == 0 {
            break;
        }
        system.sleep_until(system.now() + Duration::from_millis(1)).await;
    }
    assert_eq!(host.alive.load(SeqCst), 0, "not even outside of the scheduler");
    let (ends, served) = (ends.0.lock(), host.served.lock());
    assert_eq!(ends.len(), CALLERS as usize * CALLS, "every invocation was reported");
    assert!(ends.values().all(|(count, _)| *count == 1), "and once");
    assert!(served.values().all(|count| *count == 1), "none ran twice");
    let replied = ends.iter().filter(|(_, (_, replied))| *replied);
    assert!(replied.clone().all(|(id, _)| served.contains_key(id)), "who got a reply ran");
    assert!(replied.count() > ends.len() / 4, "the storm let most of them through");
}
