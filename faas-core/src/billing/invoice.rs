//! A month's invoice, with the provider's own arithmetic: allowances taken off each meter once for the account, each
//! line rounded half up to cents, then the lines added. Published bills come out right only this way.

use rust_decimal::{Decimal, RoundingStrategy};

use super::Quantities;
use crate::profile::{BilledTime, Billing};

/// Whether what a month includes is taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowances {
    /// It is: the account has no other use.
    Applied,
    /// It is not: the account has used it up.
    UsedUp,
}

/// A month's invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// What is billed, meter by meter.
    pub lines: Vec<Line>,
    /// The sum of the lines.
    pub total_usd: Decimal,
}

/// A line of an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What is counted: `requests`.
    pub meter: &'static str,
    /// How much of it is billed, allowance taken off.
    pub quantity: Decimal,
    /// Dollars for one.
    pub unit_price_usd: Decimal,
    /// Dollars, rounded half up to cents.
    pub amount_usd: Decimal,
}

impl Invoice {
    /// The invoice of a month in which this was used.
    ///
    /// ```
    /// use faas_core::{billing::{Allowances, Invoice, Quantities}, profile::Profile};
    ///
    /// // Cloudflare's own example: 15 million requests of 7 ms
    /// let month = Quantities { requests: 15_000_000, cpu_ns: 15_000_000 * 7_000_000, ..Quantities::default() };
    /// let billing = Profile::named("cloudflare-workers")?.billing;
    /// assert_eq!(Invoice::of(&billing, &month, Allowances::Applied).total_usd.to_string(), "8.00");
    /// # Ok::<(), faas_core::profile::UnknownProfile>(())
    /// ```
    pub fn of(billing: &Billing, used: &Quantities, allowances: Allowances) -> Self {
        let beyond = |used: Decimal, included: Option<u64>| match (allowances, included) {
            (Allowances::Applied, Some(included)) => (used - Decimal::from(included)).max(Decimal::ZERO),
            _ => used,
        };
        let million = Decimal::from(1_000_000);
        let mut lines = Vec::new();
        if let Some(plan) = &billing.plan {
            lines.push(Line::new("plan", Decimal::ONE, plan.usd_per_month.value.0));
        }
        let requests = &billing.requests;
        lines.push(Line::new(
            "requests",
            beyond(used.requests.into(), requests.included.as_ref().map(|n| n.value)),
            requests.usd_per_million.value.0 / million,
        ));
        lines.push(match &billing.time {
            BilledTime::WallByMemory(time) => Line::new(
                "GB-s",
                beyond(used.gb_seconds(), time.included_gb_seconds.as_ref().map(|n| n.value)),
                time.usd_per_gb_second.value.0,
            ),
            BilledTime::Cpu(time) => Line::new(
                "CPU ms",
                beyond(used.cpu_ms(), time.included_ms.as_ref().map(|n| n.value)),
                time.usd_per_million_ms.value.0 / million,
            ),
        });
        let total_usd = lines.iter().map(|line| line.amount_usd).sum();
        Invoice { lines, total_usd }
    }
}

impl Line {
    fn new(meter: &'static str, quantity: Decimal, unit_price_usd: Decimal) -> Self {
        let mut amount_usd = quantity
            .saturating_mul(unit_price_usd)
            .round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero);
        amount_usd.rescale(2);
        Line { meter, quantity: quantity.normalize(), unit_price_usd: unit_price_usd.normalize(), amount_usd }
    }
}
