//! From usage to dollars. Pure and exact: decimals and integers, no binary fractions; it observes and never decides.
//!
//! ```text
//! Record ──Use::of──▶ Use ──Profile::charge──▶ Charge: billed time, Quantities, dollars     (one invocation)
//!                                    │ Quantities, added up by function: Ledger
//!                                    │     └──Billing::amount_usd──▶ dollars, exact         (a session)
//!                                    ▼
//! Stated ──Profile::estimate──▶ Month ──Invoice::of──▶ lines, allowances taken off, rounded to cents  (a month)
//! ```
//!
//! Beside invocations, instances that are kept ready cost something: [`Standby`], [`Standbys`].
//!
//! Usage is rounded for each invocation, by the provider's rule (for each span of [`Active`] where instances are billed);
//! money only on an invoice, line by line. No provider has code of its own here: their rules are data in
//! [`profile`](crate::profile).

mod active;
mod charge;
mod compare;
mod estimate;
mod instances;
mod invoice;
mod ledger;
mod quantities;
mod side_by_side;
mod standby;
mod tariff;
mod usage;

pub use active::Active;
pub use charge::Charge;
pub use compare::{Compared, compare};
pub use estimate::{Estimate, Messages, Provisioned, Snapshots, Stated};
pub use instances::{Instances, Marginal};
pub use invoice::{Allowances, Invoice, Line, Month};
pub use ledger::Ledger;
pub use quantities::{Measure, Quantities};
pub use side_by_side::SideBySide;
pub use standby::{Standby, Standbys};
pub(crate) use tariff::{Tally, Tariff};
pub use usage::Use;
