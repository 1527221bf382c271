//! A cloud in a test: functions, invocations, time.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde::Serialize;
use tower::{Service as _, util::MapRequestLayer};

use super::{
    Answer, Bill, Builder,
    builder::Setup,
    journal::Journal,
    run::{Run, START},
    served::{RequestId, Slowly, Trouble, alive, native, with_id},
};
use crate::{
    Body, Request,
    abi::manifest,
    billing::Standbys,
    clock::{Clock as _, SharedClock, Time},
    delivery::{self, Courier, MemoryJournal},
    function::{Definition, definitions},
    invocation::{End, FunctionSpec, Invocation, Piece, Record, ReplyBody, Tally},
    sandbox::{Sandbox, mimic::Mimic},
    scheduler::{Config, Deployment, Scheduler, Snapshot},
    stack,
    transition::SharedObserver,
};

/// The functions of this crate behind a scheduler of their own, in virtual time. Clones are the same cloud.
///
/// Statics are the process's: unlike in the sandbox, instances share them.
#[derive(Debug, Clone)]
pub struct Cloud {
    pub(super) scheduler: Scheduler,
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    setup: Setup,
    pub(super) run: Arc<Run>,
    journal: Arc<Journal>,
    trouble: Trouble,
    invocations: AtomicU64,
    standbys: Mutex<Standbys>,
    pub(super) courier: Courier,
}

impl Cloud {
    /// Every function of this crate under `aws-lambda`. For anything else there is [`Cloud::builder`].
    ///
    /// # Panics
    /// As [`Builder::build`].
    #[track_caller]
    #[allow(clippy::new_without_default)] // it needs a test around it
    pub fn new() -> Self {
        Cloud::builder().build()
    }

    /// A cloud that is set up otherwise.
    pub fn builder() -> Builder {
        Builder::new()
    }

    #[track_caller]
    pub(super) fn start(setup: Setup, config: Config, run: Arc<Run>) -> Self {
        let journal = Arc::new(Journal::new(run.clock.clone()));
        let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(setup.seed)));
        let trouble = Trouble { chaos: setup.chaos, random };
        let scheduler = Scheduler::new(config, Arc::new(run.clock.clone()), journal.clone());
        let delivery = delivery::Config {
            rules: setup.delivery.unwrap_or_else(|| setup.profile.delivery_rules()),
            limits: setup.delivery_limits,
            seed: setup.seed,
        };
        let stack = stack::assemble(MapRequestLayer::new(with_id), scheduler.clone());
        let written: Arc<MemoryJournal> = Arc::default();
        let clock: SharedClock = Arc::new(run.clock.clone());
        let courier = Courier::with(delivery, stack, written, clock, journal.clone(), Vec::new());
        let (invocations, standbys) = (AtomicU64::new(0), Mutex::default());
        let shared = Shared { setup, run, journal, trouble, invocations, standbys, courier };
        let cloud = Cloud { scheduler, shared: Arc::new(shared) };
        match &cloud.shared.setup.only {
            Some(names) => names.iter().for_each(|name| cloud.deploy(name)),
            None => definitions().into_iter().for_each(|definition| cloud.deploy_definition(definition)),
        }
        cloud
    }

    /// Deploys a function again, as its next generation: what a hot reload does.
    ///
    /// # Panics
    /// When this crate has no function of that name, or the profile does not give what it asks for.
    #[track_caller]
    pub fn deploy(&self, function: &str) {
        let all = definitions();
        match all.iter().find(|definition| definition.name == function) {
            Some(definition) => self.deploy_definition(definition),
            None => {
                let names: Vec<_> = all.iter().map(|definition| definition.name).collect();
                panic!("no #[function] of this crate is named `{function}`; there are: {}", names.join(", "))
            }
        }
    }

    #[track_caller]
    fn deploy_definition(&self, definition: &'static Definition) {
        let entries = manifest::parse(definition.manifest.as_bytes()).expect("written by #[function]");
        self.deploy_entry(&entries[0], |spec| {
            Arc::new(native(definition, spec.clone(), self.clock(), self.shared.trouble.clone()))
        });
    }

    /// Deploys what `sandbox` makes of a function's settings.
    #[track_caller]
    pub(crate) fn deploy_entry(
        &self,
        entry: &manifest::Entry,
        sandbox: impl FnOnce(&Arc<FunctionSpec>) -> Arc<dyn Sandbox>,
    ) {
        let setup = &self.shared.setup;
        let mut spec = match setup.profile.spec(entry) {
            Ok(spec) => spec,
            Err(unsupported) => panic!("{unsupported}"),
        };
        spec.generation = self.scheduler.spec(&entry.name).map_or(1, |before| before.generation + 1);
        if let Some(configure) = setup.configure {
            configure(&mut spec);
        }
        let (spec, clock) = (Arc::new(spec), self.clock());
        let (inner, takes) = (sandbox(&spec), setup.start_takes());
        let trouble = self.shared.trouble.clone();
        let mut sandbox: Arc<dyn Sandbox> = Arc::new(Slowly { inner, takes, clock: clock.clone(), trouble });
        if let Some(starts) = setup.mimics {
            let profile = Arc::new(setup.profile.clone());
            sandbox = Arc::new(Mimic::new(sandbox, spec.clone(), profile, starts, clock));
        }
        self.scheduler.deploy(Deployment { spec, sandbox });
        let deployed = self.scheduler.snapshot().functions;
        let specs = deployed.iter().map(|function| &*function.spec);
        self.shared.standbys.lock().follow(self.now(), specs);
    }

    /// Invokes a function with an empty GET of `/`, and waits for its reply.
    pub async fn get(&self, function: &str) -> Answer {
        self.call(function, Request::new(Body::empty())).await
    }

    /// Invokes a function with an event, as JSON, and waits for its reply.
    ///
    /// # Panics
    /// When the event is not serializable.
    pub async fn send(&self, function: &str, event: &impl Serialize) -> Answer {
        let body = serde_json::to_vec(event).expect("the event is serializable");
        let mut request = Request::new(body.into());
        *request.method_mut() = http::Method::POST;
        self.call(function, request).await
    }

    /// Invokes a function so many times at once, and waits for all replies.
    pub async fn burst(&self, function: &str, times: usize) -> Vec<Answer> {
        let calls: Vec<Call> = (0..times).map(|_| self.call(function, Request::new(Body::empty()))).collect();
        let mut answers = Vec::with_capacity(times);
        for call in calls {
            answers.push(call.await);
        }
        answers
    }

    /// Begins an invocation, which runs whether or not the returned [`Call`] is awaited. It arrives now, that is, before
    /// time moves on.
    pub fn call(&self, function: &str, request: Request) -> Call {
        let (id, function): (Arc<str>, Arc<str>) = (self.next_id(), function.into());
        let observer: SharedObserver = self.shared.journal.clone();
        let tally = Tally::open(id.clone(), function.clone(), self.clock(), observer);
        let mut request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        request.extensions_mut().insert(RequestId(id));
        let invocation = Invocation { function, request, force_cold: false, tally };
        let cloud = self.clone();
        Call(tokio::spawn(alive(self.shared.run.clone(), async move { cloud.answer(invocation).await })))
    }

    pub(super) fn next_id(&self) -> Arc<str> {
        let number = self.shared.invocations.fetch_add(1, Ordering::Relaxed) + 1;
        format!("#{number}").into()
    }

    async fn answer(mut self, invocation: Invocation) -> Answer {
        let (mut headers, mut body) = (http::HeaderMap::new(), Vec::new());
        let mut record = match self.scheduler.call(invocation).await {
            Err(failure) => failure.record().clone(),
            Ok(reply) => {
                let (head, content) = reply.response.into_parts();
                headers = head.headers;
                let mut record = *reply.record;
                match content {
                    ReplyBody::Whole(bytes) => body.extend_from_slice(&bytes),
                    ReplyBody::Stream(mut pieces) => {
                        record.end = End::Cancelled; // unless an end comes
                        while let Some(piece) = pieces.recv().await {
                            match piece {
                                Piece::Chunk(chunk) => body.extend_from_slice(&chunk),
                                Piece::End(end) => record = *end,
                            }
                        }
                    }
                }
                record
            }
        };
        record.ended = record.ended.max(record.arrived);
        let cost_usd = self.shared.setup.profile.charge(&record).cost_usd;
        Answer { record, headers, body: body.into(), cost_usd }
    }

    /// Invokes a function each time that `period` has passed, from now on: an empty POST, which an event takes as `null`.
    pub fn every(&self, period: Duration, function: &str) {
        assert!(!period.is_zero(), "a period is longer than nothing");
        let (cloud, function, clock) = (self.clone(), function.to_owned(), self.clock());
        let mut next = clock.now() + period;
        tokio::spawn(alive(self.shared.run.clone(), async move {
            loop {
                clock.sleep_until(next).await;
                let mut request = Request::new(Body::empty());
                *request.method_mut() = http::Method::POST;
                drop(cloud.call(&function, request));
                next = next + period;
            }
        }));
    }

    /// Lets time pass. Whatever is due by then has run when this returns, in the order of time.
    pub async fn advance(&self, by: Duration) {
        let run = &self.shared.run;
        run.clock.sleep_until(run.clock.now() + by).await;
        run.rest().await;
    }

    /// The time now, virtual.
    pub fn now(&self) -> Time {
        self.shared.run.clock.now()
    }

    /// How much time has passed since the test began.
    pub fn elapsed(&self) -> Duration {
        self.now().since(START)
    }

    /// Every invocation that has ended, in that order.
    pub fn records(&self) -> Vec<Record> {
        self.shared.journal.records.lock().clone()
    }

    /// Every step so far, a line each, with the time since the test began. The same seed gives the same transcript.
    pub fn transcript(&self) -> String {
        self.shared.journal.lines.lock().join("\n")
    }

    /// What all that costs by the profile.
    pub fn bill(&self) -> Bill {
        let (records, standbys) = (self.shared.journal.records.lock(), self.shared.standbys.lock());
        Bill::of(&self.shared.setup.profile, &records, &standbys, self.now())
    }

    /// How functions and instances stand now.
    pub fn snapshot(&self) -> Snapshot {
        self.scheduler.snapshot()
    }

    pub(crate) fn clock(&self) -> SharedClock {
        Arc::new(self.shared.run.clock.clone())
    }

    pub(crate) fn observer(&self) -> SharedObserver {
        self.shared.journal.clone()
    }

    pub(crate) fn seed(&self) -> u64 {
        self.shared.setup.seed
    }
}

/// An invocation under way. Dropping it lets it run on.
#[derive(Debug)]
pub struct Call(tokio::task::JoinHandle<Answer>);

impl Call {
    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Leaves, as a client that closes its connection.
    pub fn cancel(self) {
        self.0.abort();
    }
}

impl Future for Call {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let result = std::task::ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(
            result.expect("it is not cancelled while it is awaited, and panics of functions are caught"),
        )
    }
}
