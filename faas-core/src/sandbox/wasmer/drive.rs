//! Drives one call from its beginning to its end: polls the guest when there is reason to, passes on what it
//! writes, stops it at its deadline, and gives everything back however it ends.
//!
//! The future of [`invoke`] is polled by whoever serves the request, and the guest is polled inside it: a quick
//! function costs no task and no channel. Only a reply that is still being written when its head is ready gets a
//! task of its own, so that a reader that is slow, or stops reading, cannot outstay the deadline.

mod ending;

use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};

use super::{
    calls::Ticket,
    cpu::Timed,
    fault,
    instance::{Event, PendingCall, Step, Used, WasmInstance},
    watchdog::{Bounds, Overdue},
};
use crate::{
    abi::envelope::ResponseHead,
    clock::{BoxFuture, Time, within, within_kept},
    invocation::{End, ErrorKind, Failure, Invocation, InvocationError, Piece, Reply, ReplyBody, Tally},
    pool::Lease,
};

/// A guest that is stopped at its deadline has ended by then, if a core is free for it. When none is, its client is answered
/// without it.
const STOPPING: Duration = Duration::from_micros(500);

/// Chunks on their way to a slow reader, beside what the guest's own buffer holds.
const CHUNKS_IN_FLIGHT: usize = 4;

/// Begins at once, and is no `async fn`: its future would hold the arguments beside the driver that is made of them, and it is
/// moved for each invocation.
pub(super) fn invoke(
    instance: Arc<WasmInstance>,
    invocation: Invocation,
    lease: Lease,
) -> impl Future<Output = Result<Reply, Failure>> {
    let Invocation { request, tally, .. } = invocation;
    let mut driver = Driver::new(instance, tally, lease);
    async move {
        if let Err(error) = driver.begin(request).await {
            return Err(driver.fail(error));
        }
        match driver.next_output().await {
            Err(error) => Err(driver.fail(error)),
            Ok(Output { head: None, .. }) => {
                Err(driver
                    .fail(InvocationError::new(ErrorKind::NoReply, "the function ended without a reply")))
            }
            Ok(Output { head: Some(head), body, is_last: true }) => {
                let record = driver.replied(&head);
                Ok(Reply { response: response(head, ReplyBody::Whole(body)), record })
            }
            Ok(Output { head: Some(head), body, is_last: false }) => {
                let record = Box::new(driver.tally().record().clone());
                let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
                let end = End::Replied { status: head.status, is_fault: head.is_fault };
                let handle = driver.instance.function.runtime.handle.clone();
                handle.spawn(stream(driver, body, end, sender));
                Ok(Reply { response: response(head, ReplyBody::Stream(receiver)), record })
            }
        }
    }
}

/// Passes on the rest of a reply. When the reader goes, the call is cancelled by the driver's drop.
async fn stream(mut driver: Driver, first: Bytes, end: End, pieces: mpsc::Sender<Piece>) {
    let mut next = Ok(Output { head: None, body: first, is_last: false });
    loop {
        let (body, is_last) = match next {
            Ok(Output { body, is_last, .. }) => (body, is_last),
            Err(error) => {
                let failure = driver.fail(error);
                // a reader that has gone misses nothing
                let _ = pieces.send(Piece::End(Box::new(failure.record().clone()))).await;
                return;
            }
        };
        if !body.is_empty() {
            let sent = driver.before_deadline(pieces.send(Piece::Chunk(body))).await;
            match sent {
                Ok(Ok(())) => {}
                Ok(Err(_gone)) => return,
                Err(error) => {
                    next = Err(error);
                    continue;
                }
            }
        }
        if is_last {
            let record = driver.finish(end);
            let _ = pieces.send(Piece::End(record)).await;
            return;
        }
        next = tokio::select! {
            biased;
            () = pieces.closed() => return,
            output = driver.next_output() => output,
        };
    }
}

fn response(head: ResponseHead, body: ReplyBody) -> http::Response<ReplyBody> {
    let mut response = http::Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

/// What the guest has written.
struct Output {
    head: Option<ResponseHead>,
    body: Bytes,
    is_last: bool,
}

/// What a guest's operations and bodies wake. It keeps a wake that comes while the guest is still being polled on
/// another thread, when the task itself would wake for nothing and then wait for ever.
struct Wakeup(Notify);

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify_one();
    }
}

struct Driver {
    instance: Arc<WasmInstance>,
    /// The call's, while the guest holds it.
    call: Option<Ticket>,
    began: Time,
    deadline: Time,
    used: Used,
    cpu: Duration,
    /// Of that, what it has used since it last had to wait for something.
    unbroken: Duration,
    /// For how long it has stood still because its share of a CPU was used up,
    throttled: Duration,
    /// since when it does so now,
    pausing: Option<Time>,
    /// and how much of that was not waited for, but is in the wall time all the same.
    skipped: Duration,
    /// What this machine took longer, where that is not counted.
    excess: Duration,
    wakeup: Arc<Wakeup>,
    /// The poll that runs on a thread that may be held.
    running: Option<JoinHandle<Step>>,
    /// Made when the call first waits: most never do.
    timer: Option<BoxFuture<'static, ()>>,
    /// Whether the instance may serve others after this call.
    is_healthy: bool,
    // both are taken when the call ends
    tally: Option<Tally>,
    lease: Option<Lease>,
}

impl Driver {
    fn new(instance: Arc<WasmInstance>, tally: Tally, lease: Lease) -> Self {
        let began = instance.function.runtime.clock.now();
        let deadline = began + instance.function.spec.timeout;
        Driver {
            instance,
            call: None,
            began,
            deadline,
            used: Used::default(),
            cpu: Duration::ZERO,
            unbroken: Duration::ZERO,
            throttled: Duration::ZERO,
            pausing: None,
            skipped: Duration::ZERO,
            excess: Duration::ZERO,
            wakeup: Arc::new(Wakeup(Notify::new())),
            running: None,
            timer: None,
            is_healthy: true,
            tally: Some(tally),
            lease: Some(lease),
        }
    }

    fn tally(&self) -> &Tally {
        self.tally.as_ref().expect("taken only when the call ends, which takes the driver")
    }

    async fn begin(
        &mut self,
        request: http::Request<crate::invocation::RequestBody>,
    ) -> Result<(), InvocationError> {
        if let Some(quota) = &self.instance.quota {
            quota.lock().begin();
        }
        let id = self.tally().record().id.clone();
        let mut call = Some(PendingCall { id, request, deadline: self.deadline });
        let instance = self.instance.clone();
        let begun = poll_fn(|cx| {
            instance.try_with(cx.waker(), |guest| {
                let call = call.take().expect("try_with runs its closure once, when it is ready");
                instance.begin(guest, call)
            })
        });
        let ticket = self.before_deadline(begun).await??;
        self.call = Some(ticket);
        Ok(())
    }

    /// Polls the guest until it has written something, or has ended.
    async fn next_output(&mut self) -> Result<Output, InvocationError> {
        loop {
            let clock = &self.instance.function.runtime.clock;
            let began = self.instance.quota.as_ref().map(|_| clock.now());
            let Step { event, used } = self.step().await?;
            self.use_up(used);
            let paced = match began {
                None => Ok(()),
                // boxed, so that calls that are not held to a share are no larger for it
                Some(began) => Box::pin(self.pace(began, used.cpu)).await,
            };
            self.let_go(&event);
            match event {
                Event::Waiting => {
                    paced?;
                    self.woken_or_overdue().await?;
                }
                Event::Output { head, body } => {
                    paced?;
                    return Ok(Output { head, body, is_last: false });
                }
                Event::Done { head, body } => {
                    paced?;
                    return Ok(Output { head, body, is_last: true });
                }
                Event::Refused { error, .. } | Event::Lost(error) => return Err(error),
            }
        }
    }

    /// Keeps of call and lease what the guest holds after this.
    fn let_go(&mut self, event: &Event) {
        match event {
            Event::Waiting | Event::Output { .. } | Event::Refused { is_held: true, .. } => {}
            Event::Done { .. } | Event::Refused { is_held: false, .. } => self.call = None,
            // the lease goes down with the guest
            Event::Lost(_) => (self.call, self.lease) = (None, None),
        }
    }

    fn use_up(&mut self, used: Used) {
        self.cpu += used.cpu;
        self.unbroken += used.cpu;
        self.instance.function.habit.observe(self.unbroken);
        // none of these goes down, but a step that found the guest gone knows of none
        self.used = Used {
            cpu: used.cpu,
            memory_bytes: used.memory_bytes.max(self.used.memory_bytes),
            bytes_in: used.bytes_in.max(self.used.bytes_in),
            bytes_out: used.bytes_out.max(self.used.bytes_out),
            log_bytes: used.log_bytes.max(self.used.log_bytes),
        };
    }

    /// Stands still for as long as the instance's share of a CPU asks for after it has computed for so long, from `began` on.
    async fn pace(&mut self, began: Time, cpu: Duration) -> Result<(), InvocationError> {
        let instance = self.instance.clone();
        let Some(quota) = &instance.quota else { return Ok(()) };
        let clock = &instance.function.runtime.clock;
        let now = clock.now();
        let pause = quota.lock().spend(began, now, cpu);
        if !self.is_computed() {
            if pause.by.is_zero() {
                return Ok(());
            }
            self.pausing = Some(now);
            let paused = self.before_deadline(clock.sleep_until(now + pause.by)).await;
            self.pausing = None;
            self.throttled += clock.now().since(now);
            return paused;
        }
        let deadline = self.deadline + pause.excess;
        // who goes on beyond it is stopped at it
        let (left, late) = (deadline.since(now), now.since(deadline));
        let skipped = pause.by.min(left);
        self.throttled += pause.throttled.min(left);
        self.skipped += skipped;
        self.excess += pause.excess + late;
        // the time that is left is the provider's
        self.deadline = now + (left - skipped);
        self.timer = None;
        if pause.by > left || !late.is_zero() { Err(self.overdue()) } else { Ok(()) }
    }

    fn overdue(&self) -> InvocationError {
        let (kind, message) = fault::overdue(Overdue::Wall, &self.instance.function.spec);
        InvocationError::new(kind, message)
    }

    /// One poll of the guest: inline if its function is known to be quick, else on a thread that may be held.
    async fn step(&mut self) -> Result<Step, InvocationError> {
        let Some(ticket) = self.call else { return Err(platform("a call was polled after its end")) };
        let function = self.instance.function.clone();
        let waker = Waker::from(self.wakeup.clone());
        if function.habit.is_trusted() {
            let bounds = self.bounds();
            let inline = poll_fn(|cx| match function.runtime.inline.take_soon() {
                None => Poll::Ready(None),
                Some(_slot) => self
                    .instance
                    .try_with(cx.waker(), |guest| self.instance.step(guest, ticket, &waker, bounds))
                    .map(Some),
            });
            if let Some(step) = inline.await {
                return Ok(step);
            }
        }
        // boxed, so that calls that run inline are no larger for it
        Box::pin(self.step_apart(ticket, waker)).await
    }

    async fn step_apart(&mut self, ticket: Ticket, waker: Waker) -> Result<Step, InvocationError> {
        let is_computed = self.is_computed();
        let (instance, timed) = (self.instance.clone(), Arc::<Timed>::default());
        let function = instance.function.clone();
        let its_turn = async {
            let turn = instance.turn().await;
            (turn, function.places.take().await)
        };
        let (turn, place) = if is_computed { its_turn.await } else { self.before_deadline(its_turn).await? };
        let (bounds, timing) = (self.bounds(), timed.clone());
        let step = move || {
            let _turn = turn;
            timing.begin();
            instance.with(|guest| instance.step(guest, ticket, &waker, bounds))
        };
        let running = self.running.insert(function.runtime.compute.spawn(place, step));
        let ended = if is_computed {
            Some((&mut *running).await)
        } else {
            within(&*function.runtime.clock, self.deadline + STOPPING, &mut *running).await
        };
        let running = self.running.take();
        match ended {
            Some(ended) => ended.map_err(|_| platform("the host failed while it ran the function")),
            // it goes on until the watchdog gets hold of it, and whoever takes the call back waits for that
            None => {
                if let Some(running) = running {
                    running.abort(); // in case that it has not begun
                }
                let (cpu, memory_bytes) = (timed.elapsed(), self.instance.memory_bytes());
                let used = Used { cpu, memory_bytes, ..self.used };
                Ok(Step { event: Event::Refused { error: self.overdue(), is_held: true }, used })
            }
        }
    }

    /// Whether its share of a CPU is computed and not waited for: then what this machine takes longer counts nowhere.
    fn is_computed(&self) -> bool {
        self.instance.function.spec.cpu_share.is_some_and(|share| share.is_computed)
    }

    fn bounds(&self) -> Bounds {
        let function = &self.instance.function;
        let cpu_left = function.spec.cpu_limit.map(|limit| (limit.saturating_sub(self.cpu), Overdue::Cpu));
        let bounds = Bounds { deadline: self.deadline, cpu_left };
        if self.is_computed() { bounds.in_cpu_time(function.runtime.clock.now()) } else { bounds }
    }

    /// Waits until something that the call waits for has happened. That may have been before now, and the guest may have done it
    /// itself, again and again: then others have their turn first.
    async fn woken_or_overdue(&mut self) -> Result<(), InvocationError> {
        let wakeup = self.wakeup.clone();
        let mut has_waited = false;
        let mut notified = pin!(wakeup.0.notified());
        let woken = poll_fn(|cx| {
            let woken = notified.as_mut().poll(cx);
            has_waited |= woken.is_pending();
            woken
        });
        self.before_deadline(woken).await?;
        if has_waited {
            self.unbroken = Duration::ZERO;
        } else {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn before_deadline<T>(&mut self, future: impl Future<Output = T>) -> Result<T, InvocationError> {
        let clock = &self.instance.function.runtime.clock;
        let done = within_kept(&**clock, self.deadline, &mut self.timer, future).await;
        done.ok_or_else(|| self.overdue())
    }
}

fn platform(message: &str) -> InvocationError {
    InvocationError::new(ErrorKind::Platform, message)
}
