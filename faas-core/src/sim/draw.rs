//! How long things take: invocations by the percentiles of their function, cold starts by a log-normal.

use std::{fmt, str::FromStr, time::Duration};

use fastrand::Rng;

use super::trace::Durations;

/// In which stretch between two of [`Durations`]' percentiles each hundredth lies.
const SEGMENT: [u8; 100] = segments();
/// Where the stretches begin, in hundredths.
const BEGINS: [u8; 8] = [0, 1, 25, 50, 75, 99, 100, 100];

const fn segments() -> [u8; 100] {
    let mut of = [0; 100];
    let (mut n, mut segment) = (0, 0_u8);
    while n < 100 {
        if n >= BEGINS[segment as usize + 1] as usize {
            segment += 1;
        }
        of[n] = segment;
        n += 1;
    }
    of
}

impl Durations {
    /// A duration in nanoseconds: between the percentiles that the trace gives, all are equally likely.
    pub(super) fn draw(&self, rng: &mut Rng) -> u64 {
        let place = u64::from(rng.u32(..)) * 100; // in hundredths, as a fixed-point number
        let segment = SEGMENT[(place >> 32) as usize] as usize;
        let (begin, end) = (u64::from(BEGINS[segment]), u64::from(BEGINS[segment + 1]));
        let (low, high) = (self.0[segment], self.0[segment + 1]);
        let share = (place - (begin << 32)) as f64 / ((end - begin) << 32) as f64;
        low + ((high - low) as f64 * share) as u64
    }
}

/// How long a cold start keeps an invocation waiting: log-normal, by its median and its 99th percentile; always the
/// same where the two are equal.
///
/// The default is what clients of AWS Lambda saw in STeLLAR (IISWC 2021): a median of 448 ms cold against 17 ms
/// warm, and a tail of 1.5 times the median.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColdStart {
    /// Half of the starts take longer.
    pub median: Duration,
    /// One in a hundred takes longer.
    pub p99: Duration,
}

/// The 99th percentile of the standard normal distribution.
const Z99: f64 = 2.326_347_874;

impl ColdStart {
    /// Every start takes the same time.
    pub const fn constant(time: Duration) -> Self {
        ColdStart { median: time, p99: time }
    }

    pub(super) fn draw_ns(&self, rng: &mut Rng) -> u64 {
        let median_ns = u64::try_from(self.median.as_nanos()).unwrap_or(u64::MAX);
        if self.p99 <= self.median {
            return median_ns;
        }
        let sigma = (self.p99.as_secs_f64() / self.median.as_secs_f64()).ln() / Z99;
        let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * rng.f64()).cos();
        (median_ns as f64 * (sigma * normal).exp()) as u64
    }
}

impl Default for ColdStart {
    fn default() -> Self {
        ColdStart { median: Duration::from_millis(431), p99: Duration::from_millis(655) }
    }
}

impl fmt::Display for ColdStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, p99] = [self.median, self.p99].map(|time| time.as_secs_f64() * 1e3);
        if self.p99 <= self.median { write!(f, "{median}") } else { write!(f, "{median}..{p99}") }
    }
}

impl FromStr for ColdStart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ms = |text: &str| -> Option<Duration> {
            let ms: f64 = text.trim().parse().ok()?;
            (0.0..=3_600_000.0).contains(&ms).then(|| Duration::from_nanos((ms * 1e6).round() as u64))
        };
        let parsed = match text.split_once("..") {
            None => ms(text).map(ColdStart::constant),
            Some((median, p99)) => ms(median).zip(ms(p99)).and_then(|(median, p99)| {
                (Duration::ZERO < median && median <= p99).then_some(ColdStart { median, p99 })
            }),
        };
        parsed.ok_or_else(|| {
            format!("`{text}` is no time: write milliseconds, 431, or median and 99th percentile, 431..655")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_percentiles_that_they_are_drawn_from() {
        let knots = [0, 1_000, 25_000, 50_000, 75_000, 99_000, 500_000];
        let mut rng = Rng::with_seed(7);
        let mut drawn: Vec<u64> = (0..100_000).map(|_| Durations(knots).draw(&mut rng)).collect();
        drawn.sort_unstable();
        for (percent, knot) in [(1, 1_000_u64), (25, 25_000), (50, 50_000), (75, 75_000), (99, 99_000)] {
            let found = drawn[percent * 1_000];
            assert!(found.abs_diff(knot) < 1_000, "the {percent}th percentile is {found}");
        }
        assert!(drawn[99_999] > 400_000 && drawn[99_999] <= 500_000);
    }

    #[test]
    fn cold_starts_have_their_median_and_their_tail() {
        let mut rng = Rng::with_seed(7);
        let cold = ColdStart::default();
        let mut drawn: Vec<u64> = (0..100_000).map(|_| cold.draw_ns(&mut rng) / 1_000_000).collect();
        drawn.sort_unstable();
        assert!(drawn[50_000].abs_diff(431) < 3, "{}", drawn[50_000]);
        assert!(drawn[99_000].abs_diff(655) < 8, "{}", drawn[99_000]);
    }

    #[test]
    fn cold_starts_are_written_as_they_are_read() {
        for text in ["0", "431", "1.5", "431..655"] {
            assert_eq!(text.parse::<ColdStart>().map(|cold| cold.to_string()), Ok(text.into()));
        }
        for wrong in ["-1", "NaN", "655..431", "0..5", "a", "1e300"] {
            assert!(wrong.parse::<ColdStart>().is_err(), "{wrong}");
        }
        insta::assert_snapshot!("655..431".parse::<ColdStart>().expect_err("the tail is above the median"), @"`655..431` is no time: write milliseconds, 431, or median and 99th percentile, 431..655");
    }
}
