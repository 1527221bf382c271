//! What one invocation costs, exactly.

use std::time::Duration;

use rust_decimal::Decimal;

use super::quantities::{Quantities, decimal, wall};
use crate::{
    invocation::Record,
    profile::{BilledTime, Billing},
};

/// What is billed for one invocation, before allowances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Charge {
    /// The time that is billed, rounded by the provider's rule.
    pub billed: Duration,
    /// What it counts for.
    pub quantities: Quantities,
    /// Dollars, exact.
    pub cost_usd: Decimal,
}

impl Billing {
    /// Prices one invocation.
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use faas_core::{clock::Time, invocation::*, profile::Profile};
    ///
    /// let record = Record {
    ///     id: "1".into(), function: "hello".into(), spec: Some(Arc::new(FunctionSpec::new("hello"))),
    ///     start: Some(Start::Cold), arrived: Time::EPOCH, ended: Time::EPOCH, queue: Duration::ZERO,
    ///     usage: Usage {
    ///         init_wall: Duration::from_micros(15_300), handler_wall: Duration::from_micros(1_400),
    ///         handler_cpu: Duration::from_micros(200), ..Usage::default()
    ///     },
    ///     end: End::Replied { status: http::StatusCode::OK, is_fault: false },
    /// };
    /// // 16.7 ms of wall time are 17 on Lambda, at 128 MiB; on Workers 0.2 ms of CPU time count
    /// let aws = Profile::named("aws-lambda")?.billing.charge(&record);
    /// assert_eq!((aws.billed, aws.cost_usd.to_string()), (Duration::from_millis(17), "0.0000002354167375".into()));
    /// let cloudflare = Profile::named("cloudflare-workers")?.billing.charge(&record);
    /// assert_eq!(cloudflare.billed, Duration::from_micros(200));
    /// # Ok::<(), faas_core::profile::UnknownProfile>(())
    /// ```
    pub fn charge(&self, record: &Record) -> Charge {
        let quantities = Quantities::of(record, self);
        if quantities.requests == 0 {
            return Charge::default();
        }
        let billed = match &self.time {
            BilledTime::WallByMemory(_) => wall(record, self),
            BilledTime::Cpu(_) => record.usage.handler_cpu,
        };
        Charge { billed, quantities, cost_usd: self.amount_usd(&quantities) }
    }

    /// The price of these quantities, exact: no allowance, no plan, no rounding. The price of a sum is the sum of
    /// the prices.
    pub fn amount_usd(&self, quantities: &Quantities) -> Decimal {
        let requests = Decimal::from(quantities.requests) * self.requests.usd_per_million.value.0
            / Decimal::from(1_000_000);
        // multiplied before it is divided: both are exact as long as the digits last
        let time = match &self.time {
            BilledTime::WallByMemory(time) => {
                decimal(quantities.wall_mib_ns).saturating_mul(time.usd_per_gb_second.value.0)
                    / Decimal::from(1024_u64 * 1_000_000_000)
            }
            BilledTime::Cpu(time) => {
                decimal(quantities.cpu_ns).saturating_mul(time.usd_per_million_ms.value.0)
                    / Decimal::from(1_000_000_u64 * 1_000_000)
            }
        };
        requests.saturating_add(time).normalize()
    }
}
