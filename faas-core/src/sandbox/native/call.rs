//! One call of a native function, from its request to the end of its reply's body.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use tokio::sync::mpsc;

use super::{
    NativeBody, NativeInstance,
    body::{Gauge, Gauged},
};
use crate::{
    clock::{SharedClock, Time, within},
    error::IsFault,
    invocation::{
        End, ErrorKind, Failure, FunctionSpec, Invocation, InvocationError, Piece, Record, Reply, ReplyBody,
        Tally,
    },
    native::{Timer, with_timer},
    pool::Lease,
};

/// A body that is ready at once and no larger than this is handed on whole.
const WHOLE_BYTES: u64 = 64 << 10;
/// Chunks between the function and a client that reads slowly.
const CHUNKS_AHEAD: usize = 8;

pub(super) async fn run(
    instance: Arc<NativeInstance>,
    invocation: Invocation,
    lease: Lease,
) -> Result<Reply, Failure> {
    let Invocation { request, tally, .. } = invocation;
    let mut call = Call::begin(&instance, tally, lease);
    let (spec, gauge) = (instance.spec.clone(), call.gauge.clone());

    if request.body().size_hint().lower() > spec.max_request_bytes {
        return Err(call.fail(request_too_large(&spec)));
    }
    let request = request
        .map(|body| Gauged { body, gauge: gauge.clone(), limit: spec.max_request_bytes }.boxed_unsync());
    let timer = call.timer.clone();
    let handler = catch_panic(&timer, async move {
        let reply = (instance.service.lock())(request);
        reply.await
    });
    let outcome = within(&*call.clock, call.deadline, handler).await;
    let response = match outcome {
        _ if gauge.is_over() => return Err(call.fail(request_too_large(&spec))),
        None => return Err(call.fail(timed_out(&spec))),
        Some(Err(panic)) => return Err(call.panicked(&panic)),
        Some(Ok(Err(error))) => {
            let message = format!("function `{}` failed without a reply: {error}", spec.name);
            return Err(call.fail(InvocationError::new(ErrorKind::NoReply, message)));
        }
        Some(Ok(Ok(response))) if response.status().is_informational() => {
            let status = response.status().as_u16();
            let message =
                format!("function `{}` replied {status}, which is no reply yet: 200 to 999 are", spec.name);
            return Err(call.fail(InvocationError::new(ErrorKind::BadReply, message)));
        }
        Some(Ok(Ok(response))) => response,
    };

    let (head, body) = response.into_parts();
    let mut chunks = Vec::new();
    let mut body = ReplyReader { body, spec };
    let is_whole = poll_fn(|cx| {
        loop {
            match body.poll_chunk(cx, &mut call) {
                Poll::Ready(Some(Ok(chunk))) => chunks.push(chunk),
                Poll::Ready(Some(Err(stop))) => return Poll::Ready(Err(stop)),
                Poll::Ready(None) => return Poll::Ready(Ok(true)),
                Poll::Pending => return Poll::Ready(Ok(false)),
            }
            if call.bytes_out > WHOLE_BYTES {
                return Poll::Ready(Ok(false));
            }
        }
    });
    let is_fault = head.extensions.get::<IsFault>().is_some();
    let end = End::Replied { status: head.status, is_fault };
    match is_whole.await {
        Err(Stop::Failed(error)) => Err(call.fail(error)),
        Err(Stop::Panicked(panic)) => Err(call.panicked(&panic)),
        Ok(true) => {
            let body = ReplyBody::Whole(concat(chunks));
            Ok(Reply { response: http::Response::from_parts(head, body), record: call.finish(end) })
        }
        Ok(false) => {
            let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
            let record = Box::new(call.record());
            tokio::spawn(pump(call, body, chunks, sender, end));
            let body = ReplyBody::Stream(receiver);
            Ok(Reply { response: http::Response::from_parts(head, body), record })
        }
    }
}

/// Carries a body to the client while the function still makes it.
async fn pump(
    mut call: Call,
    mut body: ReplyReader,
    chunks: Vec<Bytes>,
    client: mpsc::Sender<Piece>,
    end: End,
) {
    let (clock, deadline, spec) = (call.clock.clone(), call.deadline, body.spec.clone());
    let stream = async {
        for chunk in chunks {
            client.send(Piece::Chunk(chunk)).await.map_err(|_| None)?;
        }
        let mut gone = pin!(client.closed());
        loop {
            let chunk = poll_fn(|cx| match gone.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Some(Err(None))),
                Poll::Pending => body.poll_chunk(cx, &mut call).map(|chunk| chunk.map(|c| c.map_err(Some))),
            });
            match chunk.await {
                Some(chunk) => client.send(Piece::Chunk(chunk?)).await.map_err(|_| None)?,
                None => return Ok(()),
            }
        }
    };
    let outcome: Option<Result<(), Option<Stop>>> = within(&*clock, deadline, stream).await;
    let end = match outcome {
        Some(Ok(())) => end,
        Some(Err(None)) => return, // the client left: dropping the call reports that
        Some(Err(Some(Stop::Failed(error)))) => End::Failed(error),
        Some(Err(Some(Stop::Panicked(panic)))) => End::Failed(call.condemn(&panic)),
        None => End::Failed(timed_out(&spec)),
    };
    let record = call.finish(end);
    drop(client.send(Piece::End(record)).await); // a client that has left does not care
}

/// What a call holds, and gives back exactly once, whichever way it ends.
struct Call {
    spec: Arc<FunctionSpec>,
    clock: SharedClock,
    timer: Arc<dyn Timer>,
    begun: Time,
    deadline: Time,
    gauge: Arc<Gauge>,
    bytes_out: u64,
    /// Absent once the call has ended.
    open: Option<(Tally, Option<Lease>)>,
}

impl Call {
    fn begin(instance: &NativeInstance, tally: Tally, lease: Lease) -> Self {
        let begun = instance.clock.now();
        Call {
            spec: instance.spec.clone(),
            clock: instance.clock.clone(),
            timer: instance.timer.clone(),
            begun,
            deadline: begun + instance.spec.timeout,
            gauge: Arc::default(),
            bytes_out: 0,
            open: Some((tally, Some(lease))),
        }
    }

    fn record(&self) -> Record {
        self.open.as_ref().expect("only `finish` ends a call, and it takes it").0.record().clone()
    }

    /// Gives the instance back and closes the account.
    fn finish(mut self, end: End) -> Box<Record> {
        self.settle().expect("only `finish` and `fail` end a call, and they take it").finish(end)
    }

    fn fail(mut self, error: InvocationError) -> Failure {
        self.settle().expect("only `finish` and `fail` end a call, and they take it").fail(error)
    }

    fn panicked(mut self, panic: &str) -> Failure {
        let error = self.condemn(panic);
        self.fail(error)
    }

    /// Gives the instance back as unfit.
    fn condemn(&mut self, panic: &str) -> InvocationError {
        if let Some((_, lease)) = &mut self.open {
            drop(lease.take());
        }
        InvocationError::new(ErrorKind::Panic, format!("function `{}` panicked: {panic}", self.spec.name))
    }

    fn settle(&mut self) -> Option<Tally> {
        let (mut tally, lease) = self.open.take()?;
        tally.used(|usage| {
            usage.handler_wall = self.clock.now() - self.begun;
            usage.bytes_in = self.gauge.bytes();
            usage.bytes_out = self.bytes_out;
        });
        if let Some(lease) = lease {
            lease.release();
        }
        Some(tally)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // cancelled: dropping a future at an await is ordinary in Rust, so the instance stays fit, and the tally
        // reports the cancellation by itself
        drop(self.settle());
    }
}

/// Why a reply's body ended early.
enum Stop {
    Failed(InvocationError),
    Panicked(String),
}

struct ReplyReader {
    body: NativeBody,
    spec: Arc<FunctionSpec>,
}

impl ReplyReader {
    fn poll_chunk(&mut self, cx: &mut Context<'_>, call: &mut Call) -> Poll<Option<Result<Bytes, Stop>>> {
        let failed =
            |kind, message| Poll::Ready(Some(Err(Stop::Failed(InvocationError::new(kind, message)))));
        loop {
            let polled = catch_unwind(AssertUnwindSafe(|| {
                with_timer(&call.timer, || Pin::new(&mut self.body).poll_frame(cx))
            }));
            let frame = match polled {
                Err(panic) => return Poll::Ready(Some(Err(Stop::Panicked(panic_message(&*panic))))),
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(None)) => return Poll::Ready(None),
                Ok(Poll::Ready(Some(Err(error)))) => {
                    let message = format!("the reply of function `{}` broke off: {error}", self.spec.name);
                    return failed(ErrorKind::BadReply, message);
                }
                Ok(Poll::Ready(Some(Ok(frame)))) => frame,
            };
            let Ok(chunk) = frame.into_data() else { continue }; // trailers do not travel
            call.bytes_out += chunk.len() as u64;
            if call.bytes_out > self.spec.max_reply_bytes {
                let FunctionSpec { name, max_reply_bytes, .. } = &*self.spec;
                let message = format!(
                    "the reply of function `{name}` is over the limit of {max_reply_bytes} bytes: send less, or \
                     raise `max_reply_bytes`"
                );
                return failed(ErrorKind::ReplyTooLarge, message);
            }
            return Poll::Ready(Some(Ok(chunk)));
        }
    }
}

fn request_too_large(spec: &FunctionSpec) -> InvocationError {
    let message = format!(
        "the request's body is over the limit of {} bytes of function `{}`: send less, or raise `max_request_bytes`",
        spec.max_request_bytes, spec.name
    );
    InvocationError::new(ErrorKind::RequestTooLarge, message)
}

fn timed_out(spec: &FunctionSpec) -> InvocationError {
    let message =
        format!("function `{}` took longer than its timeout of {} ms", spec.name, spec.timeout.as_millis());
    InvocationError::new(ErrorKind::TimedOut, message)
}

fn concat(mut chunks: Vec<Bytes>) -> Bytes {
    match chunks.len() {
        0 => Bytes::new(),
        1 => chunks.remove(0),
        _ => chunks.concat().into(),
    }
}

/// Runs a future of the function's, on its host's clock; a panic in it becomes its message.
pub(super) async fn catch_panic<F: Future>(timer: &Arc<dyn Timer>, future: F) -> Result<F::Output, String> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| with_timer(timer, || future.as_mut().poll(cx)))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic_message(&*panic))),
    })
    .await
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or(panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)").to_owned()
}
