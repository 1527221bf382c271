//! The workbench of these tests: a virtual clock, a scheduler, and everything it reports.

use std::{sync::Arc, time::Duration};

use faas_core::{
    clock::{Clock, SharedClock, VirtualClock},
    invocation::{
        Failure, FunctionSpec, Invocation, InvocationError, Record, Reply, ReplyBody, RequestBody, Start,
        Tally,
    },
    policy::{FixedTtl, Policy},
    pool::Limits,
    sandbox::{Sandbox, scripted::Scripted},
    scheduler::{Config, Deployment, Scheduler},
    transition::{Observer, SharedObserver, Transition},
};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tower::Service;

pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What has been reported, each step as one line that begins with the time in ms: `100 started hello.1 in 100 ms`.
pub(crate) struct Ledger {
    clock: VirtualClock,
    pub(crate) steps: Mutex<Vec<String>>,
    pub(crate) records: Mutex<Vec<Record>>,
}

impl Observer for Ledger {
    fn observe(&self, transition: &Transition<'_>) {
        let text = match transition {
            Transition::Queued { function, depth } => format!("queued {function} as number {depth}"),
            Transition::StartingAhead { spec } => format!("starting {}.{} ahead", spec.name, spec.generation),
            Transition::Started { spec, took } => {
                format!("started {}.{} in {} ms", spec.name, spec.generation, took.as_millis())
            }
            Transition::StartFailed { spec, error, waiting } => {
                format!("no start of {}.{}, {waiting} waiting: {error}", spec.name, spec.generation)
            }
            Transition::Stopped { spec, reason, idle_since } => {
                let idle = idle_since.map_or("busy".into(), |at| format!("idle since {}", at.unix_millis()));
                format!("stopped {}.{}: {reason:?}, {idle}", spec.name, spec.generation)
            }
            Transition::Finished(record) => {
                self.records.lock().push((*record).clone());
                let how = record.end.as_str();
                let start = record.start.map_or("not started", Start::as_str);
                format!("finished {} {start}: {how}", record.id)
            }
            other => format!("{other:?}"),
        };
        self.steps.lock().push(format!("{} {text}", self.clock.now().unix_millis()));
    }
}

pub(crate) struct Bench {
    pub(crate) clock: VirtualClock,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) scheduler: Scheduler,
    next_id: std::sync::atomic::AtomicUsize,
}

pub(crate) type Call = JoinHandle<Result<Reply, Failure>>;

impl Bench {
    /// Ten instances, two may wait for a second, a minute of keep-alive.
    pub(crate) fn new() -> Self {
        Bench::with(Limits { max_instances: 10, max_queued: 2, max_wait: ms(1000), ..Limits::LAPTOP })
    }

    pub(crate) fn with(limits: Limits) -> Self {
        Bench::with_policy(limits, FixedTtl(Duration::from_secs(60)))
    }

    pub(crate) fn with_policy(limits: Limits, policy: impl Policy) -> Self {
        Bench::on(VirtualClock::default(), limits, policy)
    }

    pub(crate) fn on(clock: VirtualClock, limits: Limits, policy: impl Policy) -> Self {
        let ledger =
            Arc::new(Ledger { clock: clock.clone(), steps: Mutex::default(), records: Mutex::default() });
        let config = Config { limits, policy: policy.boxed() };
        let scheduler = Scheduler::new(config, Arc::new(clock.clone()), ledger.clone());
        Bench { clock, ledger, scheduler, next_id: Default::default() }
    }

    pub(crate) fn shared_clock(&self) -> SharedClock {
        Arc::new(self.clock.clone())
    }

    /// A fake whose starts take 100 ms and whose calls take 10.
    pub(crate) fn script(&self, reply: &'static str) -> Scripted {
        Scripted::new(self.shared_clock(), ms(100), ms(10), reply)
    }

    pub(crate) fn deploy(&self, spec: FunctionSpec, sandbox: impl Sandbox) {
        self.scheduler.deploy(Deployment { spec: Arc::new(spec), sandbox: Arc::new(sandbox) });
    }

    pub(crate) fn invocation(&self, function: &str, body: RequestBody) -> Invocation {
        let id = self.next_id.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
        let function: Arc<str> = function.into();
        let observer: SharedObserver = self.ledger.clone();
        let tally = Tally::open(format!("#{id}").into(), function.clone(), self.shared_clock(), observer);
        Invocation { function, request: http::Request::new(body), force_cold: false, tally }
    }

    /// Sends an invocation on a task of its own, and lets everything run that does not need time.
    pub(crate) async fn send(&self, function: &str) -> Call {
        self.spawn(self.invocation(function, empty())).await
    }

    pub(crate) async fn spawn(&self, invocation: Invocation) -> Call {
        let mut scheduler = self.scheduler.clone();
        let call = tokio::spawn(async move { scheduler.call(invocation).await });
        VirtualClock::settle().await;
        call
    }

    pub(crate) async fn run(&self, time: Duration) {
        self.clock.run(time).await;
    }

    /// What was reported since the last time this was asked.
    pub(crate) fn told(&self) -> String {
        std::mem::take(&mut *self.ledger.steps.lock()).join("\n")
    }

    /// Starting, idle and busy instances, pending and queued invocations.
    pub(crate) fn standing(&self, function: &str) -> [usize; 5] {
        let snapshot = self.scheduler.snapshot();
        let f = snapshot.function(function).expect("it is deployed");
        [f.starting, f.idle, f.busy, f.pending, f.queued]
    }
}

pub(crate) fn empty() -> RequestBody {
    http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// The text of a reply that came whole.
pub(crate) fn text(reply: &Reply) -> &str {
    match reply.response.body() {
        ReplyBody::Whole(bytes) => std::str::from_utf8(bytes).expect("these tests reply with text"),
        ReplyBody::Stream(_) => panic!("the reply streams"),
    }
}

/// The reply of a call that has ended.
pub(crate) async fn reply(call: Call) -> Reply {
    assert!(call.is_finished(), "the call still runs");
    call.await.expect("it does not panic").expect("it replies")
}

/// The error of a call that has ended.
pub(crate) async fn error(call: Call) -> InvocationError {
    assert!(call.is_finished(), "the call still runs");
    call.await.expect("it does not panic").expect_err("it fails").error().clone()
}
