//! [`Budgeted`]: a service that runs only what the budget admits.

use std::task::{Context, Poll};

use tower::Service;

use super::SharedBudget;
use crate::{
    clock::SharedClock,
    guard::ResponseFuture,
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
        let admitted = self.budget.lock().admit(self.clock.wall(), &invocation.function);
        match admitted {
            Ok(()) => ResponseFuture::Runs(self.service.call(invocation)),
            Err(error) => ResponseFuture::Refused(Some(invocation.tally.fail(error))),
        }
    }
}
