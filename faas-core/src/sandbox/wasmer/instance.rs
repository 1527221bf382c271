//! An instance as the scheduler sees it: a guest behind a lock that nobody waits for on an async worker.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Function,
    calls::{Call, Ticket},
    cpu::Stopwatch,
    drive,
    guest::{Guest, Polled},
    watchdog::Bounds,
};
use crate::{
    abi::envelope::{HeadRef, ResponseHead},
    clock::{BoxFuture, Time},
    invocation::{ErrorKind, Failure, Invocation, InvocationError, Reply},
    pool::Lease,
    sandbox::quota::Quota,
};

pub(super) struct WasmInstance {
    pub(super) function: Arc<Function>,
    // absent once the guest has trapped or was stopped
    guest: Mutex<Option<Guest>>,
    contenders: Mutex<Vec<Waker>>,
    is_contended: AtomicBool,
    /// Of its memory, as of the last poll that has ended.
    memory_bytes: AtomicU64,
    /// Whose call may go to a thread where it can wait for the guest: no more than one. Absent where there is only one call.
    turn: Option<Arc<Semaphore>>,
    /// Absent for one that computes as fast as the machine does.
    pub(super) quota: Option<Mutex<Quota>>,
}

/// What one step of a call brought.
pub(super) struct Step {
    pub(super) event: Event,
    pub(super) used: Used,
}

/// What a call has used, as of one step.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Used {
    /// CPU time of this step alone.
    pub(super) cpu: Duration,
    pub(super) memory_bytes: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) log_bytes: u64,
}

pub(super) enum Event {
    /// The call waits, and has written nothing since the last step.
    Waiting,
    /// The call waits, and has written this. The head comes once.
    Output { head: Option<ResponseHead>, body: Bytes },
    /// The call has ended, and wrote this last. The guest is ready for others.
    Done { head: Option<ResponseHead>, body: Bytes },
    /// The call must end. The guest lives, and holds the call still or has let go of it.
    Refused { error: InvocationError, is_held: bool },
    /// The guest is gone.
    Lost(InvocationError),
}

impl WasmInstance {
    pub(super) fn new(function: Arc<Function>, guest: Guest) -> Self {
        let quota = function.spec.cpu_share.map(|share| Mutex::new(Quota::new(share)));
        let turn = (function.spec.instance_concurrency > 1).then(|| Arc::new(Semaphore::new(1)));
        let memory_bytes = AtomicU64::new(guest.memory_bytes());
        WasmInstance {
            function,
            turn,
            quota,
            memory_bytes,
            guest: Mutex::new(Some(guest)),
            contenders: Mutex::default(),
            is_contended: AtomicBool::new(false),
        }
    }

    /// The most memory that the guest has had, what the poll that runs has made of it left out.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes.load(Ordering::Relaxed)
    }

    /// Runs `f` with the guest, unless another call of this instance is running: then `waker` is woken when it
    /// no longer is.
    pub(super) fn try_with<R>(&self, waker: &Waker, f: impl FnOnce(&mut Option<Guest>) -> R) -> Poll<R> {
        let mut guest = match self.guest.try_lock() {
            Some(guest) => guest,
            None => {
                self.contenders.lock().push(waker.clone());
                self.is_contended.store(true, Ordering::SeqCst);
                // it may have become free before the waker was in its place
                let Some(guest) = self.guest.try_lock() else { return Poll::Pending };
                guest
            }
        };
        let result = f(&mut guest);
        drop(guest);
        self.wake_contenders();
        Poll::Ready(result)
    }

    /// Waits for the turn to use the guest on a thread that may wait for it, and has it until that is dropped. Others of the
    /// instance wait here, for no thread.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        match &self.turn {
            // it is never closed
            Some(turn) => turn.clone().acquire_owned().await.ok(),
            None => None,
        }
    }

    /// The same as [`Self::try_with`] from a thread that may wait, for whoever has the turn.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Option<Guest>) -> R) -> R {
        let result = f(&mut self.guest.lock());
        self.wake_contenders();
        result
    }

    fn wake_contenders(&self) {
        if self.is_contended.swap(false, Ordering::SeqCst) {
            for waker in std::mem::take(&mut *self.contenders.lock()) {
                waker.wake();
            }
        }
    }

    /// Gives the guest a call, and the call its number.
    pub(super) fn begin(
        &self,
        guest: &mut Option<Guest>,
        call: PendingCall,
    ) -> Result<Ticket, InvocationError> {
        let guest = guest.as_mut().ok_or_else(lost)?;
        let spec = &self.function.spec;
        let (parts, body) = call.request.into_parts();
        let mut head = Vec::with_capacity(256);
        HeadRef {
            function: &spec.name,
            request_id: &call.id,
            deadline_unix_ms: call.deadline.unix_millis(),
            memory_mib: spec.memory_mib,
            generation: spec.generation,
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
        }
        .encode(&mut head);
        Ok(guest.calls().insert(Call::new(call.id, head, body, self.function.limits)))
    }

    /// Polls the call once and looks at what came of it. One that has ended meanwhile, because who drove it was dropped after it
    /// had asked for this, is not polled: its number may be another's.
    pub(super) fn step(
        &self,
        guest: &mut Option<Guest>,
        ticket: Ticket,
        waker: &Waker,
        bounds: Bounds,
    ) -> Step {
        let Some(live) = guest.as_mut().and_then(|live| live.calls().holds(ticket).then_some(live)) else {
            return Step { event: Event::Lost(lost()), used: Used::default() };
        };
        let number = ticket.number;
        let stopwatch = Stopwatch::start(self.function.runtime.pace);
        let polled = live.poll(number, waker, bounds, &self.function.runtime.watchdog);
        let mut used =
            Used { cpu: stopwatch.elapsed(), memory_bytes: live.memory_bytes(), ..Used::default() };
        let calls = live.calls();
        if let Some(call) = calls.get(number) {
            (used.bytes_in, used.bytes_out) = (call.bytes_read(), call.reply.bytes_written);
            used.log_bytes = call.log_budget.written();
        }
        self.memory_bytes.store(used.memory_bytes, Ordering::Relaxed);
        let event = match polled {
            Err(error) => {
                calls.wake_all();
                self.lose(guest);
                Event::Lost(error)
            }
            Ok(polled) => {
                let event = look(calls, number, polled);
                if matches!(event, Event::Done { .. }) {
                    live.end_logs();
                }
                event
            }
        };
        Step { event, used }
    }

    /// Lets the guest forget a call, if that has not ended by now. False when it cost the guest its life.
    pub(super) fn cancel(&self, ticket: Ticket) -> bool {
        let runtime = &self.function.runtime;
        self.with(|guest| {
            let Some(live) = guest else { return false };
            if !live.calls().holds(ticket) {
                return true;
            }
            let survived = live.cancel(ticket.number, &runtime.watchdog, &runtime.clock).is_ok();
            live.end_logs();
            if !survived {
                live.calls().wake_all();
                self.lose(guest);
            }
            survived
        })
    }

    fn lose(&self, guest: &mut Option<Guest>) {
        if let Some(lost) = guest.take() {
            self.function.take_back(lost, true);
        }
    }
}

/// Whoever holds the last reference gives the guest back: to start again as new, or to be gone.
impl Drop for WasmInstance {
    fn drop(&mut self) {
        if let Some(guest) = self.guest.get_mut().take() {
            self.function.take_back(guest, false);
        }
    }
}

fn look(calls: &mut super::calls::Calls, number: u32, polled: Polled) -> Event {
    let can_continue = calls.can_continue(number);
    let Some(call) = calls.get(number) else { return Event::Lost(lost()) };
    if let Some(error) = call.failure.take() {
        let is_held = polled == Polled::Pending;
        if !is_held {
            calls.remove(number);
        }
        return Event::Refused { error, is_held };
    }
    let has_news = call.reply.head.is_some() || call.reply.has_body();
    let output = |call: &mut Call| (call.reply.head.take(), call.reply.take_body());
    match polled {
        Polled::Done => {
            let (head, body) = output(call);
            calls.remove(number);
            Event::Done { head, body }
        }
        Polled::Pending if has_news => {
            let (head, body) = output(call);
            Event::Output { head, body }
        }
        Polled::Pending if can_continue => Event::Waiting,
        Polled::Pending => Event::Refused {
            error: InvocationError::new(
                ErrorKind::NoReply,
                "the function waits for what cannot happen: no timer, body or operation of it is under way",
            ),
            is_held: true,
        },
    }
}

fn lost() -> InvocationError {
    InvocationError::new(
        ErrorKind::InstanceLost,
        "another invocation failed in the instance that served this one too (its function has concurrency > 1)",
    )
}

/// A call before it has a number.
pub(super) struct PendingCall {
    pub(super) id: Arc<str>,
    pub(super) request: http::Request<crate::invocation::RequestBody>,
    pub(super) deadline: Time,
}

impl crate::sandbox::Instance for WasmInstance {
    fn invoke(
        self: Arc<Self>,
        invocation: Invocation,
        lease: Lease,
    ) -> BoxFuture<'static, Result<Reply, Failure>> {
        Box::pin(drive::invoke(self, invocation, lease))
    }
}

impl fmt::Debug for WasmInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmInstance").field("function", &self.function.spec.name).finish_non_exhaustive()
    }
}
