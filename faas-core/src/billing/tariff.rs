//! What invocations of one size count for, so that many can be added up before anything is multiplied.
//!
//! Invocations that differ in nothing but their times count in proportion to three sums: how many they are, their wall
//! time as it is billed (each rounded for itself), and their CPU time. [`Tally`] holds the sums, [`Tariff`] the
//! proportions.

use std::time::Duration;

use super::{
    quantities::{Measure, Quantities},
    usage::{Use, memory_mib, ns, requests},
};
use crate::profile::{Counts, Meter, Profile, ProvisionedRule};

/// What a profile counts for invocations of one size.
#[derive(Debug, Clone)]
pub(crate) struct Tariff {
    rounding: Rounding,
    bills_init: bool,
    /// What the init of a cold one adds to billed time, in nanoseconds; zero where a provider does not bill it.
    init_ns: u64,
    rates: Rates,
}

/// In proportion to what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    // of each
    requests: u64,
    streamed_bytes: u64,
    egress_bytes: u64,
    // for each nanosecond of billed wall time
    memory_mib: u32,
    milli_vcpus: u32,
    mhz: u32,
    scratch_mib: u32,
    /// On an instance that is kept ready, where that has a price of its own.
    provisioned_mib: u32,
    /// And where it has not, but is not billed as being kept ready.
    busy_mib: u32,
    busy_milli_vcpus: u32,
}

/// How wall time is rounded, in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Rounding {
    step: u64,
    /// 2^64 / step, rounded down: a multiplication where `/` divides.
    inverse: u64,
    least: u64,
}

/// Sums over invocations that one tariff is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    count: u64,
    wall_ns: u128,
    cpu_ns: u128,
}

impl Tariff {
    /// The tariff for invocations that use as much as this one, of which only the times do not matter. Cold ones are
    /// billed for `init`, if the profile bills any.
    pub(crate) fn of(profile: &Profile, used: &Use, init: Duration) -> Self {
        let rule = profile.billing.time.as_ref();
        let bills_init = profile.bills_init();
        let ms = |ms: Option<u32>| u64::from(ms.unwrap_or(0)) * 1_000_000;
        let step = ms(rule.and_then(|rule| rule.round_up_ms.as_ref()).map(|step| step.value)).max(1);
        let least = ms(rule.and_then(|rule| rule.min_ms.as_ref()).map(|min| min.value));
        Tariff {
            rounding: Rounding { step, inverse: u64::MAX / step, least },
            bills_init,
            init_ns: if bills_init { ns(init) } else { 0 },
            rates: profile.rates(used),
        }
    }

    /// Adds a warm invocation that takes so long, all of it on a CPU.
    pub(crate) fn add_warm(&self, to: &mut Tally, handler_ns: u64) {
        to.add(self.rounding.of(handler_ns), handler_ns);
    }

    /// Adds a cold one.
    pub(crate) fn add_cold(&self, to: &mut Tally, handler_ns: u64) {
        to.add(self.rounding.of(handler_ns.saturating_add(self.init_ns)), handler_ns);
    }

    /// Adds an invocation that used this: its times count, all else is as the tariff was made for.
    pub(super) fn add(&self, to: &mut Tally, used: &Use) {
        let init_ns = if self.bills_init { ns(used.init_wall) } else { 0 };
        to.add(self.rounding.of(ns(used.handler_wall).saturating_add(init_ns)), ns(used.handler_cpu));
    }

    /// Wall time as it is billed.
    pub(super) fn rounded(&self, time: Duration) -> Duration {
        Duration::from_nanos(self.rounding.of(ns(time)))
    }

    /// The same where so much of its wall time is billed, which was rounded before.
    pub(super) fn add_rounded(&self, to: &mut Tally, used: &Use, wall: Duration) {
        to.add(ns(wall), ns(used.handler_cpu));
    }

    /// What all of these count for.
    pub(crate) fn quantities(&self, tally: &Tally) -> Quantities {
        self.rates.times(tally.count.into(), tally.wall_ns, tally.cpu_ns)
    }
}

impl Rates {
    pub(super) fn times(self, count: u128, wall_ns: u128, cpu_ns: u128) -> Quantities {
        let each = |n: u64| u128::from(n).saturating_mul(count);
        let timed = |n: u32| u128::from(n).saturating_mul(wall_ns);
        Quantities::default()
            .with(Measure::Requests, each(self.requests))
            .with(Measure::Streamed, each(self.streamed_bytes))
            .with(Measure::Egress, each(self.egress_bytes))
            .with(Measure::MemoryTime, timed(self.memory_mib))
            .with(Measure::VcpuTime, timed(self.milli_vcpus))
            .with(Measure::ClockTime, timed(self.mhz))
            .with(Measure::ScratchTime, timed(self.scratch_mib))
            .with(Measure::ProvisionedUse, timed(self.provisioned_mib))
            .with(Measure::ProvisionedBusy, timed(self.busy_mib))
            .with(Measure::ProvisionedBusyVcpu, timed(self.busy_milli_vcpus))
            .with(Measure::CpuTime, cpu_ns)
    }
}

impl Profile {
    /// What an invocation like this counts for: for itself, for each nanosecond of billed wall time, and of CPU time.
    pub(super) fn rates(&self, used: &Use) -> Rates {
        let billing = &self.billing;
        let memory_mib = memory_mib(used, billing.memory.as_ref());
        let milli_vcpus = used.milli_vcpus.unwrap_or_else(|| self.cpu.milli_vcpus(memory_mib));
        let scratch_mib = billing
            .scratch
            .as_ref()
            .map_or(0, |rule| used.scratch_mib.saturating_sub(rule.included_mib.value));
        let streamed_bytes = billing
            .stream
            .as_ref()
            .map_or(0, |rule| used.streamed_bytes.saturating_sub(rule.included_bytes.value));
        let rates = Rates {
            requests: requests(used, billing.events.as_ref()),
            streamed_bytes,
            egress_bytes: used.egress_bytes,
            memory_mib,
            milli_vcpus,
            mhz: self.cpu.mhz(memory_mib),
            scratch_mib,
            provisioned_mib: 0,
            busy_mib: 0,
            busy_milli_vcpus: 0,
        };
        match &billing.provisioned {
            Some(rule) if used.is_provisioned => self.on_provisioned(rates, rule),
            _ => rates,
        }
    }

    /// The same on an instance that is kept ready.
    fn on_provisioned(&self, rates: Rates, rule: &ProvisionedRule) -> Rates {
        let Rates { memory_mib, milli_vcpus, .. } = rates;
        let of_use = |meter: &Meter| meter.counts == Counts::ProvisionedUseGbSeconds;
        if self.billing.meters.iter().any(of_use) {
            return Rates { memory_mib: 0, provisioned_mib: memory_mib, ..rates };
        }
        match &rule.idle_only {
            Some(is) if is.value => Rates { busy_mib: memory_mib, busy_milli_vcpus: milli_vcpus, ..rates },
            _ => rates,
        }
    }
}

impl Rounding {
    fn of(self, ns: u64) -> u64 {
        // the quotient, or one less: `inverse` is less than one too small, and so is its product over 2^64
        let quotient = (u128::from(ns) * u128::from(self.inverse)) >> 64;
        let below = quotient as u64 * self.step;
        let over = ns - below;
        let up = if over == 0 {
            0
        } else if over <= self.step {
            self.step
        } else {
            2 * self.step
        };
        below.saturating_add(up).max(self.least)
    }
}

impl Tally {
    fn add(&mut self, wall_ns: u64, cpu_ns: u64) {
        self.count += 1;
        self.wall_ns += u128::from(wall_ns);
        self.cpu_ns += u128::from(cpu_ns);
    }

    /// These with `other`'s, without `part`'s, which are among them.
    pub(crate) fn exchange(self, part: Tally, other: Tally) -> Tally {
        Tally {
            count: self.count - part.count + other.count,
            wall_ns: self.wall_ns - part.wall_ns + other.wall_ns,
            cpu_ns: self.cpu_ns - part.cpu_ns + other.cpu_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        clock::Time,
        invocation::{End, FunctionSpec, Record, Start, Usage},
    };

    fn record(memory_mib: u32, start: Start, init: Duration, handler: Duration) -> Record {
        let spec = FunctionSpec { memory_mib, ..FunctionSpec::new("f") };
        Record {
            id: "".into(),
            function: spec.name.clone(),
            spec: Some(Arc::new(spec)),
            start: Some(start),
            instance: None,
            arrived: Time::EPOCH,
            ended: Time::EPOCH,
            queue: Duration::ZERO,
            usage: Usage {
                init_wall: if start == Start::Cold { init } else { Duration::ZERO },
                handler_wall: handler,
                handler_cpu: handler,
                memory_peak_bytes: u64::from(memory_mib) << 20,
                ..Usage::default()
            },
            end: End::Replied { status: http::StatusCode::OK, is_fault: false },
        }
    }

    proptest! {
        /// Summed before or after: exactly the same, under every profile that there is.
        #[test]
        fn a_tally_counts_what_its_records_do(
            memory_mib in 1_u32..20_000,
            init_ns in 0_u64..10_000_000_000,
            calls in proptest::collection::vec(
                (any::<bool>(), prop_oneof![0_u64..3_000_000, (0_u64..5_000).prop_map(|ms| ms * 1_000_000), 0_u64..1 << 60]),
                0..20,
            ),
        ) {
            let init = Duration::from_nanos(init_ns);
            for name in Profile::names() {
                let profile = Profile::named(name).expect("built in");
                let used = Use { memory_mib, memory_used_mib: memory_mib, ..Use::default() };
                let tariff = Tariff::of(&profile, &used, init);
                let (mut tally, mut sum) = (Tally::default(), Quantities::default());
                for (is_cold, ns) in &calls {
                    let start = if *is_cold { Start::Cold } else { Start::Warm };
                    match start {
                        Start::Cold => tariff.add_cold(&mut tally, *ns),
                        Start::Warm => tariff.add_warm(&mut tally, *ns),
                    }
                    sum += Quantities::of(&record(memory_mib, start, init, Duration::from_nanos(*ns)), &profile);
                }
                prop_assert_eq!(tariff.quantities(&tally), sum, "{}", name);
            }
        }

        #[test]
        fn rounding_up_is_a_division(step in 1_u64..1 << 40, ns in 0_u64..1 << 62) {
            let rounding = Rounding { step, inverse: u64::MAX / step, least: 0 };
            prop_assert_eq!(rounding.of(ns), ns.div_ceil(step) * step);
        }
    }
}
