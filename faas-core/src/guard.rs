//! What becomes of an invocation behind a service that may turn it away: [`budget`](crate::budget) and
//! [`rate`](crate::rate) do.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::invocation::{Failure, Reply};

/// What becomes of an invocation.
#[derive(Debug)]
pub enum ResponseFuture<F> {
    /// It runs.
    Runs(F),
    /// It does not.
    Refused(Option<Failure>),
}

impl<F: Future<Output = Result<Reply, Failure>> + Unpin> Future for ResponseFuture<F> {
    type Output = Result<Reply, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            ResponseFuture::Runs(future) => Pin::new(future).poll(cx),
            ResponseFuture::Refused(failure) => {
                Poll::Ready(Err(failure.take().expect("a future that has completed is not polled again")))
            }
        }
    }
}
