//! From usage to dollars. Pure and exact: decimals and integers, no binary fractions; it observes and never decides.
//!
//! ```text
//! Record ──Quantities::of──▶ Quantities ──Billing::amount_usd──▶ dollars, exact     (one invocation, or a session)
//!                                │                └─ Billing::charge: both, for one invocation
//!                                ▼ added up, by function: Ledger
//!                            Invoice::of: a month's lines, allowances taken off, rounded to cents as providers do
//! ```
//!
//! Usage is rounded for each invocation, by the provider's rule; money only on an invoice, line by line.

mod charge;
mod invoice;
mod ledger;
mod quantities;

pub use charge::Charge;
pub use invoice::{Allowances, Invoice, Line};
pub use ledger::Ledger;
pub use quantities::Quantities;
