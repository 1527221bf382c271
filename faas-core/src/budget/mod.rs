//! Budgets that stop: dollars that functions may cost in a session, a day or a month.
//!
//! ```text
//! budget   what is spent, when it frees, who is refused: a state machine
//! layer    puts it around a service                    service   refuses invocations that it does not admit
//! policy   starts nothing ahead for who would be refused
//! ```
//!
//! A layer decides before an invocation runs; what it cost is known when it has ended. So whoever bills (an observer) and
//! the layer share one [`Budget`]: the observer calls [`Budget::spend`], the layer [`Budget::admit`]. What runs when a cap
//! is reached ends as it is, and may exceed the cap by its own cost.
//!
//! Days and months are the calendar's, so the time that a budget is told is what the wall clock shows
//! ([`Clock::wall`](crate::clock::Clock::wall)): a day goes by while a laptop sleeps.
//!
//! A budget lives as long as its process. Whoever wants caps of a day to hold for the day keeps what [`Budget::take_unkept`]
//! gives, and has the next one [`Budget::recall`] it.

#[allow(clippy::module_inception)]
mod budget;
mod layer;
mod policy;
mod service;

pub use budget::{Budget, Cap, Notice, Per, Refused, Spent};
pub use layer::BudgetLayer;
pub use policy::WithinBudget;
pub use service::Budgeted;

pub use crate::guard::ResponseFuture;

/// A budget that an observer fills and a layer reads. The lock is held for a few additions, and nothing is called under it:
/// [`WithinBudget`] takes it under the scheduler's own.
pub type SharedBudget = std::sync::Arc<parking_lot::Mutex<Budget>>;
