//! Guests written in Rust, one behaviour each (`tests/guests/src/bin`), compiled by cargo and run in the sandbox.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use faas_core::{
    abi::manifest::Isolation,
    clock::VirtualClock,
    invocation::{End, ErrorKind, FunctionSpec, InvocationError, Origin, ReplyBody},
    sandbox::wasmer::Tier,
    transition::LogLevel,
};

use crate::{
    rust,
    support::{self, Function, Host, whole},
};

fn spec(name: &str) -> FunctionSpec {
    FunctionSpec { memory_mib: 64, timeout: Duration::from_secs(20), ..FunctionSpec::new(name) }
}

async fn start<'h>(host: &'h Host, spec: FunctionSpec) -> Function<'h> {
    let wasm = rust::guest(&spec.name);
    let module = host.runtime.load(&wasm, Tier::Fast).expect("a module of this ABI");
    let sandbox = module.sandbox(Arc::new(spec.clone()), vec![("GREETING".into(), "hello".into())]);
    let started = sandbox.start().await.expect("starts");
    host.function(spec, started.instance)
}

async fn fails(spec: FunctionSpec) -> (InvocationError, Host) {
    let host = Host::new();
    let guest = start(&host, spec).await;
    let error = guest.get().await.expect_err("this guest fails");
    (error, host)
}

#[tokio::test]
async fn a_panic_is_told_with_its_message_place_and_stack() {
    let (error, _) = fails(spec("panic")).await;
    assert_eq!(error.kind, ErrorKind::Panic);
    assert!(error.message.starts_with("the function panicked at "), "{}", error.message);
    assert!(error.message.contains("src/bin/panic.rs:"), "{}", error.message);
    assert!(error.backtrace.iter().any(|frame| frame.contains("panic::")), "{:?}", error.backtrace);
}

#[tokio::test]
async fn traps_loops_floods_and_exits_end_with_their_own_error() {
    for (name, kind) in [
        ("trap", ErrorKind::Trap),
        ("alloc", ErrorKind::OutOfMemory),
        ("recurse", ErrorKind::StackOverflow),
        ("no_reply", ErrorKind::NoReply),
        ("huge_reply", ErrorKind::ReplyTooLarge),
        ("exit", ErrorKind::Exited),
        ("blocking_sleep", ErrorKind::Panic),
    ] {
        let (error, _) = fails(spec(name)).await;
        assert_eq!(error.kind, kind, "{name}: {error}");
    }
    let (error, _) = fails(FunctionSpec { timeout: Duration::from_millis(50), ..spec("spin") }).await;
    assert_eq!(error.kind, ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_flood_of_output_is_bounded_and_the_reply_comes() {
    let host = Host::new();
    start(&host, spec("flood")).await.get().await.expect("replies");
    let lines = host.seen.lines.lock();
    assert!(lines.iter().map(|(_, text)| text.len()).sum::<usize>() < 300 << 10);
    assert_eq!(lines.last().map(|(level, _)| *level), Some(LogLevel::Host));
}

#[tokio::test]
async fn output_and_tracing_become_lines_of_the_log() {
    let host = Host::new();
    start(&host, spec("log")).await.get().await.expect("replies");
    let levels: Vec<_> = host.seen.lines.lock().iter().map(|(level, _)| *level).collect();
    for level in
        [LogLevel::Stdout, LogLevel::Stderr, LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug]
    {
        assert!(levels.contains(&level), "{level:?} in {levels:?}");
    }
}

#[tokio::test]
async fn an_error_that_the_function_returns_is_a_reply_marked_as_a_fault() {
    let host = Host::new();
    let (status, _) = start(&host, spec("fault")).await.get().await.expect("a reply all the same");
    assert!(status.is_server_error());
    assert!(matches!(host.seen.records.lock()[0].end, End::Replied { is_fault: true, .. }));
}

#[tokio::test]
async fn bodies_of_megabytes_pass_through_both_ways() {
    let host = Host::new();
    let echo = start(&host, spec("echo")).await;
    let body: Bytes = (0..3_000_000u32).map(|i| (i % 251) as u8).collect::<Vec<_>>().into();
    for _ in 0..2 {
        assert_eq!(echo.send(body.clone()).await.expect("replies").1, body);
    }
}

#[tokio::test]
async fn a_stream_arrives_while_the_function_still_runs() {
    let host = Host::new();
    let stream = start(&host, spec("stream")).await;
    let reply = stream.invoke(whole("")).await.expect("replies");
    let ReplyBody::Stream(mut pieces) = reply.response.into_body() else { panic!("it streams") };
    assert!(host.seen.records.lock().is_empty(), "not over yet");
    let mut count = 0;
    while pieces.recv().await.is_some() {
        count += 1;
    }
    assert!(count > 2, "chunks and an end: {count}");
    assert_eq!(host.seen.records.lock().len(), 1);
    assert_eq!(stream.leases_back(1).await, (1, 0));
}

#[tokio::test]
async fn self_waking_and_sleeping_guests_come_to_their_end() {
    let host = Host::new();
    for name in ["self_wake", "sleep"] {
        start(&host, spec(name)).await.get().await.expect("replies");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_instance_serves_several_calls_at_once() {
    let host = Host::new();
    let spec = FunctionSpec { instance_concurrency: 8, ..spec("sleep") };
    let sleep = start(&host, spec).await;
    let calls = [sleep.get(), sleep.get(), sleep.get(), sleep.get()].map(Box::pin);
    let [a, b, c, d] = calls;
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    for reply in [a, b, c, d] {
        reply.expect("each has its own reply");
    }
    assert_eq!(sleep.leases(), (4, 0));
}

#[tokio::test]
async fn cpu_time_is_that_of_the_guest() {
    let host = Host::new();
    let busy = start(&host, spec("busy")).await;
    // it computes for 20 ms of the wall's time each: where others have the processor meanwhile, for less
    let mut cpu = Duration::ZERO;
    for _ in 0..10 {
        busy.get().await.expect("replies");
        let usage = host.seen.records.lock().pop().expect("a record").usage;
        assert!(usage.handler_cpu > Duration::ZERO && usage.handler_cpu <= usage.handler_wall, "{usage:?}");
        cpu += usage.handler_cpu;
    }
    assert!(cpu > Duration::from_millis(1), "{cpu:?} in a fifth of a second");
}

#[tokio::test]
async fn an_init_hook_runs_once_and_hash_seeds_are_each_instances_own() {
    let host = Host::new();
    let wasm = rust::guest("init");
    let module = host.runtime.load(&wasm, Tier::Fast).expect("a module of this ABI");
    assert_eq!(module.functions()[0].isolation, Some(Isolation::Request));
    let sandbox = module.sandbox(Arc::new(spec("init")), Vec::new());
    let mut origins = Vec::new();
    let mut hashes = HashSet::new();
    for _ in 0..6 {
        let started = sandbox.start().await.expect("starts");
        origins.push(started.init.origin);
        let (_, body) = host.function(spec("init"), started.instance).get().await.expect("replies");
        let text = String::from_utf8_lossy(&body).into_owned();
        let hash = text.strip_prefix("961 1 ").expect("what init made, and the first invocation");
        assert!(hashes.insert(hash.to_owned()), "two instances share their hash seed: {hashes:?}");
    }
    assert_eq!(origins[..2], [Origin::Plain, Origin::Snapshot]);
    assert!(origins[2..].iter().all(|origin| *origin == Origin::Recycled), "{origins:?}");
    assert_eq!(*host.seen.lines.lock(), [(LogLevel::Stdout, "loading".into())], "init ran once");
}

#[tokio::test]
async fn an_init_that_fails_says_why() {
    let host = Host::new();
    let wasm = rust::guest("init_fails");
    let module = host.runtime.load(&wasm, Tier::Fast).expect("a module of this ABI");
    let error = module.sandbox(Arc::new(spec("init_fails")), Vec::new()).start().await.expect_err("fails");
    assert_eq!(error.kind, ErrorKind::InitFailed);
    assert_eq!(error.message, "the function's init failed: invalid digit found in string");
}

#[tokio::test]
async fn the_environment_is_what_the_host_gives_and_nothing_of_its_own() {
    let host = Host::new();
    let (_, body) = start(&host, spec("env")).await.get().await.expect("replies");
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("GREETING=hello") && text.contains("FAAS_FUNCTION=env"), "{text}");
    assert!(!text.contains("PATH="), "{text}");
}

#[tokio::test]
async fn between_invocations_a_guest_is_frozen() {
    let clock = VirtualClock::default();
    let host = Host::with_clock(Arc::new(clock.clone()));
    let guest = start(&host, spec("background")).await;
    let mut told = Vec::new();
    for _ in 0..4 {
        let (_, ticks) = guest.get().await.expect("replies");
        told.push(String::from_utf8(ticks.to_vec()).expect("text"));
        // what it has left behind sleeps a millisecond at a time, and has an hour
        clock.run(Duration::from_secs(3600)).await;
    }
    // each invocation polls it once: it has come one tick further then, and not three million
    assert_eq!(told, ["0", "0", "1", "2"]);
}

#[tokio::test]
async fn a_guest_is_told_the_time_of_the_wall_and_durations_without_sleep() {
    let wat = support::poll(
        "(drop (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 64)))
         (drop (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 72)))
         (if (i64.ne (i64.sub (i64.load (i32.const 64)) (i64.load (i32.const 72))) (i64.const 3600000000000))
            (then unreachable))
         (call $reply (local.get $call))",
    );
    let clock = VirtualClock::default();
    clock.suspend(Duration::from_secs(3600));
    let host = Host::with_clock(Arc::new(clock));
    let guest = host.start(&wat, support::spec()).await.expect("starts");
    guest.get().await.expect("an hour is between them");
}
