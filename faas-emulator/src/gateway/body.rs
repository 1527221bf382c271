//! The body of what goes back to a client: bytes that are there, or pieces as the function writes them.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use faas_core::invocation::{End, InvocationError, Piece};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::headers;
use crate::meter::Meter;

/// A reply's body.
#[derive(Debug)]
pub enum ReplyBody {
    /// All of it.
    Whole(Bytes),
    /// Pieces, and the figures of the end as trailers.
    Stream(Streaming),
}

/// A body that the function still writes. Dropping it cancels the call.
#[derive(Debug)]
pub struct Streaming {
    pieces: mpsc::Receiver<Piece>,
    meter: Arc<Meter>,
    is_over: bool,
}

impl ReplyBody {
    /// A body that streams.
    pub(super) fn stream(pieces: mpsc::Receiver<Piece>, meter: Arc<Meter>) -> Self {
        ReplyBody::Stream(Streaming { pieces, meter, is_over: false })
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = InvocationError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, InvocationError>>> {
        match self.get_mut() {
            ReplyBody::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            ReplyBody::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            ReplyBody::Stream(streaming) => streaming.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ReplyBody::Whole(bytes) => bytes.is_empty(),
            ReplyBody::Stream(streaming) => streaming.is_over,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ReplyBody::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            ReplyBody::Stream(_) => SizeHint::default(),
        }
    }
}

impl Streaming {
    /// Reads all of it, for nobody.
    pub(super) async fn drain(mut self) {
        while let Some(Ok(_)) = poll_fn(|cx| self.poll(cx)).await {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, InvocationError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let piece = std::task::ready!(self.pieces.poll_recv(cx));
        self.is_over = !matches!(piece, Some(Piece::Chunk(_)));
        Poll::Ready(match piece {
            Some(Piece::Chunk(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Piece::End(record)) => Some(match record.end {
                // the connection breaks, which is how HTTP tells a body that is not whole from one that is
                End::Failed(error) => Err(error),
                _ => Ok(Frame::trailers(headers::trailers(&record, &self.meter.charge_of(&record)))),
            }),
            None => None,
        })
    }
}
