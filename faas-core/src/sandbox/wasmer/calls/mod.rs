//! The host's side of the calls of one instance: what the imports read and write.
//!
//! Plain data behind plain methods. It knows neither wasm nor threads: the imports translate pointers to slices,
//! and [`super::drive`] decides when a call is polled. Whatever a guest asks for, in whatever order, an answer of
//! [`status`] comes back, and what is kept for it is bounded.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use http_body::Body as _;

use super::lines::Budget;
use crate::{
    abi::{envelope::ResponseHead, op, status},
    clock::{BoxFuture, SharedClock},
    invocation::{ErrorKind, InvocationError, RequestBody},
};

/// The most reply body kept for a reader that is slower than the guest.
pub(super) const REPLY_BUFFER_BYTES: usize = 256 << 10;
/// The largest reply head.
pub(super) const MAX_HEAD_BYTES: usize = 256 << 10;
/// The most operations that one call may have open.
pub(super) const MAX_OPS: usize = 256;

/// What bounds one call's bodies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_request_bytes: u64,
    pub(super) max_reply_bytes: u64,
}

/// Names a call for good: its number is given to others when it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) number: u32,
    serial: u64,
}

/// One call.
pub(super) struct Call {
    pub(super) id: Arc<str>,
    pub(super) head: Vec<u8>,
    limits: Limits,
    request: RequestSide,
    pub(super) reply: ReplySide,
    /// Why the call has to end, found by an import; the first reason stays.
    pub(super) failure: Option<InvocationError>,
    /// Whether the guest asked to be polled again.
    woken: bool,
    /// Whoever drives this call; told when something it waits for has happened.
    waker: Waker,
    pub(super) log_budget: Budget,
    open_ops: usize,
    /// Which of all the instance's calls it is.
    serial: u64,
}

struct RequestSide {
    body: Option<RequestBody>,
    chunk: Bytes,
    bytes_read: u64,
    is_waiting: bool,
}

/// What the guest has said so far.
#[derive(Default)]
pub(super) struct ReplySide {
    /// Taken once by whoever passes it on.
    pub(super) head: Option<ResponseHead>,
    has_begun: bool,
    chunks: Vec<Bytes>,
    buffered: usize,
    pub(super) bytes_written: u64,
    is_waiting: bool,
}

impl ReplySide {
    /// Takes what has been written since the last time, in one piece.
    pub(super) fn take_body(&mut self) -> Bytes {
        self.buffered = 0;
        if self.chunks.len() == 1 {
            return self.chunks.pop().unwrap_or_default();
        }
        let whole = self.chunks.concat();
        self.chunks.clear();
        whole.into()
    }

    /// Whether there is anything to take.
    pub(super) fn has_body(&self) -> bool {
        self.buffered > 0
    }
}

impl Call {
    pub(super) fn new(id: Arc<str>, head: Vec<u8>, body: RequestBody, limits: Limits) -> Self {
        Call {
            id,
            head,
            limits,
            request: RequestSide { body: Some(body), chunk: Bytes::new(), bytes_read: 0, is_waiting: false },
            reply: ReplySide::default(),
            failure: None,
            woken: false,
            waker: Waker::noop().clone(),
            log_budget: Budget::default(),
            open_ops: 0,
            serial: 0,
        }
    }

    /// Request body bytes that the guest has read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.request.bytes_read
    }

    fn fail(&mut self, kind: ErrorKind, message: String) {
        if self.failure.is_none() {
            self.failure = Some(InvocationError::new(kind, message));
        }
    }

    /// The next bytes of the request's body, at most `cap` of them, given to `copy`.
    pub(super) fn body_read<E>(
        &mut self,
        cap: usize,
        copy: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<i32, E> {
        if cap == 0 {
            // a zero would read as the end
            return Ok(status::INVALID);
        }
        while self.request.chunk.is_empty() {
            let Some(body) = &mut self.request.body else { return Ok(0) };
            match Pin::new(body).poll_frame(&mut Context::from_waker(&self.waker)) {
                Poll::Pending => {
                    self.request.is_waiting = true;
                    return Ok(status::PENDING);
                }
                Poll::Ready(None) => self.request.body = None,
                Poll::Ready(Some(Ok(frame))) => {
                    // trailers are not part of this ABI
                    self.request.chunk = frame.into_data().unwrap_or_default();
                }
                Poll::Ready(Some(Err(error))) => {
                    self.request.body = None;
                    let kind = request_error_kind(&*error);
                    self.fail(kind, format!("the request's body broke off: {error}"));
                    return Ok(status::CLOSED);
                }
            }
            let arrived = self.request.bytes_read + self.request.chunk.len() as u64;
            if arrived > self.limits.max_request_bytes {
                self.request.body = None;
                self.request.chunk = Bytes::new();
                let limit = self.limits.max_request_bytes;
                self.fail(
                    ErrorKind::RequestTooLarge,
                    format!("the request's body is larger than the {limit} bytes that are allowed"),
                );
                return Ok(status::CLOSED);
            }
        }
        let len = cap.min(self.request.chunk.len()).min(i32::MAX as usize);
        copy(&self.request.chunk[..len])?;
        self.request.chunk.advance(len);
        self.request.bytes_read += len as u64;
        Ok(len as i32)
    }

    /// Takes the reply's head.
    pub(super) fn response_head(&mut self, bytes: &Bytes) -> i32 {
        if self.reply.has_begun {
            return status::INVALID;
        }
        let head = match ResponseHead::decode(bytes) {
            Ok(head) => head,
            Err(why) => {
                self.fail(ErrorKind::BadReply, format!("the function's reply head is malformed: {why}"));
                return status::INVALID;
            }
        };
        let announced = head.headers.get(http::header::CONTENT_LENGTH);
        if let Some(len) = announced.and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok())
            && len > self.limits.max_reply_bytes
        {
            self.reply_too_large(len);
            return status::LIMIT;
        }
        self.reply.has_begun = true;
        self.reply.head = Some(head);
        0
    }

    fn reply_too_large(&mut self, len: u64) {
        let limit = self.limits.max_reply_bytes;
        self.fail(
            ErrorKind::ReplyTooLarge,
            format!(
                "the function's reply has at least {len} bytes, {limit} are allowed: send less, in pages, or put it \
                 into storage and reply with its address"
            ),
        );
    }

    /// How many of `len` bytes of reply body may be written now; a negative status when none.
    pub(super) fn body_room(&mut self, len: usize) -> Result<usize, i32> {
        if self.failure.is_some() {
            return Err(status::CLOSED);
        }
        if !self.reply.has_begun {
            return Err(status::INVALID);
        }
        let total = self.reply.bytes_written + len as u64;
        if total > self.limits.max_reply_bytes {
            self.reply_too_large(total);
            return Err(status::LIMIT);
        }
        let room = REPLY_BUFFER_BYTES - self.reply.buffered;
        if room == 0 && len > 0 {
            self.reply.is_waiting = true;
            return Err(status::PENDING);
        }
        Ok(len.min(room))
    }

    /// Keeps reply body for which [`Call::body_room`] found room.
    pub(super) fn body_write(&mut self, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        self.reply.buffered += bytes.len();
        self.reply.bytes_written += bytes.len() as u64;
        self.reply.chunks.push(bytes.into());
    }
}

/// A body that a length limit cut off is too large; any other trouble is the client's connection.
fn request_error_kind(error: &(dyn std::error::Error + 'static)) -> ErrorKind {
    if error.is::<http_body_util::LengthLimitError>() {
        ErrorKind::RequestTooLarge
    } else {
        ErrorKind::ClientGone
    }
}

type OpResult = Result<Vec<u8>, String>;

struct Op {
    call: u32,
    state: OpState,
}

enum OpState {
    Running(BoxFuture<'static, OpResult>),
    Done(OpResult),
}

/// All calls of an instance, and their operations.
pub(super) struct Calls {
    // a call's number is its place here
    slots: Vec<Option<Box<Call>>>,
    ops: HashMap<u32, Op>,
    next_handle: u32,
    next_serial: u64,
    clock: SharedClock,
}

impl Calls {
    pub(super) fn new(clock: SharedClock) -> Self {
        Calls { slots: Vec::new(), ops: HashMap::new(), next_handle: 1, next_serial: 0, clock }
    }

    /// As if there had been none yet, but for who still holds a ticket. There must be none left.
    pub(super) fn renew(&mut self) {
        self.slots.fill_with(|| None);
        self.ops.clear();
        self.next_handle = 1;
    }

    /// Gives a call its number.
    pub(super) fn insert(&mut self, mut call: Call) -> Ticket {
        let serial = self.next_serial;
        self.next_serial += 1;
        call.serial = serial;
        let free = self.slots.iter().position(Option::is_none);
        let slot = free.unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(Box::new(call));
        Ticket { number: slot as u32, serial }
    }

    /// Whether the call is still there, and its number its own.
    pub(super) fn holds(&mut self, ticket: Ticket) -> bool {
        self.get(ticket.number).is_some_and(|call| call.serial == ticket.serial)
    }

    /// Forgets a call and its operations.
    pub(super) fn remove(&mut self, number: u32) -> Option<Box<Call>> {
        let call = self.slots.get_mut(number as usize)?.take()?;
        if call.open_ops > 0 {
            self.ops.retain(|_, op| op.call != number);
        }
        Some(call)
    }

    pub(super) fn get(&mut self, number: u32) -> Option<&mut Call> {
        self.slots.get_mut(number as usize)?.as_deref_mut()
    }

    /// How many calls there are.
    pub(super) fn len(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// Wakes whoever drives any of them: the guest is lost, and nothing they wait for will happen.
    pub(super) fn wake_all(&self) {
        self.slots.iter().flatten().for_each(|call| call.waker.wake_by_ref());
    }

    /// Before a poll of `number`, on behalf of `waker`.
    pub(super) fn begin_poll(&mut self, number: u32, waker: &Waker) {
        if let Some(call) = self.get(number) {
            call.woken = false;
            call.request.is_waiting = false;
            call.reply.is_waiting = false;
            if !call.waker.will_wake(waker) {
                call.waker = waker.clone();
            }
        }
    }

    /// Whether the guest has asked for another poll of `number` since the last one began.
    pub(super) fn is_woken(&mut self, number: u32) -> bool {
        self.get(number).is_some_and(|call| call.woken)
    }

    /// Whether anything that `number` waits for can still happen. Another call of the instance may always wake it.
    pub(super) fn can_continue(&mut self, number: u32) -> bool {
        let others = self.len() > 1;
        let Some(call) = self.get(number) else { return false };
        others || call.woken || call.request.is_waiting || call.reply.is_waiting || call.open_ops > 0
    }

    /// Import `wake`.
    pub(super) fn wake(&mut self, number: u32, polled: Option<u32>) {
        if let Some(call) = self.get(number) {
            call.woken = true;
            if polled != Some(number) {
                call.waker.wake_by_ref();
            }
        }
    }

    /// Import `op_begin`.
    pub(super) fn op_begin(&mut self, number: u32, kind: u32, input: &[u8]) -> i32 {
        let clock = self.clock.clone();
        let Some(call) = self.get(number) else { return status::INVALID };
        if call.open_ops >= MAX_OPS {
            return status::LIMIT;
        }
        let future: BoxFuture<'static, OpResult> = match (kind, <[u8; 8]>::try_from(input)) {
            (op::SLEEP, Ok(nanos)) => {
                let sleep = clock.sleep_until(clock.now() + Duration::from_nanos(u64::from_le_bytes(nanos)));
                Box::pin(async move {
                    sleep.await;
                    Ok(Vec::new())
                })
            }
            _ => return status::INVALID,
        };
        call.open_ops += 1;
        let handle = self.free_handle();
        self.ops.insert(handle, Op { call: number, state: OpState::Running(future) });
        handle as i32
    }

    // numbers are not used again until they wrap around, so that a stale handle is noticed
    fn free_handle(&mut self) -> u32 {
        loop {
            let handle = self.next_handle;
            self.next_handle = if handle >= i32::MAX as u32 { 1 } else { handle + 1 };
            if !self.ops.contains_key(&handle) {
                return handle;
            }
        }
    }

    /// Import `op_take`: copies the result when it fits, and says how long it is.
    pub(super) fn op_take<E>(
        &mut self,
        handle: u32,
        cap: usize,
        copy: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<i32, E> {
        let Some(op) = self.ops.get_mut(&handle) else { return Ok(status::INVALID) };
        if let OpState::Running(future) = &mut op.state {
            let owner = self.slots.get(op.call as usize).and_then(Option::as_ref);
            let waker = owner.map_or(Waker::noop(), |call| &call.waker);
            match future.as_mut().poll(&mut Context::from_waker(waker)) {
                Poll::Pending => return Ok(status::PENDING),
                Poll::Ready(result) => op.state = OpState::Done(result),
            }
        }
        let OpState::Done(result) = &mut op.state else { return Ok(status::PENDING) };
        match result {
            Ok(bytes) => {
                if bytes.len() <= cap {
                    copy(bytes)?;
                }
                Ok(i32::try_from(bytes.len()).unwrap_or(status::LIMIT))
            }
            Err(reason) => {
                // told once that it failed, the guest may take the reason
                let reason = std::mem::take(reason).into_bytes();
                op.state = OpState::Done(Ok(reason));
                Ok(status::FAILED)
            }
        }
    }

    /// Import `op_close`.
    pub(super) fn op_close(&mut self, handle: u32) {
        if let Some(op) = self.ops.remove(&handle)
            && let Some(call) = self.get(op.call)
        {
            call.open_ops -= 1;
        }
    }
}

#[cfg(test)]
mod tests;
