//! Guests that break the rules: each ends with a clear error of its own, and nobody else notices.

mod envelopes;
mod init;
mod resources;
mod together;
mod workers;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use faas_core::{
    invocation::{End, ErrorKind, FunctionSpec, InvocationError},
    sandbox::wasmer::Tier,
    transition::LogLevel,
};

use crate::support::{Host, assert_failed, poll, spec, spec_with_timeout};

async fn run(code: &str, spec: FunctionSpec) -> (Result<(http::StatusCode, Bytes), InvocationError>, Host) {
    let host = Host::new();
    let result = host.run(&poll(code), spec).await;
    assert_eq!(host.seen.records.lock().len(), 1, "reported exactly once");
    (result, host)
}

#[tokio::test]
async fn an_endless_loop_is_stopped() {
    let (result, _) = run("(loop $l (br $l)) (i32.const 1)", spec_with_timeout(20)).await;
    assert_failed(
        result,
        ErrorKind::TimedOut,
        "the function ran longer than its timeout of 20ms: make it quicker, or raise #[function(timeout = …)]",
    );
}

#[tokio::test]
async fn an_endless_loop_of_host_calls_is_stopped() {
    for call in ["(call $wake (local.get $call))", "(call $log (i32.const 3) (i32.const 16) (i32.const 5))"] {
        let (result, _) =
            run(&format!("(loop $l {call} (br $l)) (i32.const 1)"), spec_with_timeout(20)).await;
        assert_eq!(result.expect_err("stopped").kind, ErrorKind::TimedOut);
    }
}

#[tokio::test]
async fn a_loop_that_does_nothing_but_use_memory_has_not_trapped_when_it_is_stopped() {
    // whatever instruction the interrupt meets: nearly every one of these could trap by itself
    let code = "(loop $l (i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (i32.const 1))) (br $l)) (i32.const 1)";
    let host = Host::new();
    for tier in [Tier::Fast, Tier::Optimised] {
        let wasm = wat::parse_str(poll(code)).expect("valid WAT");
        let module = host.runtime.load(&wasm, tier).expect("a module of this ABI");
        for _ in 0..10 {
            let spec = spec_with_timeout(5);
            let started = module.sandbox(Arc::new(spec.clone()), Vec::new()).start().await.expect("starts");
            let result = host.function(spec, started.instance).get().await;
            assert_eq!(result.expect_err("stopped").kind, ErrorKind::TimedOut, "{tier:?}");
        }
    }
}

#[tokio::test]
async fn endless_waking_of_itself_is_stopped() {
    let (result, _) = run("(call $wake (local.get $call)) (i32.const 0)", spec_with_timeout(20)).await;
    assert_eq!(result.expect_err("stopped").kind, ErrorKind::TimedOut);
}

#[tokio::test]
async fn too_much_cpu_is_told_from_too_much_time() {
    let spec = FunctionSpec { cpu_limit: Some(Duration::from_millis(10)), ..spec() };
    let (result, host) = run("(loop $l (br $l)) (i32.const 1)", spec).await;
    assert_failed(
        result,
        ErrorKind::CpuExceeded,
        "the function used more than the 10ms of CPU time that one invocation has",
    );
    assert!(host.seen.records.lock()[0].usage.handler_cpu >= Duration::from_millis(10));
}

#[tokio::test]
async fn wild_pointers_end_the_guest_that_has_them() {
    let calls = [
        "(drop (call $request_head (local.get $call) (i32.const -8) (i32.const 2000000000)))",
        "(drop (call $response_head (local.get $call) (i32.const 65535) (i32.const 2)))",
        "(drop (call $response_head (local.get $call) (i32.const 0) (i32.const 7)))
         (drop (call $body_write (local.get $call) (i32.const -1) (i32.const 100)))",
        "(drop (call $op_begin (local.get $call) (i32.const 1) (i32.const -1) (i32.const 8)))",
        "(call $log (i32.const 3) (i32.const 65536) (i32.const 1))",
        "(drop (call $fd_write (i32.const 1) (i32.const 65530) (i32.const 1) (i32.const 0)))",
        "(drop (call $random_get (i32.const 65530) (i32.const 100)))",
        "(i64.store (i32.const 65530) (i64.const 1))",
    ];
    let mut messages = Vec::new();
    for call in calls {
        let (result, _) = run(&format!("{call} (i32.const 1)"), spec()).await;
        let error = result.expect_err("a wild pointer");
        assert_eq!(error.kind, ErrorKind::Trap, "{call}: {error}");
        messages.push(error.message);
    }
    insta::assert_snapshot!(messages.join("\n"), @r"
    the function gave `request_head` a pointer outside its memory
    the function gave `response_head` a pointer outside its memory
    the function gave `body_write` a pointer outside its memory
    the function gave `op_begin` a pointer outside its memory
    the function gave `log` a pointer outside its memory
    the function gave `fd_write` a pointer outside its memory
    the function gave `random_get` a pointer outside its memory
    the function trapped: out of bounds memory access
    ");
}

#[tokio::test]
async fn a_reply_that_is_none_or_never_comes() {
    let cases = [
        ("(i32.const 1)", ErrorKind::NoReply),
        ("(i32.const 0)", ErrorKind::NoReply),
        (
            "(drop (call $response_head (local.get $call) (i32.const 0) (i32.const 6))) (i32.const 1)",
            ErrorKind::BadReply,
        ),
        (
            "(drop (call $response_head (local.get $call) (i32.const 16) (i32.const 5))) (i32.const 1)",
            ErrorKind::BadReply,
        ),
        ("(i32.const 2)", ErrorKind::BadReply),
        ("(drop (call $reply (local.get $call))) (i32.const -1)", ErrorKind::BadReply),
    ];
    let mut messages = Vec::new();
    for (code, kind) in cases {
        let (result, _) = run(code, spec()).await;
        let error = result.expect_err("no reply");
        assert_eq!(error.kind, kind, "{code}");
        messages.push(error.message);
    }
    insta::assert_snapshot!(messages.join("\n"), @r"
    the function ended without a reply
    the function waits for what cannot happen: no timer, body or operation of it is under way
    the function's reply head is malformed: it ends too early
    the function's reply head is malformed: its status is not valid HTTP
    `faas_v1_poll` answered 2: it is 0 when the call waits, and 1 when it has ended
    `faas_v1_poll` answered -1: it is 0 when the call waits, and 1 when it has ended
    ");
}

#[tokio::test]
async fn an_enormous_reply_is_refused_at_its_limit() {
    let write_for_ever = r"
        (drop (call $response_head (local.get $call) (i32.const 0) (i32.const 7)))
        (loop $l
            (if (i32.eq (call $body_write (local.get $call) (i32.const 0) (i32.const 60000)) (i32.const -1))
                (then (return (i32.const 0))))
            (br $l))
        (i32.const 1)";
    // within one poll, and in a stream
    for limit in [100_000, 1_000_000] {
        let spec = FunctionSpec { max_reply_bytes: limit, ..spec_with_timeout(2_000) };
        let (result, _) = run(write_for_ever, spec).await;
        let error = result.expect_err("too large");
        assert!(matches!(error.kind, ErrorKind::ReplyTooLarge | ErrorKind::TimedOut), "{error:?}");
    }
}

#[tokio::test]
async fn calls_in_any_order_get_an_answer() {
    let invalid = "(i32.const -3)";
    let checks = [
        // a body before the head, a second head
        ("(call $body_write (local.get $call) (i32.const 16) (i32.const 5))", invalid),
        (
            "(drop (call $response_head (local.get $call) (i32.const 0) (i32.const 7)))
          (call $response_head (local.get $call) (i32.const 0) (i32.const 7))",
            invalid,
        ),
        // calls, handles and kinds that are not there
        ("(call $request_head (i32.const 99) (i32.const 0) (i32.const 0))", invalid),
        ("(call $body_read (i32.const -1) (i32.const 0) (i32.const 10))", invalid),
        ("(call $body_read (local.get $call) (i32.const 0) (i32.const 0))", invalid),
        ("(call $op_take (i32.const 12345) (i32.const 0) (i32.const 0))", invalid),
        ("(call $op_close (i32.const 12345)) (i32.const -3)", invalid),
        ("(call $op_begin (local.get $call) (i32.const 77) (i32.const 0) (i32.const 0))", invalid),
        ("(call $op_begin (local.get $call) (i32.const 1) (i32.const 0) (i32.const 7))", invalid),
        ("(call $wake (i32.const 99)) (i32.const -3)", invalid),
        // the end of a body, again and again
        (
            "(drop (call $body_read (local.get $call) (i32.const 0) (i32.const 10)))
          (call $body_read (local.get $call) (i32.const 0) (i32.const 10))",
            "(i32.const 0)",
        ),
    ];
    for (code, wanted) in checks {
        let host = Host::new();
        let code = format!(
            "(if (i32.ne (block (result i32) {code}) {wanted}) (then unreachable))
             (return (call $reply (local.get $call)))"
        );
        host.run(&poll(&code), spec()).await.unwrap_or_else(|error| panic!("{code}: {error}"));
    }
}

#[tokio::test]
async fn operations_without_end_are_refused_at_a_bound() {
    let (result, _) = run(
        r"(i64.store (i32.const 72) (i64.const 1000000000000))
          (loop $l
            (local.set $i (call $op_begin (local.get $call) (i32.const 1) (i32.const 72) (i32.const 8)))
            (br_if $l (i32.gt_s (local.get $i) (i32.const 0))))
          (if (i32.ne (local.get $i) (i32.const -4)) (then unreachable))
          (return (call $reply (local.get $call)))",
        spec(),
    )
    .await;
    result.expect("refused, and served all the same");
}

#[tokio::test]
async fn output_in_floods_costs_the_guest_its_log() {
    let (result, host) = run(
        r"(i32.store (i32.const 72) (i32.const 1024)) (i32.store (i32.const 76) (i32.const 60000))
          (loop $l
            (drop (call $fd_write (i32.const 1) (i32.const 72) (i32.const 1) (i32.const 80)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const 1000))))
          (return (call $reply (local.get $call)))",
        spec(),
    )
    .await;
    result.expect("served");
    let lines = host.seen.lines.lock();
    let kept: usize = lines.iter().map(|(_, text)| text.len()).sum();
    assert!(kept < 300 << 10, "{kept}");
    assert_eq!(
        lines.last(),
        Some(&(
            LogLevel::Host,
            "59737856 bytes of output dropped: 256 KiB are kept of one invocation".into()
        ))
    );
}

#[tokio::test]
async fn an_exit_is_an_error() {
    let (result, _) = run("(call $proc_exit (i32.const 0)) (i32.const 1)", spec()).await;
    assert_failed(result, ErrorKind::Exited, "the function called exit(0): a function returns instead");
}

#[tokio::test]
async fn endless_recursion_is_a_stack_overflow() {
    let host = Host::new();
    let recurse = crate::support::module(
        "(func $poll (param i32) (result i32) (i32.add (call $poll (local.get 0)) (i32.const 1)))",
    );
    let error = host.run(&recurse, spec()).await.expect_err("overflows");
    assert_eq!(error.kind, ErrorKind::StackOverflow);
}

#[tokio::test]
async fn a_trap_costs_the_instance_and_nothing_else() {
    let host = Host::new();
    let trap = host.start(&poll("unreachable"), spec()).await.expect("starts");
    let hello = host.start(&poll("(return (call $reply (local.get $call)))"), spec()).await.expect("starts");
    assert_eq!(trap.get().await.expect_err("traps").kind, ErrorKind::Trap);
    assert_eq!(trap.leases(), (0, 1), "condemned");
    hello.get().await.expect("another function never noticed");
    let ends: Vec<_> = host.seen.records.lock().iter().map(|r| matches!(r.end, End::Failed(_))).collect();
    assert_eq!(ends, [true, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_spin_leave_others_alone() {
    let host = Host::new();
    let spinning = spec_with_timeout(300);
    let spin = poll("(loop $l (br $l)) (i32.const 1)");
    let mut spinners = Vec::new();
    for _ in 0..4 {
        spinners.push(host.start(&spin, spinning.clone()).await.expect("starts"));
    }
    let hello = host.start(&poll("(return (call $reply (local.get $call)))"), spec()).await.expect("starts");
    let spun = async {
        for result in
            [spinners[0].get(), spinners[1].get(), spinners[2].get(), spinners[3].get()].map(Box::pin)
        {
            assert_eq!(result.await.expect_err("stopped").kind, ErrorKind::TimedOut);
        }
    };
    let served = async {
        for _ in 0..200 {
            hello.get().await.expect("served while others spin");
        }
    };
    tokio::join!(spun, served);
}

/// Interrupts meet guests wherever they are: in their own code, on the way into an import, on the way out of one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_interrupts_leave_the_host_whole() {
    let loops = [
        "(loop $l (br $l)) (i32.const 1)",
        "(loop $l (call $wake (local.get $call)) (br $l)) (i32.const 1)",
        "(loop $l (drop (call $random_get (i32.const 1024) (i32.const 4096))) (br $l)) (i32.const 1)",
        "(loop $l (drop (memory.grow (i32.const 1))) (br $l)) (i32.const 1)",
        "(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br $l)) (i32.const 1)",
        "(call $wake (local.get $call)) (i32.const 0)",
    ];
    let host = Host::new();
    let sandboxes: Vec<_> = (0..24)
        .map(|i| (spec_with_timeout(i / 6), loops[i as usize % 6]))
        .map(|(spec, code)| (spec.clone(), host.sandbox(&poll(code), spec), code))
        .collect();
    let (host, sandboxes) = (&host, &sandboxes);
    let worker = |seed: usize| async move {
        for i in 0..40 {
            let (spec, sandbox, code) = &sandboxes[(5 * seed + i) % sandboxes.len()];
            let started = sandbox.start().await.expect("starts");
            let error = host.function(spec.clone(), started.instance).get().await.expect_err("stopped");
            assert_eq!(error.kind, ErrorKind::TimedOut, "{code}: {error}");
        }
    };
    tokio::join!(worker(0), worker(1), worker(2), worker(3), worker(4), worker(5), worker(6), worker(7));
    host.run(&poll("(return (call $reply (local.get $call)))"), spec()).await.expect("all is well");
}
