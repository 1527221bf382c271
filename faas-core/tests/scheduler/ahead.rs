//! Instances that are started before anybody asks: `prewarm`, minimum instances, target utilisation; and what observers
//! hear when such a start fails.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use faas_core::{
    budget::{Budget, SharedBudget, WithinBudget},
    clock::{Time, VirtualClock},
    invocation::{FunctionSpec, Start},
    policy::{FixedTtl, Scheduled},
    pool::Limits,
};
use parking_lot::Mutex;

use crate::bench_top::{Bench, error, ms, reply};

#[tokio::test]
async fn a_prewarmed_instance_makes_the_first_invocation_warm() {
    let bench = Bench::new();
    let script = bench.script("hi");
    bench.deploy(FunctionSpec::new("hello"), script.clone());
    assert!(bench.scheduler.prewarm("hello"));
    assert!(!bench.scheduler.prewarm("hello"), "one is on its way");
    assert!(!bench.scheduler.prewarm("other"), "there is no such function");
    bench.run(ms(100)).await;
    assert!(!bench.scheduler.prewarm("hello"), "one is free");
    assert_eq!(bench.standing("hello"), [0, 1, 0, 0, 0]);

    let call = bench.send("hello").await;
    bench.run(ms(10)).await;
    let record = reply(call).await.record;
    assert_eq!((record.start, record.queue, record.usage.init_wall), (Some(Start::Warm), ms(0), ms(0)));
    assert_eq!(script.counts().starts.load(SeqCst), 1);
}

#[tokio::test]
async fn a_hint_that_nobody_follows_costs_an_instance_for_a_while_and_nobody_money() {
    let bench = Bench::new();
    for name in ["hello", "other"] {
        bench.deploy(FunctionSpec::new(name), bench.script("hi"));
        assert!(bench.scheduler.prewarm_for(name, Duration::from_secs(10)));
    }
    assert!(!bench.scheduler.prewarm_for("nobody", Duration::from_secs(10)));
    bench.run(Duration::from_secs(10)).await;
    let call = bench.send("other").await;
    bench.run(ms(200)).await;
    let record = reply(call).await.record;
    assert_eq!((record.start, record.usage.init_wall), (Some(Start::Warm), ms(0)));
    assert_eq!(bench.standing("hello"), [0, 0, 0, 0, 0]);
    bench.run(Duration::from_secs(59)).await;
    assert_eq!(bench.standing("other"), [0, 1, 0, 0, 0], "who was asked for stays as long as any");
    insta::assert_snapshot!(bench.told(), @r"
    0 starting hello.1 ahead
    0 starting other.1 ahead
    100 started hello.1 in 100 ms
    100 started other.1 in 100 ms
    10010 finished #1 warm: 200
    10100 stopped hello.1: Expired, idle since 100
    ");
}

#[tokio::test]
async fn who_comes_while_it_is_prewarmed_waits_for_what_is_left_of_the_start() {
    let bench = Bench::new();
    let script = bench.script("hi");
    bench.deploy(FunctionSpec::new("hello"), script.clone());
    assert!(bench.scheduler.prewarm("hello"));
    bench.run(ms(70)).await;
    let call = bench.send("hello").await;
    bench.run(ms(40)).await; // 30 of the start, 10 of the call
    assert_eq!(reply(call).await.record.start, Some(Start::Cold));
    assert_eq!(script.counts().starts.load(SeqCst), 1);
}

#[tokio::test]
async fn no_more_are_prewarmed_than_may_be_and_nothing_is_evicted_for_them() {
    let limits = Limits { max_instances: 3, max_prewarmed: 2, ..Limits::LAPTOP };
    let bench = Bench::with(limits);
    for name in ["a", "b", "c"] {
        bench.deploy(FunctionSpec::new(name), bench.script(name));
    }
    let prewarm = |names: [&str; 3]| names.map(|name| bench.scheduler.prewarm(name));
    assert_eq!(prewarm(["a", "b", "c"]), [true, true, false], "two have not served yet");
    let call = bench.send("a").await;
    bench.run(ms(110)).await;
    reply(call).await;
    assert_eq!(prewarm(["a", "b", "c"]), [false, false, true], "the first has served, and there is room");

    bench.deploy(FunctionSpec::new("d"), bench.script("d"));
    let call = bench.send("b").await;
    bench.run(ms(110)).await;
    reply(call).await;
    assert!(!bench.scheduler.prewarm("d"), "the host is full");
    assert_eq!(bench.scheduler.snapshot().instances, 3);
}

#[tokio::test]
async fn a_minimum_starts_with_the_deployment_is_never_stopped_and_is_replaced() {
    let bench = Bench::with(Limits { max_instances: 3, max_queued: 2, ..Limits::LAPTOP });
    let script = bench.script("hi");
    let spec = FunctionSpec { min_instances: 2, ..FunctionSpec::new("kept") };
    bench.deploy(spec.clone(), script.clone());
    assert_eq!(bench.standing("kept"), [2, 0, 0, 0, 0]);
    bench.run(Duration::from_secs(3600)).await;
    assert_eq!(bench.standing("kept"), [0, 2, 0, 0, 0], "an hour does not end them");

    bench.deploy(FunctionSpec::new("other"), bench.script("other"));
    let others = [bench.send("other").await, bench.send("other").await];
    assert_eq!(bench.standing("other"), [1, 0, 0, 1, 1], "who has no room waits");
    bench.run(ms(110)).await;
    assert_eq!(bench.standing("kept"), [0, 2, 0, 0, 0], "others do not evict them");
    bench.run(ms(10)).await;
    for other in others {
        reply(other).await;
    }

    script.counts().traps.store(true, SeqCst);
    let trapped = bench.send("kept").await;
    bench.run(ms(10)).await;
    error(trapped).await;
    assert_eq!(bench.standing("kept"), [1, 1, 0, 0, 0], "the one that is lost is replaced");

    let next = bench.script("next");
    bench.deploy(FunctionSpec { generation: 2, ..spec }, next.clone());
    bench.run(ms(100)).await;
    assert_eq!((script.counts().alive.load(SeqCst), next.counts().alive.load(SeqCst)), (0, 2));
}

#[tokio::test]
async fn nothing_is_started_ahead_for_who_would_be_refused() {
    const DAY_SECS: u64 = 86_400;
    let at = |secs| Time::EPOCH + Duration::from_secs(secs);
    let caps = ["report=0.01/day", "kept=0/day"].map(|cap| cap.parse().expect("a cap"));
    let budget: SharedBudget = Arc::new(Mutex::new(Budget::new(caps.into(), false)));
    let policy = Scheduled::new(FixedTtl(Duration::from_secs(60)), Duration::from_secs(10))
        .fires_at("report", vec![at(100), at(300), at(DAY_SECS + 100)]);
    let clock = VirtualClock::default();
    let policy = WithinBudget::new(policy, budget.clone(), Arc::new(clock.clone()));
    let bench = Bench::on(clock, Limits::LAPTOP, policy);
    for name in ["report", "hello"] {
        bench.deploy(FunctionSpec::new(name), bench.script("hi"));
    }
    bench.deploy(FunctionSpec { min_instances: 1, ..FunctionSpec::new("kept") }, bench.script("hi"));
    bench.run(Duration::from_secs(200)).await;
    budget.lock().spend(at(200), &"report".into(), rust_decimal::Decimal::new(1, 2));

    // neither on a hint nor for the firing at 300 s; but what must be there is there, and the next day is another
    let unused = Duration::from_secs(10);
    assert!(!bench.scheduler.prewarm("report") && !bench.scheduler.prewarm_for("report", unused));
    assert_eq!(bench.standing("kept"), [0, 1, 0, 0, 0]);
    assert!(bench.scheduler.prewarm_for("hello", unused), "it is not this one's budget");
    bench.run(Duration::from_secs(DAY_SECS)).await;
    insta::assert_snapshot!(bench.told(), @r"
    100 started kept.1 in 100 ms
    90000 starting report.1 ahead
    90100 started report.1 in 100 ms
    150100 stopped report.1: Expired, idle since 90100
    200000 starting hello.1 ahead
    200100 started hello.1 in 100 ms
    210100 stopped hello.1: Expired, idle since 200100
    86490000 starting report.1 ahead
    86490100 started report.1 in 100 ms
    86550100 stopped report.1: Expired, idle since 86490100
    ");
}

#[tokio::test]
async fn observers_hear_of_starts_that_fail_though_nobody_waits() {
    let bench = Bench::new();
    let script = bench.script("hi");
    script.counts().fails_to_start.store(true, SeqCst);
    bench.deploy(FunctionSpec::new("guess"), script.clone());
    assert!(bench.scheduler.prewarm("guess"));
    bench.run(ms(200)).await;
    insta::assert_snapshot!(bench.told(), @r"
    0 starting guess.1 ahead
    100 no start of guess.1, 0 waiting: the script lets starts fail
    ");

    // one that a function must have is tried again after 1 s, 2 s and so on, each time told
    let kept = bench.script("hi");
    kept.counts().fails_to_start.store(true, SeqCst);
    bench.deploy(FunctionSpec { min_instances: 1, ..FunctionSpec::new("kept") }, kept.clone());
    bench.run(ms(3500)).await;
    kept.counts().fails_to_start.store(false, SeqCst);
    bench.run(ms(4000)).await;
    insta::assert_snapshot!(bench.told(), @r"
    300 no start of kept.1, 0 waiting: the script lets starts fail
    1400 no start of kept.1, 0 waiting: the script lets starts fail
    3500 no start of kept.1, 0 waiting: the script lets starts fail
    7600 started kept.1 in 100 ms
    ");
}

#[tokio::test]
async fn observers_hear_how_many_a_failed_start_has_failed() {
    let bench = Bench::new();
    let script = bench.script("hi");
    script.counts().fails_to_start.store(true, SeqCst);
    let spec = FunctionSpec { instance_concurrency: 2, ..FunctionSpec::new("hello") };
    bench.deploy(spec, script);
    let calls = [bench.send("hello").await, bench.send("hello").await];
    bench.run(ms(100)).await;
    for call in calls {
        error(call).await;
    }
    insta::assert_snapshot!(bench.told(), @r"
    100 no start of hello.1, 2 waiting: the script lets starts fail
    100 finished #1 not started: init_failed
    100 finished #2 not started: init_failed
    ");
}

#[tokio::test]
async fn more_than_the_target_share_of_places_taken_starts_another() {
    let bench = Bench::new();
    let script = bench.script("hi");
    let spec = FunctionSpec {
        instance_concurrency: 4,
        target_utilization_percent: Some(50),
        ..FunctionSpec::new("hello")
    };
    bench.deploy(spec, script.clone());
    let first = bench.send("hello").await;
    bench.run(ms(110)).await;
    reply(first).await;

    let mut calls = vec![bench.send("hello").await, bench.send("hello").await];
    assert_eq!(bench.standing("hello"), [0, 0, 1, 0, 0], "two of four places are half");
    calls.push(bench.send("hello").await);
    assert_eq!(bench.standing("hello"), [1, 0, 1, 0, 0], "three are more than half");
    bench.run(ms(10)).await;
    for call in calls {
        assert_eq!(reply(call).await.record.start, Some(Start::Warm), "and nobody waits for it");
    }
    bench.run(ms(90)).await;
    assert_eq!(bench.standing("hello"), [0, 2, 0, 0, 0]);
}
