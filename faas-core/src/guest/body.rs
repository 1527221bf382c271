//! Bodies across the border: a request's as it arrives, a reply's as it leaves.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Frame;

use super::imports::{self, Progress};
use crate::Error;

/// Read at a time: small requests in one piece without waste, large ones in few calls.
const FIRST_READ_BYTES: usize = 1 << 10;
const LATER_READ_BYTES: usize = 64 << 10;

/// A request's body as it arrives.
pub(super) struct Incoming {
    call: u32,
    read_bytes: usize,
    is_over: bool,
}

impl Incoming {
    pub(super) fn new(call: u32) -> Self {
        Incoming { call, read_bytes: FIRST_READ_BYTES, is_over: false }
    }
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let mut buffer = vec![0; self.read_bytes];
        match imports::body_read(self.call, &mut buffer) {
            Progress::Pending => Poll::Pending,
            Progress::Bytes(0) => {
                self.is_over = true;
                Poll::Ready(None)
            }
            Progress::Bytes(n) => {
                self.read_bytes = LATER_READ_BYTES;
                buffer.truncate(n);
                Poll::Ready(Some(Ok(Frame::data(buffer.into()))))
            }
            Progress::Closed => {
                self.is_over = true;
                Poll::Ready(Some(Err(Error::client("the request's body broke off"))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

/// Writes all of it, as the reader takes it. False when there is no reader any more.
pub(super) async fn write(call: u32, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let written = poll_fn(|_| match imports::body_write(call, bytes) {
            Progress::Pending => Poll::Pending,
            Progress::Bytes(n) => Poll::Ready(Some(n)),
            Progress::Closed => Poll::Ready(None),
        });
        match written.await {
            Some(n) => bytes = &bytes[n..],
            None => return false,
        }
    }
    true
}
