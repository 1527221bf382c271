//! Runs a function with one memory: in the sandbox, behind a scheduler of its own, one request after the other.
//!
//! Memories take turns, a request each: whatever else the machine does slows all of them alike.
//!
//! The memory is enforced. The pauses that its share of a CPU asks for are counted and not waited for, so that a slow memory
//! takes no longer to try than a quick one.

use std::{sync::Arc, time::Duration};

use faas_core::{
    abi::manifest::Entry,
    clock::SharedClock,
    invocation::{CpuShare, End, FunctionSpec, Invocation, Record, ReplyBody, Start, Tally},
    profile::Profile,
    sandbox::wasmer::Module,
    scheduler::{Config, Deployment, Scheduler},
    transition::{Observer, Transition},
};
use parking_lot::Mutex;
use tower::Service as _;

use super::events::Events;
use crate::error::Error;

const WHOLE: CpuShare = CpuShare { milli_vcpus: 1000, period: Duration::from_millis(100), is_computed: true };

/// One memory, under trial.
pub(super) struct Trial<'a> {
    entry: &'a Entry,
    clock: &'a SharedClock,
    spec: Arc<FunctionSpec>,
    scheduler: Scheduler,
    ended: Arc<Ended>,
    run: Run,
}

/// What came of it.
pub(super) struct Run {
    pub(super) memory_mib: u32,
    /// Invocations that ended as they should, the cold one among them.
    pub(super) records: Vec<Record>,
    /// The first that did not, and why; nothing was measured after it.
    pub(super) failed: Option<(Box<Record>, String)>,
}

impl<'a> Trial<'a> {
    /// The function with so much memory.
    pub(super) fn new(
        profile: &Profile,
        entry: &'a Entry,
        module: &Module,
        memory_mib: u32,
        clock: &'a SharedClock,
    ) -> Result<Self, Error> {
        let wanted = Entry { memory_mib: Some(memory_mib), ..entry.clone() };
        let mut spec = profile.spec(&wanted).map_err(|why| Error::bad_input(why.to_string()))?;
        // a whole CPU where nobody says otherwise, so that what else this machine does counts nowhere
        let share = profile.cpu_share(memory_mib).unwrap_or(WHOLE);
        spec.cpu_share = Some(CpuShare { is_computed: true, ..share });
        let spec = Arc::new(spec);
        let sandbox = module.sandbox(spec.clone(), Vec::new());
        let ended = Arc::new(Ended::default());
        let scheduler = Scheduler::new(Config::default(), clock.clone(), ended.clone());
        scheduler.deploy(Deployment { spec: spec.clone(), sandbox });
        let run = Run { memory_mib, records: Vec::new(), failed: None };
        Ok(Trial { entry, clock, spec, scheduler, ended, run })
    }

    /// One invocation, and what came of it. Nothing after one that failed.
    pub(super) async fn once(&mut self, n: usize, events: &Events) -> Result<(), Error> {
        if self.run.failed.is_some() {
            return Ok(());
        }
        let id: Arc<str> = format!("tune-{}-{}", self.run.memory_mib, self.run.records.len()).into();
        let name = self.spec.name.clone();
        let tally = Tally::open(id, name.clone(), self.clock.clone(), self.ended.clone());
        let request = events.request(n, self.entry)?;
        let invocation = Invocation { function: name, request, force_cold: false, tally };
        // of one that failed, its record says why
        let body = self.scheduler.call(invocation).await.ok().map(|reply| reply.response.into_body());
        if let Some(ReplyBody::Stream(mut pieces)) = body {
            while pieces.recv().await.is_some() {}
        }
        let Some(record) = self.ended.0.lock().take() else {
            return Err(Error::failed("an invocation ended without a word: please report this as a bug"));
        };
        match failure(&record, events.hint()) {
            Some(why) => self.run.failed = Some((Box::new(record), why)),
            None => self.run.records.push(record),
        }
        Ok(())
    }

    /// What came of all of them.
    pub(super) async fn end(self) -> Run {
        self.scheduler.shutdown().await;
        self.run
    }
}

/// The last invocation that has ended.
#[derive(Default)]
struct Ended(Mutex<Option<Record>>);

impl Observer for Ended {
    fn observe(&self, transition: &Transition<'_>) {
        if let Transition::Finished(record) = transition {
            *self.0.lock() = Some((*record).clone());
        }
    }
}

/// Why an invocation is none to tune by, if so.
fn failure(record: &Record, hint: &str) -> Option<String> {
    match &record.end {
        End::Failed(error) => Some(error.message.clone()),
        End::Cancelled => Some("it was given up".to_owned()),
        End::Replied { status, is_fault }
            if *is_fault || status.is_client_error() || status.is_server_error() =>
        {
            Some(format!("it replied {status}: {hint}"))
        }
        End::Replied { .. } => None,
    }
}

impl Run {
    /// Those to go by: warm ones, unless every one is cold.
    pub(super) fn measured(&self) -> Vec<&Record> {
        let warm: Vec<&Record> =
            self.records.iter().filter(|record| record.start == Some(Start::Warm)).collect();
        if warm.is_empty() { self.records.iter().collect() } else { warm }
    }
}
