//! Instances that functions keep ready, called or not: how many, for how long, and what that counts for.
//!
//! Providers bill them from switching them on to switching them off, whether they start or serve; what they serve is
//! billed besides, as each invocation's. Pure: whoever deploys functions says so ([`Standbys::follow`]).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    quantities::{Measure, Quantities},
    usage::{Use, memory_mib, ns, round_up},
};
use crate::{clock::Time, invocation::FunctionSpec, profile::Profile};

/// So many instances that were kept ready, from switching them on to switching them off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standby {
    /// How many.
    pub instances: u32,
    /// Memory of each.
    pub memory_mib: u32,
    /// How long, in nanoseconds.
    pub time_ns: u64,
}

impl Profile {
    /// What being kept ready counts for: each time rounded as the provider does, and where it bills those that are idle
    /// only, without what they served, which is among `served`. Nothing where the provider has no such thing: its
    /// instances come and go with their invocations.
    ///
    /// ```
    /// use faas_core::{billing::{Quantities, Standby}, profile::Profile};
    ///
    /// // two of 1 GiB for six minutes: ten minutes are billed on Lambda, six on Azure, none on Workers
    /// let kept = [Standby { instances: 2, memory_mib: 1024, time_ns: 360_000_000_000 }];
    /// let costs = |name| {
    ///     let profile = Profile::named(name)?;
    ///     let used = profile.standby(&kept, &Quantities::default());
    ///     Ok::<_, faas_core::profile::UnknownProfile>(profile.billing.amount_usd(&used).to_string())
    /// };
    /// assert_eq!(costs("aws-lambda")?, "0.00500004");
    /// assert_eq!(costs("azure-functions-flex")?, "0.00576", "which sells 2 GiB next");
    /// assert_eq!(costs("cloudflare-workers")?, "0");
    /// # Ok::<(), faas_core::profile::UnknownProfile>(())
    /// ```
    pub fn standby(&self, kept: &[Standby], served: &Quantities) -> Quantities {
        self.standby_with(None, kept, served)
    }

    /// The same for instances with so many thousandths of a CPU.
    pub(super) fn standby_with(
        &self,
        milli_vcpus: Option<u32>,
        kept: &[Standby],
        served: &Quantities,
    ) -> Quantities {
        let Some(rule) = &self.billing.provisioned else { return Quantities::default() };
        let step_ms = rule.round_up_ms.as_ref().map_or(0, |step| step.value);
        let all = kept.iter().fold(Quantities::default(), |sum, one| {
            let used = Use { memory_mib: one.memory_mib, memory_used_mib: one.memory_mib, ..Use::default() };
            let memory_mib = memory_mib(&used, self.billing.memory.as_ref());
            let milli_vcpus = milli_vcpus.unwrap_or_else(|| self.cpu.milli_vcpus(memory_mib));
            let time_ns = round_up(Duration::from_nanos(one.time_ns), step_ms).as_nanos();
            let all_ns = time_ns.saturating_mul(one.instances.into());
            sum.with(Measure::ProvisionedTime, all_ns.saturating_mul(memory_mib.into()))
                .with(Measure::ProvisionedVcpuTime, all_ns.saturating_mul(milli_vcpus.into()))
        });
        if !rule.idle_only.as_ref().is_some_and(|is| is.value) {
            return all;
        }
        let busy = Quantities::default()
            .with(Measure::ProvisionedTime, served.get(Measure::ProvisionedBusy))
            .with(Measure::ProvisionedVcpuTime, served.get(Measure::ProvisionedBusyVcpu));
        all.less(busy)
    }
}

/// Which functions keep instances ready, and since when.
#[derive(Debug, Clone, Default)]
pub struct Standbys {
    functions: BTreeMap<Arc<str>, Times>,
}

#[derive(Debug, Clone, Default)]
struct Times {
    ended: Vec<Standby>,
    /// Those that are kept now, and since when.
    now: Option<(Standby, Time)>,
}

impl Standbys {
    /// From now on these functions keep as many ready as they ask for, and no others keep any. One whose number or
    /// memory has changed has switched them off and on. Returns what is switched on.
    pub fn follow<'a>(
        &mut self,
        now: Time,
        functions: impl IntoIterator<Item = &'a FunctionSpec>,
    ) -> Vec<(Arc<str>, Standby)> {
        let asked: BTreeMap<&Arc<str>, Standby> = functions
            .into_iter()
            .filter(|spec| spec.min_instances > 0)
            .map(|spec| {
                let one = Standby { instances: spec.min_instances, memory_mib: spec.memory_mib, time_ns: 0 };
                (&spec.name, one)
            })
            .collect();
        for (name, times) in &mut self.functions {
            let stays = |(kept, _): &(Standby, Time)| asked.get(name) == Some(kept);
            if let Some((kept, since)) = times.now.take_if(|now| !stays(now)) {
                times.ended.push(Standby { time_ns: ns(now.since(since)), ..kept });
            }
        }
        let mut begun = Vec::new();
        for (name, one) in asked {
            let times = self.functions.entry(name.clone()).or_default();
            if times.now.is_none() {
                times.now = Some((one, now));
                begun.push((name.clone(), one));
            }
        }
        begun
    }

    /// Whether no function has kept any.
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }

    /// What has been kept ready until now, by function.
    pub fn until(&self, now: Time) -> impl Iterator<Item = (&Arc<str>, Vec<Standby>)> {
        self.functions.iter().map(move |(name, times)| {
            let is = times.now.map(|(kept, since)| Standby { time_ns: ns(now.since(since)), ..kept });
            (name, times.ended.iter().copied().chain(is).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, min_instances: u32, memory_mib: u32) -> FunctionSpec {
        FunctionSpec { min_instances, memory_mib, ..FunctionSpec::new(name) }
    }

    fn kept(standbys: &Standbys, at_s: u64) -> String {
        let told = |(name, kept): (&Arc<str>, Vec<Standby>)| {
            let each = kept
                .iter()
                .map(|one| format!("{}x{} {}s", one.instances, one.memory_mib, one.time_ns / 1_000_000_000));
            format!("{name}: {}", each.collect::<Vec<_>>().join(", "))
        };
        standbys.until(at(at_s)).map(told).collect::<Vec<_>>().join("; ")
    }

    fn at(seconds: u64) -> Time {
        Time::EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn what_stays_as_it_is_is_one_time_and_what_changes_begins_another() {
        let mut standbys = Standbys::default();
        standbys.follow(at(0), &[spec("a", 2, 128), spec("b", 0, 128)]);
        assert_eq!(kept(&standbys, 60), "a: 2x128 60s");
        // another generation of the same settings
        standbys.follow(at(60), &[FunctionSpec { generation: 2, ..spec("a", 2, 128) }, spec("b", 1, 256)]);
        assert_eq!(kept(&standbys, 100), "a: 2x128 100s; b: 1x256 40s");
        standbys.follow(at(100), &[spec("a", 2, 512), spec("b", 1, 256)]);
        standbys.follow(at(130), &[spec("b", 1, 256)]);
        assert_eq!(kept(&standbys, 200), "a: 2x128 100s, 2x512 30s; b: 1x256 140s");
        standbys.follow(at(200), &[]);
        assert_eq!(kept(&standbys, 9_000), "a: 2x128 100s, 2x512 30s; b: 1x256 140s");
    }

    #[test]
    fn each_time_is_rounded_for_itself() {
        let aws = Profile::named("aws-lambda").expect("built in");
        let one = |seconds: u64| Standby { instances: 1, memory_mib: 1024, time_ns: seconds * 1_000_000_000 };
        let gb_seconds = |kept: &[Standby]| {
            let used = aws.standby(kept, &Quantities::default());
            used.get(Measure::ProvisionedTime) / 1024 / 1_000_000_000
        };
        assert_eq!(gb_seconds(&[one(1)]), 300);
        assert_eq!(gb_seconds(&[one(301)]), 600);
        assert_eq!(gb_seconds(&[one(1), one(1)]), 600, "off and on again");
        assert_eq!(gb_seconds(&[one(0)]), 0);
    }

    #[test]
    fn where_idle_ones_are_billed_what_they_served_is_taken_off() {
        let run = Profile::named("google-cloud-run-functions").expect("built in");
        let second = 1_000_000_000;
        let kept = [Standby { instances: 1, memory_mib: 256, time_ns: 10 * second }];
        let used = Use {
            handler_wall: Duration::from_millis(2_950),
            memory_mib: 256,
            is_provisioned: true,
            ..Use::default()
        };
        let (_, served) = run.count(&used);
        let idle = run.standby(&kept, &served);
        // three seconds are billed as any other's, seven as idle
        assert_eq!(served.get(Measure::MemoryTime), u128::from(3 * second * 256));
        assert_eq!(idle.get(Measure::ProvisionedTime), u128::from(7 * second * 256));
        assert_eq!(idle.get(Measure::ProvisionedVcpuTime), u128::from(7 * second * 167));
        let busy = served.times(9);
        assert_eq!(run.standby(&kept, &busy), Quantities::default(), "no less than nothing");
    }
}
