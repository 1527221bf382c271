//! The bill of a test, as text to keep as a snapshot. Adds up what billing says and prices nothing itself.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use rust_decimal::Decimal;

use crate::{
    billing::{Quantities, Standbys},
    clock::Time,
    invocation::{Record, Start},
    profile::Profile,
};

/// What all invocations that have ended cost, and what is kept ready, by function: exact dollars before allowances. Where
/// a provider bills the time of instances, each invocation counts as if it had one for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    profile: String,
    functions: BTreeMap<Arc<str>, Sum>,
    /// Dollars.
    pub total_usd: Decimal,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sum {
    invocations: u64,
    cold: u64,
    billed: Duration,
    cost_usd: Decimal,
    used: Quantities,
    standby_usd: Decimal,
}

impl Bill {
    pub(super) fn of(profile: &Profile, records: &[Record], standbys: &Standbys, now: Time) -> Self {
        let mut bill =
            Bill { profile: profile.name.clone(), functions: BTreeMap::new(), total_usd: Decimal::ZERO };
        for record in records {
            let charge = profile.charge(record);
            let sum = bill.functions.entry(record.function.clone()).or_default();
            sum.invocations += 1;
            sum.cold += u64::from(record.start == Some(Start::Cold));
            sum.billed += charge.billed;
            sum.cost_usd += charge.cost_usd;
            sum.used += charge.quantities;
            bill.total_usd += charge.cost_usd;
        }
        for (function, kept) in standbys.until(now) {
            let sum = bill.functions.entry(function.clone()).or_default();
            sum.standby_usd = profile.billing.amount_usd(&profile.standby(&kept, &sum.used));
            bill.total_usd += sum.standby_usd;
        }
        bill
    }
}

/// A line for each function, one more for each that keeps instances ready, and the total.
impl fmt::Display for Bill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, sum) in &self.functions {
            let Sum { invocations, cold, billed, cost_usd, .. } = sum;
            let billed_ms = billed.as_millis();
            writeln!(
                f,
                "{name}: {invocations} invocations, {cold} cold, {billed_ms} ms billed, ${}",
                cost_usd.normalize()
            )?;
            if !sum.standby_usd.is_zero() {
                writeln!(f, "{name}: kept ready, ${}", sum.standby_usd.normalize())?;
            }
        }
        write!(f, "{}: ${}", self.profile, self.total_usd.normalize())
    }
}
