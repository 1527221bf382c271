//! What one instance has written, no other can read: not in memory, nor in globals, nor in what the host keeps.

use std::sync::Arc;

use faas_core::{
    abi::manifest::Isolation,
    invocation::{FunctionSpec, Origin},
    sandbox::{Sandbox, wasmer::Starts},
};

use crate::support::{Function, Host, module, spec, whole, with_pages};

/// A guest that looks for the secret in all of its memory and its globals and then, so that those after it have
/// something to find, puts it wherever a guest can. Replies `clean` or `found`. Memory begins with 32 pages.
///
/// The secret is made of two halves when it is needed, so that the code that looks for it holds none.
const SPY: &str = r#"
    (global $g0 (mut i64) (i64.const 0)) (global $g1 (mut f64) (f64.const 0)) (global $g2 (mut v128) (v128.const i64x2 0 0))
    (data (i32.const 32) "clean") (data (i32.const 40) "found")
    (func $secret (result i64)
        (i64.xor (i64.const 0x5ec2e75ec2e75ec2) (i64.const 0x0123456789abcdef)))
    (func $search (result i32) (local $at i32) (local $end i32)
        (local.set $end (i32.mul (memory.size) (i32.const 65536)))
        (loop $next
            (if (i64.eq (i64.load (local.get $at)) (call $secret)) (then (return (i32.const 1))))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
        (i32.or
            (i64.eq (global.get $g0) (call $secret))
            (i32.or
                (i64.eq (i64.reinterpret_f64 (global.get $g1)) (call $secret))
                (i64.eq (i64x2.extract_lane 1 (global.get $g2)) (call $secret)))))
    (func $spread (param $from i32) (param $to i32) (param $step i32)
        (loop $next
            (i64.store (local.get $from) (call $secret))
            (local.set $from (i32.add (local.get $from) (local.get $step)))
            (br_if $next (i32.lt_u (local.get $from) (local.get $to)))))
    (func $poll (param $call i32) (result i32) (local $found i32) (local $old i32)
        (local.set $found (call $search))
        ;; what growing brings must be as clean
        (local.set $old (i32.mul (memory.grow (i32.const 20)) (i32.const 65536)))
        (local.set $found (i32.or (local.get $found) (call $search)))
        (drop (call $response_head (local.get $call) (i32.const 0) (i32.const 7)))
        (drop (call $body_write (local.get $call)
            (select (i32.const 40) (i32.const 32) (local.get $found)) (i32.const 5)))
        SPREAD
        (global.set $g0 (call $secret))
        (global.set $g1 (f64.reinterpret_i64 (call $secret)))
        (global.set $g2 (i64x2.splat (call $secret)))
        (i32.const 1))"#;

/// Where hostile writers write. `$old` is where the grown part begins.
const SPREADS: [(&str, &str); 7] = [
    ("the first page", "(call $spread (i32.const 64) (i32.const 4096) (i32.const 8))"),
    (
        "the last page",
        "(call $spread (i32.sub (local.get $old) (i32.const 4096)) (local.get $old) (i32.const 8))",
    ),
    (
        "the last eight bytes of all",
        "(i64.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 8)) (call $secret))",
    ),
    ("every page", "(call $spread (i32.const 64) (local.get $old) (i32.const 4096))"),
    (
        "every other page, which is more places than are copied back",
        "(call $spread (i32.const 64) (local.get $old) (i32.const 8192))",
    ),
    ("more than a MiB", "(call $spread (i32.const 64) (i32.const 0x180000) (i32.const 8))"),
    (
        "the grown part",
        "(call $spread (local.get $old) (i32.mul (memory.size) (i32.const 65536)) (i32.const 4096))",
    ),
];

async fn start<'h>(host: &'h Host, sandbox: &Arc<dyn Sandbox>) -> (Function<'h>, Origin) {
    let started = sandbox.start().await.expect("starts");
    (host.function(spec(), started.instance), started.init.origin)
}

async fn text(function: &Function<'_>) -> String {
    String::from_utf8_lossy(&function.get().await.expect("replies").1).into_owned()
}

fn spy(spread: &str) -> String {
    with_pages(&module(&SPY.replace("SPREAD", spread)), 32)
}

#[tokio::test]
async fn no_instance_finds_what_another_has_written_anywhere() {
    for (place, spread) in SPREADS {
        let host = Host::new();
        let sandbox = host.sandbox(&spy(spread), spec());
        let mut origins = Vec::new();
        for _ in 0..6 {
            let (guest, origin) = start(&host, &sandbox).await;
            assert_eq!(text(&guest).await, "clean", "{place}, {origin:?}");
            origins.push(origin);
        }
        assert_eq!(origins[..2], [Origin::Plain, Origin::Snapshot]);
        assert_eq!(origins[2..], [Origin::Recycled; 4]);
    }
}

#[tokio::test]
async fn the_spy_can_tell() {
    let host = Host::new();
    let (place, spread) = SPREADS[1];
    let (guest, _) = start(&host, &host.sandbox(&spy(spread), spec())).await;
    assert_eq!(text(&guest).await, "clean");
    assert_eq!(
        text(&guest).await,
        "found",
        "the same instance remembers {place}: else this file shows nothing"
    );
}

#[tokio::test]
async fn a_slot_that_goes_from_one_function_to_another_is_clean() {
    // one after the other in the same few slots, with and without images
    for starts in [Starts::Plain, Starts::Snapshot, Starts::Recycled] {
        let host = Host::with_starts(starts);
        let (every, grown) = (spy(SPREADS[3].1), spy(SPREADS[6].1));
        for n in 0..6 {
            // a sandbox of its own is a function of its own
            let sandbox = host.sandbox(if n % 2 == 0 { &every } else { &grown }, spec());
            for _ in 0..3 {
                let (guest, origin) = start(&host, &sandbox).await;
                assert_eq!(text(&guest).await, "clean", "{starts:?} {n} {origin:?}");
            }
        }
    }
}

#[tokio::test]
async fn who_trapped_or_was_stopped_leaves_nothing_either() {
    let host = Host::new();
    let wat = spy(&format!("{} (unreachable)", SPREADS[3].1));
    let sandbox = host.sandbox(&wat, spec());
    for _ in 0..3 {
        assert!(start(&host, &sandbox).await.0.get().await.is_err());
    }
    // in the slots that those have used
    let clean = host.sandbox(&spy(SPREADS[0].1), spec());
    for _ in 0..3 {
        assert_eq!(text(&start(&host, &clean).await.0).await, "clean");
    }
}

#[tokio::test]
async fn what_the_host_keeps_of_a_call_is_gone_with_it() {
    // asks for its request's head and body into fresh memory, and leaves half of it unread, a half line unwritten to
    // the log, a panic's message unsaid, and operations open. The next instance looks at all it can get.
    let wat = module(
        r#"(func $poll (param $call i32) (result i32)
            ;; handles and calls of the one before
            (if (i32.ne (call $op_take (i32.const 1) (i32.const 1024) (i32.const 100)) (i32.const -3)) (then unreachable))
            (if (i32.ne (call $body_read (i32.const 1) (i32.const 1024) (i32.const 100)) (i32.const -3)) (then unreachable))
            (drop (call $body_read (local.get $call) (i32.const 1024) (i32.const 6)))
            (if (i32.ne (call $op_begin (local.get $call) (i32.const 1) (i32.const 16) (i32.const 8)) (i32.const 1))
                (then unreachable))
            (i32.store (i32.const 72) (i32.const 1024)) (i32.store (i32.const 76) (i32.const 6))
            (drop (call $fd_write (i32.const 1) (i32.const 72) (i32.const 1) (i32.const 80)))
            (call $log (i32.const 0) (i32.const 1024) (i32.const 6))
            (call $reply (local.get $call)))"#,
    );
    let host = Host::new();
    let sandbox = host.sandbox(&wat, spec());
    for n in 0..4 {
        let (guest, _) = start(&host, &sandbox).await;
        guest.invoke(whole(format!("body {n} and what nobody reads"))).await.expect("replies");
    }
    let lines: Vec<String> = host.seen.lines.lock().iter().map(|(_, text)| text.clone()).collect();
    assert_eq!(lines, ["body 0", "body 1", "body 2", "body 3"], "each line whole, and its own");
    // a trap without words is not explained by the panic of another
    let (guest, _) =
        start(&host, &host.sandbox(&module("(func $poll (param i32) (result i32) unreachable)"), spec()))
            .await;
    assert!(!guest.get().await.expect_err("traps").message.contains("body"));
}

#[tokio::test]
async fn calls_that_share_an_instance_share_its_statics_and_nothing_of_the_hosts() {
    // call 0 waits for a byte that never comes, call 1 reads what it can of call 0 by number: that is one guest's own
    // business. Once both are over, the numbers are free, and lead nowhere.
    let host = Host::new();
    let spec = FunctionSpec { instance_concurrency: 4, isolation: Isolation::Instance, ..spec() };
    let wat = module(
        r#"(func $poll (param $call i32) (result i32) (local $other i32)
            (local.set $other (i32.add (local.get $call) (i32.const 1)))
            (loop $l
                (if (i32.ne (call $request_head (local.get $other) (i32.const 1024) (i32.const 1000)) (i32.const -3))
                    (then unreachable))
                (local.set $other (i32.add (local.get $other) (i32.const 1)))
                (br_if $l (i32.lt_u (local.get $other) (i32.const 16))))
            (i32.store8 (i32.const 16) (i32.add (i32.load8_u (i32.const 16)) (i32.const 1)))
            (call $reply (local.get $call)))"#,
    );
    let guest = host.start(&wat, spec).await.expect("starts");
    for expected in ["iello", "jello", "kello"] {
        assert_eq!(guest.get().await.expect("replies").1, expected, "its own static counts on");
    }
}
