//! How the scheduler decides under a profile: limits of the pool, and the keep-alive policy. What the profile leaves open
//! is the laptop's.

use std::time::Duration;

use super::{Profile, Sourced};
use crate::{
    policy::{FixedTtl, Policy, RandomTtl, UntilEvicted},
    pool::{Limits, StartRate},
    rate::{DailyCap, Rate},
};

impl Profile {
    /// How much may run, start and wait.
    ///
    /// ```
    /// use faas_core::profile::Profile;
    ///
    /// let limits = Profile::named("aws-lambda")?.pool_limits();
    /// // an account's concurrency; what is over it is refused, and does not wait
    /// assert_eq!((limits.max_running, limits.max_queued), (Some(1_000), 0));
    /// # Ok::<(), faas_core::profile::UnknownProfile>(())
    /// ```
    pub fn pool_limits(&self) -> Limits {
        let scaling = &self.scaling;
        let laptop = Limits::LAPTOP;
        let start_rate = match (&scaling.burst_instances, &scaling.burst_window_ms) {
            (Some(burst), Some(per_ms)) => {
                Some(StartRate { burst: burst.value, per: Duration::from_millis(per_ms.value) })
            }
            _ => None,
        };
        Limits {
            max_instances: scaling.max_instances.as_ref().map_or(laptop.max_instances, |n| n.value),
            max_queued: scaling.max_queued.as_ref().map_or(laptop.max_queued, |n| n.value),
            max_wait: scaling
                .max_wait_ms
                .as_ref()
                .map_or(laptop.max_wait, |ms| Duration::from_millis(ms.value)),
            memory_mib: scaling.memory_mib.as_ref().map(|mib| mib.value),
            max_running: scaling.max_running.as_ref().map(|n| n.value),
            start_rate,
            ..laptop
        }
    }

    /// How often the provider lets all functions together be invoked, where it says so.
    pub fn rate_limits(&self) -> Vec<Rate> {
        let per_minute = self.limits.requests_per_minute.iter();
        let rate = |count: &Sourced<u64>| Rate {
            function: None,
            count: u32::try_from(count.value).unwrap_or(u32::MAX),
            per: Duration::from_secs(60),
            whose: Some(self.name.as_str().into()),
        };
        per_minute.map(rate).collect()
    }

    /// How many invocations the provider lets all functions together have in a day, where it says so.
    pub fn daily_cap(&self) -> Option<DailyCap> {
        let most = self.limits.requests_per_day.as_ref()?;
        Some(DailyCap { count: most.value, whose: self.name.as_str().into() })
    }

    /// How long the provider keeps idle instances. Where that varies, times are drawn by `seed`.
    pub fn keep_alive(&self, seed: u64) -> Box<dyn Policy> {
        let time = |ms: u64| Duration::from_millis(ms);
        match (&self.scaling.keep_alive_ms, &self.scaling.keep_alive_max_ms) {
            (Some(min), Some(max)) => Box::new(RandomTtl::new(time(min.value), time(max.value), seed)),
            (Some(ttl), None) | (None, Some(ttl)) => Box::new(FixedTtl(time(ttl.value))),
            (None, None) => Box::new(UntilEvicted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Time, invocation::FunctionSpec, policy::Subject};

    fn named(name: &str) -> Profile {
        Profile::named(name).expect("built in")
    }

    #[test]
    fn each_provider_scales_in_its_own_way() {
        let aws = named("aws-lambda").pool_limits();
        let rate = StartRate { burst: 1000, per: Duration::from_secs(10) };
        assert_eq!((aws.max_running, aws.start_rate, aws.max_queued), (Some(1000), Some(rate), 0));
        let run = named("google-cloud-run-functions").pool_limits();
        assert_eq!((run.max_running, run.start_rate), (None, None));
        assert_eq!((run.max_queued, run.max_wait), (Limits::LAPTOP.max_queued, Duration::from_secs(10)));
        assert_eq!(named("own").pool_limits().memory_mib, Some(4096));
        assert_eq!(named("cloudflare-workers").pool_limits(), Limits::LAPTOP);
    }

    #[test]
    fn a_provider_limits_rates_where_it_says_so() {
        let told = |name: &str| named(name).rate_limits().iter().map(ToString::to_string).collect::<Vec<_>>();
        let free = "cloudflare-workers-free's rate limit, 1000 a minute";
        assert_eq!(told("cloudflare-workers-free"), [free]);
        assert_eq!(told("aws-lambda"), [""; 0]);
        let daily = |name: &str| named(name).daily_cap().map(|cap| cap.to_string());
        assert_eq!(
            daily("cloudflare-workers-free").as_deref(),
            Some("cloudflare-workers-free's 100000 requests a day")
        );
        assert_eq!(daily("cloudflare-workers"), None);
    }

    #[test]
    fn idle_instances_stay_as_long_as_the_provider_keeps_them() {
        let spec = FunctionSpec::new("f");
        let subject = Subject { spec: &spec, index: 0, app: 0, active: 0 };
        let kept = |name: &str, seed| {
            let mut policy = named(name).keep_alive(seed);
            (0..50).map(|_| policy.keep(Time::EPOCH, subject)).collect::<Vec<_>>()
        };
        let minutes = |n: u64| Duration::from_secs(n * 60);
        assert_eq!(kept("aws-lambda", 1)[0], Some(minutes(10)));
        assert_eq!(kept("cloudflare-workers", 1)[0], None);
        let azure = kept("azure-functions", 1);
        assert!(azure.iter().all(|time| time.is_some_and(|t| (minutes(20)..=minutes(30)).contains(&t))));
        assert!(azure.windows(2).any(|pair| pair[0] != pair[1]), "they vary");
        assert_eq!(azure, kept("azure-functions", 1), "and follow from the seed");
    }
}
