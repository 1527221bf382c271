//! The functions of the soak: some that serve, and those that do everything else, a tiny guest each.

use std::time::Duration;

use faas_core::{
    abi::manifest::Isolation,
    invocation::{ErrorKind, FunctionSpec},
};

/// One function, and how each invocation of it must end: with a reply, or with one of these errors.
pub(crate) struct Case {
    pub(crate) spec: FunctionSpec,
    pub(crate) wat: String,
    pub(crate) errors: &'static [ErrorKind],
}

const REPLY: &str = "(return (call $reply (local.get $call)))";
/// Sleeps for a millisecond, as often as it is asked: each call keeps its handle at 1024 and its number.
const NAP: &str = "
    (local.set $at (i32.add (i32.const 1024) (i32.mul (local.get $call) (i32.const 4))))
    (if (i32.eqz (i32.load (local.get $at)))
        (then (i32.store (local.get $at)
            (call $op_begin (local.get $call) (i32.const 1) (i32.const 24) (i32.const 8)))))
    (if (i32.eq (call $op_take (i32.load (local.get $at)) (i32.const 0) (i32.const 0)) (i32.const -1))
        (then (return (i32.const 0))))
    (call $op_close (i32.load (local.get $at)))
    (i32.store (local.get $at) (i32.const 0))";

fn case(name: &str, poll: &str, errors: &'static [ErrorKind]) -> Case {
    let wat = format!(
        r#"(module
            (@custom "faas.manifest" "{{\"abi\":1,\"name\":\"{name}\",\"handler\":\"{name}\",\"kind\":\"http\"}}\n")
            (import "faas_v1" "response_head" (func $response_head (param i32 i32 i32) (result i32)))
            (import "faas_v1" "body_write" (func $body_write (param i32 i32 i32) (result i32)))
            (import "faas_v1" "wake" (func $wake (param i32)))
            (import "faas_v1" "op_begin" (func $op_begin (param i32 i32 i32 i32) (result i32)))
            (import "faas_v1" "op_take" (func $op_take (param i32 i32 i32) (result i32)))
            (import "faas_v1" "op_close" (func $op_close (param i32)))
            (import "faas_v1" "log" (func $log (param i32 i32 i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
            (memory (export "memory") 4)
            (data (i32.const 0) "\c8\00\00\00\00\00\00")
            (data (i32.const 16) "hello")
            (data (i32.const 24) "\40\42\0f\00\00\00\00\00")
            (global $n (mut i32) (i32.const 0))
            (func $reply (param $call i32) (result i32)
                (drop (call $response_head (local.get $call) (i32.const 0) (i32.const 7)))
                (drop (call $body_write (local.get $call) (i32.const 16) (i32.const 5)))
                (i32.const 1))
            (func (export "faas_v1_init") (result i32)
                (i32.store (i32.const 4096) (i32.const 7)) (i32.const 0))
            (func $poll (export "faas_v1_poll") (param $call i32) (result i32) (local $at i32)
                {poll} (i32.const 1))
            (func (export "faas_v1_cancel") (param i32)))"#
    );
    let spec = FunctionSpec { memory_mib: 8, timeout: Duration::from_secs(20), ..FunctionSpec::new(name) };
    Case { spec, wat, errors }
}

/// Those that serve.
pub(crate) fn good() -> Vec<Case> {
    let mut fresh = case("fresh", REPLY, &[]);
    fresh.spec.isolation = Isolation::Request;
    // writes over more than is copied back, and grows, in an instance of its own each time
    let mut writer = case(
        "writer",
        &format!(
            "(if (i32.ne (memory.size) (i32.const 4)) (then unreachable))
             (drop (memory.grow (i32.const 40)))
             (memory.fill (i32.const 8192) (i32.const 1) (i32.const 0x200000)) {REPLY}"
        ),
        &[],
    );
    writer.spec.isolation = Isolation::Request;
    let mut naps = case("naps", &format!("{NAP} {REPLY}"), &[]);
    naps.spec.instance_concurrency = 8;
    vec![case("hello", REPLY, &[]), fresh, writer, naps]
}

/// Those that do not.
pub(crate) fn hostile() -> Vec<Case> {
    let mut spin = case("spin", "(loop $l (br $l))", &[ErrorKind::TimedOut]);
    spin.spec.timeout = Duration::from_millis(2);
    let mut fill = case(
        "fill",
        "(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 4096)) (br $l))",
        &[ErrorKind::TimedOut],
    );
    fill.spec.timeout = Duration::from_millis(2);
    let mut burner = case("burner", "(loop $l (br $l))", &[ErrorKind::CpuExceeded]);
    burner.spec.cpu_limit = Some(Duration::from_millis(1));
    // one call in three takes the others of its instance down
    let mut together = case(
        "together",
        &format!(
            "(global.set $n (i32.add (global.get $n) (i32.const 1)))
             (if (i32.eqz (i32.rem_u (global.get $n) (i32.const 3))) (then unreachable)) {NAP} {REPLY}"
        ),
        &[ErrorKind::Trap, ErrorKind::InstanceLost],
    );
    together.spec.instance_concurrency = 4;
    let mut init = case("init", REPLY, &[ErrorKind::InitFailed]);
    init.wat = init.wat.replace("(i32.store (i32.const 4096) (i32.const 7)) (i32.const 0)", "(i32.const 1)");
    let mut table =
        case("table", &format!("(drop (table.grow $t (ref.null func) (i32.const 500))) {REPLY}"), &[]);
    table.wat = table.wat.replace("(memory (export", "(table $t 1 funcref) (memory (export");
    table.spec.isolation = Isolation::Request;
    let mut hoarder = case(
        "hoarder",
        &format!(
            "(loop $l (br_if $l (i32.gt_s
                (call $op_begin (local.get $call) (i32.const 1) (i32.const 24) (i32.const 8)) (i32.const 0)))) {REPLY}"
        ),
        &[],
    );
    hoarder.spec.isolation = Isolation::Request;
    vec![
        case("trap", "(unreachable)", &[ErrorKind::Trap]),
        case(
            "wild",
            "(drop (call $body_write (local.get $call) (i32.const 0) (i32.const 1)))
            (drop (call $response_head (local.get $call) (i32.const -8) (i32.const 7)))",
            &[ErrorKind::Trap],
        ),
        case(
            "panic",
            "(call $log (i32.const 0) (i32.const 16) (i32.const 5)) (unreachable)",
            &[ErrorKind::Panic],
        ),
        case("exit", "(call $proc_exit (i32.const 1))", &[ErrorKind::Exited]),
        case("silent", "", &[ErrorKind::NoReply]),
        case("stuck", "(return (i32.const 0))", &[ErrorKind::NoReply]),
        case(
            "garbage",
            "(drop (call $response_head (local.get $call) (i32.const 16) (i32.const 5)))",
            &[ErrorKind::BadReply],
        ),
        case("deep", "(return (call $poll (call $poll (local.get $call))))", &[ErrorKind::StackOverflow]),
        case(
            "flood",
            &format!(
                "(loop $l (call $log (i32.const 3) (i32.const 0) (i32.const 16000))
                    (local.set $at (i32.add (local.get $at) (i32.const 1)))
                    (br_if $l (i32.lt_u (local.get $at) (i32.const 50)))) {REPLY}"
            ),
            &[],
        ),
        case(
            "glutton",
            "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
             (memory.fill (i32.const 65536) (i32.const 1) (i32.const 0x300000)) (unreachable)",
            &[ErrorKind::Trap],
        ),
        spin,
        fill,
        burner,
        together,
        init,
        table,
        hoarder,
    ]
}
