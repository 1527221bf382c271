//! Where in its minute an invocation falls. The 2019 data set counts by the minute; the rest is drawn.

use std::{fmt, str::FromStr};

use fastrand::Rng;

use super::trace::MINUTE_NS;

/// How the invocations that a minute counts are spread over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spread {
    /// Each at a moment of its own, any as likely as the other: a Poisson process, given how many there were.
    #[default]
    Poisson,
    /// At equal distances, the first as the minute begins. Hides bursts.
    Even,
    /// All at one moment, any as likely as the other.
    Burst,
}

impl Spread {
    /// `poisson`, `even` or `burst`.
    pub fn as_str(self) -> &'static str {
        match self {
            Spread::Poisson => "poisson",
            Spread::Even => "even",
            Spread::Burst => "burst",
        }
    }

    /// Calls `put` for each of a minute's `count` invocations with its nanosecond in the minute, in no order.
    pub(super) fn draw(self, rng: &mut Rng, count: u32, mut put: impl FnMut(u64)) {
        match self {
            Spread::Poisson => (0..count).for_each(|_| put(nanosecond(rng))),
            Spread::Even => {
                (0..u64::from(count)).for_each(|n| put(n * MINUTE_NS / u64::from(count)));
            }
            Spread::Burst => {
                let at = nanosecond(rng);
                (0..count).for_each(|_| put(at));
            }
        }
    }
}

/// A nanosecond of a minute. (A multiplication, where `Rng::u64(range)` divides.)
fn nanosecond(rng: &mut Rng) -> u64 {
    u64::try_from((u128::from(rng.u64(..)) * u128::from(MINUTE_NS)) >> 64).expect("it is less than a minute")
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Spread {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Spread::Poisson, Spread::Even, Spread::Burst]
            .into_iter()
            .find(|spread| spread.as_str() == text)
            .ok_or_else(|| format!("`{text}` is none of poisson, even and burst"))
    }
}
