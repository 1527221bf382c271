//! What an invocation is found to have used: wall and CPU time, memory, bytes, and init apart from all that.
//!
//! That CPU time is the kernel's own is shown from inside, in `sandbox/wasmer/tests.rs`.

use std::{sync::Arc, time::Duration};

use faas_core::{
    clock::{Clock as _, VirtualClock},
    invocation::{End, ErrorKind, FunctionSpec, Origin, Usage},
    sandbox::wasmer::Starts,
};

use crate::support::{Host, init, module, poll, spec, spec_with_timeout, whole, with_pages};

/// Counts to `n`, some nanoseconds each, in `$i`.
fn work(n: u64) -> String {
    format!(
        "(local.set $i (i32.const {n}))
         (loop $w (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br_if $w (local.get $i)))"
    )
}

fn last_usage(host: &Host) -> Usage {
    host.seen.records.lock().last().expect("a record").usage
}

#[tokio::test]
async fn waiting_is_wall_time_and_not_cpu_time() {
    // sleeps for a second, then computes, then sleeps for another; its state is at 64
    let nap = "(i64.store (i32.const 72) (i64.const 1000000000))
        (i32.store (i32.const 80) (call $op_begin (local.get $call) (i32.const 1) (i32.const 72) (i32.const 8)))";
    let wat = poll(&format!(
        "(if (i32.eqz (i32.load (i32.const 64))) (then (i32.store (i32.const 64) (i32.const 1)) {nap}))
         (if (i32.eq (call $op_take (i32.load (i32.const 80)) (i32.const 0) (i32.const 0)) (i32.const -1))
            (then (return (i32.const 0))))
         (if (i32.eq (i32.load (i32.const 64)) (i32.const 1))
            (then (i32.store (i32.const 64) (i32.const 2)) {work} {nap}
                (drop (call $op_take (i32.load (i32.const 80)) (i32.const 0) (i32.const 0)))
                (return (i32.const 0))))
         (return (call $reply (local.get $call)))",
        work = work(10_000_000)
    ));
    let clock = VirtualClock::default();
    let host = Host::with_clock(Arc::new(clock.clone()));
    let guest = host.start(&wat, spec()).await.expect("starts");
    let mut call = Box::pin(guest.get());
    // time stands still while the guest computes, on whatever thread, and moves when it waits
    let replied = loop {
        tokio::select! {
            biased;
            replied = &mut call => break replied,
            () = tokio::task::yield_now() => {}
        }
        if let Some(at) = clock.next_wake()
            && at < clock.now() + Duration::from_secs(5)
        {
            clock.advance(at.since(clock.now()));
        }
    };
    replied.expect("replies");
    let usage = last_usage(&host);
    assert_eq!(usage.handler_wall, Duration::from_secs(2), "to the nanosecond");
    assert!(usage.handler_cpu > Duration::from_millis(1), "{usage:?}");
    assert!(usage.handler_cpu < Duration::from_secs(2), "{usage:?}");
}

#[tokio::test]
async fn what_is_computed_for_a_client_that_left_is_counted_to_its_end() {
    let wat = poll(&format!(
        "(call $log (i32.const 3) (i32.const 64) (i32.const 1)) {} (return (call $reply (local.get $call)))",
        work(300_000_000)
    ));
    let host = Host::new();
    host.run(&wat, spec()).await.expect("replies");
    let whole = last_usage(&host);
    let lines = host.seen.lines.lock().len();
    let guest = host.start(&wat, spec()).await.expect("starts");
    tokio::select! {
        biased;
        () = async {
            while host.seen.lines.lock().len() == lines {
                tokio::task::yield_now().await;
            }
        } => {}
        replied = guest.get() => panic!("nobody left: {replied:?}"),
    }
    assert_eq!(guest.leases_back(1).await, (1, 0), "the guest lives");
    while host.seen.records.lock().len() < 2 {
        tokio::task::yield_now().await;
    }
    let left = host.seen.records.lock()[1].clone();
    assert_eq!(left.end, End::Cancelled);
    // The client leaves at the very start. The same work takes some machines twice as long from one moment to the next, so
    // this asks only whether what came after was counted.
    assert!(left.usage.handler_cpu > whole.handler_cpu / 16, "{:?} of {whole:?}", left.usage);
    assert!(left.usage.handler_wall >= left.usage.handler_cpu, "{:?}", left.usage);
}

#[tokio::test]
async fn init_is_counted_apart_and_only_where_it_ran() {
    let wat = init(&format!("{} (i32.const 0)", work(30_000_000)));
    let host = Host::new();
    let sandbox = host.sandbox(&wat, spec());
    let mut init_cpu = Vec::new();
    for origin in [Origin::Plain, Origin::Snapshot, Origin::Recycled] {
        let started = sandbox.start().await.expect("starts");
        assert_eq!(started.init.origin, origin);
        init_cpu.push(started.init.cpu);
        if origin == Origin::Plain {
            assert!(started.init.wall >= started.init.cpu, "{:?}", started.init);
        }
        host.function(spec(), started.instance).get().await.expect("replies");
        let usage = last_usage(&host);
        // the handler does a millionth of the work that init does
        assert!(usage.handler_cpu < init_cpu[0] / 2, "{usage:?}, init {init_cpu:?}");
    }
    assert!(init_cpu[0] > Duration::from_millis(3), "{init_cpu:?}");
    assert_eq!(init_cpu[1..], [Duration::ZERO; 2]);
}

#[tokio::test]
async fn twice_the_work_is_more_cpu_time() {
    let host = Host::new();
    let cpu = async |n| {
        let guest = host.start(&poll(&format!("{} (call $reply (local.get $call))", work(n))), spec()).await;
        guest.expect("starts").get().await.expect("replies");
        last_usage(&host).handler_cpu.as_secs_f64()
    };
    // The quickest of some: whatever else the machine does only ever adds. On a virtual one it adds much, because what its
    // host takes away counts as used; how exact the clock is, the tests of `cpu` say.
    let (mut once, mut twice) = (f64::MAX, f64::MAX);
    for _ in 0..8 {
        once = once.min(cpu(30_000_000).await);
        twice = twice.min(cpu(60_000_000).await);
    }
    let ratio = twice / once;
    assert!((1.3..6.0).contains(&ratio), "{once} s and {twice} s");
}

#[tokio::test]
async fn who_is_stopped_or_traps_has_used_what_it_used() {
    // reads ten bytes, writes five, grows by three pages, and says so
    let uses = "(drop (call $body_read (local.get $call) (i32.const 1024) (i32.const 10)))
        (drop (call $response_head (local.get $call) (i32.const 0) (i32.const 7)))
        (drop (call $body_write (local.get $call) (i32.const 16) (i32.const 5)))
        (drop (memory.grow (i32.const 3)))
        (call $log (i32.const 3) (i32.const 16) (i32.const 5))";
    for (then, kind) in [
        ("(unreachable)", ErrorKind::Trap),
        ("(loop $l (br $l)) (i32.const 1)", ErrorKind::TimedOut),
        ("(call $proc_exit (i32.const 1)) (i32.const 1)", ErrorKind::Exited),
    ] {
        let clock = VirtualClock::default();
        let host =
            if kind == ErrorKind::TimedOut { Host::with_clock(Arc::new(clock.clone())) } else { Host::new() };
        let wat = poll(&format!("{uses} {then}"));
        let guest = host.start(&wat, spec_with_timeout(20_000)).await.expect("starts");
        let mut call = Box::pin(guest.invoke(whole("fifteen bytes..")));
        if kind == ErrorKind::TimedOut {
            // Its time is up when it has used all that, and time stands still until it has been stopped: by the real clock a
            // machine that is busy answers its client before, and knows less.
            while host.seen.lines.lock().is_empty() {
                tokio::select! {
                    biased;
                    ended = &mut call => panic!("it goes on for ever: {:?}", ended.map(|reply| reply.record)),
                    () = tokio::task::yield_now() => {}
                }
            }
            clock.advance(Duration::from_secs(20));
        }
        let failure = call.await.expect_err("fails");
        assert_eq!(failure.error().kind, kind);
        let usage = failure.record().usage;
        assert_eq!((usage.bytes_in, usage.bytes_out, usage.memory_peak_bytes), (10, 5, 4 << 16), "{kind:?}");
        assert!(usage.handler_cpu > Duration::ZERO);
        if kind == ErrorKind::TimedOut {
            assert_eq!(usage.handler_wall, Duration::from_secs(20), "{usage:?}");
        } else {
            assert!(usage.handler_wall >= usage.handler_cpu, "{usage:?}");
        }
    }
}

#[tokio::test]
async fn memory_is_exact_to_the_page_however_an_instance_was_started() {
    // 3 pages to begin with, 2 more by init; a call that finds 5 asks for all that is left, and for one page more.
    // Whatever it gets must be zeros, and is then written over from end to end.
    let wat = with_pages(
        &module(
            r#"(func (export "faas_v1_init") (result i32) (drop (memory.grow (i32.const 2))) (i32.const 0))
               (func $poll (param $call i32) (result i32) (local $at i32)
                  (if (i32.ne (memory.size) (i32.const 5)) (then unreachable))
                  (if (i32.ne (memory.grow (i32.const 252)) (i32.const -1)) (then unreachable))
                  (if (i32.ne (memory.grow (i32.const 251)) (i32.const 5)) (then unreachable))
                  (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
                  (if (i32.ne (memory.grow (i32.const 0)) (i32.const 256)) (then unreachable))
                  (local.set $at (i32.const 0x50000))
                  (loop $next
                      (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))
                      (local.set $at (i32.add (local.get $at) (i32.const 8)))
                      (br_if $next (i32.lt_u (local.get $at) (i32.const 0x1000000))))
                  (memory.fill (i32.const 0x50000) (i32.const 0xff) (i32.const 0xfb0000))
                  (call $reply (local.get $call)))"#,
        ),
        3,
    );
    for starts in [Starts::Plain, Starts::Snapshot, Starts::Recycled] {
        let host = Host::with_starts(starts);
        let sandbox = host.sandbox(&wat, spec());
        for n in 0..5 {
            let started = sandbox.start().await.expect("starts");
            let origin = started.init.origin;
            let guest = host.function(spec(), started.instance);
            guest.get().await.unwrap_or_else(|error| panic!("{starts:?}, start {n}, {origin:?}: {error}"));
            let usage = last_usage(&host);
            assert_eq!(usage.memory_peak_bytes, 16 << 20);
            // a second call finds 256 pages, and ends the guest: it never shrinks while it lives
            if n == 4 {
                assert_eq!(guest.get().await.expect_err("grown already").kind, ErrorKind::Trap);
            }
        }
    }
}

#[tokio::test]
async fn a_smaller_maximum_of_the_modules_own_counts() {
    let wat = poll(
        "(if (i32.ne (memory.grow (i32.const 5)) (i32.const -1)) (then unreachable))
         (if (i32.ne (memory.grow (i32.const 4)) (i32.const 1)) (then unreachable))
         (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
         (return (call $reply (local.get $call)))",
    );
    let wat = wat.replace(r#"(memory (export "memory") 1)"#, r#"(memory (export "memory") 1 5)"#);
    let host = Host::new();
    let sandbox = host.sandbox(&wat, spec());
    for _ in 0..3 {
        let started = sandbox.start().await.expect("starts");
        host.function(spec(), started.instance).get().await.expect("replies");
        assert_eq!(last_usage(&host).memory_peak_bytes, 5 << 16);
    }
    // and one that is all there is
    let tight = FunctionSpec { memory_mib: 1, ..spec() };
    let all = with_pages(
        &poll("(drop (i32.load (i32.const 0xffffc))) (return (call $reply (local.get $call)))"),
        16,
    );
    host.run(&all, tight.clone()).await.expect("all of a MiB");
    assert_eq!(last_usage(&host).memory_peak_bytes, 1 << 20);
    let over = with_pages(&poll("(i32.const 1)"), 17);
    assert_eq!(host.run(&over, tight).await.expect_err("a page too much").kind, ErrorKind::InitFailed);
}
