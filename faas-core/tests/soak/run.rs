//! The soak itself: clients that ask again and again, and a look at the process now and then.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use faas_core::{
    clock::{SharedClock, SystemClock},
    invocation::{ErrorKind, FunctionSpec, Invocation, Piece, ReplyBody, RequestBody, Tally},
    policy::FixedTtl,
    pool::Limits,
    sandbox::wasmer,
    scheduler::{Config, Deployment, Scheduler},
    transition::{Observer, Transition},
};
use http_body_util::{BodyExt as _, Empty};
use tower::Service as _;

use super::{
    functions::{self, Case},
    process::Held,
};

const CLIENTS: u64 = 32;
/// How many looks are taken at the process.
const LOOKS: u64 = 20;
/// One invocation in so many is hostile, and one in so many of the others is left by its client.
const HOSTILE_EVERY: u64 = 10;
const LEFT_EVERY: u64 = 50;
/// One is for asking the kernel what has been written, and is kept.
const KEPT_DESCRIPTORS: usize = 1;

#[derive(Default)]
struct Seen {
    finished: AtomicU64,
    started: AtomicU64,
    stopped: AtomicU64,
    cold: AtomicU64,
}

impl Observer for Seen {
    fn observe(&self, transition: &Transition<'_>) {
        let count = match transition {
            Transition::Finished(record) => {
                if record.usage.origin.is_some() {
                    self.cold.fetch_add(1, Ordering::Relaxed);
                }
                &self.finished
            }
            Transition::Started { .. } => &self.started,
            Transition::Stopped { .. } => &self.stopped,
            _ => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

struct Soak {
    scheduler: Scheduler,
    clock: SharedClock,
    seen: Arc<Seen>,
    good: Vec<Case>,
    hostile: Vec<Case>,
    next: AtomicU64,
    total: u64,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Report {
    /// Looks at the process, evenly spread, each with how many invocations had been by then.
    pub(crate) looks: Vec<(u64, Held)>,
    /// After all instances and their functions are gone.
    pub(crate) after: Held,
    pub(crate) cold: u64,
}

impl Report {
    /// # Panics
    /// When the process holds more at the end than after a fifth of the way, beyond `slack_bytes` of memory.
    pub(crate) fn assert_steady(&self, slack_bytes: u64) {
        let warm = &self.looks[self.looks.len() / 5..];
        // the least that was held: how much of a look is of guests that are just being stopped is chance
        let least = |count: fn(&Held) -> u64, looks: &[(u64, Held)]| {
            looks.iter().map(|(_, held)| count(held)).min().expect("looks")
        };
        let (early, late) = warm.split_at(warm.len() / 2);
        let grown = |count: fn(&Held) -> u64| (least(count, early), least(count, late));
        let (before, after) = grown(|held| held.rss_bytes);
        assert!(after <= before + slack_bytes, "memory grew from {before} to {after} bytes: {self:#?}");
        let (before, after) = grown(|held| held.descriptors as u64);
        assert!(after <= before + 4, "descriptors grew from {before} to {after}: {self:#?}");
        // a mapping more or less with each way in which neighbours are merged
        let (before, after) = grown(|held| held.mappings as u64);
        assert!(after <= before + before / 10 + 32, "mappings grew from {before} to {after}: {self:#?}");
        assert!(
            self.after.descriptors <= self.looks[0].1.descriptors + KEPT_DESCRIPTORS,
            "descriptors outlive the functions: {self:#?}"
        );
    }
}

/// Runs `total` invocations and checks how each of them ends. `look` is shown the process now and then.
///
/// # Panics
/// When one ends as it must not, or is not reported, or an instance outlives the scheduler.
pub(crate) fn run(total: u64, mut look: impl FnMut(u64, Held)) -> Report {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a tokio runtime");
    tokio.block_on(async {
        let (clock, seen) = (SystemClock::shared(), Arc::new(Seen::default()));
        let config = wasmer::Config {
            seed: Some([7; 32]),
            max_compute_threads: NonZeroUsize::new(32),
            ..wasmer::Config::default()
        };
        let runtime = wasmer::Runtime::new(config, clock.clone(), seen.clone()).expect("a runtime");
        let limits = Limits {
            max_instances: 64,
            max_queued: 1000,
            max_wait: Duration::from_secs(60),
            ..Limits::LAPTOP
        };
        let policy = Box::new(FixedTtl(Duration::from_millis(50)));
        let scheduler = Scheduler::new(Config { limits, policy }, clock.clone(), seen.clone());
        let (good, hostile) = (functions::good(), functions::hostile());
        for Case { spec, wat, .. } in good.iter().chain(&hostile) {
            let wasm = wat::parse_str(wat).unwrap_or_else(|why| panic!("{}: {why}", spec.name));
            let module = runtime.load(&wasm, wasmer::Tier::Fast).expect("a module of this ABI");
            let spec: Arc<FunctionSpec> = Arc::new(spec.clone());
            scheduler.deploy(Deployment { spec: spec.clone(), sandbox: module.sandbox(spec, Vec::new()) });
        }
        let soak = Arc::new(Soak { scheduler, clock, seen, good, hostile, next: AtomicU64::new(0), total });
        let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(soak.clone().client())).collect();
        let mut looks = vec![(0, Held::now())];
        while let Some(at) = (looks.len() as u64 <= LOOKS).then(|| total * looks.len() as u64 / LOOKS) {
            while soak.seen.finished.load(Ordering::Relaxed) < at {
                if clients.iter().all(tokio::task::JoinHandle::is_finished) {
                    break;
                }
                soak.clock.sleep_until(soak.clock.now() + Duration::from_millis(1)).await;
            }
            let held = Held::now();
            look(at, held);
            looks.push((at, held));
        }
        for client in clients {
            client.await.expect("every invocation ends as it must");
        }
        soak.scheduler.shutdown().await;
        let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        assert_eq!(count(&soak.seen.finished), total, "each is reported exactly once");
        assert_eq!(soak.scheduler.snapshot().instances, 0);
        assert_eq!(count(&soak.seen.started), count(&soak.seen.stopped), "whoever was started is gone");
        let (cold, clock) = (count(&soak.seen.cold), soak.clock.clone());
        drop((soak, runtime));
        let after = let_go(&clock, &looks[0].1).await;
        Report { looks, after, cold }
    })
}

/// What is held in the end. A thread that has just given an instance back may still have hold of it for a moment.
async fn let_go(clock: &SharedClock, before: &Held) -> Held {
    for _ in 0..5_000 {
        if Held::now().descriptors <= before.descriptors + KEPT_DESCRIPTORS {
            break;
        }
        clock.sleep_until(clock.now() + Duration::from_millis(1)).await;
    }
    Held::now()
}

impl Soak {
    async fn client(self: Arc<Self>) {
        loop {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            if n >= self.total {
                return;
            }
            let turn = n / HOSTILE_EVERY;
            let is_hostile = n.is_multiple_of(HOSTILE_EVERY);
            let (cases, at) = if is_hostile { (&self.hostile, turn) } else { (&self.good, n) };
            let case = &cases[at as usize % cases.len()];
            if !is_hostile && n % LEFT_EVERY == 1 {
                self.leave(case).await;
            } else {
                let ended = self.invoke(case).await;
                let name = &case.spec.name;
                match ended {
                    Ok(()) => assert!(case.errors.is_empty() || &**name == "together", "{name} has replied"),
                    Err(kind) => assert!(case.errors.contains(&kind), "{name} has failed: {kind:?}"),
                }
            }
        }
    }

    fn invocation(&self, case: &Case) -> Invocation {
        let function = case.spec.name.clone();
        let tally = Tally::open("id".into(), function.clone(), self.clock.clone(), self.seen.clone());
        let body = RequestBody::new(Empty::<Bytes>::new().map_err(|never| match never {}));
        Invocation { function, request: http::Request::new(body), force_cold: false, tally }
    }

    async fn invoke(&self, case: &Case) -> Result<(), ErrorKind> {
        let replied = self.scheduler.clone().call(self.invocation(case)).await;
        let reply = replied.map_err(|failure| failure.error().kind)?;
        if let ReplyBody::Stream(mut pieces) = reply.response.into_body() {
            while let Some(Piece::Chunk(_)) = pieces.recv().await {}
        }
        Ok(())
    }

    /// Asks, and goes away before there is a reply.
    async fn leave(&self, case: &Case) {
        let mut call = Box::pin(self.scheduler.clone().call(self.invocation(case)));
        for _ in 0..2 {
            tokio::select! {
                biased;
                _ = &mut call => return,
                () = tokio::task::yield_now() => {}
            }
        }
    }
}
