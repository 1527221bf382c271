//! How many invocations there may be in a day, where a provider caps that: a counter that begins anew at midnight, UTC.
//! Pure: what the wall clock shows comes in, decisions go out.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use crate::{
    clock::Time,
    invocation::{ErrorKind, InvocationError},
    limits::NEAR_PERCENT,
};

/// How many invocations there may be in a day of UTC, of all functions together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyCap {
    /// How many.
    pub count: u64,
    /// Whose rule it is, in words: the provider's.
    pub whose: Arc<str>,
}

impl fmt::Display for DailyCap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}'s {} requests a day", self.whose, self.count)
    }
}

/// So many invocations ran on a day: what is kept of a session, so that the cap outlives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ran {
    /// Days since 1970-01-01, in UTC.
    pub day: u64,
    /// Invocations.
    pub count: u64,
}

/// A daily cap has been approached or reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyNotice {
    /// Which.
    pub cap: DailyCap,
    /// How many there were today.
    pub count: u64,
    /// Whether it is reached; else 80 % of it are.
    pub is_reached: bool,
}

impl fmt::Display for DailyNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_reached {
            true => write!(f, "{}, are used up: until midnight UTC there are no more", self.cap),
            false => write!(f, "{}, are used to {NEAR_PERCENT} %: {} so far", self.cap, self.count),
        }
    }
}

/// What has run today.
#[derive(Debug)]
pub(super) struct Daily {
    cap: DailyCap,
    day: u64,
    count: u64,
    told: Told,
    /// By day, what nobody has taken to keep it.
    unkept: BTreeMap<u64, u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Nothing,
    Near,
    Reached,
}

impl Daily {
    pub(super) fn new(cap: DailyCap) -> Self {
        Daily { cap, day: 0, count: 0, told: Told::Nothing, unkept: BTreeMap::new() }
    }

    /// Begins anew when the day that was counted is over.
    fn turn(&mut self, wall: Time) {
        let day = wall.utc_day();
        if day > self.day {
            (self.day, self.count, self.told) = (day, 0, Told::Nothing);
        }
    }

    /// How long until there may be one more; no time when there may now.
    pub(super) fn next_in(&mut self, wall: Time) -> Duration {
        self.turn(wall);
        if self.count < self.cap.count { Duration::ZERO } else { Time::of_utc_day(self.day + 1).since(wall) }
    }

    /// Why there may be no more today, if there may not.
    pub(super) fn refusal(&mut self, wall: Time) -> Option<InvocationError> {
        let next_in = self.next_in(wall);
        if next_in.is_zero() {
            return None;
        }
        let minutes = next_in.as_secs().div_ceil(60);
        let message = format!(
            "{}, are used up: they begin anew at midnight UTC, in {} h {} min",
            self.cap,
            minutes / 60,
            minutes % 60
        );
        Some(InvocationError::new(ErrorKind::DailyCap, message))
    }

    /// One more runs, after [`refusal`](Self::refusal) had none.
    pub(super) fn take(&mut self) {
        self.count += 1;
        *self.unkept.entry(self.day).or_default() += 1;
    }

    pub(super) fn recall(&mut self, wall: Time, ran: Ran) {
        self.turn(wall);
        if ran.day == self.day {
            self.count = self.count.saturating_add(ran.count);
        }
    }

    pub(super) fn take_unkept(&mut self) -> Vec<Ran> {
        std::mem::take(&mut self.unkept).into_iter().map(|(day, count)| Ran { day, count }).collect()
    }

    pub(super) fn give_back_unkept(&mut self, ran: Vec<Ran>) {
        for Ran { day, count } in ran {
            *self.unkept.entry(day).or_default() += count;
        }
    }

    /// What is to be told of it, once a day.
    pub(super) fn take_notice(&mut self) -> Option<DailyNotice> {
        let (count, most) = (u128::from(self.count), u128::from(self.cap.count));
        let told = match count {
            _ if count >= most => Told::Reached,
            _ if count * 100 >= most * u128::from(NEAR_PERCENT) => Told::Near,
            _ => Told::Nothing,
        };
        (told > self.told).then(|| {
            self.told = told;
            DailyNotice { cap: self.cap.clone(), count: self.count, is_reached: told == Told::Reached }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::Rates, *};

    fn rates(count: u64, of: &[&str]) -> Rates {
        let rates = of.iter().map(|rate| rate.parse().expect("a rate")).collect();
        Rates::new(rates).with_daily_cap(DailyCap { count, whose: "somebody".into() })
    }

    fn at(day: u64, hours: u64) -> Time {
        Time::of_utc_day(day) + Duration::from_secs(hours * 3600)
    }

    #[test]
    fn so_many_run_in_a_day_and_the_next_begins_at_midnight() {
        let (mut rates, f) = (rates(10, &[]), "f".into());
        let mut told = Vec::new();
        for _ in 0..12 {
            let _ = rates.admit(at(20_000, 22), at(20_000, 22), &f);
            told.extend(rates.take_notice().map(|notice| notice.to_string()));
        }
        insta::assert_snapshot!(told.join("\n"), @"
        somebody's 10 requests a day, are used to 80 %: 8 so far
        somebody's 10 requests a day, are used up: until midnight UTC there are no more
        ");
        let refused = rates.admit(at(20_000, 22), at(20_000, 22), &f).expect_err("used up");
        assert_eq!(refused.kind, ErrorKind::DailyCap);
        insta::assert_snapshot!(refused, @"somebody's 10 requests a day, are used up: they begin anew at midnight UTC, in 2 h 0 min");
        assert_eq!(rates.next_in(at(20_000, 22), at(20_000, 22), "f"), Duration::from_secs(7200));
        let refused: Vec<_> = rates.refused().collect();
        assert_eq!((refused.len(), refused[0].count, refused[0].is_daily), (1, 3, true));
        assert_eq!(rates.admit(at(20_001, 0), at(20_001, 0), &f), Ok(()));
        assert_eq!(rates.take_notice(), None);
    }

    #[test]
    fn what_comes_too_soon_is_not_of_the_day() {
        let (mut rates, f) = (rates(3, &["1/m"]), "f".into());
        let admitted: Vec<_> =
            (0..4).map(|_| rates.admit(at(5, 1), at(5, 1), &f).map_err(|e| e.kind)).collect();
        assert_eq!(admitted[1..], [Err(ErrorKind::RateLimited); 3]);
        assert_eq!(rates.take_unkept(), [Ran { day: 5, count: 1 }]);
    }

    #[test]
    fn what_ran_in_earlier_sessions_of_the_day_counts() {
        let (mut rates, f) = (rates(10, &[]), "f".into());
        rates.recall(at(7, 9), [Ran { day: 6, count: 100 }, Ran { day: 7, count: 9 }]);
        assert_eq!(rates.take_unkept(), [], "it has been kept before");
        assert_eq!(rates.take_notice().map(|notice| notice.count), Some(9));
        assert_eq!(rates.admit(at(7, 9), at(7, 9), &f), Ok(()));
        assert!(rates.admit(at(7, 9), at(7, 9), &f).is_err());
        let kept = rates.take_unkept();
        rates.give_back_unkept(kept.clone());
        assert_eq!(
            (kept, rates.take_unkept()),
            (vec![Ran { day: 7, count: 1 }], vec![Ran { day: 7, count: 1 }])
        );
    }

    proptest! {
        /// On no day more than the cap, and who waits as long as is said is admitted.
        #[test]
        fn never_more_in_a_day(cap in 1_u64..20, gaps_min in prop::collection::vec(0_u64..400, 1..200)) {
            let (mut rates, f) = (rates(cap, &[]), "f".into());
            let (mut now, mut ran) = (at(3, 0), BTreeMap::<u64, u64>::new());
            for gap in gaps_min {
                now = now + Duration::from_secs(gap * 60);
                if rates.admit(now, now, &f).is_ok() {
                    *ran.entry(now.utc_day()).or_default() += 1;
                }
            }
            prop_assert!(ran.values().all(|count| *count <= cap));
            let wait = rates.next_in(now, now, "f");
            prop_assert_eq!(rates.admit(now + wait, now + wait, &f), Ok(()));
        }
    }
}
