//! What a provider's meters count.

use std::{
    ops::{Add, AddAssign},
    time::Duration,
};

use rust_decimal::Decimal;

use crate::{
    invocation::Record,
    profile::{BilledTime, Billing},
};

/// Counts of what is billed, in whole numbers: adding loses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quantities {
    /// Invocations that an instance served.
    pub requests: u64,
    /// Wall time, rounded as the provider does, times configured memory: nanoseconds times MiB.
    pub wall_mib_ns: u128,
    /// CPU time of handlers in nanoseconds.
    pub cpu_ns: u128,
}

impl Quantities {
    /// What one invocation counts for. Nothing if no instance served it: providers do not bill what they turn away.
    pub fn of(record: &Record, billing: &Billing) -> Self {
        let (Some(spec), Some(_)) = (&record.spec, record.start) else {
            return Quantities::default();
        };
        Quantities {
            requests: 1,
            wall_mib_ns: wall(record, billing).as_nanos() * u128::from(spec.memory_mib),
            cpu_ns: record.usage.handler_cpu.as_nanos(),
        }
    }

    /// Memory times time in GB-seconds; a GB is 1024 MiB.
    pub fn gb_seconds(&self) -> Decimal {
        decimal(self.wall_mib_ns) / Decimal::from(1024) / Decimal::from(1_000_000_000)
    }

    /// CPU time in milliseconds.
    pub fn cpu_ms(&self) -> Decimal {
        decimal(self.cpu_ns) / Decimal::from(1_000_000)
    }
}

/// Wall time of init and handler: one sum, rounded once.
pub(super) fn wall(record: &Record, billing: &Billing) -> Duration {
    let wall = record.usage.init_wall + record.usage.handler_wall;
    match &billing.time {
        BilledTime::WallByMemory(time) => round_up(wall, time.round_up_ms.value),
        BilledTime::Cpu(_) => wall,
    }
}

fn round_up(time: Duration, step_ms: u32) -> Duration {
    let step_ns = u128::from(step_ms) * 1_000_000;
    if step_ns == 0 {
        return time;
    }
    let rounded_ns = time.as_nanos().div_ceil(step_ns) * step_ns;
    u64::try_from(rounded_ns).map_or(Duration::MAX, Duration::from_nanos)
}

/// More than 96 bits of MiB-nanoseconds are some 100,000 years of a large host: there the count stays at its end.
pub(super) fn decimal(count: u128) -> Decimal {
    i128::try_from(count)
        .ok()
        .and_then(|n| Decimal::try_from_i128_with_scale(n, 0).ok())
        .unwrap_or(Decimal::MAX)
}

impl Add for Quantities {
    type Output = Quantities;

    fn add(self, other: Self) -> Self {
        Quantities {
            requests: self.requests.saturating_add(other.requests),
            wall_mib_ns: self.wall_mib_ns.saturating_add(other.wall_mib_ns),
            cpu_ns: self.cpu_ns.saturating_add(other.cpu_ns),
        }
    }
}

impl AddAssign for Quantities {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Quantities {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Quantities::default(), Add::add)
    }
}
