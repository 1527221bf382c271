//! A fake for tests and benches: starts and calls take as long as its script says, by the injected clock, and
//! everything is counted. It runs no code of anybody's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;

use super::{Instance, Sandbox, Started};
use crate::{
    clock::{BoxFuture, SharedClock},
    invocation::{
        End, ErrorKind, Failure, Init, Injected, Invocation, InvocationError, Origin, Reply, ReplyBody,
    },
    pool::Lease,
};

/// A fake sandbox. Clones share script and counts.
#[derive(Debug, Clone)]
pub struct Scripted {
    clock: SharedClock,
    start_takes: Duration,
    call_takes: Duration,
    reply: Bytes,
    counts: Arc<Counts>,
}

/// What a fake sandbox has seen.
#[derive(Debug, Default)]
pub struct Counts {
    /// Starts that have begun.
    pub starts: AtomicUsize,
    /// Starts under way and instances that have not been dropped.
    pub alive: AtomicUsize,
    /// Calls that have begun.
    pub calls: AtomicUsize,
    /// The most calls that any instance has served at a time.
    pub most_at_once: AtomicUsize,
    /// Set it to let starts fail.
    pub fails_to_start: AtomicBool,
    /// Set it to let calls end in a trap, their instance condemned.
    pub traps: AtomicBool,
}

impl Scripted {
    /// Starts and calls that take this long; replies with `reply`.
    pub fn new(clock: SharedClock, start_takes: Duration, call_takes: Duration, reply: &'static str) -> Self {
        let reply = Bytes::from_static(reply.as_bytes());
        Scripted { clock, start_takes, call_takes, reply, counts: Arc::default() }
    }

    /// What it has seen.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}

/// Counts itself as alive.
#[derive(Debug)]
struct Alive(Arc<Counts>);

impl Alive {
    fn new(counts: &Arc<Counts>) -> Self {
        counts.alive.fetch_add(1, SeqCst);
        Alive(counts.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, SeqCst);
    }
}

impl Scripted {
    fn started(&self, alive: Alive) -> Started {
        let init = Init {
            origin: Origin::Plain,
            wall: self.start_takes,
            cpu: self.start_takes / 2,
            injected: Injected::default(),
        };
        let instance = ScriptedInstance { script: self.clone(), running: AtomicUsize::new(0), _alive: alive };
        Started { instance: Arc::new(instance), init }
    }
}

impl Sandbox for Scripted {
    fn start(&self) -> BoxFuture<'static, Result<Started, InvocationError>> {
        let this = self.clone();
        Box::pin(async move {
            this.counts.starts.fetch_add(1, SeqCst);
            let alive = Alive::new(&this.counts);
            if !this.start_takes.is_zero() {
                this.clock.sleep_until(this.clock.now() + this.start_takes).await;
            }
            if this.counts.fails_to_start.load(SeqCst) {
                return Err(InvocationError::new(ErrorKind::InitFailed, "the script lets starts fail"));
            }
            Ok(this.started(alive))
        })
    }

    /// Of a script whose starts take no time.
    fn start_at_once(&self) -> Option<Started> {
        let is_ready = self.start_takes.is_zero() && !self.counts.fails_to_start.load(SeqCst);
        is_ready.then(|| {
            self.counts.starts.fetch_add(1, SeqCst);
            self.started(Alive::new(&self.counts))
        })
    }
}

#[derive(Debug)]
struct ScriptedInstance {
    script: Scripted,
    running: AtomicUsize,
    _alive: Alive,
}

/// One of an instance's calls.
struct Running<'a>(&'a ScriptedInstance);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

impl Instance for ScriptedInstance {
    fn invoke(
        self: Arc<Self>,
        invocation: Invocation,
        lease: Lease,
    ) -> BoxFuture<'static, Result<Reply, Failure>> {
        Box::pin(async move {
            let Scripted { clock, call_takes, reply, counts, .. } = &self.script;
            let running = Running(&self);
            counts.calls.fetch_add(1, SeqCst);
            counts.most_at_once.fetch_max(self.running.fetch_add(1, SeqCst) + 1, SeqCst);
            if !call_takes.is_zero() {
                clock.sleep_until(clock.now() + *call_takes).await;
            }
            drop(running);
            if counts.traps.load(SeqCst) {
                drop(lease);
                let error = InvocationError::new(ErrorKind::Trap, "the script lets calls trap");
                return Err(invocation.tally.fail(error));
            }
            lease.release();
            let end = End::Replied { status: http::StatusCode::OK, is_fault: false };
            let response = http::Response::new(ReplyBody::Whole(reply.clone()));
            Ok(Reply { response, record: invocation.tally.finish(end) })
        })
    }
}
