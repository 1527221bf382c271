//! Knocks: signs that a request may follow, such as the server name in a TLS ClientHello. How many of them start an
//! instance.
//!
//! Anybody can knock at any door without ever coming in. So a knock may start an instance of a function that exists,
//! if none is free or on its way ([`Scheduler::prewarm_for`](crate::scheduler::Scheduler::prewarm_for) sees to that), and
//! if the function and the host have tokens left. A knock that is followed by a request gives its tokens back: clients that
//! come in are never held up, and what is only knocked at is started a bounded number of times, each for a short while.
//!
//! Pure: `now` is passed in, nothing is started here. What drives it is whoever hears the knock.
//!
//! ```
//! use std::sync::Arc;
//! use faas_core::{clock::Time, knock::{Knocks, Limits}};
//!
//! let mut knocks = Knocks::new(Limits::LAPTOP);
//! let name: Arc<str> = "hello".into();
//! let first = knocks.admit(Time::EPOCH, &name).expect("an instance may be started");
//! knocks.admit(Time::EPOCH, &name).expect("and another");
//! assert!(knocks.admit(Time::EPOCH, &name).is_none(), "nobody has come in yet");
//!
//! knocks.came_in(Time::EPOCH, first);
//! assert!(knocks.admit(Time::EPOCH, &name).is_some());
//! ```

use std::{collections::HashMap, sync::Arc, time::Duration};

use crate::{
    clock::Time,
    pool::{Bucket, StartRate},
};

/// Functions that have been knocked at are remembered until they are so many; then those that were left alone for long
/// enough are forgotten.
const REMEMBERED: usize = 256;

/// How many knocks that nobody follows start something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of one function.
    pub each: StartRate,
    /// Of all functions together.
    pub all: StartRate,
    /// How long an instance that was started for a knock is kept if it serves nobody.
    pub unused: Duration,
}

impl Limits {
    /// Those of a laptop: 2 a minute of one function, 16 a minute of all, each for 10 s. Our own choice: a handshake
    /// and the request after it take less than a second, and a browser that connects on a guess drops that connection soon.
    pub const LAPTOP: Limits = Limits {
        each: StartRate { burst: 2, per: Duration::from_secs(60) },
        all: StartRate { burst: 16, per: Duration::from_secs(60) },
        unused: Duration::from_secs(10),
    };
}

impl Default for Limits {
    fn default() -> Self {
        Limits::LAPTOP
    }
}

/// A knock that may start an instance. To be given back when it started none, or when a request has followed.
#[derive(Debug)]
#[must_use = "tokens that are not given back are spent"]
pub struct Knock {
    name: Arc<str>,
    at: Time,
}

impl Knock {
    /// The function.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }
}

/// Counts knocks.
#[derive(Debug)]
pub struct Knocks {
    limits: Limits,
    all: Bucket,
    each: HashMap<Arc<str>, Bucket>,
    remembered: usize,
}

impl Knocks {
    /// Nobody has knocked yet.
    pub fn new(limits: Limits) -> Self {
        Knocks { limits, all: Bucket::default(), each: HashMap::new(), remembered: REMEMBERED }
    }

    /// What is counted by.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Somebody has knocked at a function, which exists: whether an instance may be started for them.
    pub fn admit(&mut self, now: Time, name: &Arc<str>) -> Option<Knock> {
        let Limits { each, all, .. } = self.limits;
        let bucket = self.each.get(name);
        if !self.all.has_token(now, all) || !bucket.map_or(each.burst > 0, |b| b.has_token(now, each)) {
            return None;
        }
        self.forget_old(now);
        self.all.take(now, all);
        self.each.entry(name.clone()).or_default().take(now, each);
        Some(Knock { name: name.clone(), at: now })
    }

    /// Nothing was started for this knock: it is as if it had not been.
    pub fn was_needless(&mut self, now: Time, knock: Knock) {
        self.came_in(now, knock);
    }

    /// A request has followed. What time has brought back of the tokens already is not given twice.
    pub fn came_in(&mut self, now: Time, knock: Knock) {
        let since = now.since(knock.at);
        self.all.give_back(since, self.limits.all);
        if let Some(bucket) = self.each.get_mut(&knock.name) {
            bucket.give_back(since, self.limits.each);
        }
    }

    fn forget_old(&mut self, now: Time) {
        if self.each.len() >= self.remembered {
            self.each.retain(|_, bucket| !bucket.is_full(now));
            // looking at all of them each time would make knocking expensive
            self.remembered = REMEMBERED.max(2 * self.each.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        each: StartRate { burst: 2, per: Duration::from_secs(10) },
        all: StartRate { burst: 3, per: Duration::from_secs(10) },
        unused: Duration::from_secs(1),
    };

    fn at(secs: u64) -> Time {
        Time::EPOCH + Duration::from_secs(secs)
    }

    #[test]
    fn a_function_and_the_host_have_so_many_tokens_and_they_come_back_evenly() {
        let mut knocks = Knocks::new(LIMITS);
        let [a, b]: [Arc<str>; 2] = ["a".into(), "b".into()];
        let mut admits = |now, name| knocks.admit(now, name).is_some();
        assert_eq!([admits(at(0), &a), admits(at(0), &a), admits(at(0), &a)], [true, true, false]);
        assert_eq!([admits(at(0), &b), admits(at(0), &b)], [true, false], "the host has no more");
        assert_eq!([admits(at(4), &b), admits(at(4), &b)], [true, false], "a third of 10 s brings one");
        assert_eq!([admits(at(8), &a), admits(at(8), &a)], [true, false], "and half of it one of `a`");
    }

    #[test]
    fn who_comes_in_is_never_held_up() {
        let mut knocks = Knocks::new(LIMITS);
        let a: Arc<str> = "a".into();
        for _ in 0..1000 {
            let knock = knocks.admit(at(5), &a).expect("all before have come in");
            knocks.came_in(at(5), knock);
        }
    }

    #[test]
    fn no_tokens_are_none() {
        let none = StartRate { burst: 0, per: Duration::from_secs(1) };
        let a: Arc<str> = "a".into();
        assert!(Knocks::new(Limits { each: none, ..LIMITS }).admit(at(9), &a).is_none());
        assert!(Knocks::new(Limits { all: none, ..LIMITS }).admit(at(9), &a).is_none());
    }

    #[test]
    fn names_do_not_pile_up() {
        let mut knocks = Knocks::new(Limits { all: StartRate { burst: 1_000_000, ..LIMITS.all }, ..LIMITS });
        for n in 0..100_000_u64 {
            let knock = knocks.admit(at(n), &format!("f{n}").into());
            assert!(knock.is_some());
        }
        assert!(knocks.each.len() <= REMEMBERED, "{}", knocks.each.len());
    }

    #[derive(Debug, Clone)]
    enum Event {
        Knock(usize),
        ComeIn(usize),
        Pass(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            5 => (0..3_usize).prop_map(Event::Knock),
            3 => any::<usize>().prop_map(Event::ComeIn),
            3 => (0..6000_u64).prop_map(Event::Pass),
        ]
    }

    /// Whether a bucket of `rate` could have given a token at each of these times, in nanoseconds and in order.
    fn is_within(rate: StartRate, times: impl Iterator<Item = u64>) -> bool {
        let token = rate.per.as_nanos() as i128 / i128::from(rate.burst);
        let full = token * i128::from(rate.burst);
        let (mut level, mut last) = (full, 0);
        for time in times {
            level = full.min(level + i128::from(time - last)) - token;
            last = time;
            if level < 0 {
                return false;
            }
        }
        true
    }

    proptest! {
        #[test]
        fn knocks_that_nobody_follows_are_bounded(history in prop::collection::vec(event(), 1..200)) {
            let mut knocks = Knocks::new(LIMITS);
            let names: [Arc<str>; 3] = ["a".into(), "b".into(), "c".into()];
            let (mut now, mut open, mut admitted) = (Time::EPOCH, Vec::new(), Vec::new());
            for event in history {
                match event {
                    Event::Knock(n) => if let Some(knock) = knocks.admit(now, &names[n]) {
                        open.push((admitted.len(), knock));
                        admitted.push(Some((n, now.unix_nanos())));
                    },
                    Event::ComeIn(n) => if !open.is_empty() {
                        let (at, knock) = open.swap_remove(n % open.len());
                        knocks.came_in(now, knock);
                        admitted[at] = None;
                    },
                    Event::Pass(ms) => now = now + Duration::from_millis(ms),
                }
            }
            let alone = || admitted.iter().flatten();
            prop_assert!(is_within(LIMITS.all, alone().map(|(_, at)| *at)));
            for n in 0..3 {
                let own = alone().filter(|(of, _)| *of == n).map(|(_, at)| *at);
                prop_assert!(is_within(LIMITS.each, own));
            }
        }
    }
}
