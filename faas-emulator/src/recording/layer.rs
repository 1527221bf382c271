//! [`RecordLayer`]: sees requests pass. A body is copied as the function reads it, so nothing waits for it.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use faas_core::{
    clock::{BoxFuture, Time},
    invocation::{BoxError, End, ErrorKind, Failure, Invocation, Reply, RequestBody},
};
use http::{HeaderMap, Method, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tower::{Layer, Service};

use super::{MAX_EVENT_BYTES, Recorded, Recorder};

/// Records the requests of a service that are served well, or stopped by a limit.
#[derive(Debug, Clone)]
pub struct RecordLayer(pub Arc<Recorder>);

impl<S> Layer<S> for RecordLayer {
    type Service = Watched<S>;

    fn layer(&self, service: S) -> Watched<S> {
        Watched { service, recorder: self.0.clone() }
    }
}

/// A service whose requests are recorded.
#[derive(Clone)]
pub struct Watched<S> {
    service: S,
    recorder: Arc<Recorder>,
}

impl<S> Service<Invocation> for Watched<S>
where
    S: Service<Invocation, Response = Reply, Error = Failure>,
    S::Future: Send + 'static,
{
    type Response = Reply;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<Reply, Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut invocation: Invocation) -> Self::Future {
        let draft = Arc::new(Draft::of(&invocation, self.recorder.clone()));
        let copied = draft.clone();
        invocation.request = invocation.request.map(|inner| Copied { inner, draft: copied }.boxed_unsync());
        let ended = self.service.call(invocation);
        Box::pin(async move {
            let ended = ended.await;
            draft.is_wanted.store(is_wanted(&ended), Ordering::Relaxed);
            ended
        })
    }
}

/// Whether a request is one to tune by: not one that the function refuses with any memory.
fn is_wanted(ended: &Result<Reply, Failure>) -> bool {
    match ended {
        Ok(reply) => {
            let status = reply.response.status();
            let is_fault = matches!(reply.record.end, End::Replied { is_fault: true, .. });
            !is_fault && !status.is_client_error() && !status.is_server_error()
        }
        Err(failure) => {
            let stopped = [ErrorKind::OutOfMemory, ErrorKind::TimedOut, ErrorKind::CpuExceeded];
            failure.record().start.is_some() && stopped.contains(&failure.error().kind)
        }
    }
}

/// A request that may be recorded. It is when nobody holds it any more: the reply is known, and the body read.
struct Draft {
    recorder: Arc<Recorder>,
    function: Arc<str>,
    at: Time,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    /// What the function has read; nothing once that is too much.
    body: Mutex<Option<Vec<u8>>>,
    is_wanted: AtomicBool,
}

impl Draft {
    fn of(invocation: &Invocation, recorder: Arc<Recorder>) -> Self {
        let request = &invocation.request;
        Draft {
            function: invocation.function.clone(),
            at: recorder.clock.now(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: recorder.headers(request.headers()),
            body: Mutex::new(Some(Vec::new())),
            is_wanted: AtomicBool::new(false),
            recorder,
        }
    }

    fn copy(&self, chunk: &Bytes) {
        let mut body = self.body.lock();
        match &mut *body {
            Some(read) if read.len() + chunk.len() <= MAX_EVENT_BYTES => read.extend_from_slice(chunk),
            _ => *body = None,
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !*self.is_wanted.get_mut() {
            return;
        }
        let event = self.body.get_mut().take().map(|body| Recorded {
            at: self.at,
            method: std::mem::take(&mut self.method),
            uri: std::mem::take(&mut self.uri),
            headers: std::mem::take(&mut self.headers),
            body: body.into(),
        });
        self.recorder.offer(self.function.clone(), event);
    }
}

/// A body that is copied as it is read.
struct Copied {
    inner: RequestBody,
    draft: Arc<Draft>,
}

impl Body for Copied {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(chunk) = frame.data_ref()
        {
            self.draft.copy(chunk);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
