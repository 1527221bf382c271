//! What instances begin as: the first runs its init, those after it are copies of what that left, and none sees
//! what another has done.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use faas_core::{
    clock::{Clock as _, VirtualClock},
    invocation::{FunctionSpec, Origin},
    sandbox::{
        Sandbox,
        wasmer::{Config, Runtime, Tier},
    },
    transition::{LogLevel, Observer, Transition},
};

use crate::support::{Function, Host, init, module, spec};

async fn start<'h>(
    host: &'h Host,
    sandbox: &Arc<dyn Sandbox>,
    spec: &FunctionSpec,
) -> (Function<'h>, Origin) {
    let started = sandbox.start().await.expect("starts");
    (host.function(spec.clone(), started.instance), started.init.origin)
}

async fn text(function: &Function<'_>) -> Bytes {
    function.get().await.expect("replies").1
}

/// Init prints, adds one to a global and to memory. Each invocation replies with both and adds again, writes to a
/// page far away, and grows its memory.
const COUNTS: &str = r#"
    (global $n (mut i32) (i32.const 48))
    (func $add
        (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (i32.store8 (i32.const 17) (i32.add (i32.load8_u (i32.const 17)) (i32.const 1))))
    (func (export "faas_v1_init") (result i32)
        (call $log (i32.const 3) (i32.const 16) (i32.const 5))
        (call $add)
        (i32.const 0))
    (func $poll (param $call i32) (result i32)
        (i32.store8 (i32.const 16) (global.get $n))
        (i32.store8 (i32.const 18) (i32.add (i32.const 48) (memory.size)))
        (i32.store8 (i32.const 19) (i32.add (i32.const 48) (i32.load (i32.const 60000))))
        (i32.store (i32.const 60000) (i32.const 1))
        (drop (memory.grow (i32.const 1)))
        (call $add)
        (call $reply (local.get $call)))"#;

#[tokio::test]
async fn init_runs_once_and_every_instance_begins_where_it_ended() {
    let host = Host::new();
    let sandbox = host.sandbox(&module(COUNTS), spec());
    let (first, origin) = start(&host, &sandbox, &spec()).await;
    assert_eq!(origin, Origin::Plain);
    // the `e` of hello has been counted up by init, and by the call itself before it replied
    assert_eq!((text(&first).await, text(&first).await), ("1g10o".into(), "2h21o".into()));
    let (second, origin) = start(&host, &sandbox, &spec()).await;
    assert_eq!(origin, Origin::Snapshot);
    let (third, _) = start(&host, &sandbox, &spec()).await;
    for _ in 0..2 {
        assert_eq!(text(&second).await.len(), 5);
    }
    assert_eq!(text(&third).await, "1g10o", "it sees nothing of the others");
    drop((first, second, third));
    for _ in 0..5 {
        let (again, origin) = start(&host, &sandbox, &spec()).await;
        assert_eq!((text(&again).await, origin), ("1g10o".into(), Origin::Recycled));
    }
    let lines = host.seen.lines.lock();
    assert_eq!(*lines, [(LogLevel::Info, "hello".into())], "init ran once");
}

#[tokio::test]
async fn what_cannot_be_copied_is_started_plainly_and_says_why() {
    let start_function = module(
        "(global $n (mut i32) (i32.const 48)) (func $s (global.set $n (i32.const 49))) (start $s)
         (func $poll (param $call i32) (result i32)
            (i32.store8 (i32.const 16) (global.get $n)) (call $reply (local.get $call)))",
    );
    let table = module(
        "(table $t 1 funcref) (func $poll (param $call i32) (result i32)
            (table.set $t (i32.const 0) (ref.null func)) (call $reply (local.get $call)))",
    );
    let random = module(
        r#"(func (export "faas_v1_init") (result i32) (call $random_get (i32.const 32) (i32.const 16)))
           (func $poll (param $call i32) (result i32) (call $reply (local.get $call)))"#,
    );
    // what looks like std's hash keys, as far as memory reaches
    let seeds = module(
        r#"(func (export "faas_v1_init") (result i32) (local $at i32)
             (drop (call $random_get (i32.const 64) (i32.const 16)))
             (i64.store (i32.const 64) (i64.add (i64.load (i32.const 64)) (i64.const 1)))
             (local.set $at (i32.const 80))
             (loop $next
               (v128.store (local.get $at) (v128.load (i32.const 64)))
               (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (i32.const 65536))))
             (i32.const 0))
           (func $poll (param $call i32) (result i32) (call $reply (local.get $call)))"#,
    );
    let cases = [
        (start_function, "its module has a start function"),
        (table, "its module changes a table while it runs"),
        (random, "its init draws random numbers, and every copy would have the same ones"),
        (
            seeds,
            "its init leaves the seed of its hash maps in more than 16 places, and every copy would have to renew them all",
        ),
    ];
    for (wat, why) in cases {
        let host = Host::new();
        let sandbox = host.sandbox(&wat, spec());
        for _ in 0..3 {
            let (function, origin) = start(&host, &sandbox, &spec()).await;
            assert_eq!((text(&function).await.len(), origin), (5, Origin::Plain));
        }
        let told =
            format!("every cold start runs the function's init, as no snapshot of it can be used: {why}");
        assert_eq!(*host.seen.lines.lock(), [(LogLevel::Host, told)], "told once");
    }
}

#[tokio::test]
async fn what_the_host_does_for_a_snapshot_is_no_part_of_init() {
    /// A host that takes an hour to find that no snapshot can be used.
    struct Slow(VirtualClock);
    impl Observer for Slow {
        fn observe(&self, _: &Transition<'_>) {
            self.0.advance(Duration::from_secs(3600));
        }
    }
    let clock = VirtualClock::default();
    let (seen, config) = (Arc::new(Slow(clock.clone())), Config::default());
    let runtime = Runtime::new(config, Arc::new(clock.clone()), seen).expect("a runtime");
    let wat = init("(drop (call $random_get (i32.const 32) (i32.const 16))) (i32.const 0)");
    let wasm = wat::parse_str(wat).expect("valid WAT");
    let sandbox = runtime.load(&wasm, Tier::Fast).expect("a module").sandbox(Arc::new(spec()), vec![]);
    let started = sandbox.start().await.expect("starts");
    assert_eq!(clock.now().unix_millis(), 3_600_000, "said once, why");
    assert_eq!(started.init.wall, Duration::ZERO);
}

#[tokio::test]
async fn a_guest_that_failed_is_not_used_again() {
    let trap = module("(func $poll (param $call i32) (result i32) (unreachable))");
    let host = Host::new();
    let sandbox = host.sandbox(&trap, spec());
    for expected in [Origin::Plain, Origin::Snapshot, Origin::Snapshot] {
        let (function, origin) = start(&host, &sandbox, &spec()).await;
        assert_eq!(origin, expected);
        assert!(function.get().await.is_err());
    }
}

#[tokio::test]
async fn limits_hold_for_copies_as_for_the_first() {
    // init takes 10 of 16 MiB, and a call asks for 7 more, then for 6
    let wat = module(
        r#"(func (export "faas_v1_init") (result i32) (drop (memory.grow (i32.const 159))) (i32.const 0))
           (func $poll (param $call i32) (result i32)
              (i32.store8 (i32.const 16) (i32.add (i32.const 49) (memory.grow (i32.const 112))))
              (i32.store8 (i32.const 17) (i32.add (i32.const 49) (i32.ne (i32.const -1) (memory.grow (i32.const 96)))))
              (i32.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)) (i32.const 1))
              (call $reply (local.get $call)))"#,
    );
    let host = Host::new();
    let sandbox = host.sandbox(&wat, spec());
    for expected in [Origin::Plain, Origin::Snapshot, Origin::Recycled] {
        let (function, origin) = start(&host, &sandbox, &spec()).await;
        assert_eq!((text(&function).await, origin), ("02llo".into(), expected));
        let peak = host.seen.records.lock().last().expect("one").usage.memory_peak_bytes;
        assert_eq!(peak, 16 << 20);
    }
}

#[tokio::test]
async fn randomness_is_each_instances_own() {
    let wat = module(
        "(func $poll (param $call i32) (result i32)
            (drop (call $random_get (i32.const 16) (i32.const 5))) (call $reply (local.get $call)))",
    );
    let host = Host::new();
    let sandbox = host.sandbox(&wat, spec());
    let mut seen = std::collections::HashSet::new();
    for _ in 0..6 {
        let (function, _) = start(&host, &sandbox, &spec()).await;
        assert!(seen.insert(text(&function).await) && seen.insert(text(&function).await), "{seen:?}");
    }
}

#[tokio::test]
async fn every_way_of_starting_is_the_same_in_both_tiers() {
    let wasm = wat::parse_str(module(COUNTS)).expect("valid WAT");
    let host = Host::new();
    for tier in [Tier::Fast, Tier::Optimised] {
        let sandbox = host.runtime.load(&wasm, tier).expect("a module").sandbox(Arc::new(spec()), vec![]);
        let mut origins = Vec::new();
        for _ in 0..4 {
            let (function, origin) = start(&host, &sandbox, &spec()).await;
            assert_eq!(text(&function).await, "1g10o");
            origins.push(origin);
        }
        // whoever was started plainly is not used again
        assert_eq!(origins, [Origin::Plain, Origin::Snapshot, Origin::Recycled, Origin::Recycled]);
    }
}

#[tokio::test]
async fn the_farthest_access_ends_in_the_guests_own_slot() {
    // as far as an index and a constant offset reach, with the memories of others on both sides
    let host = Host::new();
    let neighbour = host.sandbox(&module(COUNTS), spec());
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(start(&host, &neighbour, &spec()).await.0);
    }
    for access in [
        "(i64.store offset=0xffffffff (i32.const -1) (i64.const -1))",
        "(i64.store offset=0xffffffff (i32.const 0) (i64.const -1))",
        "(i64.store (i32.const -1) (i64.const -1))",
        "(i64.store (i32.const 0x10000) (i64.const -1))",
        "(v128.store offset=0xffffffff (i32.const -1) (v128.const i64x2 -1 -1))",
    ] {
        let wat = module(&format!("(func $poll (param $call i32) (result i32) {access} (i32.const 1))"));
        for tier in [Tier::Fast, Tier::Optimised] {
            let wasm = wat::parse_str(&wat).expect("valid WAT");
            let module = host.runtime.load(&wasm, tier).expect("a module");
            let sandbox = module.sandbox(Arc::new(spec()), vec![]);
            for _ in 0..2 {
                let (guest, _) = start(&host, &sandbox, &spec()).await;
                let error = guest.get().await.expect_err("it traps");
                assert_eq!(error.kind, faas_core::invocation::ErrorKind::Trap, "{access}: {error}");
            }
        }
    }
    for other in others {
        assert_eq!(text(&other).await, "1g10o", "untouched");
    }
}
