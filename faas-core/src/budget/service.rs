//! [`Budgeted`]: a service that runs only what the budget admits.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tower::Service;

use super::SharedBudget;
use crate::{
    clock::SharedClock,
    invocation::{Failure, Invocation, Reply},
};

/// A service within a budget. An invocation that is refused ends as
/// [`BudgetExceeded`](crate::invocation::ErrorKind::BudgetExceeded), and costs nothing.
#[derive(Clone)]
pub struct Budgeted<S> {
    service: S,
    budget: SharedBudget,
    clock: SharedClock,
}

impl<S> Budgeted<S> {
    pub(super) fn new(service: S, budget: SharedBudget, clock: SharedClock) -> Self {
        Budgeted { service, budget, clock }
    }
}

impl<S> Service<Invocation> for Budgeted<S>
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
        let admitted = self.budget.lock().admit(self.clock.now(), &invocation.function);
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
