//! How slow a provider is where this machine is quick: its cold starts and its CPUs. Pure; nothing here waits.
//!
//! A start is told by one number, its quantile: what share of all starts are quicker. Both parts of it are read at the same
//! quantile, because a slow start is slow in both as far as anybody knows; so a client sees the distribution that was
//! measured for clients, whatever the parts are.

use std::time::Duration;

use super::{
    Profile,
    schema::{ColdStart, Part},
};
use crate::invocation::{CpuShare, Injected};

/// Linux gives shares of a CPU in periods of 100 ms unless told otherwise (Documentation/scheduler/sched-bwc.rst).
const LINUX_PERIOD: Duration = Duration::from_millis(100);

impl ColdStart {
    /// How long a start takes that is slower than this share of all, from 0 to 1.
    ///
    /// Between two published quantiles the logarithm of the time grows evenly. Beyond the outermost there is nothing to go
    /// by, and time stays at them: no start is invented that is quicker or slower than anybody has published.
    ///
    /// ```
    /// use faas_core::profile::Profile;
    ///
    /// let run = Profile::named("google-cloud-run-functions")?;
    /// let ms = |quantile| run.cold_starts[0].at(quantile).as_millis();
    /// assert_eq!([ms(0.1), ms(0.5), ms(0.745), ms(0.99), ms(1.0)], [870, 870, 1167, 1566, 1566]);
    /// # Ok::<(), faas_core::profile::UnknownProfile>(())
    /// ```
    pub fn at(&self, quantile: f64) -> Duration {
        let known = [
            (0.0, self.min_us.as_ref()),
            (0.5, Some(&self.p50_us)),
            (0.9, self.p90_us.as_ref()),
            (0.99, self.p99_us.as_ref()),
            (1.0, self.max_us.as_ref()),
        ];
        let mut below: Option<(f64, u64)> = None;
        for (at, us) in known {
            let Some(us) = us.map(|us| us.value) else { continue };
            if quantile <= at {
                return match below {
                    Some(below) => between(below, (at, us), quantile),
                    None => Duration::from_micros(us),
                };
            }
            below = Some((at, us));
        }
        Duration::from_micros(below.map_or(0, |(_, us)| us))
    }
}

fn between((low_at, low_us): (f64, u64), (high_at, high_us): (f64, u64), quantile: f64) -> Duration {
    let share = ((quantile - low_at) / (high_at - low_at)).clamp(0.0, 1.0);
    // a minimum of nothing has no logarithm
    let low = low_us.max(1) as f64;
    let us = low * (high_us as f64 / low).powf(share);
    Duration::from_nanos((us * 1e3).round() as u64).clamp(micros(low_us), micros(high_us))
}

fn micros(us: u64) -> Duration {
    Duration::from_micros(us)
}

impl Profile {
    /// What a cold start of the provider's takes that is slower than this share of all, from 0 to 1: to be added to ours.
    ///
    /// Where only the whole is known, all of it is the platform's, and nobody bills it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use faas_core::profile::Profile;
    ///
    /// // as a client sees it 448 ms, of which Rust's init is 16
    /// let typical = Profile::named("aws-lambda")?.cold_start(128, 0.5);
    /// assert_eq!((typical.platform.as_millis(), typical.init.as_millis()), (432, 16));
    /// # Ok::<(), faas_core::profile::UnknownProfile>(())
    /// ```
    pub fn cold_start(&self, memory_mib: u32, quantile: f64) -> Injected {
        let of = |part| self.measured(part, memory_mib).map(|start| start.at(quantile));
        let init = of(Part::Init).unwrap_or_default();
        let whole = of(Part::Whole).map(|whole| whole.saturating_sub(init));
        Injected { platform: whole.or(of(Part::Platform)).unwrap_or_default(), init, ..Injected::default() }
    }

    /// What was measured of this part, with this memory or the next larger.
    fn measured(&self, part: Part, memory_mib: u32) -> Option<&ColdStart> {
        let of_part = || self.cold_starts.iter().filter(|start| start.part == part);
        let with_memory =
            of_part().filter(|start| start.memory_mib.is_none_or(|measured| measured >= memory_mib));
        let largest = || of_part().max_by_key(|start| start.memory_mib.unwrap_or(u32::MAX));
        with_memory.min_by_key(|start| start.memory_mib.unwrap_or(u32::MAX)).or_else(largest)
    }

    /// The share of a CPU that an instance of this memory has; absent where it has a whole one, or nobody says. A guest has
    /// one thread: more than one CPU makes it no faster.
    ///
    /// ```
    /// use faas_core::profile::Profile;
    ///
    /// let aws = Profile::named("aws-lambda")?;
    /// let share = aws.cpu_share(128).expect("less than one");
    /// assert_eq!((share.milli_vcpus, share.period.as_millis()), (72, 20));
    /// assert_eq!(aws.cpu_share(1769), None);
    /// # Ok::<(), faas_core::profile::UnknownProfile>(())
    /// ```
    pub fn cpu_share(&self, memory_mib: u32) -> Option<CpuShare> {
        let milli_vcpus = self.cpu.milli_vcpus(memory_mib);
        let period = self.cpu.period_ms.as_ref();
        let period = period.map_or(LINUX_PERIOD, |ms| Duration::from_millis(ms.value.into()));
        (1..1000).contains(&milli_vcpus).then_some(CpuShare { milli_vcpus, period, is_computed: false })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::schema::Sourced, *};

    fn start(min: Option<u64>, p50: u64, p90: Option<u64>, p99: Option<u64>, max: Option<u64>) -> ColdStart {
        let of = |value| Sourced { value, source: "test".into() };
        ColdStart {
            what: "a test".into(),
            part: Part::Init,
            memory_mib: None,
            min_us: min.map(of),
            p50_us: of(p50),
            p90_us: p90.map(of),
            p99_us: p99.map(of),
            max_us: max.map(of),
        }
    }

    fn any_start() -> impl Strategy<Value = ColdStart> {
        let step = || 0_u64..2_000_000;
        let gap = || prop::option::of(step());
        (prop::option::of(0_u64..=100), 1_u64..1_000_000, gap(), gap(), gap()).prop_map(
            |(min_percent, p50, to_p90, to_p99, to_max)| {
                let mut at = p50;
                let mut next = |gap: Option<u64>| {
                    gap.map(|gap| {
                        at += gap;
                        at
                    })
                };
                let (p90, p99, max) = (next(to_p90), next(to_p99), next(to_max));
                start(min_percent.map(|percent| p50 * percent / 100), p50, p90, p99, max)
            },
        )
    }

    proptest! {
        #[test]
        fn a_higher_quantile_is_never_quicker(of in any_start(), a in 0.0..=1.0, b in 0.0..=1.0) {
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            prop_assert!(of.at(low) <= of.at(high));
        }

        #[test]
        fn what_was_published_comes_out_and_nothing_beyond_it(of in any_start(), quantile in 0.0..=1.0) {
            for (at, us) in [(0.5, Some(&of.p50_us)), (0.9, of.p90_us.as_ref()), (0.99, of.p99_us.as_ref())] {
                if let Some(us) = us {
                    prop_assert_eq!(of.at(at), micros(us.value));
                }
            }
            let least = of.min_us.as_ref().unwrap_or(&of.p50_us).value;
            let most = [&of.max_us, &of.p99_us, &of.p90_us].into_iter().flatten().next().unwrap_or(&of.p50_us);
            prop_assert!((micros(least)..=micros(most.value)).contains(&of.at(quantile)));
        }

        #[test]
        fn draws_approach_the_published_quantiles(of in any_start(), seed: u64) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let draws: Vec<Duration> = (0..4_000).map(|_| of.at(rng.f64())).collect();
            for (at, us) in [(0.5, Some(&of.p50_us)), (0.9, of.p90_us.as_ref()), (0.99, of.p99_us.as_ref())] {
                let Some(us) = us else { continue };
                // five standard deviations of a share of 4,000 draws, which no seed of a test leaves
                let spread = 5.0 * (at * (1.0_f64 - at) / 4_000.0).sqrt();
                let quicker = |than: f64| draws.iter().filter(|d| d.as_nanos() as f64 <= than).count() as f64 / 4_000.0;
                let published = micros(us.value).as_nanos() as f64;
                prop_assert!(quicker(published) >= at - spread, "{} at {at}", quicker(published));
                let slower = draws.iter().filter(|d| d.as_nanos() as f64 >= published).count() as f64 / 4_000.0;
                prop_assert!(slower >= 1.0 - at - spread, "{slower} at {at}");
            }
        }
    }

    #[test]
    fn parts_add_up_to_what_a_client_sees_at_every_quantile() {
        let aws = Profile::named("aws-lambda").expect("built in");
        let whole = aws.cold_starts.iter().find(|start| start.part == Part::Whole).expect("it is there");
        for hundredth in 0..=100 {
            let quantile = f64::from(hundredth) / 100.0;
            for memory_mib in [128, 1024, 10240] {
                assert_eq!(aws.cold_start(memory_mib, quantile).start(), whole.at(quantile), "{quantile}");
            }
        }
    }

    #[test]
    fn memory_chooses_what_was_measured_with_it_or_with_the_next_larger() {
        let aws = Profile::named("aws-lambda").expect("built in");
        let p99 = |memory_mib| aws.cold_start(memory_mib, 0.99).init.as_micros();
        assert_eq!(
            [128, 256, 300, 512, 1024, 4096].map(p99),
            [51_100, 49_500, 48_900, 48_900, 46_600, 46_600]
        );
    }

    #[test]
    fn where_nobody_publishes_starts_none_are_made_up() {
        for name in Profile::names() {
            let profile = Profile::named(name).expect("built in");
            let typical = profile.cold_start(128, 0.5);
            assert_eq!(typical.is_some(), !profile.cold_starts.is_empty(), "{name}");
        }
        let google = Profile::named("google-cloud-run-functions").expect("built in").cold_start(256, 0.5);
        assert_eq!(
            (google.platform.as_millis(), google.init),
            (870, Duration::ZERO),
            "the split is not known"
        );
    }

    #[test]
    fn a_cpu_is_shared_below_one_and_whole_from_there() {
        let share =
            |name: &str, mib| Profile::named(name).expect("built in").cpu_share(mib).map(|s| s.milli_vcpus);
        assert_eq!(
            [128, 1024, 1768, 1769, 3008].map(|mib| share("aws-lambda", mib)),
            [Some(72), Some(578), Some(999), None, None]
        );
        assert_eq!(
            [128, 1024, 2048].map(|mib| share("google-cloud-run-functions", mib)),
            [Some(83), Some(583), None]
        );
        assert_eq!(share("cloudflare-workers", 128), None, "nobody says");
    }
}
