//! [`RateLimited`]: a service that runs only what comes within its rates.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tower::Service;

use super::SharedRates;
use crate::{
    clock::SharedClock,
    invocation::{Failure, Invocation, Reply},
};

/// A service within rates. An invocation that is refused ends as
/// [`RateLimited`](crate::invocation::ErrorKind::RateLimited), and costs nothing.
#[derive(Clone)]
pub struct RateLimited<S> {
    service: S,
    rates: SharedRates,
    clock: SharedClock,
}

impl<S> RateLimited<S> {
    pub(super) fn new(service: S, rates: SharedRates, clock: SharedClock) -> Self {
        RateLimited { service, rates, clock }
    }
}

impl<S> Service<Invocation> for RateLimited<S>
where
    S: Service<Invocation, Response = Reply, Error = Failure>,
    S::Future: Unpin,
{
    type Response = Reply;
    type Error = Failure;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, invocation: Invocation) -> Self::Future {
        let admitted = self.rates.lock().admit(self.clock.now(), &invocation.function);
        match admitted {
            Ok(()) => ResponseFuture::Runs(self.service.call(invocation)),
            Err(error) => ResponseFuture::Refused(Some(invocation.tally.fail(error))),
        }
    }
}

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
