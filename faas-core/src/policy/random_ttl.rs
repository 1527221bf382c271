//! What clouds look like from outside: an idle instance goes after a time that cannot be foretold, within a range.
//!
//! Measured for AWS Lambda: 5 to 7 minutes (mikhail.io, "Cold Starts in AWS Lambda", 2021); 10 at other times. AWS itself
//! says no more than "for a non-deterministic period of time".

use std::time::Duration;

use super::{Policy, Subject};
use crate::clock::Time;

/// Keeps each idle instance for a time drawn uniformly from a range, anew each time that it becomes idle.
#[derive(Debug)]
pub struct RandomTtl {
    min: Duration,
    span_ns: u64,
    rng: fastrand::Rng,
}

impl RandomTtl {
    /// At least `min`, at most `max` (or `min`, if that is more). The same seed draws the same times.
    pub fn new(min: Duration, max: Duration, seed: u64) -> Self {
        let span_ns = u64::try_from(max.saturating_sub(min).as_nanos()).unwrap_or(u64::MAX);
        RandomTtl { min, span_ns, rng: fastrand::Rng::with_seed(seed) }
    }
}

impl Policy for RandomTtl {
    fn keep(&mut self, _: Time, _: Subject<'_>) -> Option<Duration> {
        Some(self.min + Duration::from_nanos(self.rng.u64(..=self.span_ns)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invocation::FunctionSpec;

    #[test]
    fn times_are_within_the_range_differ_and_follow_from_the_seed() {
        let (min, max) = (Duration::from_secs(300), Duration::from_secs(420));
        let spec = FunctionSpec::new("f");
        let subject = Subject { spec: &spec, index: 0, app: 0, active: 0 };
        let draw = |seed| {
            let mut policy = RandomTtl::new(min, max, seed);
            (0..1000).map(|_| policy.keep(Time::EPOCH, subject).expect("a time")).collect::<Vec<_>>()
        };
        let times = draw(7);
        assert!(times.iter().all(|time| (min..=max).contains(time)));
        assert_eq!(times, draw(7));
        assert_ne!(times, draw(8));
        // uniform: every 12 s of the 120 get about a tenth of the 1,000
        let mut tenths = [0; 10];
        times.iter().for_each(|time| tenths[((*time - min).as_secs() / 12).min(9) as usize] += 1);
        assert!(tenths.iter().all(|n| (60..140).contains(n)), "{tenths:?}");
    }

    #[test]
    fn an_empty_range_is_a_fixed_time() {
        let spec = FunctionSpec::new("f");
        let subject = Subject { spec: &spec, index: 0, app: 0, active: 0 };
        let mut policy = RandomTtl::new(Duration::from_secs(60), Duration::from_secs(5), 1);
        assert_eq!(policy.keep(Time::EPOCH, subject), Some(Duration::from_secs(60)));
    }
}
