//! What a profile's file may say of asynchronous events, and the rules of delivery that follow. Where a provider has no
//! asynchronous invocation of its own, its file says what stands for it.

use std::time::Duration;

use serde::Deserialize;

use super::{
    Profile,
    schema::{Range, Sourced},
};
use crate::delivery::{Backoff, Rules};

/// How events that nobody waits for are delivered. What is absent is as AWS Lambda does it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// How often an event is delivered again after the function has failed with it; until it is too old when negative.
    pub max_retries: Option<Sourced<i32>>,
    /// How old an event may become, in milliseconds.
    pub max_age_ms: Option<Range<u64>>,
    /// The first distance after an error of the function, in milliseconds; it doubles.
    pub retry_ms: Option<Sourced<u64>>,
    /// The longest of these.
    pub retry_max_ms: Option<Sourced<u64>>,
    /// The first distance after the function could not be run: throttled, or the host's fault.
    pub unserved_ms: Option<Sourced<u64>>,
    /// The longest of these.
    pub unserved_max_ms: Option<Sourced<u64>>,
    /// So many percent of such a distance, at most, are drawn and added.
    pub jitter_percent: Option<Sourced<u8>>,
}

/// The largest event where a provider says nothing: AWS Lambda's.
const MAX_EVENT_BYTES: u64 = 1 << 20;

impl Profile {
    /// How events are delivered.
    ///
    /// ```
    /// use std::time::Duration;
    /// use faas_core::profile::Profile;
    ///
    /// let rules = Profile::named("aws-lambda")?.delivery_rules();
    /// assert_eq!((rules.max_retries, rules.max_age), (2, Duration::from_secs(6 * 60 * 60)));
    /// assert_eq!(rules.retry.first, Duration::from_secs(60));
    /// # Ok::<(), faas_core::profile::UnknownProfile>(())
    /// ```
    pub fn delivery_rules(&self) -> Rules {
        let Events {
            max_retries,
            max_age_ms,
            retry_ms,
            retry_max_ms,
            unserved_ms,
            unserved_max_ms,
            jitter_percent,
        } = &self.events;
        let ms = |of: &Option<Sourced<u64>>, other| {
            Duration::from_millis(of.as_ref().map_or(other, |ms| ms.value))
        };
        let retry_first = ms(retry_ms, 60_000);
        let unserved_first = ms(unserved_ms, 1_000);
        Rules {
            max_retries: max_retries.as_ref().map_or(2, |most| u32::try_from(most.value).unwrap_or(u32::MAX)),
            max_age: Duration::from_millis(max_age_ms.as_ref().map_or(21_600_000, |age| age.default.value)),
            retry: Backoff {
                first: retry_first,
                max: ms(retry_max_ms, 120_000).max(retry_first),
                jitter_percent: 0,
            },
            unserved: Backoff {
                first: unserved_first,
                max: ms(unserved_max_ms, 300_000).max(unserved_first),
                jitter_percent: jitter_percent.as_ref().map_or(10, |percent| percent.value),
            },
        }
    }

    /// The largest event that is taken, in bytes.
    pub fn max_event_bytes(&self) -> u64 {
        let limits = &self.limits;
        let request = limits.request_bytes.as_ref().map_or(u64::MAX, |range| range.default.value);
        limits.event_bytes.as_ref().map_or(MAX_EVENT_BYTES.min(request), |range| range.default.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_delivers_in_its_own_way() {
        let rules = |name: &str| Profile::named(name).expect("built in").delivery_rules();
        let (minutes, hours) = (|n: u64| Duration::from_secs(n * 60), |n: u64| Duration::from_secs(n * 3600));
        let aws = rules("aws-lambda");
        assert_eq!((aws.max_retries, aws.max_age), (2, hours(6)));
        assert_eq!((aws.retry.first, aws.retry.max), (minutes(1), minutes(2)));
        assert_eq!((aws.unserved.first, aws.unserved.max), (Duration::from_secs(1), minutes(5)));
        let google = rules("google-cloud-run-functions");
        assert_eq!((google.max_retries, google.max_age), (u32::MAX, hours(24)), "until it is too old");
        let cloudflare = rules("cloudflare-workers");
        assert_eq!((cloudflare.max_retries, cloudflare.retry.first), (3, Duration::ZERO));
        assert_eq!(rules("azure-functions").max_retries, 4, "five in all");
        for name in Profile::names() {
            let Rules { retry, unserved, max_retries, .. } = rules(name);
            assert!(unserved.first > Duration::ZERO, "{name}: in no hurry");
            assert!(retry.first > Duration::ZERO || max_retries < 100, "{name}: it ends");
        }
    }

    #[test]
    fn the_largest_event_is_the_providers() {
        let most = |name: &str| Profile::named(name).expect("built in").max_event_bytes();
        assert_eq!(most("aws-lambda"), 1_048_576);
        assert_eq!(most("google-cloud-run-functions"), 524_288);
        assert_eq!(most("own"), 1_048_576);
    }
}
