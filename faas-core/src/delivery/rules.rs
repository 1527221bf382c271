//! By which rules events are delivered: plain data, which profiles fill in.

use std::time::Duration;

use http::StatusCode;

use crate::invocation::{End, ErrorKind, Fault};

/// How often, how long and at which distance delivery is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How often an event is delivered again after the function has failed with it.
    pub max_retries: u32,
    /// How long after it was accepted an event is delivered at all.
    pub max_age: Duration,
    /// The distance after errors of the function.
    pub retry: Backoff,
    /// The distance after the function could not be run: throttled, over budget, not there, the host's fault.
    pub unserved: Backoff,
}

/// A distance that doubles each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first.
    pub first: Duration,
    /// The longest.
    pub max: Duration,
    /// So many percent of it, at most, are drawn and added, so that those which failed together do not come back
    /// together.
    pub jitter_percent: u8,
}

impl Backoff {
    /// How long to wait after having failed `times` times, once at least.
    pub fn wait(&self, times: u32, random: &mut fastrand::Rng) -> Duration {
        let doublings = times.saturating_sub(1).min(31);
        let wait = self.first.saturating_mul(1 << doublings).min(self.max);
        if self.jitter_percent == 0 {
            return wait;
        }
        let drawn = wait.mul_f64(f64::from(self.jitter_percent) / 100.0 * random.f64());
        // to the millisecond, as it is written down
        wait + Duration::from_millis(u64::try_from(drawn.as_millis()).unwrap_or(u64::MAX))
    }

    /// The same, made shorter by one factor so that it begins with `first`; as it is if it begins sooner.
    fn beginning_with(self, first: Duration) -> Self {
        if first >= self.first {
            return self;
        }
        let factor = first.as_secs_f64() / self.first.as_secs_f64();
        Backoff { first, max: self.max.mul_f64(factor).max(first), ..self }
    }
}

impl Rules {
    /// The same for who will not wait: distances begin with `first` at most, and what follows is as much shorter.
    #[must_use]
    pub fn hastened(self, first: Duration) -> Self {
        let [retry, unserved] = [self.retry, self.unserved].map(|backoff| backoff.beginning_with(first));
        Rules { retry, unserved, ..self }
    }
}

/// How an attempt to deliver an event went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The function has taken it.
    Delivered,
    /// The function failed.
    Failed,
    /// The function was not run: nobody's fault that an attempt should be counted for.
    Unserved,
    /// No repetition would change it.
    Refused,
    /// The host stops: the event stays as it was. While it does not, a courier takes this for [`Outcome::Unserved`].
    Interrupted,
}

impl Outcome {
    /// What the end of an invocation means for the event that it was for: whose fault it is decides.
    ///
    /// A reply is a delivery, unless it is the function's error or its status says so: of an HTTP function that is the
    /// only way to say it. 408, 425 and 429 ask to come again; the rest of 4xx blames the event, which does not get
    /// better. A function that is not there may be there after the next reload.
    pub fn of(end: &End) -> Self {
        match end {
            End::Replied { is_fault: true, .. } => Outcome::Failed,
            End::Replied { status, .. } => match *status {
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                    Outcome::Failed
                }
                status if status.is_server_error() => Outcome::Failed,
                status if status.is_client_error() => Outcome::Refused,
                _ => Outcome::Delivered,
            },
            End::Failed(error) => match error.kind {
                ErrorKind::ShuttingDown => Outcome::Interrupted,
                ErrorKind::NotFound => Outcome::Unserved,
                ErrorKind::LoopDetected => Outcome::Refused,
                kind => match kind.fault() {
                    Fault::Function => Outcome::Failed,
                    Fault::Throttled | Fault::Platform => Outcome::Unserved,
                    Fault::Client => Outcome::Refused,
                },
            },
            End::Cancelled => Outcome::Interrupted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invocation::InvocationError;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_distance_doubles_up_to_its_end() {
        let mut random = fastrand::Rng::with_seed(1);
        let plain = Backoff { first: secs(1), max: secs(300), jitter_percent: 0 };
        let waits: Vec<u64> = (1..=11).map(|times| plain.wait(times, &mut random).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(plain.wait(u32::MAX, &mut random), secs(300));

        let jittered = Backoff { jitter_percent: 50, ..plain };
        let waits: Vec<Duration> = (0..100).map(|_| jittered.wait(1, &mut random)).collect();
        assert!(waits.iter().all(|wait| (secs(1)..=Duration::from_millis(1500)).contains(wait)));
        assert!(waits.iter().any(|wait| *wait > Duration::from_millis(1250)), "it is drawn");
    }

    #[test]
    fn who_will_not_wait_gets_the_same_shape_sooner() {
        let rules = Rules {
            max_retries: 2,
            max_age: secs(21_600),
            retry: Backoff { first: secs(60), max: secs(120), jitter_percent: 0 },
            unserved: Backoff { first: secs(1), max: secs(300), jitter_percent: 0 },
        };
        let hastened = rules.hastened(Duration::from_millis(100));
        assert_eq!(hastened.retry.max, Duration::from_millis(200));
        assert_eq!((hastened.unserved.first, hastened.unserved.max), (Duration::from_millis(100), secs(30)));
        assert_eq!(rules.hastened(secs(60)), rules);
    }

    #[test]
    fn whose_fault_it_is_decides() {
        let replied = |status, is_fault| {
            Outcome::of(&End::Replied { status: StatusCode::from_u16(status).expect("a status"), is_fault })
        };
        assert_eq!(replied(200, false), Outcome::Delivered);
        assert_eq!(replied(302, false), Outcome::Delivered);
        assert_eq!(replied(200, true), Outcome::Failed, "the function says it is an error");
        assert_eq!(replied(500, false), Outcome::Failed);
        assert_eq!(replied(429, false), Outcome::Failed, "it asks to come again");
        assert_eq!(replied(400, false), Outcome::Refused);

        let failed = |kind| Outcome::of(&End::Failed(InvocationError::new(kind, "why")));
        for kind in [ErrorKind::Panic, ErrorKind::TimedOut, ErrorKind::InitFailed, ErrorKind::OutOfMemory] {
            assert_eq!(failed(kind), Outcome::Failed, "{kind:?}");
        }
        for kind in
            [ErrorKind::Throttled, ErrorKind::BudgetExceeded, ErrorKind::Platform, ErrorKind::NotFound]
        {
            assert_eq!(failed(kind), Outcome::Unserved, "{kind:?}");
        }
        for kind in [ErrorKind::RequestTooLarge, ErrorKind::LoopDetected] {
            assert_eq!(failed(kind), Outcome::Refused, "{kind:?}");
        }
        assert_eq!(failed(ErrorKind::ShuttingDown), Outcome::Interrupted);
        assert_eq!(Outcome::of(&End::Cancelled), Outcome::Interrupted);
    }
}
