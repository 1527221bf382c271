//! [`RateLimited`]: a service that runs only what comes within its rates.

use std::task::{Context, Poll};

use tower::Service;

use super::SharedRates;
use crate::{
    clock::SharedClock,
    guard::ResponseFuture,
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
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let admitted = self.rates.lock().admit(now, wall, &invocation.function);
        match admitted {
            Ok(()) => ResponseFuture::Runs(self.service.call(invocation)),
            Err(error) => ResponseFuture::Refused(Some(invocation.tally.fail(error))),
        }
    }
}
