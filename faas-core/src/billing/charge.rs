//! What one invocation costs, exactly.

use std::time::Duration;

use rust_decimal::Decimal;

use super::{
    Use,
    quantities::{Quantities, decimal},
};
use crate::{
    invocation::Record,
    profile::{Billing, Profile},
};

/// What is billed for one invocation, before allowances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Charge {
    /// The time that is billed, rounded by the provider's rule: wall time where that is billed, else CPU time.
    pub billed: Duration,
    /// What it counts for.
    pub quantities: Quantities,
    /// Dollars, exact.
    pub cost_usd: Decimal,
}

impl Profile {
    /// Prices one invocation.
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use faas_core::{clock::Time, invocation::*, profile::Profile};
    ///
    /// let record = Record {
    ///     id: "1".into(), function: "hello".into(), spec: Some(Arc::new(FunctionSpec::new("hello"))),
    ///     start: Some(Start::Cold), instance: None, arrived: Time::EPOCH, ended: Time::EPOCH, queue: Duration::ZERO,
    ///     usage: Usage {
    ///         init_wall: Duration::from_micros(15_300), handler_wall: Duration::from_micros(1_400),
    ///         handler_cpu: Duration::from_micros(200), ..Usage::default()
    ///     },
    ///     end: End::Replied { status: http::StatusCode::OK, is_fault: false },
    /// };
    /// // 16.7 ms of wall time are 17 on Lambda, at 128 MiB; on Workers 0.2 ms of CPU time count
    /// let aws = Profile::named("aws-lambda")?.charge(&record);
    /// assert_eq!((aws.billed, aws.cost_usd.to_string()), (Duration::from_millis(17), "0.0000002354167375".into()));
    /// let cloudflare = Profile::named("cloudflare-workers")?.charge(&record);
    /// assert_eq!(cloudflare.billed, Duration::from_micros(200));
    /// # Ok::<(), faas_core::profile::UnknownProfile>(())
    /// ```
    pub fn charge(&self, record: &Record) -> Charge {
        self.charge_at(record, |quantities| self.billing.amount_usd(quantities))
    }

    /// The same for who knows by itself what quantities cost.
    pub fn charge_at(&self, record: &Record, price: impl FnOnce(&Quantities) -> Decimal) -> Charge {
        let Some(used) = Use::of(record) else { return Charge::default() };
        let (billed, quantities) = self.count(&used);
        Charge { billed, quantities, cost_usd: price(&quantities) }
    }
}

impl Billing {
    /// Whether these differ, if they do, in nothing that has a price: [`Billing::amount_usd`] is the same.
    pub fn costs_the_same(&self, one: &Quantities, other: &Quantities) -> bool {
        self.meters.iter().all(|meter| {
            meter.counts.measure().is_none_or(|(measure, _)| one.get(measure) == other.get(measure))
        })
    }

    /// The price of these quantities at each meter's first price: no allowance, no plan, no rounding. The price of a
    /// sum is the sum of the prices, to the last of a decimal's 28 digits where a unit does not divide.
    pub fn amount_usd(&self, quantities: &Quantities) -> Decimal {
        let mut sum = Decimal::ZERO;
        for meter in &self.meters {
            let Some((measure, one)) = meter.counts.measure() else { continue };
            let count = quantities.get(measure);
            let Some(usd) = meter.usd.as_ref().or(meter.tiers.first().map(|tier| &tier.usd)) else {
                continue;
            };
            if count == 0 || usd.value.0.is_zero() {
                continue;
            }
            // multiplied before it is divided: both are exact as long as the digits last
            let divisor = decimal(u128::from(one) * u128::from(meter.per));
            sum = sum.saturating_add(decimal(count).saturating_mul(usd.value.0) / divisor);
        }
        sum.normalize()
    }
}
