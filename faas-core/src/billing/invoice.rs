//! A month's invoice, with the provider's own arithmetic: allowances taken off each meter once for the account, each
//! line rounded half up to cents, then the lines added. Published bills come out right only this way.

use std::collections::BTreeMap;

use rust_decimal::{Decimal, RoundingStrategy};

use super::Quantities;
use crate::profile::{Billing, Meter};

/// Whether what a month includes is taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowances {
    /// It is: the account has no other use.
    Applied,
    /// It is not: the account has used it up.
    UsedUp,
}

/// What was used in a month.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Month {
    /// By functions.
    pub functions: Quantities,
    /// By services beside them, as the meter of that name counts.
    pub services: BTreeMap<String, Decimal>,
}

impl Month {
    /// How much a meter counts of it, in its unit.
    pub fn units(&self, meter: &Meter) -> Decimal {
        let services = self.services.get(&meter.name).copied().unwrap_or_default();
        self.functions.units(meter.counts).saturating_add(services)
    }
}

impl From<Quantities> for Month {
    fn from(functions: Quantities) -> Self {
        Month { functions, services: BTreeMap::new() }
    }
}

/// A month's invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// What is billed, meter by meter; several lines for a meter whose price has several tiers.
    pub lines: Vec<Line>,
    /// The sum of the lines.
    pub total_usd: Decimal,
    /// The sum of the lines before they were rounded.
    pub exact_usd: Decimal,
}

/// A line of an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What is counted: `requests`.
    pub meter: String,
    /// What one is called: `GB-s`.
    pub unit: String,
    /// How much of it is billed, allowance taken off.
    pub quantity: Decimal,
    /// How much of it was used and is not billed.
    pub included: Decimal,
    /// Dollars for one.
    pub unit_price_usd: Decimal,
    /// Dollars, rounded half up to cents.
    pub amount_usd: Decimal,
    /// Dollars before that.
    pub exact_usd: Decimal,
    /// The name of the source of the price.
    pub source: String,
}

impl Invoice {
    /// The invoice of a month in which this was used. What was not used has no line.
    ///
    /// ```
    /// use faas_core::{billing::{Allowances, Invoice, Measure, Quantities}, profile::Profile};
    ///
    /// // Cloudflare's own example: 15 million requests of 7 ms
    /// let month = Quantities::default()
    ///     .with(Measure::Requests, 15_000_000)
    ///     .with(Measure::CpuTime, 15_000_000 * 7_000_000);
    /// let billing = Profile::named("cloudflare-workers")?.billing;
    /// assert_eq!(Invoice::of(&billing, &month.into(), Allowances::Applied).total_usd.to_string(), "8.00");
    /// # Ok::<(), faas_core::profile::UnknownProfile>(())
    /// ```
    pub fn of(billing: &Billing, month: &Month, allowances: Allowances) -> Self {
        let mut lines = Vec::new();
        if let Some(plan) = &billing.plan {
            let usd = &plan.usd_per_month;
            let once = Part { quantity: Decimal::ONE, included: Decimal::ZERO };
            lines.push(Line::new(("plan", "month"), once, (usd.value.0, 1), &usd.source));
        }
        for meter in &billing.meters {
            let used = month.units(meter);
            if used > Decimal::ZERO {
                meter.bill(used, allowances, &mut lines);
            }
        }
        let sum =
            |of: fn(&Line) -> Decimal| lines.iter().map(of).fold(Decimal::ZERO, Decimal::saturating_add);
        let (mut total_usd, exact_usd) = (sum(|line| line.amount_usd), sum(|line| line.exact_usd));
        total_usd.rescale(2);
        Invoice { lines, total_usd, exact_usd: exact_usd.normalize() }
    }
}

impl Meter {
    /// Adds the lines for this much use.
    fn bill(&self, used: Decimal, allowances: Allowances, lines: &mut Vec<Line>) {
        let per = Decimal::from(self.per);
        let counted = match &self.whole {
            Some(whole) if whole.value => (used / per).ceil().saturating_mul(per),
            _ => used,
        };
        let allowed = match (allowances, &self.included) {
            (Allowances::Applied, Some(included)) => Decimal::from(included.value),
            _ => Decimal::ZERO,
        };
        let beyond = (counted - allowed).max(Decimal::ZERO);
        let included = counted - beyond;
        let name = (self.name.as_str(), self.unit());
        if let Some(usd) = &self.usd {
            let part = Part { quantity: beyond, included };
            lines.push(Line::new(name, part, (usd.value.0, self.per), &usd.source));
        }
        let mut below = Decimal::ZERO;
        for tier in &self.tiers {
            let end = tier.up_to.as_ref().map_or(Decimal::MAX, |up_to| Decimal::from(up_to.value));
            let quantity = beyond.min(end) - below;
            // the first has a line in any case
            if quantity > Decimal::ZERO || below.is_zero() {
                let included = if below.is_zero() { included } else { Decimal::ZERO };
                let part = Part { quantity, included };
                lines.push(Line::new(name, part, (tier.usd.value.0, self.per), &tier.usd.source));
            }
            below = end;
            if beyond <= below {
                break;
            }
        }
    }
}

struct Part {
    quantity: Decimal,
    included: Decimal,
}

impl Line {
    fn new((meter, unit): (&str, &str), part: Part, (usd, per): (Decimal, u64), source: &str) -> Self {
        let unit_price_usd = usd / Decimal::from(per);
        let exact_usd = part.quantity.saturating_mul(unit_price_usd);
        // a third of an hour has more digits than a decimal: what differs from half a cent in the 16th place is half a cent
        let mut amount_usd = exact_usd
            .round_dp_with_strategy(15, RoundingStrategy::MidpointAwayFromZero)
            .round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero);
        amount_usd.rescale(2);
        Line {
            meter: meter.to_owned(),
            unit: unit.to_owned(),
            quantity: part.quantity.normalize(),
            included: part.included.normalize(),
            unit_price_usd: unit_price_usd.normalize(),
            amount_usd,
            exact_usd: exact_usd.normalize(),
            source: source.to_owned(),
        }
    }
}
