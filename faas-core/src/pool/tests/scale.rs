//! Scale-out as providers do it, case by case: who may run, who starts, and what stands in the way.

use std::time::Duration;

use super::ahead::Hand;
use crate::{invocation::FunctionSpec, policy::UntilEvicted, pool::*, transition::StopReason};

/// Lambda's way: nobody waits.
const AT_ONCE: Limits = Limits { max_queued: 0, ..Limits::LAPTOP };

fn refused(limit: Limit) -> Decision {
    Decision::Refuse(Refusal::QueueFull { queued: 0, limit })
}

#[test]
fn the_account_runs_so_many_and_no_more() {
    let mut hand = Hand::new(Limits { max_running: Some(2), ..AT_ONCE }, UntilEvicted);
    let [a, b] = ["a", "b"].map(|name| hand.deploy(FunctionSpec::new(name)));
    assert!(matches!(hand.acquire(a), Decision::Wait { depth: None, .. }));
    assert!(matches!(hand.acquire(b), Decision::Wait { depth: None, .. }));
    let full = refused(Limit::Running { max: 2, reserved: 0 });
    assert_eq!(hand.acquire(a), full, "inits count");
    let started = hand.start_all(1);
    assert_eq!(hand.acquire(b), full);
    hand.release(started[0]);
    assert_eq!(hand.acquire(a), Decision::Run(started[0]));
}

#[test]
fn what_is_reserved_is_kept_free_and_is_the_most() {
    let mut hand = Hand::new(Limits { max_running: Some(3), ..AT_ONCE }, UntilEvicted);
    let vip = hand.deploy(FunctionSpec { reserved_concurrency: Some(2), ..FunctionSpec::new("vip") });
    let other = hand.deploy(FunctionSpec::new("other"));
    assert!(matches!(hand.acquire(other), Decision::Wait { .. }));
    assert_eq!(
        hand.acquire(other),
        refused(Limit::Running { max: 3, reserved: 2 }),
        "one of three is left to others"
    );
    assert!(matches!(hand.acquire(vip), Decision::Wait { .. }));
    assert!(matches!(hand.acquire(vip), Decision::Wait { .. }));
    let all = hand.start_all(1);
    hand.release(all[0]);
    assert_eq!(hand.acquire(vip), refused(Limit::Reserved(2)), "though the account has room");

    let none = hand.deploy(FunctionSpec { reserved_concurrency: Some(0), ..FunctionSpec::new("none") });
    assert_eq!(hand.acquire(none), refused(Limit::Reserved(0)), "how one switches a function off");
}

#[test]
fn provisioned_instances_are_guaranteed_and_what_overflows_shares() {
    let mut hand = Hand::new(Limits { max_running: Some(3), ..AT_ONCE }, UntilEvicted);
    let busy = hand.deploy(FunctionSpec { min_instances: 2, ..FunctionSpec::new("busy") });
    let other = hand.deploy(FunctionSpec::new("other"));
    hand.start_all(1);
    assert!(matches!(hand.acquire(other), Decision::Wait { .. }));
    assert_eq!(hand.acquire(other), refused(Limit::Running { max: 3, reserved: 2 }));
    let other_one = hand.start_all(1)[0];
    assert!(matches!(hand.acquire(busy), Decision::Run(_)));
    assert!(matches!(hand.acquire(busy), Decision::Run(_)));
    assert_eq!(hand.acquire(busy), refused(Limit::Running { max: 3, reserved: 0 }));
    hand.release(other_one);
    assert!(matches!(hand.acquire(busy), Decision::Wait { depth: None, .. }), "on demand, beyond the two");
}

#[test]
fn who_waits_for_the_account_runs_when_another_function_ends() {
    let mut hand = Hand::new(Limits { max_running: Some(1), ..Limits::LAPTOP }, UntilEvicted);
    let [a, b] = ["a", "b"].map(|name| hand.deploy(FunctionSpec::new(name)));
    let b_one = hand.call(b, 1);
    let a_one = match hand.acquire(a) {
        Decision::Wait { .. } => hand.start_all(1)[0],
        other => panic!("{other:?}"),
    };
    let Decision::Wait { ticket, depth: Some(1) } = hand.acquire(b) else {
        panic!("its instance is idle, but it may not run");
    };
    hand.effects.clear();
    hand.release(a_one);
    let runs = |e: &&Effect| matches!(e, Effect::Run { ticket: t, instance, .. } if (*t, *instance) == (ticket, b_one));
    assert_eq!(hand.effects.iter().filter(runs).count(), 1);
}

#[test]
fn starts_come_in_a_burst_and_then_evenly() {
    let rate = StartRate { burst: 3, per: Duration::from_secs(30) }; // a token in 10 s
    let mut hand = Hand::new(Limits { start_rate: Some(rate), ..AT_ONCE }, UntilEvicted);
    let [f, other] = ["f", "other"].map(|name| hand.deploy(FunctionSpec::new(name)));
    let waits = |hand: &mut Hand, function| match hand.acquire(function) {
        Decision::Wait { depth: None, .. } => true,
        decision => {
            assert_eq!(decision, refused(Limit::StartRate(rate)));
            false
        }
    };
    let tries = |hand: &mut Hand| (0..5).filter(|_| waits(hand, f)).count();
    assert_eq!(tries(&mut hand), 3);
    assert!(waits(&mut hand, other), "each function has its own");
    hand.pass(9);
    assert_eq!(tries(&mut hand), 0);
    hand.pass(1);
    assert_eq!(tries(&mut hand), 1);
    hand.pass(3600);
    assert_eq!(tries(&mut hand), 3, "tokens do not pile up");
}

#[test]
fn who_waits_for_a_token_starts_when_it_comes() {
    let rate = StartRate { burst: 1, per: Duration::from_secs(4) };
    let mut hand = Hand::new(Limits { start_rate: Some(rate), ..Limits::LAPTOP }, UntilEvicted);
    let f = hand.deploy(FunctionSpec::new("f"));
    hand.acquire(f);
    assert!(matches!(hand.acquire(f), Decision::Wait { depth: Some(1), .. }));
    hand.pass(3);
    assert_eq!(hand.status(f), [1, 0, 0]);
    hand.pass(1);
    assert_eq!(hand.status(f), [2, 0, 0]);
    hand.pass(7);
    assert_eq!(hand.status(f), [2, 0, 0], "nobody wants another");
}

#[test]
fn more_instances_come_before_all_places_are_taken() {
    let mut hand = Hand::new(Limits::LAPTOP, UntilEvicted);
    let spec = FunctionSpec {
        instance_concurrency: 10,
        target_utilization_percent: Some(60),
        ..FunctionSpec::new("f")
    };
    let f = hand.deploy(spec);
    hand.acquire(f);
    hand.start_all(1);
    (0..5).for_each(|_| _ = hand.acquire(f));
    assert_eq!(hand.status(f), [0, 0, 1], "6 of 10 places are not more than 60 %");
    assert!(matches!(hand.acquire(f), Decision::Run(_)));
    assert_eq!(hand.status(f), [1, 0, 1], "7 are");
    (0..3).for_each(|_| _ = hand.acquire(f));
    assert_eq!(hand.status(f), [1, 0, 1], "10 of 20 are not");
}

#[test]
fn who_may_no_longer_run_holds_nobody_up_in_the_line_for_room() {
    let limits = Limits { memory_mib: Some(4), max_running: Some(3), ..Limits::LAPTOP };
    let mut hand = Hand::new(limits, UntilEvicted);
    let spec = |name, memory_mib| FunctionSpec { memory_mib, ..FunctionSpec::new(name) };
    let busy = hand.deploy(FunctionSpec { instance_concurrency: 2, ..spec("busy", 1) });
    let large = hand.deploy(spec("large", 4));
    hand.acquire(busy);
    hand.start_all(1);
    assert!(matches!(hand.acquire(large), Decision::Wait { depth: Some(1), .. }), "there is no room");
    let kept = hand.deploy(FunctionSpec { min_instances: 1, ..spec("kept", 1) });
    assert_eq!(hand.status(kept), [0, 0, 0], "the large one is first in line");
    assert!(matches!(hand.acquire(busy), Decision::Run(_)), "two run, and the third place is kept free");
    assert_eq!(hand.status(kept), [1, 0, 0], "so room would not help the large one");
}

#[test]
fn in_a_shutdown_no_instance_must_be_there_and_no_start_is_exempt() {
    let rate = StartRate { burst: 1, per: Duration::from_secs(4) };
    let limits = Limits { memory_mib: Some(4), start_rate: Some(rate), ..Limits::LAPTOP };
    let mut hand = Hand::new(limits, UntilEvicted);
    let spec = |name, memory_mib| FunctionSpec { memory_mib, ..FunctionSpec::new(name) };
    let [large, kept, small] = [spec("large", 3), spec("kept", 1), spec("small", 1)].map(|s| hand.deploy(s));
    hand.acquire(large);
    hand.acquire(kept); // takes its token
    hand.deploy(FunctionSpec { min_instances: 1, ..spec("kept", 2) });
    assert!(matches!(hand.acquire(small), Decision::Wait { depth: Some(1), .. }));
    assert_eq!(hand.status(kept), [0, 0, 0], "first in line, for it must have one, but there is no room");
    hand.pool.shutdown(hand.now, &mut hand.effects);
    assert_eq!(hand.status(small), [1, 0, 0], "who has no token waits for that, not for room");
    let large_one = hand.start_all(3)[0];
    hand.release(large_one);
    assert_eq!(hand.status(kept), [0, 0, 0], "there is room, but no token");
    hand.pass(1);
    assert_eq!(hand.status(kept), [1, 0, 0], "who was let in is served");
}

#[test]
fn an_instance_that_makes_room_for_a_fresh_one_was_idle_all_the_while() {
    let mut hand =
        Hand::new(Limits { max_instances: 2, max_running: Some(1), ..Limits::LAPTOP }, UntilEvicted);
    let [a, b] = ["a", "b"].map(|name| hand.deploy(FunctionSpec::new(name)));
    let a_one = hand.call(a, 1);
    let since = hand.now;
    hand.acquire(b);
    let b_one = hand.start_all(1)[0];
    hand.pool.acquire(hand.now, a, true, &mut hand.effects);
    hand.acquire(a);
    hand.effects.clear();
    hand.release(b_one);
    let stop = Effect::Stop { instance: a_one, reason: StopReason::Evicted, idle_since: Some(since) };
    assert_eq!(hand.effects[0], stop);
    assert_eq!(hand.status(a), [1, 0, 0]);
}

#[test]
fn a_promise_does_not_take_the_place_of_who_came_first() {
    let mut hand =
        Hand::new(Limits { max_instances: 2, max_running: Some(1), ..Limits::LAPTOP }, UntilEvicted);
    let f = hand.deploy(FunctionSpec::new("f"));
    hand.acquire(f);
    let first = hand.start_all(1)[0];
    assert!(hand.pool.prewarm(hand.now, f, &mut hand.effects));
    hand.pool.acquire(hand.now, f, true, &mut hand.effects);
    hand.acquire(f);
    hand.effects.clear();
    hand.release(first);
    assert_eq!(hand.stops(), [(first, StopReason::Evicted)], "for the one that insists on a fresh one");
    assert_eq!(hand.status(f), [2, 0, 0], "though the other could have had the one started ahead");
}

#[test]
fn who_is_promised_a_start_has_the_idle_instance_that_nobody_may_replace() {
    let mut hand =
        Hand::new(Limits { max_instances: 3, max_running: Some(3), ..Limits::LAPTOP }, UntilEvicted);
    let wide = hand.deploy(FunctionSpec { instance_concurrency: 2, ..FunctionSpec::new("wide") });
    let f = hand.deploy(FunctionSpec::new("f"));
    hand.acquire(wide);
    hand.acquire(f);
    let first = hand.start_all(1)[1];
    assert!(hand.pool.prewarm(hand.now, f, &mut hand.effects));
    hand.pool.acquire(hand.now, f, true, &mut hand.effects); // there is no room for it
    let Decision::Wait { ticket, depth: None } = hand.acquire(f) else { panic!("one is being started") };
    assert!(matches!(hand.acquire(wide), Decision::Wait { depth: Some(1), .. }), "three run or are about to");
    hand.effects.clear();
    hand.release(first); // `wide` has the place, so the one that insists may not run
    let runs = |e: &&Effect| matches!(e, Effect::Run { ticket: t, instance, .. } if (*t, *instance) == (ticket, first));
    assert_eq!(hand.effects.iter().filter(runs).count(), 1);
}
