//! The stack: a layer of yours, then the scheduler. A server would call [`Host::invoke`] for each request.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use faas_core::{
    clock::SharedClock,
    invocation::{End, Invocation, Record, ReplyBody, Start, Tally},
    policy::FixedTtl,
    pool::Limits,
    scheduler::{Config, Scheduler},
    stack::{self, Stack},
    transition::{Observer, SharedObserver, Transition},
};
use http::Request;
use http_body_util::{BodyExt, Full};
use tower::Service;

use crate::{api_key::RequireKey, functions};

/// How long idle instances are kept warm; clouds keep them for minutes.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(3);

pub(crate) struct Host {
    stack: Stack,
    scheduler: Scheduler,
    clock: SharedClock,
    observer: SharedObserver,
    next_id: AtomicU64,
}

impl Host {
    pub(crate) fn new(clock: SharedClock, print: impl Fn(String) + Send + Sync + 'static) -> Self {
        let observer: SharedObserver = Arc::new(Console { print });
        let config = Config {
            limits: Limits {
                max_instances: 100,
                max_queued: 1,
                max_wait: Duration::from_secs(10),
                ..Limits::LAPTOP
            },
            policy: Box::new(FixedTtl(KEEP_ALIVE)),
        };
        let scheduler = Scheduler::new(config, clock.clone(), observer.clone());
        scheduler.deploy(functions::greet(&clock, 1, "Hello"));
        scheduler.deploy(functions::report(&clock));
        let stack = stack::assemble(RequireKey("sesame"), scheduler.clone());
        Host { stack, scheduler, clock, observer, next_id: AtomicU64::new(1) }
    }

    pub(crate) fn deploy_greeting(&self, generation: u64, greeting: &'static str) {
        self.scheduler.deploy(functions::greet(&self.clock, generation, greeting));
    }

    pub(crate) async fn invoke(&self, function: &str, body: &str) {
        self.invoke_as("sesame", function, body).await;
    }

    /// Sends one invocation down the stack. What becomes of it, the observer sees.
    pub(crate) async fn invoke_as(&self, key: &str, function: &str, body: &str) {
        let body = Full::from(body.to_owned()).map_err(|never| match never {}).boxed_unsync();
        let request = Request::post("/").header("x-api-key", key).body(body).expect("the parts are valid");
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let function: Arc<str> = function.into();
        let tally =
            Tally::open(format!("#{id}").into(), function.clone(), self.clock.clone(), self.observer.clone());
        let invocation = Invocation { function, request, force_cold: false, tally };
        // errors are in the record, and small replies come whole; a server would pass both on
        if let Ok(reply) = self.stack.clone().call(invocation).await {
            debug_assert!(matches!(reply.response.body(), ReplyBody::Whole(_)));
        }
    }

    pub(crate) fn standing(&self) -> String {
        let snapshot = self.scheduler.snapshot();
        let idle: usize = snapshot.functions.iter().map(|f| f.idle).sum();
        format!("{idle} of {} instances idle", snapshot.instances)
    }

    pub(crate) async fn shutdown(&self) {
        self.scheduler.shutdown().await;
    }
}

/// Prints a line for each invocation that has ended.
struct Console<F> {
    print: F,
}

impl<F: Fn(String) + Send + Sync + 'static> Observer for Console<F> {
    fn observe(&self, transition: &Transition<'_>) {
        if let Transition::Finished(record) = transition {
            (self.print)(line(record));
        }
    }
}

/// `  #1 greet.1  cold  queue 0 ms  start 80 ms  run 0 ms  200 OK`
fn line(record: &Record) -> String {
    let Record { id, function, start, queue, usage, .. } = record;
    let end = match &record.end {
        End::Replied { status, .. } => status.to_string(),
        End::Failed(error) => error.message.clone(),
        End::Cancelled => "cancelled".into(),
    };
    let Some(start) = start.map(Start::as_str) else {
        return format!("  {id} {function} did not run: {end}");
    };
    let generation = record.spec.as_ref().map_or(0, |spec| spec.generation);
    let [queue, init, run] = [*queue, usage.init_wall, usage.handler_wall].map(|time| time.as_millis());
    format!("  {id} {function}.{generation} {start}: queue {queue} ms, start {init} ms, run {run} ms, {end}")
}
