//! [`BudgetLayer`].

use tower::Layer;

use super::{Budgeted, SharedBudget};
use crate::clock::SharedClock;

/// Refuses invocations that a budget does not admit.
#[derive(Clone)]
pub struct BudgetLayer {
    budget: SharedBudget,
    clock: SharedClock,
}

impl BudgetLayer {
    /// A layer that asks this budget; somebody else must tell it what is spent.
    pub fn new(budget: SharedBudget, clock: SharedClock) -> Self {
        BudgetLayer { budget, clock }
    }
}

impl<S> Layer<S> for BudgetLayer {
    type Service = Budgeted<S>;

    fn layer(&self, service: S) -> Budgeted<S> {
        Budgeted::new(service, self.budget.clone(), self.clock.clone())
    }
}
