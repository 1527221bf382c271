//! A function's settings: what it asks for, within what the provider gives.

use std::{fmt, sync::Arc, time::Duration};

use super::{Profile, schema::Range};
use crate::{
    abi::manifest::{Entry, Isolation},
    invocation::FunctionSpec,
    schedule::Schedule,
};

/// Where a provider has no limit: more than anybody waits for, and no overflow when added to a time.
const NO_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
/// What an init may take where a provider states nothing of it: there an instance starts in the time that its first invocation
/// has, and nobody waits for one that starts for ever.
const UNSTATED_INIT: Duration = Duration::from_secs(60);

/// A function asks for what the provider does not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    function: String,
    profile: String,
    what: String,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unsupported { function, profile, what } = self;
        write!(
            f,
            "function `{function}` {what} under `{profile}`\nChange its #[function(…)], or choose another profile."
        )
    }
}

impl std::error::Error for Unsupported {}

impl Profile {
    /// The settings that a function runs with, as its first generation.
    ///
    /// Functions that would serve several invocations to an instance serve one where the provider's instances do no
    /// more; that changes nothing for a function but how many instances there are.
    ///
    /// # Errors
    /// When it asks for less or more of something than the provider gives.
    pub fn spec(&self, entry: &Entry) -> Result<FunctionSpec, Unsupported> {
        let error =
            |what: String| Unsupported { function: entry.name.clone(), profile: self.name.clone(), what };
        let limits = &self.limits;
        let memory_mib = within(&limits.memory_mib, entry.memory_mib).map_err(|allowed| {
            error(format!(
                "wants {} MiB of memory; {allowed} may be had",
                entry.memory_mib.unwrap_or_default()
            ))
        })?;
        let timeout = match (&limits.timeout_ms, entry.timeout_ms) {
            (Some(range), asked) => Duration::from_millis(within(range, asked).map_err(|allowed| {
                error(format!("wants a timeout of {} ms; {allowed} may be had", asked.unwrap_or_default()))
            })?),
            (None, asked) => asked.map_or(NO_LIMIT, Duration::from_millis).min(NO_LIMIT),
        };
        let scaling = &self.scaling;
        let default_concurrency = scaling.default_concurrency.as_ref().map(|n| n.value);
        let isolation = entry.isolation.unwrap_or_default();
        let per_instance = match isolation {
            Isolation::Instance => entry.concurrency.or(default_concurrency).unwrap_or(1).max(1),
            Isolation::Request => 1,
        };
        let most_per_instance = scaling.instance_concurrency.as_ref().map_or(u32::MAX, |most| most.value);
        let instance_concurrency = per_instance.min(most_per_instance);
        let schedule = match &entry.schedule {
            Some(text) => {
                let schedule = text.parse::<Schedule>();
                Some(Arc::new(schedule.map_err(|why| error(format!("never fires: {why};")))?))
            }
            None => None,
        };
        Ok(FunctionSpec {
            schedule,
            memory_mib,
            timeout,
            cpu_limit: limits.cpu_ms.as_ref().map(|range| Duration::from_millis(range.default.value)),
            init_timeout: limits
                .init_ms
                .as_ref()
                .map_or(timeout.min(UNSTATED_INIT), |range| Duration::from_millis(range.default.value)),
            instance_concurrency,
            isolation,
            max_instances: scaling.max_function_instances.as_ref().map(|most| most.value),
            // with one place an instance, a share of it would keep a spare instance for each that is busy
            target_utilization_percent: scaling
                .target_utilization_percent
                .as_ref()
                .map(|share| share.value)
                .filter(|_| instance_concurrency > 1),
            max_request_bytes: limits.request_bytes.as_ref().map_or(u64::MAX, |range| range.default.value),
            max_reply_bytes: limits.reply_bytes.as_ref().map_or(u64::MAX, |range| range.default.value),
            ..FunctionSpec::new(entry.name.as_str())
        })
    }
}

/// What is asked for, or the default; what is allowed if that is not.
fn within<T: Copy + PartialOrd + fmt::Display>(range: &Range<T>, asked: Option<T>) -> Result<T, String> {
    let Some(asked) = asked else { return Ok(range.default.value) };
    let [min, max] = [&range.min, &range.max].map(|end| end.as_ref().map(|end| end.value));
    if min.is_none_or(|min| asked >= min) && max.is_none_or(|max| asked <= max) {
        return Ok(asked);
    }
    Err(match (min, max) {
        (Some(min), Some(max)) if min == max => format!("{min}, no more and no less,"),
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("{min} or more"),
        (None, Some(max)) => format!("{max} at most"),
        (None, None) => unreachable!("without ends everything is within"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(settings: &str) -> Entry {
        let line = format!(r#"{{"abi":1,"name":"f","handler":"f","kind":"http"{settings}}}"#);
        crate::abi::manifest::parse(line.as_bytes()).expect("a good manifest").remove(0)
    }

    fn spec(profile: &str, settings: &str) -> Result<FunctionSpec, String> {
        Profile::named(profile).expect("built in").spec(&entry(settings)).map_err(|e| e.to_string())
    }

    #[test]
    fn what_a_function_leaves_open_the_provider_decides() {
        insta::assert_debug_snapshot!(spec("aws-lambda", ""), @r#"
        Ok(
            FunctionSpec {
                name: "f",
                app: None,
                generation: 1,
                memory_mib: 128,
                timeout: 3s,
                cpu_limit: None,
                cpu_share: None,
                init_timeout: 10s,
                instance_concurrency: 1,
                isolation: Instance,
                max_instances: None,
                min_instances: 0,
                reserved_concurrency: None,
                target_utilization_percent: None,
                schedule: None,
                max_request_bytes: 6291456,
                max_reply_bytes: 6291456,
            },
        )
        "#);
        insta::assert_debug_snapshot!(spec("cloudflare-workers", ""), @r#"
        Ok(
            FunctionSpec {
                name: "f",
                app: None,
                generation: 1,
                memory_mib: 128,
                timeout: 86400s,
                cpu_limit: Some(
                    30s,
                ),
                cpu_share: None,
                init_timeout: 1s,
                instance_concurrency: 1,
                isolation: Instance,
                max_instances: None,
                min_instances: 0,
                reserved_concurrency: None,
                target_utilization_percent: None,
                schedule: None,
                max_request_bytes: 100000000,
                max_reply_bytes: 18446744073709551615,
            },
        )
        "#);
    }

    #[test]
    fn what_a_function_asks_for_it_gets() {
        let spec =
            spec("aws-lambda", r#","memory_mib":1769,"timeout_ms":900000,"concurrency":8"#).expect("allowed");
        assert_eq!((spec.memory_mib, spec.timeout), (1769, Duration::from_secs(900)));
        assert_eq!(spec.instance_concurrency, 1, "Lambda's instances serve one at a time");
        let spec = super::tests::spec("cloudflare-workers", r#","concurrency":8"#).expect("allowed");
        assert_eq!(spec.instance_concurrency, 8);
    }

    #[test]
    fn an_init_ends_also_where_the_provider_states_no_limit_of_it() {
        let init = |profile, settings| spec(profile, settings).expect("allowed").init_timeout;
        assert_eq!(init("own", ""), Duration::from_secs(60));
        assert_eq!(init("own", r#","timeout_ms":2000"#), Duration::from_secs(2));
        for profile in Profile::names() {
            assert!(init(profile, "") <= Duration::from_secs(600), "{profile}");
        }
    }

    #[test]
    fn what_the_provider_does_not_give_is_refused() {
        insta::assert_snapshot!(spec("aws-lambda", r#","memory_mib":64"#).expect_err("too little"), @r"
        function `f` wants 64 MiB of memory; 128 to 10240 may be had under `aws-lambda`
        Change its #[function(…)], or choose another profile.
        ");
        insta::assert_snapshot!(spec("aws-lambda", r#","timeout_ms":900001"#).expect_err("too long"), @r"
        function `f` wants a timeout of 900001 ms; 900000 at most may be had under `aws-lambda`
        Change its #[function(…)], or choose another profile.
        ");
        insta::assert_snapshot!(spec("cloudflare-workers", r#","memory_mib":256"#).expect_err("too much"), @r"
        function `f` wants 256 MiB of memory; 128, no more and no less, may be had under `cloudflare-workers`
        Change its #[function(…)], or choose another profile.
        ");
    }
}
