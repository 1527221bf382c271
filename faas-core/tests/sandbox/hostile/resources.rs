//! Guests that want more of their host than is theirs: its memory, its log, its time.

use std::{fmt::Write as _, time::Duration};

use faas_core::{
    invocation::{ErrorKind, FunctionSpec},
    sandbox::wasmer::Tier,
    transition::LogLevel,
};

use super::run;
use crate::support::{Host, module, poll, spec, spec_with_timeout, with_pages};

#[tokio::test]
async fn bulk_memory_in_a_loop_is_stopped() {
    for code in [
        "(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br $l)) (i32.const 1)",
        "(loop $l (memory.copy (i32.const 0) (i32.const 1) (i32.const 65535)) (br $l)) (i32.const 1)",
        "(loop $l (drop (memory.grow (i32.const 0))) (br $l)) (i32.const 1)",
    ] {
        let (result, _) = run(code, spec_with_timeout(20)).await;
        assert_eq!(result.expect_err("stopped").kind, ErrorKind::TimedOut, "{code}");
    }
}

#[tokio::test]
async fn who_does_nothing_but_copy_is_stopped_amid_a_copy_and_its_client_does_not_wait() {
    const ALL: u32 = 64 << 20;
    for code in [
        format!("(memory.fill (i32.const 0) (i32.const 1) (i32.const {ALL}))"),
        format!("(memory.copy (i32.const 0) (i32.const 1) (i32.const {}))", ALL - 1),
        format!("(memory.copy (i32.const 1) (i32.const 0) (i32.const {}))", ALL - 1),
    ] {
        let wat = with_pages(&poll(&format!("(loop $l {code} (br $l)) (i32.const 1)")), ALL >> 16);
        let host = Host::new();
        let spec = FunctionSpec { memory_mib: 64, ..spec_with_timeout(20) };
        let guest = host.start(&wat, spec).await.expect("starts");
        assert_eq!(guest.get().await.expect_err("overdue").kind, ErrorKind::TimedOut, "{code}");
        let usage = host.seen.records.lock()[0].usage;
        assert_eq!(usage.memory_peak_bytes, u64::from(ALL), "{code}");
        // one copy takes milliseconds, the code between two of them nanoseconds: it was not waited for
        assert_eq!(guest.leases_back(1).await, (0, 1), "{code}");
    }
}

#[tokio::test]
async fn a_start_function_that_does_nothing_but_fill_is_stopped_as_soon() {
    // the code between two fills is met by a signal once in minutes
    let wat = with_pages(
        &module(
            "(func $fill
                (loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x10000000)) (br $l)))
             (start $fill)
             (func $poll (param $call i32) (result i32) (call $reply (local.get $call)))",
        ),
        0x1000,
    );
    let spec = FunctionSpec { memory_mib: 256, init_timeout: Duration::from_millis(20), ..spec() };
    let error = Host::new().run(&wat, spec).await.expect_err("it never ends");
    assert_eq!(error.message, "the function's init took longer than the 20ms that it has");
}

#[tokio::test]
async fn recursion_through_the_host_overflows_the_guests_stack_and_not_the_hosts() {
    for call in ["(call $wake (local.get 0))", "(call $log (i32.const 3) (i32.const 16) (i32.const 5))"] {
        let wat = module(&format!(
            "(func $poll (param i32) (result i32) {call} (i32.add (call $poll (local.get 0)) (i32.const 1)))"
        ));
        let error = Host::new().run(&wat, spec()).await.expect_err("overflows");
        assert_eq!(error.kind, ErrorKind::StackOverflow, "{call}: {error}");
    }
}

#[tokio::test]
async fn names_of_megabytes_are_not_kept_for_each_frame() {
    // wasmer copies a frame's name, and its module's: of some thousand frames, 12 GB
    let long = "x".repeat(2 << 20);
    let wat = module(&format!(
        r#"(func $deep (@name "{long}") (param $n i32)
              (if (local.get $n) (then (call $deep (i32.sub (local.get $n) (i32.const 1)))) (else (unreachable)))
              (drop (memory.grow (i32.const 0))))
           (func $poll (param i32) (result i32) (call $deep (i32.const 3000)) (i32.const 1))"#
    ))
    .replacen("(module", &format!(r#"(module (@name "{long}")"#), 1);
    let error = Host::new().run(&wat, spec()).await.expect_err("traps");
    assert_eq!(error.kind, ErrorKind::Trap, "{}", error.message);
    assert_eq!(error.backtrace, vec![format!("{}…", "x".repeat(253)); 32]);
}

#[tokio::test]
async fn tables_grow_to_a_bound() {
    let wat = module(
        "(table $t 10 funcref)
         (func $poll (param $call i32) (result i32)
            ;; in one step, and in many
            (if (i32.ne (table.grow $t (ref.null func) (i32.const 100000000)) (i32.const -1)) (then unreachable))
            (loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 100)) (i32.const -1))))
            (if (i32.gt_u (table.size $t) (i32.const 1024)) (then unreachable))
            (call $reply (local.get $call)))",
    );
    Host::new().run(&wat, spec()).await.expect("refused, and served all the same");
}

#[tokio::test]
async fn tables_and_globals_beyond_count_are_not_loaded() {
    let reply = "(func $poll (param $call i32) (result i32) (call $reply (local.get $call)))";
    let big = module(&format!("(table 9000000 funcref) {reply}"));
    let many = module(&format!("{} {reply}", "(table 20000 funcref)".repeat(20)));
    let host = Host::new();
    let refused = |wat: &str| {
        let wasm = wat::parse_str(wat).expect("valid WAT");
        host.runtime.load(&wasm, Tier::Fast).expect_err("too much").to_string()
    };
    insta::assert_snapshot!(refused(&big), @"it is not a wasm module that can run here: its tables have room for 9000000 elements, 262144 are allowed");
    insta::assert_snapshot!(refused(&many), @"it is not a wasm module that can run here: its tables have room for 400000 elements, 262144 are allowed");
    // what is done to a whole table at once is done by the host, where nobody can be interrupted
    let changed = |elements: u32| {
        module(&format!(
            "(table $t {elements} funcref)
             (func $poll (param $call i32) (result i32)
                 (table.fill $t (i32.const 0) (ref.null func) (i32.const {elements}))
                 (call $reply (local.get $call)))"
        ))
    };
    host.run(&changed(4096), spec()).await.expect("as many as there may be");
    insta::assert_snapshot!(refused(&changed(4097)), @"it is not a wasm module that can run here: its tables have room for 4097 elements, 4096 are allowed in those that a module may change while it runs");
    // one that has other state beside, and no instruction that changes a table, may have as many as others
    let started = module(&format!("(table 5000 funcref) (func $start) (start $start) {reply}"));
    host.run(&started, spec()).await.expect("as many as there may be");
    let globals = module(&format!("{} {reply}", "(global (mut i64) (i64.const 1))".repeat(10_001)));
    insta::assert_snapshot!(refused(&globals), @"it is not a wasm module that can run here: it has 10001 globals, 10000 are allowed");
}

#[tokio::test]
async fn a_module_that_costs_much_at_each_start_is_refused() {
    let with = |what: &str, n: usize| {
        let many: String = (0..n).map(|i| what.replace("NUMBER", &i.to_string())).collect();
        let reply = "(func $poll (param $call i32) (result i32) (call $reply (local.get $call)))";
        let wat = module(&format!("(table $t 1 funcref) (func $f) DECLARED {reply}"));
        let (imports, declared) = if what.starts_with("(import") { (&*many, "") } else { ("", &*many) };
        let wat = wat
            .replace("DECLARED", declared)
            .replace("(memory (export", &format!("{imports}(memory (export"));
        wat::parse_str(wat).expect("valid WAT")
    };
    let import = r#"(import "wasi_snapshot_preview1" "no_such_NUMBER" (func (result i32)))"#;
    let export = r#"(export "f_NUMBER" (func $f))"#;
    let (passive, active) = ("(elem func $f)", "(elem (i32.const 0) func $f)");
    let thousand = format!("(elem func {})", "$f ".repeat(1_000));
    // what `module` has itself counts as well: 14 imports, 4 exports
    for (what, n, limit) in [
        (import, 1_000 - 14, "imports, 1000 are allowed"),
        (export, 10_000 - 4, "exports, 10000 are allowed"),
        (passive, 10_000, "element segments, 10000 are allowed"),
        (active, 10_000, "element segments, 10000 are allowed"),
        (&thousand, 262, "elements in its segments, 262144 are allowed"),
    ] {
        let host = Host::new();
        let most = host.runtime.load(&with(what, n), Tier::Fast).expect("as many as there may be");
        most.sandbox(std::sync::Arc::new(spec()), vec![]).start().await.expect("starts");
        let error = host.runtime.load(&with(what, n + 1), Tier::Fast).expect_err("too many").to_string();
        assert!(error.contains(limit), "{error}");
    }
}

#[tokio::test]
async fn a_module_of_many_small_things_is_a_module() {
    let mut body =
        String::from("(func $poll (param $call i32) (result i32) (call $reply (local.get $call)))");
    body.push_str("(table 5000 funcref) (elem (i32.const 0) func");
    (0..5000).for_each(|n| write!(body, " $f{n}").expect("a string"));
    body.push(')');
    for n in 0..5000 {
        write!(
            body,
            r#"(func $f{n} (export "f{n}") (result i32) (i32.const {n})) (global (mut i32) (i32.const {n}))"#
        )
        .expect("a string");
    }
    let host = Host::new();
    let sandbox = host.sandbox(&module(&body), spec());
    for _ in 0..3 {
        let started = sandbox.start().await.expect("starts");
        host.function(spec(), started.instance).get().await.expect("replies");
    }
}

#[tokio::test]
async fn nothing_at_all_is_an_answer_too() {
    // lengths of zero, at the very end of memory, where a pointer is still one
    let code = "(drop (call $response_head (local.get $call) (i32.const 0) (i32.const 7)))
        (drop (call $request_head (local.get $call) (i32.const 65536) (i32.const 0)))
        (drop (call $body_read (local.get $call) (i32.const 65536) (i32.const 0)))
        (drop (call $body_write (local.get $call) (i32.const 65536) (i32.const 0)))
        (drop (call $op_begin (local.get $call) (i32.const 1) (i32.const 65536) (i32.const 0)))
        (drop (call $op_take (i32.const 0) (i32.const 65536) (i32.const 0)))
        (call $log (i32.const 3) (i32.const 65536) (i32.const 0))
        (drop (call $random_get (i32.const 65536) (i32.const 0)))
        (drop (call $fd_write (i32.const 1) (i32.const 65536) (i32.const 0) (i32.const 64)))
        (i32.const 1)";
    let (result, _) = run(code, spec()).await;
    assert_eq!(result.expect("an empty reply").1.len(), 0);
    let (result, _) =
        run("(call $log (i32.const 3) (i32.const 65537) (i32.const 0)) (i32.const 1)", spec()).await;
    assert_eq!(result.expect_err("one further is none").kind, ErrorKind::Trap);
}

#[tokio::test]
async fn floods_of_lines_without_text_are_bounded_like_any_other() {
    let repeat = |what: &str| {
        format!(
            "(loop $l {what} (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $l (i32.lt_u (local.get $i) (i32.const 100000))))
             (return (call $reply (local.get $call)))"
        )
    };
    for what in [
        "(call $log (i32.const 3) (i32.const 0) (i32.const 0))",
        // std's sleep, which is not offered and says so
        "(drop (call $poll_oneoff (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0)))",
    ] {
        let (result, host) = run(&repeat(what), spec()).await;
        result.expect("served");
        let lines = host.seen.lines.lock().len();
        assert!((1000..20_000).contains(&lines), "{lines} lines of {what}");
    }
}

#[tokio::test]
async fn what_is_not_text_is_logged_as_far_as_it_goes() {
    let (result, host) = run(
        r"(i32.store (i32.const 64) (i32.const 0x41ff00fe))
          (call $log (i32.const -99) (i32.const 64) (i32.const 4))
          (return (call $reply (local.get $call)))",
        spec(),
    )
    .await;
    result.expect("served");
    assert_eq!(*host.seen.lines.lock(), [(LogLevel::Trace, "\u{fffd}\0\u{fffd}A".into())]);
}

#[tokio::test]
async fn vectors_of_output_are_taken_in_part() {
    // 1,000 of them, each all of memory: what is said to be written is what was taken
    let code = r"(loop $l
            (i32.store (i32.add (i32.const 1024) (i32.mul (local.get $i) (i32.const 8))) (i32.const 0))
            (i32.store (i32.add (i32.const 1028) (i32.mul (local.get $i) (i32.const 8))) (i32.const 65536))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const 1000))))
        (drop (call $fd_write (i32.const 1) (i32.const 1024) (i32.const 1000) (i32.const 64)))
        (if (i32.ne (i32.load (i32.const 64)) (i32.const 65536)) (then unreachable))
        (drop (call $fd_write (i32.const 1) (i32.const 1024) (i32.const -1) (i32.const 64)))
        (return (call $reply (local.get $call)))";
    let (result, _) = run(code, spec()).await;
    result.expect("served");
}

#[tokio::test]
async fn imports_of_wasi_that_are_not_offered_fail_softly_whatever_their_parameters() {
    let import =
        r#"(import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i64 f32) (result i32)))"#;
    let with = |code: &str| poll(code).replacen("(import", &format!("{import} (import"), 1);
    let soft =
        "(if (i32.ne (call $open (i32.const 0) (i64.const 0) (f32.const 0)) (i32.const 52)) (then unreachable))
        (return (call $reply (local.get $call)))";
    Host::new().run(&with(soft), spec()).await.expect("not offered is an answer");
}

#[tokio::test]
async fn all_of_memory_is_the_most_that_a_guest_can_have() {
    let code = r"(loop $l
            (memory.fill (i32.const 32) (i32.const 7) (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 32)))
            (br_if $l (i32.ne (memory.grow (i32.const 60)) (i32.const -1))))
        (i32.const 1)";
    let host = Host::new();
    let error = host.run(&with_pages(&poll(code), 16), spec()).await.expect_err("no reply");
    assert_eq!(error.kind, ErrorKind::NoReply);
    // 16 and four times 60 pages; the sixteen that are left are not enough for another
    assert_eq!(host.seen.records.lock()[0].usage.memory_peak_bytes, 256 << 16);
}
