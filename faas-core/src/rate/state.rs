//! Token buckets, one a limit. Pure: `now` comes in, decisions go out.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc, time::Duration};

use super::daily::{Daily, DailyCap, DailyNotice, Ran};
use crate::{
    clock::Time,
    invocation::{ErrorKind, InvocationError},
};

/// How often invocations may come: so many at once, and so many more in each period, evenly.
///
/// ```
/// use std::time::Duration;
/// use faas_core::rate::Rate;
///
/// let rate: Rate = "hello=100/m".parse()?;
/// assert_eq!((rate.function.as_deref(), rate.count, rate.per), (Some("hello"), 100, Duration::from_secs(60)));
/// assert_eq!("5/s".parse::<Rate>()?.function, None);
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    /// Of this function; of all together when absent.
    pub function: Option<Arc<str>>,
    /// How many,
    pub count: u32,
    /// in what time.
    pub per: Duration,
    /// Whose rule it is, in words: the provider's, if it is not one's own.
    pub whose: Option<Arc<str>>,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no rate: write 100/s, 1000/m, or hello=5/s");
        let (function, rate) = match text.split_once('=') {
            Some((function, rate)) if !function.is_empty() => (Some(function.into()), rate),
            Some(_) => return Err(wrong()),
            None => (None, text),
        };
        let (count, per) = rate.split_once('/').ok_or_else(wrong)?;
        let secs = match per {
            "s" | "second" => 1,
            "m" | "min" | "minute" => 60,
            "h" | "hour" => 3600,
            _ => return Err(wrong()),
        };
        let count = count.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
        Ok(Rate { function, count, per: Duration::from_secs(secs), whose: None })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per.as_secs() {
            1 => "a second".to_owned(),
            60 => "a minute".to_owned(),
            3600 => "an hour".to_owned(),
            secs => format!("in {secs} s"),
        };
        match (&self.whose, &self.function) {
            (Some(whose), _) => write!(f, "{whose}'s rate limit, {} {per}", self.count),
            (None, Some(function)) => write!(f, "the rate limit of `{function}`, {} {per}", self.count),
            (None, None) => write!(f, "the rate limit, {} {per}", self.count),
        }
    }
}

/// What was refused, of one function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The function.
    pub function: Arc<str>,
    /// How many invocations.
    pub count: u64,
    /// Whether they were too many for the day; else they came too soon.
    pub is_daily: bool,
}

/// Rates, and how many invocations each has left.
#[derive(Debug, Default)]
pub struct Rates {
    buckets: Vec<Bucket>,
    daily: Option<Daily>,
    /// By function, and whether it was by the day.
    refused: BTreeMap<(Arc<str>, bool), u64>,
}

#[derive(Debug)]
struct Bucket {
    rate: Rate,
    /// In parts: a period's nanoseconds are one token, so that none is lost to rounding.
    parts: u128,
    filled: Time,
}

impl Rates {
    /// All of them may be used up at once, and come back with time.
    pub fn new(rates: Vec<Rate>) -> Self {
        let full = |rate: Rate| {
            let parts = rate.per.as_nanos() * u128::from(rate.count);
            Bucket { rate, parts, filled: Time::EPOCH }
        };
        Rates { buckets: rates.into_iter().map(full).collect(), daily: None, refused: BTreeMap::new() }
    }

    /// The same, and no more than so many a day.
    #[must_use]
    pub fn with_daily_cap(self, cap: DailyCap) -> Self {
        Rates { daily: Some(Daily::new(cap)), ..self }
    }

    /// Whether an invocation may run: it takes a token of each limit that it is under, or none of any. Tokens come with time, and
    /// the cap's days are those of the wall clock.
    ///
    /// # Errors
    /// When there is none left: of which limit, and when the next one comes. It counts as refused then.
    pub fn admit(&mut self, now: Time, wall: Time, function: &Arc<str>) -> Result<(), InvocationError> {
        if let Some(refusal) = self.daily.as_mut().and_then(|daily| daily.refusal(wall)) {
            *self.refused.entry((function.clone(), true)).or_default() += 1;
            return Err(refusal);
        }
        let is_of = |bucket: &Bucket| bucket.rate.function.as_ref().is_none_or(|own| own == function);
        let mut longest: Option<(Duration, &Rate)> = None;
        for bucket in self.buckets.iter_mut().filter(|bucket| is_of(bucket)) {
            bucket.fill(now);
            let wait = bucket.next_in();
            if !wait.is_zero() && longest.is_none_or(|(longest, _)| wait > longest) {
                longest = Some((wait, &bucket.rate));
            }
        }
        if let Some((wait, rate)) = longest {
            let ms = wait.as_nanos().div_ceil(1_000_000);
            let message =
                format!("{rate}, is reached: the next invocation is admitted in {ms} ms, or raise it");
            *self.refused.entry((function.clone(), false)).or_default() += 1;
            return Err(InvocationError::new(ErrorKind::RateLimited, message));
        }
        for bucket in self.buckets.iter_mut().filter(|bucket| is_of(bucket)) {
            bucket.parts -= bucket.token();
        }
        if let Some(daily) = &mut self.daily {
            daily.take();
        }
        Ok(())
    }

    /// How long until an invocation of this function may run; no time when it may now.
    pub fn next_in(&mut self, now: Time, wall: Time, function: &str) -> Duration {
        let of =
            self.buckets.iter_mut().filter(|b| b.rate.function.as_deref().is_none_or(|own| own == function));
        let waits = of.map(|bucket| {
            bucket.fill(now);
            bucket.next_in()
        });
        waits.chain(self.daily.as_mut().map(|daily| daily.next_in(wall))).max().unwrap_or_default()
    }

    /// What has been refused, by function.
    pub fn refused(&self) -> impl Iterator<Item = Refused> {
        self.refused.iter().map(|((function, is_daily), count)| Refused {
            function: function.clone(),
            count: *count,
            is_daily: *is_daily,
        })
    }

    /// Counts what ran before the session began, as far as it was today.
    pub fn recall(&mut self, wall: Time, ran: impl IntoIterator<Item = Ran>) {
        if let Some(daily) = &mut self.daily {
            ran.into_iter().for_each(|ran| daily.recall(wall, ran));
        }
    }

    /// What has run under a daily cap since this was last asked, for who keeps it.
    pub fn take_unkept(&mut self) -> Vec<Ran> {
        self.daily.as_mut().map(Daily::take_unkept).unwrap_or_default()
    }

    /// Takes back what could not be kept.
    pub fn give_back_unkept(&mut self, ran: Vec<Ran>) {
        if let Some(daily) = &mut self.daily {
            daily.give_back_unkept(ran);
        }
    }

    /// Whether the daily cap is near or reached, once a day each.
    pub fn take_notice(&mut self) -> Option<DailyNotice> {
        self.daily.as_mut()?.take_notice()
    }
}

impl Bucket {
    fn token(&self) -> u128 {
        self.rate.per.as_nanos()
    }

    fn fill(&mut self, now: Time) {
        let most = self.token() * u128::from(self.rate.count);
        let since = now.since(self.filled).as_nanos();
        self.parts = self.parts.saturating_add(since.saturating_mul(self.rate.count.into())).min(most);
        self.filled = self.filled.max(now);
    }

    /// How long until there is a token.
    fn next_in(&self) -> Duration {
        let missing = self.token().saturating_sub(self.parts);
        let ns = missing.div_ceil(u128::from(self.rate.count));
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rates(of: &[&str]) -> Rates {
        Rates::new(of.iter().map(|rate| rate.parse().expect("a rate")).collect())
    }

    fn at(ms: u64) -> Time {
        Time::EPOCH + Duration::from_millis(1_000_000 + ms)
    }

    #[test]
    fn a_burst_is_admitted_and_what_follows_comes_evenly() {
        let (mut rates, f) = (rates(&["4/s"]), "f".into());
        assert_eq!((0..6).filter(|_| rates.admit(at(0), at(0), &f).is_ok()).count(), 4);
        let refused = rates.admit(at(100), at(100), &f).expect_err("too soon");
        assert_eq!(refused.kind, ErrorKind::RateLimited);
        insta::assert_snapshot!(refused, @"the rate limit, 4 a second, is reached: the next invocation is admitted in 150 ms, or raise it");
        assert_eq!(rates.next_in(at(100), at(100), "f"), Duration::from_millis(150));
        assert!(rates.admit(at(249), at(249), &f).is_err());
        assert_eq!(rates.admit(at(250), at(250), &f), Ok(()), "a quarter of a second has passed");
        assert_eq!(rates.next_in(at(250), at(250), "f"), Duration::from_millis(250));
        assert_eq!(
            (0..9).filter(|_| rates.admit(at(60_000), at(60_000), &f).is_ok()).count(),
            4,
            "no more than a burst is kept"
        );
        let counted: Vec<_> = rates.refused().collect();
        assert_eq!(counted, [Refused { function: f, count: 9, is_daily: false }]);
    }

    #[test]
    fn a_function_is_under_its_own_limit_and_that_of_all_and_takes_of_both_or_of_none() {
        let (mut rates, a, b) = (rates(&["a=2/m", "3/m"]), "a".into(), "b".into());
        assert_eq!((0..5).filter(|_| rates.admit(at(0), at(0), &a).is_ok()).count(), 2);
        // what was refused by a's limit has taken nothing of the other
        assert_eq!((0..5).filter(|_| rates.admit(at(0), at(0), &b).is_ok()).count(), 1);
        insta::assert_snapshot!(rates.admit(at(0), at(0), &a).expect_err("none left"), @"the rate limit of `a`, 2 a minute, is reached: the next invocation is admitted in 30000 ms, or raise it");
    }

    #[test]
    fn what_is_no_rate_is_told() {
        for text in ["", "5", "0/s", "-1/s", "x/s", "5/day", "=5/s", "f="] {
            assert!(text.parse::<Rate>().is_err_and(|why| why.contains("is no rate")), "{text}");
        }
    }

    proptest! {
        /// In whatever time, no more are admitted than a burst and what comes back in that time; and who waits as
        /// long as is said is admitted.
        #[test]
        fn no_more_than_the_rate_and_never_longer_than_said(
            count in 1_u32..50,
            per in prop::sample::select(&["s", "m"][..]),
            gaps in prop::collection::vec(0_u64..3_000, 1..200),
        ) {
            let mut rates = rates(&[&format!("{count}/{per}")]);
            let (f, per) = ("f".into(), if per == "s" { 1.0 } else { 60.0 });
            let (mut now, mut admitted) = (0, 0_u32);
            for gap in gaps {
                now += gap;
                admitted += u32::from(rates.admit(at(now), at(now), &f).is_ok());
                let most = f64::from(count) * (1.0 + now as f64 / 1e3 / per);
                prop_assert!(f64::from(admitted) <= most + 1e-6);
            }
            let wait = rates.next_in(at(now), at(now), "f");
            prop_assert_eq!(rates.admit(at(now) + wait, at(now) + wait, &f), Ok(()));
        }
    }
}
