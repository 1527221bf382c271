//! What must hold whatever happens, by name; and a few stories.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::delivery::rules::Backoff;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn at(n: u64) -> Time {
    Time::EPOCH + ms(n)
}

fn rules(max_retries: u32) -> Rules {
    Rules {
        max_retries,
        max_age: ms(10_000),
        retry: Backoff { first: ms(600), max: ms(1200), jitter_percent: 20 },
        unserved: Backoff { first: ms(10), max: ms(3000), jitter_percent: 20 },
    }
}

const LIMITS: Limits = Limits { max_events: 12, max_bytes: 100, max_running: 3 };

/// What may happen to a machine.
#[derive(Debug, Clone)]
enum Happens {
    Accept { function: u8, bytes: u64, is_kept: bool },
    Pass(u64),
    Settle { which: usize, outcome: Outcome },
    Redrive { which: usize },
}

fn happens() -> impl Strategy<Value = Happens> {
    let outcome = prop_oneof![
        3 => Just(Outcome::Delivered),
        3 => Just(Outcome::Failed),
        2 => Just(Outcome::Unserved),
        1 => Just(Outcome::Refused),
        1 => Just(Outcome::Interrupted),
    ];
    prop_oneof![
        4 => (0u8..3, 0u64..30, prop::bool::weighted(0.9))
            .prop_map(|(function, bytes, is_kept)| Happens::Accept { function, bytes, is_kept }),
        3 => prop_oneof![0u64..50, 0u64..2000].prop_map(Happens::Pass),
        5 => (0usize..100, outcome).prop_map(|(which, outcome)| Happens::Settle { which, outcome }),
        1 => (0usize..100).prop_map(|which| Happens::Redrive { which }),
    ]
}

/// What is known of an event from outside.
#[derive(Debug, Clone)]
struct Known {
    function: String,
    bytes: u64,
    accepted: Time,
    /// In this life: since it was accepted or put back.
    failures: u32,
    is_tried: bool,
}

struct World {
    machine: Deliveries,
    rules: Rules,
    now: Time,
    open: BTreeMap<Key, Known>,
    running: BTreeSet<Key>,
    /// Accepted and not tried, in order.
    fresh: BTreeMap<String, VecDeque<Key>>,
    delivered: BTreeSet<Key>,
    dead: BTreeMap<Key, Known>,
}

impl World {
    fn new(max_retries: u32, seed: u64) -> Self {
        let rules = rules(max_retries);
        World {
            machine: Deliveries::new(rules, LIMITS, seed),
            rules,
            now: at(0),
            open: BTreeMap::new(),
            running: BTreeSet::new(),
            fresh: BTreeMap::new(),
            delivered: BTreeSet::new(),
            dead: BTreeMap::new(),
        }
    }

    fn bytes(&self) -> u64 {
        self.open.values().map(|known| known.bytes).sum()
    }

    fn opened(&mut self, key: Key, function: String, bytes: u64) {
        self.machine.kept(self.now, key);
        self.fresh.entry(function.clone()).or_default().push_back(key);
        let known = Known { function, bytes, accepted: self.now, failures: 0, is_tried: false };
        assert!(self.open.insert(key, known).is_none(), "no_key_is_given_twice");
    }

    fn happens(&mut self, what: Happens) {
        match what {
            Happens::Accept { function, bytes, is_kept } => {
                let (function, fits) = (
                    format!("f{function}"),
                    self.open.len() < LIMITS.max_events && self.bytes() + bytes <= LIMITS.max_bytes,
                );
                match self.machine.admit(function.as_str().into(), bytes) {
                    Err(_) => assert!(!fits, "refused_only_beyond_the_bound"),
                    Ok(key) => {
                        assert!(fits, "bounded");
                        if is_kept {
                            self.opened(key, function, bytes);
                        } else {
                            self.machine.abandon(key);
                        }
                    }
                }
            }
            Happens::Pass(by) => self.now = self.now + ms(by),
            Happens::Settle { which, outcome } => {
                let Some(&key) = self.running.iter().nth(which % self.running.len().max(1)) else { return };
                self.settle(key, outcome);
            }
            Happens::Redrive { which } => {
                let Some(&key) = self.dead.keys().nth(which % self.dead.len().max(1)) else { return };
                let known = self.dead[&key].clone();
                if self.machine.readmit(key, known.function.as_str().into(), known.bytes).is_ok() {
                    self.dead.remove(&key);
                    self.opened(key, known.function, known.bytes);
                }
            }
        }
        self.drive();
    }

    fn settle(&mut self, key: Key, outcome: Outcome) {
        self.running.remove(&key);
        let verdict = self.machine.settle(self.now, key, outcome);
        let known = self.open.get_mut(&key).expect("it is open");
        known.failures += u32::from(outcome == Outcome::Failed);
        match verdict {
            Verdict::Done => {
                assert_eq!(outcome, Outcome::Delivered);
                self.delivered.insert(key);
                self.open.remove(&key);
            }
            Verdict::Retry { at, failures } => {
                assert!(at > self.now && at < known.accepted + self.rules.max_age, "retried_within_its_age");
                assert_eq!(failures, known.failures);
            }
            Verdict::GivenUp(_) => {
                let known = self.open.remove(&key).expect("it is open");
                self.dead.insert(key, known);
            }
            Verdict::Stays => {
                assert_eq!(outcome, Outcome::Interrupted);
            }
        }
        assert_eq!(self.machine.settle(self.now, key, Outcome::Delivered), Verdict::Stays, "settled_once");
    }

    fn drive(&mut self) {
        while let Some(step) = self.machine.next(self.now) {
            match step {
                Step::Deliver { key, attempt } => {
                    let known = self.open.get_mut(&key).expect("none_delivered_after_being_settled");
                    assert!(self.running.insert(key), "none_delivered_twice_at_a_time");
                    assert_eq!(attempt, known.failures + 1);
                    assert!(attempt <= self.rules.max_retries + 1, "attempts_never_beyond_the_bound");
                    if !std::mem::replace(&mut known.is_tried, true) {
                        let fresh = self.fresh.get_mut(&known.function).expect("there is a line");
                        assert_eq!(fresh.pop_front(), Some(key), "first_attempts_are_first_in_first_out");
                    }
                }
                Step::GiveUp { key, .. } => {
                    let known = self.open.remove(&key).expect("none_given_up_after_being_settled");
                    assert!(!self.running.contains(&key), "none_given_up_while_it_runs");
                    assert!(self.now >= known.accepted + self.rules.max_age, "none_given_up_before_its_time");
                    if !known.is_tried {
                        self.fresh.entry(known.function.clone()).or_default().retain(|other| *other != key);
                    }
                    self.dead.insert(key, known);
                }
            }
        }
        let mut running = BTreeMap::<&str, usize>::new();
        for key in &self.running {
            *running.entry(&self.open[key].function).or_default() += 1;
        }
        assert!(running.values().all(|n| *n <= LIMITS.max_running), "so_many_at_a_time");
        assert_eq!(self.machine.len(), self.open.len(), "no_accepted_event_is_lost");
        assert!(self.machine.next_deadline().is_none_or(|at| at > self.now), "nothing_due_is_left");
    }
}

proptest! {
    #[test]
    fn whatever_happens(
        max_retries in 0u32..4,
        seed in any::<u64>(),
        story in prop::collection::vec(happens(), 1..200),
    ) {
        let mut world = World::new(max_retries, seed);
        for what in story {
            world.happens(what);
        }
        // every_event_ends_delivered_or_dead_within_its_age, as long as attempts end and time passes
        let last = world.now + world.rules.max_age;
        loop {
            while let Some(&key) = world.running.iter().next() {
                world.settle(key, if key.0 % 2 == 0 { Outcome::Failed } else { Outcome::Unserved });
                world.drive();
            }
            match world.machine.next_deadline() {
                Some(at) => world.now = at,
                None => break,
            }
            world.drive();
        }
        prop_assert!(world.open.is_empty());
        prop_assert!(world.now <= last, "{:?} is later than {last:?}", world.now);
        prop_assert!(world.machine.is_empty());
        prop_assert_eq!(world.machine.bytes, 0);
        prop_assert!(world.machine.lines.is_empty() && world.machine.turns.is_empty(), "nothing is left behind");
        prop_assert!(world.delivered.is_disjoint(&world.dead.keys().copied().collect()));
    }
}

fn steps(machine: &mut Deliveries, now: Time) -> Vec<Step> {
    std::iter::from_fn(|| machine.next(now)).collect()
}

fn accept(machine: &mut Deliveries, now: Time, function: &str) -> Key {
    let key = machine.admit(function.into(), 1).expect("there is room");
    machine.kept(now, key);
    key
}

#[test]
fn as_aws_does_it() {
    let secs = Duration::from_secs;
    let aws = Rules {
        max_retries: 2,
        max_age: secs(6 * 3600),
        retry: Backoff { first: secs(60), max: secs(120), jitter_percent: 0 },
        unserved: Backoff { first: secs(1), max: secs(300), jitter_percent: 0 },
    };
    let mut machine = Deliveries::new(aws, Limits::default(), 0);
    let key = accept(&mut machine, at(0), "f");
    assert_eq!(steps(&mut machine, at(0)), [Step::Deliver { key, attempt: 1 }]);
    let retry = |at, failures| Verdict::Retry { at, failures };
    assert_eq!(machine.settle(at(0), key, Outcome::Failed), retry(at(60_000), 1));
    assert_eq!(steps(&mut machine, at(59_999)), []);
    assert_eq!(steps(&mut machine, at(60_000)), [Step::Deliver { key, attempt: 2 }]);
    assert_eq!(machine.settle(at(60_000), key, Outcome::Unserved), retry(at(61_000), 1));
    assert_eq!(steps(&mut machine, at(61_000)), [Step::Deliver { key, attempt: 2 }], "it was not tried");
    assert_eq!(machine.settle(at(61_000), key, Outcome::Failed), retry(at(181_000), 2));
    assert_eq!(steps(&mut machine, at(181_000)), [Step::Deliver { key, attempt: 3 }]);
    let why = Dead::Failed { attempts: 3 };
    assert_eq!(machine.settle(at(181_000), key, Outcome::Failed), Verdict::GivenUp(why));
    assert!(machine.is_empty());
}

#[test]
fn functions_take_turns() {
    let mut machine = Deliveries::new(rules(0), LIMITS, 0);
    let a: Vec<Key> = (0..4).map(|_| accept(&mut machine, at(0), "a")).collect();
    let b = accept(&mut machine, at(0), "b");
    let order: Vec<Key> = steps(&mut machine, at(0))
        .into_iter()
        .map(|step| match step {
            Step::Deliver { key, .. } | Step::GiveUp { key, .. } => key,
        })
        .collect();
    assert_eq!(order, [a[0], b, a[1], a[2]], "three of one function at a time");
    machine.settle(at(1), a[1], Outcome::Delivered);
    assert_eq!(steps(&mut machine, at(1)), [Step::Deliver { key: a[3], attempt: 1 }]);
}

#[test]
fn what_an_earlier_host_accepted_goes_on_where_it_was() {
    let mut machine = Deliveries::new(rules(2), LIMITS, 0);
    // over the limits: it was promised
    for n in 0..20 {
        machine.restore(at(50_000), Key(n), "f".into(), 100, 0, at(50_000));
    }
    machine.restore(at(50_000), Key(77), "g".into(), 1, 2, at(50_300));
    assert!(machine.admit("f".into(), 0).expect_err("full").to_string().contains("21 of 2001 bytes wait"));
    let begun = steps(&mut machine, at(50_000));
    assert_eq!(begun[0], Step::Deliver { key: Key(0), attempt: 1 }, "its age counts from now");
    assert_eq!(begun.len(), LIMITS.max_running);
    assert_eq!(steps(&mut machine, at(50_300)), [Step::Deliver { key: Key(77), attempt: 3 }]);
    assert_eq!(machine.next_deadline(), Some(at(60_000)));
}
