//! What functions share and what is kept for one: concurrency of the account, reserved concurrency, start rates, memory.

use std::time::Duration;

use faas_core::{
    invocation::{ErrorKind, FunctionSpec, Start},
    pool::{Limits, StartRate},
};

use crate::bench_top::{Bench, error, ms, reply};

#[tokio::test]
async fn what_may_run_at_once_is_shared_and_the_rest_waits_its_turn() {
    let bench = Bench::with(Limits { max_running: Some(2), max_queued: 1, ..Limits::LAPTOP });
    for name in ["a", "b"] {
        bench.deploy(FunctionSpec::new(name), bench.script(name));
    }
    let (a, b) = (bench.send("a").await, bench.send("b").await);
    let waits = bench.send("a").await;
    let refused = error(bench.send("a").await).await;
    assert_eq!(refused.kind, ErrorKind::Throttled);
    insta::assert_snapshot!(refused.message, @"function `a` is throttled: all 2 that may run at once on the host (`max_running`) do and its queue is full, 1 waiting (`max_queued`); send fewer at once, or raise the host's `max_running`");
    assert_eq!(bench.standing("a"), [1, 0, 0, 1, 1]);
    bench.run(ms(110)).await;
    reply(a).await;
    reply(b).await;
    bench.run(ms(10)).await;
    let waited = reply(waits).await.record;
    assert_eq!((waited.start, waited.queue), (Some(Start::Warm), ms(110)));
}

#[tokio::test]
async fn reserved_concurrency_is_kept_free_and_is_all_there_is() {
    let bench = Bench::with(Limits { max_running: Some(3), max_queued: 0, ..Limits::LAPTOP });
    let spec = FunctionSpec { reserved_concurrency: Some(2), ..FunctionSpec::new("mine") };
    bench.deploy(spec, bench.script("mine"));
    bench.deploy(FunctionSpec::new("other"), bench.script("other"));

    let other = bench.send("other").await;
    let refused = error(bench.send("other").await).await;
    insta::assert_snapshot!(refused.message, @"function `other` is throttled: all that may run at once on the host (`max_running` is 3, of which 2 are reserved for other functions) do and none may wait (`max_queued` is 0); send fewer at once, or raise the host's `max_running`");
    let mine = [bench.send("mine").await, bench.send("mine").await];
    let refused = error(bench.send("mine").await).await;
    insta::assert_snapshot!(refused.message, @"function `mine` is throttled: the 2 it may run at once (`reserved_concurrency`) do and none may wait (`max_queued` is 0); send fewer at once, or raise the function's `reserved_concurrency`");
    bench.run(ms(110)).await;
    for call in mine.into_iter().chain([other]) {
        assert_eq!(reply(call).await.record.start, Some(Start::Cold));
    }
}

#[tokio::test]
async fn a_function_starts_no_faster_than_its_rate() {
    let rate = StartRate { burst: 2, per: Duration::from_secs(1) };
    let bench = Bench::with(Limits { start_rate: Some(rate), max_queued: 10, ..Limits::LAPTOP });
    let script = faas_core::sandbox::scripted::Scripted::new(bench.shared_clock(), ms(100), ms(5000), "hi");
    bench.deploy(FunctionSpec::new("hello"), script);
    let mut calls = Vec::new();
    for _ in 0..4 {
        calls.push(bench.send("hello").await);
    }
    let mut starting = Vec::new();
    for _ in 0..4 {
        let [starts, _, busy, ..] = bench.standing("hello");
        starting.push(starts + busy);
        bench.run(ms(400)).await;
    }
    assert_eq!(starting, [2, 2, 3, 4], "two at once, then one each half second: at 500 and at 1000 ms");
    bench.run(ms(5000)).await;
    let mut queued = Vec::new();
    for call in calls {
        queued.push(reply(call).await.record.queue);
    }
    assert_eq!(queued, [ms(0), ms(0), ms(500), ms(1000)]);
}

#[tokio::test]
async fn memory_is_a_budget_and_the_large_is_waited_for() {
    let bench = Bench::with(Limits { memory_mib: Some(512), max_queued: 2, ..Limits::LAPTOP });
    for (name, memory_mib) in [("small", 128), ("large", 384), ("giant", 1024)] {
        bench.deploy(FunctionSpec { memory_mib, ..FunctionSpec::new(name) }, bench.script(name));
    }
    let small = [bench.send("small").await, bench.send("small").await];
    let large = bench.send("large").await;
    assert_eq!(bench.standing("large"), [0, 0, 0, 0, 1], "256 MiB are left");
    let giant = error(bench.send("giant").await).await;
    insta::assert_snapshot!(giant.message, @"function `giant` is throttled: an instance of it needs 1024 MiB and the host has 512 (`memory_mib`), so that it cannot run; raise the host's or lower the function's");
    bench.run(ms(110)).await;
    for call in small {
        reply(call).await;
    }
    bench.run(ms(110)).await;
    let record = reply(large).await.record;
    assert_eq!((record.start, record.queue), (Some(Start::Cold), ms(110)));
    assert_eq!(bench.standing("small"), [0, 1, 0, 0, 0], "one of the two has made room");
}
