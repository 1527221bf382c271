//! Guests that misbehave before they have served anybody.

use std::time::Duration;

use faas_core::{
    invocation::{ErrorKind, FunctionSpec, Origin},
    transition::LogLevel,
};

use crate::support::{Host, init, module, spec};

fn impatient() -> FunctionSpec {
    FunctionSpec { init_timeout: Duration::from_millis(30), ..spec() }
}

#[tokio::test]
async fn whatever_goes_wrong_in_init_is_told_as_such() {
    let cases = [
        init("(call $proc_exit (i32.const 0)) (i32.const 0)"),
        init("(i32.store (i32.const -1) (i32.const 1)) (i32.const 0)"),
        init("(call $log (i32.const 3) (i32.const -1) (i32.const 1)) (i32.const 0)"),
        // a panic's own words, as std's hook sends them
        init("(call $log (i32.const 0) (i32.const 16) (i32.const 5)) (unreachable)"),
        init("(loop $l (br $l)) (i32.const 0)"),
        init("(loop $l (drop (call $random_get (i32.const 0) (i32.const 1000))) (br $l)) (i32.const 0)"),
        init("(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 1000)) (br $l)) (i32.const 0)"),
        // before init, even
        module(
            "(func $spin (loop $l (br $l))) (start $spin)
             (func $poll (param $call i32) (result i32) (call $reply (local.get $call)))",
        ),
    ];
    let host = Host::new();
    let mut messages = Vec::new();
    for wat in cases {
        let spec = if wat.contains("loop") { impatient() } else { spec() };
        let error = host.run(&wat, spec).await.expect_err("it fails");
        assert_eq!(error.kind, ErrorKind::InitFailed, "{wat}");
        messages.push(error.message);
    }
    insta::assert_snapshot!(messages.join("\n"), @r"
    the function's init failed: the function called exit(0): a function returns instead
    the function's init failed: the function trapped: out of bounds memory access
    the function's init failed: the function gave `log` a pointer outside its memory
    the function's init failed: the function hello
    the function's init took longer than the 30ms that it has
    the function's init took longer than the 30ms that it has
    the function's init took longer than the 30ms that it has
    the function's init took longer than the 30ms that it has
    ");
    assert!(host.seen.records.lock().is_empty(), "nobody was served, so nobody is billed");
}

#[tokio::test]
async fn a_start_function_that_asks_for_what_needs_memory_is_told_where_to_ask() {
    let host = Host::new();
    let mut messages = Vec::new();
    for call in [
        "(call $log (i32.const 3) (i32.const 16) (i32.const 5))",
        "(drop (call $fd_write (i32.const 1) (i32.const 64) (i32.const 0) (i32.const 80)))",
        "(drop (call $random_get (i32.const 64) (i32.const 8)))",
    ] {
        let wat = module(&format!(
            "(func $begin {call}) (start $begin)
             (func $poll (param $call i32) (result i32) (call $reply (local.get $call)))"
        ));
        let error = host.run(&wat, spec()).await.expect_err("too early");
        assert_eq!(error.kind, ErrorKind::InitFailed);
        messages.push(error.message);
    }
    insta::assert_snapshot!(messages.join("\n"), @r"
    the function's init failed: the function called `log` in its start function, when the host cannot reach its memory yet: do so in `faas_v1_init`
    the function's init failed: the function called `fd_write` in its start function, when the host cannot reach its memory yet: do so in `faas_v1_init`
    the function's init failed: the function called `random_get` in its start function, when the host cannot reach its memory yet: do so in `faas_v1_init`
    ");
}

#[tokio::test]
async fn there_is_no_call_yet_to_answer_or_ask_about() {
    let refused = |call: &str| format!("(if (i32.ne {call} (i32.const -3)) (then unreachable))");
    let code = [
        "(call $request_head (i32.const 0) (i32.const 0) (i32.const 100))",
        "(call $body_read (i32.const 0) (i32.const 0) (i32.const 100))",
        "(call $response_head (i32.const 0) (i32.const 0) (i32.const 7))",
        "(call $body_write (i32.const 0) (i32.const 0) (i32.const 7))",
        "(call $op_begin (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 8))",
        "(call $op_take (i32.const 1) (i32.const 0) (i32.const 8))",
    ];
    let code: String = code.into_iter().map(refused).collect();
    let wat =
        init(&format!("{code} (call $op_close (i32.const 1)) (call $wake (i32.const 0)) (i32.const 0)"));
    Host::new().run(&wat, spec()).await.expect("init is none the worse");
}

#[tokio::test]
async fn time_and_randomness_are_not_frozen_into_a_snapshot() {
    let cases = [
        ("(call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 64))", "its init reads the clock"),
        // more than std's hash maps draw at once, oftener than they do, and thrown away
        ("(call $random_get (i32.const 64) (i32.const 17))", "its init draws random numbers"),
        ("(call $random_get (i32.const 64) (i32.const 15))", "its init draws random numbers"),
        (
            "(loop $l (drop (call $random_get (i32.const 64) (i32.const 16)))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $l (i32.lt_u (local.get $i) (i32.const 9))))
             (memory.fill (i32.const 64) (i32.const 0) (i32.const 16)) (i32.const 0)",
            "its init draws random numbers",
        ),
    ];
    for (code, why) in cases {
        let host = Host::new();
        let sandbox = host.sandbox(&init(code), spec());
        for _ in 0..3 {
            assert_eq!(sandbox.start().await.expect("starts").init.origin, Origin::Plain, "{code}");
        }
        let lines = host.seen.lines.lock();
        let [(LogLevel::Host, line)] = &lines[..] else { panic!("{code}: told once: {lines:?}") };
        assert!(line.contains(why), "{line}");
    }
}

#[tokio::test]
async fn a_flood_of_output_from_init_is_bounded() {
    let wat = init(
        r"(i32.store (i32.const 72) (i32.const 1024)) (i32.store (i32.const 76) (i32.const 60000))
          (loop $l
            (drop (call $fd_write (i32.const 1) (i32.const 72) (i32.const 1) (i32.const 80)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const 1000))))
          (i32.const 0)",
    );
    let host = Host::new();
    host.run(&wat, spec()).await.expect("replies");
    assert!(host.seen.lines.lock().iter().map(|(_, text)| text.len()).sum::<usize>() < 300 << 10);
}
