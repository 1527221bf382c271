//! Calls of one instance that are hostile to each other (`concurrency` above 1). They share a memory, so there is no
//! border between them; but each gets an end of its own, and nobody outside notices.

use std::sync::Arc;

use bytes::Bytes;
use faas_core::{
    clock::{Time, VirtualClock},
    invocation::{End, ErrorKind, FunctionSpec, InvocationError},
};

use crate::support::{Host, poll, spec, spec_with_timeout};

type Replied = Result<(http::StatusCode, Bytes), InvocationError>;

/// Two calls of one instance at once: call 0 runs `first`, call 1 `second`. Which is polled first is open: they are on threads.
/// Both know the place 64 as zero at first.
async fn both(first: &str, second: &str, spec: FunctionSpec) -> (Replied, Replied, Host) {
    let host = Host::new();
    let spec = FunctionSpec { instance_concurrency: 2, ..spec };
    let wat = poll(&format!("(if (result i32) (i32.eqz (local.get $call)) (then {first}) (else {second}))"));
    let guest = host.start(&wat, spec).await.expect("starts");
    let (first, second) = tokio::join!(guest.get(), guest.get());
    drop(guest);
    assert_eq!(host.seen.records.lock().len(), 2, "each reported exactly once");
    (first, second, host)
}

/// Call 1 goes on once call 0 has put something at 64.
const AFTER_CALL_0: &str = "
    (if (i32.eqz (i32.load (i32.const 64)))
        (then (call $wake (i32.const 1)) (return (i32.const 0))))";

/// Sleeps for an hour, its handle at 64.
const SLEEP_LONG: &str = "
    (if (i32.eqz (i32.load (i32.const 64)))
        (then
            (i64.store (i32.const 72) (i64.const 3600000000000))
            (i32.store (i32.const 64)
                (call $op_begin (local.get $call) (i32.const 1) (i32.const 72) (i32.const 8)))))
    (local.set $i (call $op_take (i32.load (i32.const 64)) (i32.const 0) (i32.const 0)))
    (if (result i32) (i32.eq (local.get $i) (i32.const -1)) (then (i32.const 0)) (else (call $reply (local.get $call))))";

#[tokio::test]
async fn an_operation_that_another_call_closes_is_over_for_its_owner() {
    // the owner has a poll left: it asks for it when it finds its handle gone
    let close = format!(
        "{AFTER_CALL_0}
        (drop (call $op_take (i32.load (i32.const 64)) (i32.const 80) (i32.const 8)))
        (call $op_close (i32.load (i32.const 64)))
        (call $op_close (i32.load (i32.const 64)))
        (call $wake (i32.const 0))
        (call $reply (local.get $call))"
    );
    let (first, second, _) = both(SLEEP_LONG, &close, spec()).await;
    assert_eq!(&second.expect("replies").1[..], b"hello");
    assert_eq!(&first.expect("its handle is invalid, which it takes for the end").1[..], b"hello");
}

#[tokio::test]
async fn what_is_written_to_a_call_after_its_end_goes_nowhere() {
    let reply = "(i32.store (i32.const 64) (i32.const 1)) (call $reply (local.get $call))";
    let write_after = format!(
        "{AFTER_CALL_0}
        (if (i32.ne (call $body_write (i32.const 0) (i32.const 16) (i32.const 5)) (i32.const -3))
            (then unreachable))
        (if (i32.ne (call $response_head (i32.const 0) (i32.const 0) (i32.const 7)) (i32.const -3))
            (then unreachable))
        (call $reply (local.get $call))"
    );
    let (first, second, _) = both(reply, &write_after, spec()).await;
    assert_eq!(&first.expect("replies").1[..], b"hello", "not a byte more");
    assert_eq!(&second.expect("replies").1[..], b"hello");
}

#[tokio::test]
async fn calls_that_wake_each_other_for_ever_are_stopped() {
    let storm = |other: u32| {
        format!(
            "(loop $l (call $wake (i32.const {other}))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $l (i32.lt_u (local.get $i) (i32.const 100))))
             (i32.const 0)"
        )
    };
    let (first, second, host) = both(&storm(1), &storm(0), spec_with_timeout(50)).await;
    for result in [first, second] {
        let kind = result.expect_err("stopped").kind;
        assert!(
            matches!(kind, ErrorKind::TimedOut | ErrorKind::InstanceLost | ErrorKind::NoReply),
            "{kind:?}"
        );
    }
    host.run(&poll("(return (call $reply (local.get $call)))"), spec()).await.expect("all is well");
}

#[tokio::test]
async fn who_is_taken_down_by_another_call_is_told_so_and_its_use_is_kept() {
    // call 0 reads its request and sleeps for an hour, which nobody waits for; call 1 traps
    let waits = "
        (if (i32.eqz (i32.load (i32.const 64)))
            (then (drop (call $body_read (local.get $call) (i32.const 1024) (i32.const 100)))))
        (i64.store (i32.const 72) (i64.const 3600000000000))
        (i32.store (i32.const 64)
            (call $op_begin (local.get $call) (i32.const 1) (i32.const 72) (i32.const 8)))
        (drop (call $op_take (i32.load (i32.const 64)) (i32.const 0) (i32.const 0)))
        (i32.const 0)";
    let clock = VirtualClock::default();
    let host = Host::with_clock(Arc::new(clock.clone()));
    let spec = FunctionSpec { instance_concurrency: 2, ..spec() };
    let deadline = Time::EPOCH + spec.timeout;
    let wat =
        poll(&format!("(if (result i32) (i32.eqz (local.get $call)) (then {waits}) (else (unreachable)))"));
    let guest = host.start(&wat, spec).await.expect("starts");
    let mut first = Box::pin(guest.send("seven b"));
    // until it waits: then there is a timer of its deadline
    while clock.next_wake().is_none_or(|at| at > deadline) {
        tokio::select! {
            biased;
            ended = &mut first => panic!("it sleeps for an hour: {ended:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(guest.get().await.expect_err("traps").kind, ErrorKind::Trap);
    assert_eq!(first.await.expect_err("goes down with it").kind, ErrorKind::InstanceLost);
    let records = host.seen.records.lock();
    let lost = records
        .iter()
        .find(|r| matches!(&r.end, End::Failed(error) if error.kind == ErrorKind::InstanceLost))
        .expect("one was lost");
    assert_eq!(
        (lost.usage.bytes_in, lost.usage.memory_peak_bytes),
        (7, 65536),
        "what it used is still known"
    );
}
