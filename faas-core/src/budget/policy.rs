//! [`WithinBudget`]: what the layer is to invocations, to instances that nobody has asked for yet.

use std::{fmt, time::Duration};

use super::SharedBudget;
use crate::{
    clock::{SharedClock, Time},
    policy::{Event, Policy, Rest, Subject},
};

/// Another policy, but no instance is started ahead of demand for a function whose budget is spent: whom it is for would be
/// refused. For [`scheduler::Config::policy`](crate::scheduler::Config::policy), where a [`BudgetLayer`](super::BudgetLayer) with
/// the same budget is in the stack.
///
/// What is warm stays as the other policy says, and so do the instances that a function must have (`min_instances`): they were
/// asked for, budget or not.
pub struct WithinBudget {
    inner: Box<dyn Policy>,
    budget: SharedBudget,
    clock: SharedClock,
}

impl WithinBudget {
    /// As `inner` says, within this budget. Its days are those of the clock's wall.
    pub fn new(inner: impl Policy, budget: SharedBudget, clock: SharedClock) -> Self {
        WithinBudget { inner: inner.boxed(), budget, clock }
    }
}

impl Policy for WithinBudget {
    fn learn(&mut self, now: Time, function: Subject<'_>, event: Event) {
        self.inner.learn(now, function, event);
    }

    fn keep(&mut self, now: Time, function: Subject<'_>) -> Option<Duration> {
        self.inner.keep(now, function)
    }

    fn rest(&mut self, now: Time, function: Subject<'_>) -> Rest {
        self.inner.rest(now, function)
    }

    fn priority(&self, function: Subject<'_>, instance: usize) -> Option<f64> {
        self.inner.priority(function, instance)
    }

    // not in `rest`: the budget may free, or be spent, before the time comes that is named there
    fn may_warm(&mut self, now: Time, function: Subject<'_>) -> bool {
        !self.budget.lock().is_spent(self.clock.wall(), &function.spec.name)
            && self.inner.may_warm(now, function)
    }
}

impl fmt::Debug for WithinBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WithinBudget").field(&self.inner).finish()
    }
}
