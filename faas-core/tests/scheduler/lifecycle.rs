//! Cold, warm, expired; generations; cancellation at every await; the end.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use faas_core::{
    abi::manifest::Isolation,
    clock::{Time, VirtualClock},
    invocation::{End, ErrorKind, FunctionSpec, Start},
    sandbox::scripted::Scripted,
};

use crate::bench_top::{Bench, empty, error, ms, reply, text};

#[tokio::test]
async fn the_first_start_is_cold_the_next_is_warm_and_keep_alive_ends() {
    let bench = Bench::new();
    let script = bench.script("hi");
    bench.deploy(FunctionSpec::new("hello"), script.clone());

    let first = bench.send("hello").await;
    bench.run(ms(110)).await;
    let first = reply(first).await;
    assert_eq!((text(&first), first.record.start), ("hi", Some(Start::Cold)));
    assert_eq!((first.record.usage.init_wall, first.record.usage.init_cpu), (ms(100), ms(50)));
    assert_eq!(first.record.queue, ms(0), "a start is not a queue");

    let second = bench.send("hello").await;
    bench.run(ms(10)).await;
    let second = reply(second).await;
    assert_eq!((second.record.start, second.record.usage.init_wall), (Some(Start::Warm), ms(0)));

    bench.run(Duration::from_secs(60)).await;
    insta::assert_snapshot!(bench.told(), @r#"
    100 started hello.1 in 100 ms
    110 finished #1 cold: 200
    120 finished #2 warm: 200
    60120 stopped hello.1: Expired, idle since 120
    "#);
    assert_eq!(script.counts().alive.load(SeqCst), 0);
    assert_eq!(bench.clock.next_wake(), None, "nothing is left to wait for");
}

#[tokio::test]
async fn keep_alive_counts_from_the_last_use() {
    let bench = Bench::new();
    let script = bench.script("hi");
    bench.deploy(FunctionSpec::new("hello"), script.clone());
    for _ in 0..5 {
        let call = bench.send("hello").await;
        bench.run(Duration::from_secs(59)).await;
        reply(call).await;
    }
    assert_eq!(script.counts().starts.load(SeqCst), 1);
    bench.run(Duration::from_secs(60)).await;
    assert_eq!(script.counts().alive.load(SeqCst), 0);
}

#[tokio::test]
async fn force_cold_starts_a_fresh_instance_even_at_the_limit() {
    let bench = Bench::new();
    let script = bench.script("hi");
    let spec = FunctionSpec { max_instances: Some(1), ..FunctionSpec::new("hello") };
    bench.deploy(spec, script.clone());
    let warm_up = bench.send("hello").await;
    bench.run(ms(110)).await;
    reply(warm_up).await;
    bench.told();

    let mut invocation = bench.invocation("hello", empty());
    invocation.force_cold = true;
    let forced = bench.spawn(invocation).await;
    bench.run(ms(110)).await;
    assert_eq!(reply(forced).await.record.start, Some(Start::Cold));
    insta::assert_snapshot!(bench.told(), @r#"
    110 stopped hello.1: Evicted, idle since 110
    210 started hello.1 in 100 ms
    220 finished #2 cold: 200
    "#);
    assert_eq!(bench.standing("hello"), [0, 1, 0, 0, 0]);
}

#[tokio::test]
async fn a_deploy_under_load_loses_nothing() {
    let bench = Bench::new();
    let (old, new) = (bench.script("old"), bench.script("new"));
    let spec = FunctionSpec { max_instances: Some(2), ..FunctionSpec::new("hello") };
    bench.deploy(spec.clone(), old.clone());
    let warm_up = bench.send("hello").await;
    bench.run(ms(110)).await;
    reply(warm_up).await;

    let running = bench.send("hello").await; // in the old generation's warm instance
    let starting = bench.send("hello").await; // waits for a start that the deploy makes useless
    let queued = bench.send("hello").await;
    bench.deploy(FunctionSpec { generation: 2, ..spec }, new.clone());
    let after = bench.send("hello").await;
    bench.run(ms(1000)).await;

    assert_eq!(text(&reply(running).await), "old");
    for call in [starting, queued, after] {
        let reply = reply(call).await;
        assert_eq!((text(&reply), reply.record.spec.as_ref().expect("it ran").generation), ("new", 2));
    }
    assert_eq!(old.counts().alive.load(SeqCst), 0, "the old generation is gone");
}

#[tokio::test]
async fn a_retired_function_ends_what_runs_and_refuses_what_waits() {
    let bench = Bench::new();
    let script = bench.script("hi");
    let spec = FunctionSpec { max_instances: Some(1), ..FunctionSpec::new("hello") };
    bench.deploy(spec, script.clone());
    let running = bench.send("hello").await;
    bench.run(ms(105)).await;
    let waiting = bench.send("hello").await;
    assert!(bench.scheduler.retire("hello"));
    assert!(!bench.scheduler.retire("hello"), "once is enough");
    bench.run(ms(10)).await;
    reply(running).await;
    assert_eq!(error(waiting).await.kind, ErrorKind::NotFound);
    assert_eq!(error(bench.send("hello").await).await.kind, ErrorKind::NotFound);
    assert_eq!((script.counts().alive.load(SeqCst), bench.scheduler.snapshot().instances), (0, 0));
}

#[tokio::test]
async fn cancelling_at_any_await_leaks_nothing() {
    // how far the call gets: its own start, the queue, the running call
    for (point, busy, at) in [("starting", 0, 50), ("queued", 1, 0), ("running", 0, 105)] {
        let bench = Bench::new();
        let script = bench.script("hi");
        let spec = FunctionSpec { max_instances: Some(1), ..FunctionSpec::new("hello") };
        bench.deploy(spec, script.clone());
        let mut others = Vec::new();
        for _ in 0..busy {
            others.push(bench.send("hello").await);
        }
        let call = bench.send("hello").await;
        bench.run(ms(at)).await;
        call.abort();
        VirtualClock::settle().await;
        let ends: Vec<End> = bench.ledger.records.lock().iter().map(|r| r.end.clone()).collect();
        assert_eq!(ends, [End::Cancelled], "{point}: reported once, at once");

        bench.run(ms(1000)).await;
        for other in others {
            reply(other).await;
        }
        // and the capacity is there for the next one
        let next = bench.send("hello").await;
        bench.run(ms(110)).await;
        reply(next).await;
        let [starting, _, busy, pending, queued] = bench.standing("hello");
        assert_eq!([starting, busy, pending, queued], [0; 4], "{point}");
        bench.run(Duration::from_secs(60)).await;
        assert_eq!(script.counts().alive.load(SeqCst), 0, "{point}");
    }
}

#[tokio::test]
async fn a_call_that_is_never_polled_takes_nothing() {
    let bench = Bench::new();
    let script = bench.script("hi");
    bench.deploy(FunctionSpec::new("hello"), script.clone());
    let mut scheduler = bench.scheduler.clone();
    drop(tower::Service::call(&mut scheduler, bench.invocation("hello", empty())));
    VirtualClock::settle().await;
    assert_eq!(script.counts().starts.load(SeqCst), 0);
    assert_eq!(bench.ledger.records.lock()[0].end, End::Cancelled);
}

#[tokio::test]
async fn a_trap_costs_its_instance_and_no_other() {
    let bench = Bench::new();
    let script = bench.script("hi");
    bench.deploy(FunctionSpec::new("hello"), script.clone());
    let (one, two) = (bench.send("hello").await, bench.send("hello").await);
    bench.run(ms(110)).await;
    reply(one).await;
    reply(two).await;

    script.counts().traps.store(true, SeqCst);
    let trapped = bench.send("hello").await;
    bench.run(ms(10)).await;
    assert_eq!(error(trapped).await.kind, ErrorKind::Trap);
    assert_eq!(bench.standing("hello"), [0, 1, 0, 0, 0]);
    assert_eq!(script.counts().alive.load(SeqCst), 1);
}

#[tokio::test]
async fn with_request_isolation_an_instance_serves_one_invocation() {
    let bench = Bench::new();
    // starts take 100 ms, or none at all
    for (takes, waits) in [(ms(100), 110), (ms(0), 10)] {
        let script = Scripted::new(bench.shared_clock(), takes, ms(10), "hi");
        let spec = FunctionSpec { isolation: Isolation::Request, ..FunctionSpec::new("hello") };
        bench.deploy(spec, script.clone());
        for n in 1..=3 {
            let call = bench.send("hello").await;
            bench.run(ms(waits)).await;
            let record = reply(call).await.record;
            assert_eq!((record.start, record.usage.init_wall), (Some(Start::Cold), takes));
            assert_eq!(script.counts().starts.load(SeqCst), n);
            assert_eq!(bench.standing("hello"), [0; 5], "nothing stays");
        }
        assert_eq!(script.counts().alive.load(SeqCst), 0);
    }
    let told = bench.told();
    assert_eq!(told.matches("stopped hello.1: Used, busy").count(), 6, "{told}");
}

#[tokio::test]
async fn a_start_that_takes_no_time_is_made_by_the_request_that_asks() {
    let bench = Bench::new();
    let script = Scripted::new(bench.shared_clock(), ms(0), ms(10), "hi");
    bench.deploy(FunctionSpec { max_instances: Some(2), ..FunctionSpec::new("hello") }, script.clone());
    let calls = [bench.send("hello").await, bench.send("hello").await, bench.send("hello").await];
    assert_eq!(bench.standing("hello"), [0, 0, 2, 0, 1], "the third waits for one of two");
    bench.run(ms(20)).await;
    for call in calls {
        reply(call).await;
    }
    assert_eq!(script.counts().starts.load(SeqCst), 2);
}

#[tokio::test]
async fn a_failed_start_fails_who_waited_for_it_and_the_next_one_tries_again() {
    let bench = Bench::new();
    let script = bench.script("hi");
    bench.deploy(FunctionSpec::new("hello"), script.clone());
    script.counts().fails_to_start.store(true, SeqCst);
    let call = bench.send("hello").await;
    bench.run(ms(100)).await;
    assert_eq!(error(call).await.message, "the script lets starts fail");
    assert_eq!(bench.standing("hello"), [0; 5]);

    script.counts().fails_to_start.store(false, SeqCst);
    let call = bench.send("hello").await;
    bench.run(ms(110)).await;
    assert_eq!(reply(call).await.record.start, Some(Start::Cold));
}

#[tokio::test]
async fn shutdown_drains_and_then_stops_everything() {
    let bench = Bench::new();
    let script = bench.script("hi");
    let spec = FunctionSpec { max_instances: Some(2), ..FunctionSpec::new("hello") };
    bench.deploy(spec, script.clone());
    let first = [bench.send("hello").await, bench.send("hello").await];
    bench.run(ms(105)).await;
    let queued = bench.send("hello").await;
    let scheduler = bench.scheduler.clone();
    let shutdown = tokio::spawn(async move { scheduler.shutdown().await });
    VirtualClock::settle().await;

    assert_eq!(error(bench.send("hello").await).await.kind, ErrorKind::ShuttingDown);
    assert!(!shutdown.is_finished(), "some still run");
    bench.run(ms(20)).await;
    for call in first {
        reply(call).await;
    }
    reply(queued).await; // it had been let in
    assert!(shutdown.is_finished());
    assert_eq!(script.counts().alive.load(SeqCst), 0);
    assert_eq!(bench.scheduler.snapshot().instances, 0);
}

#[tokio::test]
async fn dropping_the_scheduler_ends_its_timers_and_instances() {
    let bench = Bench::new();
    let script = bench.script("hi");
    bench.deploy(FunctionSpec::new("hello"), script.clone());
    let call = bench.send("hello").await;
    bench.run(ms(110)).await;
    reply(call).await;
    let clock = bench.clock.clone();
    assert_eq!(clock.next_wake(), Some(Time::EPOCH + ms(60_110)));
    drop(bench);
    VirtualClock::settle().await;
    assert_eq!((script.counts().alive.load(SeqCst), clock.next_wake()), (0, None));
}
