//! A request's body on its way into a native function: counted, and cut off at the function's limit.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::invocation::{BoxError, RequestBody};

/// What has gone through a body.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    bytes: AtomicU64,
    is_over: AtomicBool,
}

impl Gauge {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether there was more than the limit.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// A body that tells its gauge, and ends in an error beyond `limit` bytes.
pub(super) struct Gauged {
    pub(super) body: RequestBody,
    pub(super) gauge: Arc<Gauge>,
    pub(super) limit: u64,
}

impl Body for Gauged {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let len = data.len() as u64;
            if self.gauge.bytes.fetch_add(len, Ordering::Relaxed) + len > self.limit {
                self.gauge.is_over.store(true, Ordering::Relaxed);
                let why = format!("the request's body is over the limit of {} bytes", self.limit);
                return Poll::Ready(Some(Err(why.into())));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
