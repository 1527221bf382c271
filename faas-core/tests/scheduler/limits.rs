//! How much runs, how much waits, and who makes room for whom.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use faas_core::{
    invocation::{ErrorKind, FunctionSpec, Start},
    pool::Limits,
};

use crate::bench_top::{Bench, error, ms, reply};

#[tokio::test]
async fn what_does_not_fit_waits_and_what_may_not_wait_is_throttled() {
    let bench = Bench::new();
    let script = bench.script("hi");
    let spec = FunctionSpec { max_instances: Some(1), ..FunctionSpec::new("hello") };
    bench.deploy(spec, script.clone());
    let mut calls = Vec::new();
    for _ in 0..4 {
        calls.push(bench.send("hello").await);
    }
    let throttled = error(calls.pop().expect("four")).await;
    assert_eq!(throttled.kind, ErrorKind::Throttled);
    insta::assert_snapshot!(throttled.message, @"function `hello` is throttled: its one instance (`max_instances`) is taken and its queue is full, 2 waiting (`max_queued`); send fewer at once, or raise the function's `max_instances` or concurrency");
    bench.run(ms(130)).await;
    let mut queued = Vec::new();
    for call in calls {
        let record = reply(call).await.record;
        queued.push((record.start.expect("it ran"), record.queue));
    }
    assert_eq!(queued, [(Start::Cold, ms(0)), (Start::Warm, ms(110)), (Start::Warm, ms(120))], "in order");
    insta::assert_snapshot!(bench.told(), @r#"
    0 queued hello as number 1
    0 queued hello as number 2
    0 finished #4 not started: throttled
    100 started hello.1 in 100 ms
    110 finished #1 cold: 200
    120 finished #2 warm: 200
    130 finished #3 warm: 200
    "#);
}

#[tokio::test]
async fn who_waits_too_long_is_throttled() {
    let bench = Bench::with(Limits { max_instances: 10, max_queued: 2, max_wait: ms(50), ..Limits::LAPTOP });
    let spec = FunctionSpec { max_instances: Some(1), ..FunctionSpec::new("hello") };
    bench.deploy(spec, bench.script("hi"));
    let first = bench.send("hello").await;
    let second = bench.send("hello").await;
    bench.run(ms(50)).await;
    insta::assert_snapshot!(error(second).await.message, @"function `hello` is throttled: its one instance (`max_instances`) is taken and none became free in 50 ms (`max_wait`); send fewer at once, or raise the function's `max_instances` or concurrency");
    bench.run(ms(60)).await;
    assert_eq!(reply(first).await.record.start, Some(Start::Cold), "a start may take longer than the queue");
}

#[tokio::test]
async fn the_host_evicts_the_least_recently_used_for_another_function() {
    let bench = Bench::with(Limits { max_instances: 2, max_queued: 2, max_wait: ms(1000), ..Limits::LAPTOP });
    for name in ["a", "b", "c"] {
        bench.deploy(FunctionSpec::new(name), bench.script(name));
    }
    for name in ["a", "b", "a", "c"] {
        let call = bench.send(name).await;
        bench.run(ms(110)).await;
        reply(call).await;
    }
    insta::assert_snapshot!(bench.told(), @r#"
    100 started a.1 in 100 ms
    110 finished #1 cold: 200
    210 started b.1 in 100 ms
    220 finished #2 cold: 200
    230 finished #3 warm: 200
    330 stopped b.1: Evicted, idle since 220
    430 started c.1 in 100 ms
    440 finished #4 cold: 200
    "#);
}

#[tokio::test]
async fn a_function_without_room_gets_the_next_idle_instance_of_another() {
    let bench = Bench::with(Limits { max_instances: 1, max_queued: 2, max_wait: ms(1000), ..Limits::LAPTOP });
    for name in ["a", "b"] {
        bench.deploy(FunctionSpec::new(name), bench.script(name));
    }
    let a = bench.send("a").await;
    let b = bench.send("b").await;
    bench.run(ms(220)).await;
    reply(a).await;
    let b = reply(b).await.record;
    assert_eq!((b.start, b.queue, b.usage.init_wall), (Some(Start::Cold), ms(110), ms(100)));
}

#[tokio::test]
async fn an_instance_serves_as_many_at_once_as_its_function_says() {
    let bench = Bench::new();
    let script = bench.script("hi");
    let spec = FunctionSpec { instance_concurrency: 3, max_instances: Some(2), ..FunctionSpec::new("hello") };
    bench.deploy(spec, script.clone());
    let mut calls = Vec::new();
    for _ in 0..5 {
        calls.push(bench.send("hello").await);
    }
    assert_eq!(bench.standing("hello"), [2, 0, 0, 5, 0], "two starts are enough for five");
    bench.run(ms(110)).await;
    let mut inits = Duration::ZERO;
    for call in calls {
        let record = reply(call).await.record;
        assert_eq!(record.start, Some(Start::Cold));
        inits += record.usage.init_wall;
    }
    assert_eq!(inits, ms(200), "each start is billed once");
    assert_eq!(script.counts().most_at_once.load(SeqCst), 3);
}

#[tokio::test]
async fn a_waiting_invocation_takes_the_instance_that_is_free_first() {
    let bench = Bench::new();
    let script = bench.script("hi");
    bench.deploy(FunctionSpec::new("hello"), script.clone());
    let first = bench.send("hello").await;
    bench.run(ms(105)).await;
    let second = bench.send("hello").await; // starts an instance, but the first one is free earlier
    bench.run(ms(15)).await;
    reply(first).await;
    assert_eq!(reply(second).await.record.start, Some(Start::Warm));
    bench.run(ms(100)).await;
    assert_eq!(bench.standing("hello"), [0, 2, 0, 0, 0], "the new one joins the pool");
}
