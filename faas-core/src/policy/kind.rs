//! The policies' names, as one writes them on a command line: `fixed:10m`, `random:5m-7m`, `none`, `hybrid`,
//! `greedy-dual`, `greedy-dual-size`.

use std::{fmt, str::FromStr, time::Duration};

use super::{FixedTtl, GreedyDual, HybridHistogram, Policy, RandomTtl, UntilEvicted};

/// A policy that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    /// `fixed:10m`: [`FixedTtl`].
    Fixed(Duration),
    /// `random:5m-7m`: [`RandomTtl`].
    Random {
        /// The shortest time.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// `none`: [`UntilEvicted`].
    None,
    /// `hybrid`: [`HybridHistogram`].
    Hybrid,
    /// `greedy-dual`: [`GreedyDual`].
    GreedyDual,
    /// `greedy-dual-size`: [`GreedyDual::without_frequency`].
    GreedyDualSize,
}

/// A name that no policy has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownPolicy {
    name: String,
    why: String,
}

/// The policy of that name; `seed` is for those that draw.
///
/// # Errors
/// When there is none of that name; the error lists those there are.
///
/// ```
/// let policy = faas_core::policy::parse("random:5m-7m", 42)?;
/// # Ok::<(), faas_core::policy::UnknownPolicy>(())
/// ```
pub fn parse(name: &str, seed: u64) -> Result<Box<dyn Policy>, UnknownPolicy> {
    Ok(name.parse::<PolicyKind>()?.build(seed))
}

impl PolicyKind {
    /// A new policy of this kind; `seed` is for those that draw.
    pub fn build(self, seed: u64) -> Box<dyn Policy> {
        match self {
            PolicyKind::Fixed(ttl) => Box::new(FixedTtl(ttl)),
            PolicyKind::Random { min, max } => Box::new(RandomTtl::new(min, max, seed)),
            PolicyKind::None => Box::new(UntilEvicted),
            PolicyKind::Hybrid => Box::new(HybridHistogram::new()),
            PolicyKind::GreedyDual => Box::new(GreedyDual::new()),
            PolicyKind::GreedyDualSize => Box::new(GreedyDual::without_frequency()),
        }
    }
}

impl FromStr for PolicyKind {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        let unknown = |why: String| UnknownPolicy { name: name.to_owned(), why };
        let time = |text: &str| {
            duration(text).ok_or_else(|| {
                unknown(format!("`{text}` is no time: write a whole number and a unit, as in 90s, 10m or 2h"))
            })
        };
        match name.split_once(':') {
            None if name == "none" => Ok(PolicyKind::None),
            None if name == "hybrid" => Ok(PolicyKind::Hybrid),
            None if name == "greedy-dual" => Ok(PolicyKind::GreedyDual),
            None if name == "greedy-dual-size" => Ok(PolicyKind::GreedyDualSize),
            Some(("fixed", ttl)) => time(ttl).map(PolicyKind::Fixed),
            Some(("random", range)) => {
                let (min, max) = range
                    .split_once('-')
                    .ok_or_else(|| unknown(format!("`{range}` is no range of times")))?;
                let (min, max) = (time(min)?, time(max)?);
                if min > max {
                    return Err(unknown(format!("the range `{range}` ends before it begins")));
                }
                Ok(PolicyKind::Random { min, max })
            }
            None if name == "fixed" => Err(unknown("it needs a time".into())),
            None if name == "random" => Err(unknown("it needs a range of times".into())),
            _ => Err(unknown("there is none of that name".into())),
        }
    }
}

/// As it is parsed.
impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyKind::Fixed(ttl) => write!(f, "fixed:{}", Short(*ttl)),
            PolicyKind::Random { min, max } => write!(f, "random:{}-{}", Short(*min), Short(*max)),
            PolicyKind::None => f.write_str("none"),
            PolicyKind::Hybrid => f.write_str("hybrid"),
            PolicyKind::GreedyDual => f.write_str("greedy-dual"),
            PolicyKind::GreedyDualSize => f.write_str("greedy-dual-size"),
        }
    }
}

impl fmt::Display for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnknownPolicy { name, why } = self;
        write!(
            f,
            "no policy `{name}`: {why}\nThere are: fixed:TIME (such as fixed:10m), random:TIME-TIME (random:5m-7m), none, \
             hybrid, greedy-dual, greedy-dual-size."
        )
    }
}

impl std::error::Error for UnknownPolicy {}

const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// `10m`: a whole number and a unit.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
    Some(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(*unit_ms)?))
}

/// In the largest unit in which it is whole.
struct Short(Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        let (unit, unit_ms) = UNITS
            .iter()
            .find(|(_, unit_ms)| ms >= u128::from(*unit_ms) && ms.is_multiple_of(u128::from(*unit_ms)))
            .unwrap_or(&("s", 1000));
        write!(f, "{}{unit}", ms / u128::from(*unit_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_written_alike() {
        for name in ["fixed:10m", "fixed:90s", "fixed:0s", "fixed:250ms", "fixed:2h", "random:5m-7m", "none"]
        {
            assert_eq!(name.parse::<PolicyKind>().expect(name).to_string(), name);
        }
        for name in ["hybrid", "greedy-dual", "greedy-dual-size"] {
            assert_eq!(name.parse::<PolicyKind>().expect(name).to_string(), name);
            parse(name, 1).expect(name);
        }
        assert_eq!("fixed:600s".parse::<PolicyKind>().expect("a time").to_string(), "fixed:10m");
    }

    #[test]
    fn what_is_none_is_answered_with_what_there_is() {
        let error = |name: &str| name.parse::<PolicyKind>().expect_err("no policy").to_string();
        insta::assert_snapshot!(error("lru"), @r"
        no policy `lru`: there is none of that name
        There are: fixed:TIME (such as fixed:10m), random:TIME-TIME (random:5m-7m), none, hybrid, greedy-dual, greedy-dual-size.
        ");
        let first = |name| error(name).lines().next().map(str::to_owned).expect("a line");
        let names = [
            "fixed",
            "fixed:ten",
            "fixed:10",
            "fixed:99999999999999999h",
            "random:5m",
            "random:7m-5m",
            "hybrid:1",
        ];
        insta::assert_snapshot!(names.map(first).join("\n"), @r"
        no policy `fixed`: it needs a time
        no policy `fixed:ten`: `ten` is no time: write a whole number and a unit, as in 90s, 10m or 2h
        no policy `fixed:10`: `10` is no time: write a whole number and a unit, as in 90s, 10m or 2h
        no policy `fixed:99999999999999999h`: `99999999999999999h` is no time: write a whole number and a unit, as in 90s, 10m or 2h
        no policy `random:5m`: `5m` is no range of times
        no policy `random:7m-5m`: the range `7m-5m` ends before it begins
        no policy `hybrid:1`: there is none of that name
        ");
    }
}
