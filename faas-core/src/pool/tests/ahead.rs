//! What is started ahead of demand, what must be there, and who goes first when room is needed: case by case.

use std::{sync::Arc, time::Duration};

use super::world::LIMITS;
use crate::{
    clock::Time,
    invocation::FunctionSpec,
    policy::{FixedTtl, GreedyDual, HybridHistogram, Policy, Rest, Scheduled, Subject, UntilEvicted},
    pool::*,
    transition::StopReason,
};

/// A pool, driven by hand. Starts are reported when the test says so; calls take no time.
pub(super) struct Hand {
    pub(super) pool: Pool,
    pub(super) now: Time,
    pub(super) effects: Vec<Effect>,
}

impl Hand {
    pub(super) fn new(limits: Limits, policy: impl Policy) -> Self {
        Hand { pool: Pool::new(limits, policy), now: Time::EPOCH, effects: Vec::new() }
    }

    pub(super) fn deploy(&mut self, spec: FunctionSpec) -> FunctionId {
        self.pool.deploy(self.now, Arc::new(spec), &mut self.effects)
    }

    pub(super) fn pass(&mut self, secs: u64) {
        let until = self.now + Duration::from_secs(secs);
        while let Some(at) = self.pool.next_deadline().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.pool.expire(self.now, &mut self.effects);
        }
        self.now = until;
    }

    pub(super) fn acquire(&mut self, function: FunctionId) -> Decision {
        self.pool.acquire(self.now, function, false, &mut self.effects)
    }

    pub(super) fn release(&mut self, instance: InstanceId) {
        self.pool.release(self.now, instance, true, &mut self.effects);
    }

    /// The starts since this was last asked, all of which are ready now, after `secs`, but for those that were abandoned.
    pub(super) fn start_all(&mut self, secs: u64) -> Vec<InstanceId> {
        self.pass(secs);
        let mut starts = Vec::new();
        for effect in &self.effects {
            match effect {
                Effect::Start { instance, .. } => starts.push(*instance),
                Effect::Stop { instance, .. } => starts.retain(|id| id != instance),
                _ => {}
            }
        }
        self.effects.clear();
        starts.iter().for_each(|id| assert!(self.pool.started(self.now, *id, &mut self.effects)));
        starts
    }

    /// Calls a function once, started over `secs` if it must be; gives the instance that served.
    pub(super) fn call(&mut self, function: FunctionId, secs: u64) -> InstanceId {
        let id = match self.acquire(function) {
            Decision::Run(id) => id,
            Decision::Wait { .. } => self.start_all(secs)[0],
            Decision::Refuse(why) => panic!("{why:?}"),
        };
        self.release(id);
        id
    }

    pub(super) fn stops(&mut self) -> Vec<(InstanceId, StopReason)> {
        let stops = self.effects.iter().filter_map(|e| match e {
            Effect::Stop { instance, reason, .. } => Some((*instance, *reason)),
            _ => None,
        });
        let stops = stops.collect();
        self.effects.clear();
        stops
    }

    pub(super) fn status(&self, function: FunctionId) -> [usize; 3] {
        let name = self.pool.spec(function).expect("deployed").name.clone();
        let status = self.pool.status().find(|s| s.spec.name == name).expect("deployed");
        [status.starting, status.idle, status.busy]
    }
}

fn spec(name: &str, memory_mib: u32) -> FunctionSpec {
    FunctionSpec { memory_mib, ..FunctionSpec::new(name) }
}

const ROOMY: Limits = Limits { max_instances: 100, ..Limits::LAPTOP };

#[test]
fn an_instance_started_ahead_makes_the_first_invocation_warm() {
    let mut hand = Hand::new(ROOMY, UntilEvicted);
    let f = hand.deploy(spec("f", 1));
    assert!(hand.pool.prewarm(hand.now, f, &mut hand.effects));
    assert!(!hand.pool.prewarm(hand.now, f, &mut hand.effects), "one is on its way");
    let warm = hand.start_all(1)[0];
    assert!(!hand.pool.prewarm(hand.now, f, &mut hand.effects), "one is there");
    assert_eq!(hand.acquire(f), Decision::Run(warm));
    assert!(hand.pool.prewarm(hand.now, f, &mut hand.effects), "it is taken");
}

#[test]
fn a_guess_is_let_go_soon_and_one_that_was_right_stays_as_long_as_any() {
    let mut hand = Hand::new(ROOMY, FixedTtl(Duration::from_secs(600)));
    let [wrong, right] = ["wrong", "right"].map(|name| hand.deploy(spec(name, 1)));
    for f in [wrong, right] {
        assert!(hand.pool.prewarm_for(hand.now, f, Duration::from_secs(10), &mut hand.effects));
    }
    // the start itself does not count
    let started = hand.start_all(30);
    hand.pass(9);
    hand.call(right, 1);
    assert_eq!(hand.stops(), []);
    hand.pass(2);
    assert_eq!(hand.stops(), [(started[0], StopReason::Expired)]);
    hand.pass(597);
    assert_eq!(hand.stops(), []);
    hand.pass(2);
    assert_eq!(hand.stops(), [(started[1], StopReason::Expired)]);
    // nor is it kept longer than the policy would
    let mut hand = Hand::new(ROOMY, FixedTtl(Duration::from_secs(5)));
    let f = hand.deploy(spec("f", 1));
    assert!(hand.pool.prewarm_for(hand.now, f, Duration::from_secs(10), &mut hand.effects));
    let started = hand.start_all(1);
    hand.pass(6);
    assert_eq!(hand.stops(), [(started[0], StopReason::Expired)]);
}

#[test]
fn what_is_started_ahead_is_bounded_and_evicts_nobody() {
    let mut hand = Hand::new(Limits { max_instances: 3, max_prewarmed: 2, ..ROOMY }, UntilEvicted);
    let all: Vec<_> = ["a", "b", "c", "d"].map(|name| hand.deploy(spec(name, 1))).into();
    let ahead = |hand: &mut Hand| -> Vec<bool> {
        all.iter().map(|f| hand.pool.prewarm(hand.now, *f, &mut hand.effects)).collect()
    };
    assert_eq!(ahead(&mut hand), [true, true, false, false], "two may wait for their first invocation");
    hand.start_all(1);
    hand.call(all[0], 1);
    assert_eq!(
        ahead(&mut hand),
        [false, false, true, false],
        "the one of `a` has served; then the host is full"
    );
    assert_eq!(hand.stops(), []);
}

#[test]
fn room_is_made_of_the_least_recently_used_until_the_memory_fits() {
    let mut hand = Hand::new(Limits { memory_mib: Some(400), ..ROOMY }, UntilEvicted);
    let [a, b, c] = ["a", "b", "c"].map(|name| hand.deploy(spec(name, 100)));
    let big = hand.deploy(spec("big", 250));
    let [a, b, _] = [a, b, c].map(|f| hand.call(f, 1));
    assert_eq!(hand.stops(), []);
    hand.call(big, 1);
    assert_eq!(hand.stops(), [], "start_all has taken them");
    assert_eq!(hand.pool.memory_mib(), 350);
    assert!(hand.pool.status().all(|s| s.idle == usize::from(matches!(&*s.spec.name, "c" | "big"))));
    let _ = (a, b);
}

#[test]
fn who_can_never_fit_is_refused_and_holds_nobody_up() {
    let mut hand = Hand::new(Limits { memory_mib: Some(400), ..ROOMY }, UntilEvicted);
    let (huge, small) = (hand.deploy(spec("huge", 401)), hand.deploy(spec("small", 400)));
    let limit = Limit::Memory { budget_mib: 400, instance_mib: 401 };
    assert_eq!(hand.acquire(huge), Decision::Refuse(Refusal::QueueFull { queued: 0, limit }));
    hand.call(small, 1);
}

#[test]
fn greedy_dual_loses_what_is_cheapest_to_lose() {
    let mut hand = Hand::new(Limits { max_instances: 2, ..ROOMY }, GreedyDual::new());
    let [slow, quick, other] = ["slow", "quick", "other"].map(|name| hand.deploy(spec(name, 128)));
    let slow_one = hand.call(slow, 8); // 8 s to start
    let quick_one = hand.call(quick, 1); // 1 s, used more recently
    hand.effects.clear();
    hand.acquire(other);
    assert_eq!(hand.stops(), [(quick_one, StopReason::Evicted)]);
    assert_eq!(hand.acquire(slow), Decision::Run(slow_one));
}

#[test]
fn a_priority_that_has_risen_is_noticed() {
    let mut hand = Hand::new(Limits { max_instances: 2, ..ROOMY }, GreedyDual::new());
    let [a, b, c] = ["a", "b", "c"].map(|name| hand.deploy(spec(name, 128)));
    hand.call(a, 1);
    let b_one = hand.call(b, 2);
    (0..3).for_each(|_| _ = hand.call(a, 0)); // 4 uses × 1 s against 1 use × 2 s
    hand.effects.clear();
    hand.acquire(c);
    assert_eq!(hand.stops(), [(b_one, StopReason::Evicted)]);
}

/// Unloads whatever rests.
#[derive(Debug)]
struct Unloads;

impl Policy for Unloads {
    fn keep(&mut self, _: Time, _: Subject<'_>) -> Option<Duration> {
        None
    }

    fn rest(&mut self, _: Time, _: Subject<'_>) -> Rest {
        Rest { unload: true, ..Rest::STAY }
    }
}

fn secs(n: u64) -> Time {
    Time::EPOCH + Duration::from_secs(n)
}

#[test]
fn a_firing_is_warmed_for_though_the_function_is_busy() {
    let policy = Scheduled::new(UntilEvicted, Duration::from_secs(10)).fires_at("f", vec![secs(100)]);
    let mut hand = Hand::new(ROOMY, policy);
    let f = hand.deploy(spec("f", 1));
    hand.pass(80);
    hand.acquire(f);
    hand.start_all(1); // and it runs until after the firing
    hand.pass(18);
    assert_eq!(hand.status(f), [1, 0, 1], "the firing finds it busy, and another one ready");
}

#[test]
fn what_is_warm_shortly_before_a_firing_is_not_unloaded() {
    let policy = Scheduled::new(Unloads, Duration::from_secs(10)).fires_at("f", vec![secs(100)]);
    let mut hand = Hand::new(ROOMY, policy);
    let app = |name: &str| FunctionSpec { app: Some("app".into()), ..spec(name, 1) };
    let [f, other] = ["f", "other"].map(|name| hand.deploy(app(name)));
    hand.pass(92); // f was warmed at 90
    hand.start_all(1);
    hand.call(f, 0);
    hand.call(other, 1);
    assert_eq!([hand.status(f), hand.status(other)], [[0, 1, 0], [0, 0, 0]], "the other one is, as it rests");
    hand.pass(6);
    hand.call(f, 0); // the firing
    assert_eq!(hand.status(f), [0, 0, 0], "after it, it is like any");
}

#[test]
fn the_surplus_of_a_busy_function_ages() {
    let mut hand = Hand::new(Limits { max_instances: 3, ..ROOMY }, GreedyDual::new());
    let [busy, b, c, d, e] = ["busy", "b", "c", "d", "e"].map(|name| hand.deploy(spec(name, 1)));
    (0..2).for_each(|_| _ = hand.acquire(busy));
    let burst = hand.start_all(2);
    burst.iter().for_each(|id| hand.release(*id)); // 2 uses × 2 s each
    hand.call(b, 2); // 1 × 2 s
    hand.call(c, 2); // evicts b, so the clock is 2; 2 + 1 × 2 s
    let used = hand.call(busy, 0); // 2 + 3 × 2 s; the other one: 0 + 3 × 2 s
    hand.call(d, 3); // evicts c, so the clock is 4; 4 + 1 × 3 s
    hand.effects.clear();
    hand.acquire(e);
    let surplus = *burst.iter().find(|id| **id != used).expect("one of the two");
    assert_eq!(hand.stops(), [(surplus, StopReason::Evicted)], "6 is less than 7 and 8");
}

#[test]
fn the_choice_of_instances_is_as_told() {
    let serve = |choice| {
        let mut hand = Hand::new(Limits { choice, ..ROOMY }, UntilEvicted);
        let f = hand.deploy(spec("f", 1));
        (0..4).for_each(|_| _ = hand.acquire(f));
        let all = hand.start_all(1);
        all.iter().for_each(|id| hand.release(*id)); // the last of them is the most recent
        let order: Vec<usize> = (0..8)
            .map(|_| {
                let id = hand.call(f, 0);
                all.iter().position(|other| *other == id).expect("one of the four")
            })
            .collect();
        order
    };
    assert_eq!(serve(Choice::MostRecent), [3; 8]);
    assert_eq!(serve(Choice::LeastRecent), [0, 1, 2, 3, 0, 1, 2, 3]);
    let any = serve(Choice::Random { seed: 1 });
    assert_eq!(any, serve(Choice::Random { seed: 1 }));
    assert!((0..4).all(|n| any.contains(&n)) || any != serve(Choice::Random { seed: 2 }), "{any:?}");
}

#[test]
fn a_minimum_is_started_kept_replaced_and_used_first() {
    let mut hand = Hand::new(ROOMY, FixedTtl(Duration::from_secs(60)));
    let f = hand.deploy(FunctionSpec { min_instances: 2, ..spec("f", 1) });
    assert_eq!(hand.status(f), [2, 0, 0], "at deployment, before anybody asks");
    let must = hand.start_all(1);
    let Decision::Run(one) = hand.acquire(f) else { panic!("two are ready") };
    let Decision::Run(two) = hand.acquire(f) else { panic!("one is ready") };
    hand.acquire(f);
    let more = hand.start_all(1)[0]; // on demand, beyond them
    hand.release(one);
    hand.release(two);
    hand.release(more);
    assert!(
        matches!(hand.acquire(f), Decision::Run(id) if must.contains(&id)),
        "though `more` was used last"
    );
    hand.effects.clear();
    hand.pass(3600);
    assert_eq!(hand.stops(), [(more, StopReason::Expired)]);

    hand.pool.release(hand.now, two, false, &mut hand.effects);
    assert_eq!(hand.status(f), [1, 1, 0], "a lost one is replaced at once");
}

#[test]
fn a_minimum_that_fails_to_start_is_tried_again_ever_more_rarely() {
    let mut hand = Hand::new(ROOMY, UntilEvicted);
    let f = hand.deploy(FunctionSpec { min_instances: 1, ..spec("f", 1) });
    let mut waits = Vec::new();
    for _ in 0..8 {
        let Some(Effect::Start { instance, .. }) = hand.effects.pop() else { panic!("it is tried again") };
        assert!(hand.pool.start_failed(hand.now, instance, &mut hand.effects));
        hand.effects.clear();
        let failed = hand.now;
        hand.now = hand.pool.next_deadline().expect("it will be tried again");
        hand.pool.expire(hand.now, &mut hand.effects);
        waits.push(hand.now.since(failed).as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    hand.start_all(1);
    assert_eq!(hand.status(f), [0, 1, 0]);
}

#[test]
fn an_hourly_function_is_gone_in_between_and_warm_on_the_hour() {
    let mut hand = Hand::new(ROOMY, HybridHistogram::new());
    let f = hand.deploy(spec("hourly", 128));
    for _ in 0..11 {
        hand.call(f, 0);
        hand.pass(3600);
    }
    // the first ten idle times were kept through; the eleventh: unloaded at once, warmed after 54 minutes
    let served = hand.acquire(f);
    assert!(
        matches!(served, Decision::Wait { depth: None, .. }),
        "its start is under way since minute 54: {served:?}"
    );
    assert_eq!(hand.effects.iter().filter(|e| matches!(e, Effect::Start { .. })).count(), 1);
    let id = hand.start_all(0)[0];
    hand.release(id);
    assert_eq!(hand.status(f), [0, 0, 0], "and unloaded as soon as it rests");
    hand.pass(53 * 60);
    assert_eq!(hand.status(f), [0, 0, 0]);
    hand.pass(60);
    hand.start_all(0);
    assert_eq!(hand.status(f), [0, 1, 0]);
    hand.pass(14 * 60);
    assert_eq!(hand.status(f), [0, 0, 0], "nobody came by minute 67");
    assert_eq!(hand.stops().iter().filter(|(_, why)| *why == StopReason::Expired).count(), 1);
}

#[test]
fn a_scheduled_function_is_warm_when_it_fires_though_it_never_ran() {
    let at = |secs| Time::EPOCH + Duration::from_secs(secs);
    let policy = Scheduled::new(FixedTtl(Duration::ZERO), Duration::from_secs(10))
        .fires_at("report", vec![at(100), at(200)]);
    let mut hand = Hand::new(LIMITS, policy);
    let f = hand.deploy(spec("report", 1));
    for _ in 0..2 {
        hand.pass(89);
        assert_eq!(hand.status(f), [0, 0, 0]);
        hand.pass(1);
        hand.start_all(2);
        hand.pass(8);
        assert!(matches!(hand.acquire(f), Decision::Run(id) if { hand.release(id); true }));
        hand.pass(0);
        assert_eq!(hand.status(f), [0, 0, 0], "and gone after it");
    }
}
