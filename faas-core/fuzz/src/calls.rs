//! Arbitrary sequences of host calls, through the real imports of a real guest.
//!
//! The guest is an interpreter: its request's body is a program of fixed-width instructions, each a host call with four
//! arguments, which it carries out one by one. Two such calls run at once in one instance. The input's bytes become
//! two programs whose pointers, lengths and handles are often such as matter: small ones, bounds, all ones.

use std::sync::Arc;

use faas_core::{
    invocation::ErrorKind,
    sandbox::{Sandbox, wasmer::Tier},
};

use super::bench::{Bench, Ended};

/// Bytes of memory that the interpreter has: two pages. Programs are in the second.
const MEMORY: u32 = 2 << 16;
const INSTRUCTION_BYTES: usize = 20;
const MAX_INSTRUCTIONS: usize = 600;

/// What an instruction does with its arguments `$a` to `$d`, by its number.
const INSTRUCTIONS: [&str; 26] = [
    "(drop (call $request_head (local.get $a) (local.get $b) (local.get $c)))",
    "(drop (call $body_read (local.get $a) (local.get $b) (local.get $c)))",
    "(drop (call $response_head (local.get $a) (local.get $b) (local.get $c)))",
    "(drop (call $body_write (local.get $a) (local.get $b) (local.get $c)))",
    "(call $wake (local.get $a))",
    "(drop (call $op_begin (local.get $a) (local.get $b) (local.get $c) (local.get $d)))",
    "(drop (call $op_take (local.get $a) (local.get $b) (local.get $c)))",
    "(call $op_close (local.get $a))",
    "(call $log (local.get $a) (local.get $b) (local.get $c))",
    "(drop (call $fd_write (local.get $a) (local.get $b) (local.get $c) (local.get $d)))",
    "(drop (call $random_get (local.get $a) (local.get $b)))",
    "(drop (call $clock_time_get (local.get $a) (i64.extend_i32_u (local.get $b)) (local.get $c)))",
    "(drop (call $environ_get (local.get $a) (local.get $b)))",
    "(drop (call $environ_sizes_get (local.get $a) (local.get $b)))",
    "(drop (call $args_get (local.get $a) (local.get $b)))",
    "(drop (call $fd_read (local.get $a) (local.get $b) (local.get $c) (local.get $d)))",
    "(drop (call $fd_fdstat_get (local.get $a) (local.get $b)))",
    "(drop (call $poll_oneoff (local.get $a) (local.get $b) (local.get $c) (local.get $d)))",
    "(drop (memory.grow (i32.and (local.get $a) (i32.const 15))))",
    "(i32.store (local.get $a) (local.get $b))",
    // a reply as it should be, a sleep of a millisecond, and the ways to leave
    "(drop (call $response_head (local.get $call) (i32.const 0) (i32.const 7)))",
    "(drop (call $body_write (local.get $call) (i32.const 16) (i32.const 5)))",
    "(drop (call $op_take (call $op_begin (local.get $call) (i32.const 1) (i32.const 24) (i32.const 8)) (i32.const 64) (i32.const 8)))",
    "(return (i32.const 0))",
    "(return (i32.const 1))",
    "(call $proc_exit (local.get $a))",
];

fn interpreter() -> String {
    let count = INSTRUCTIONS.len();
    let targets: String = (0..count).map(|n| format!(" $i{n}")).collect();
    let blocks: String = (0..count).rev().map(|n| format!("(block $i{n} ")).collect();
    let cases: String = INSTRUCTIONS.iter().map(|code| format!(") {code} (br $next)\n")).collect();
    let wasi = |name: &str, params: &str| {
        format!(r#"(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {params}) (result i32)))"#)
    };
    let wasi: String = [
        ("fd_write", "i32 i32 i32 i32"),
        ("fd_read", "i32 i32 i32 i32"),
        ("poll_oneoff", "i32 i32 i32 i32"),
        ("fd_fdstat_get", "i32 i32"),
        ("random_get", "i32 i32"),
        ("clock_time_get", "i32 i64 i32"),
        ("environ_get", "i32 i32"),
        ("environ_sizes_get", "i32 i32"),
        ("args_get", "i32 i32"),
    ]
    .map(|(name, params)| wasi(name, params))
    .concat();
    // a call's state: whether its program is loaded, where it is in it, and how long it is
    format!(
        r#"(module
        (@custom "faas.manifest" "{{\"abi\":1,\"name\":\"f\",\"handler\":\"f\",\"kind\":\"http\"}}\n")
        (import "faas_v1" "request_head" (func $request_head (param i32 i32 i32) (result i32)))
        (import "faas_v1" "body_read" (func $body_read (param i32 i32 i32) (result i32)))
        (import "faas_v1" "response_head" (func $response_head (param i32 i32 i32) (result i32)))
        (import "faas_v1" "body_write" (func $body_write (param i32 i32 i32) (result i32)))
        (import "faas_v1" "wake" (func $wake (param i32)))
        (import "faas_v1" "op_begin" (func $op_begin (param i32 i32 i32 i32) (result i32)))
        (import "faas_v1" "op_take" (func $op_take (param i32 i32 i32) (result i32)))
        (import "faas_v1" "op_close" (func $op_close (param i32)))
        (import "faas_v1" "log" (func $log (param i32 i32 i32)))
        {wasi}
        (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
        (memory (export "memory") 2)
        (data (i32.const 0) "\c8\00\00\00\00\00\00")
        (data (i32.const 16) "hello")
        (data (i32.const 24) "\40\42\0f\00\00\00\00\00")
        (func (export "faas_v1_init") (result i32) (i32.const 0))
        (func (export "faas_v1_cancel") (param i32))
        (func (export "faas_v1_poll") (param $call i32) (result i32)
            (local $state i32) (local $program i32) (local $n i32) (local $at i32)
            (local $a i32) (local $b i32) (local $c i32) (local $d i32)
            (local.set $state (i32.add (i32.const 1024) (i32.mul (local.get $call) (i32.const 16))))
            (local.set $program (i32.add (i32.const 65536) (i32.mul (local.get $call) (i32.const 16384))))
            (if (i32.eqz (i32.load (local.get $state)))
                (then
                    (loop $more
                        (local.set $n (call $body_read (local.get $call)
                            (i32.add (local.get $program) (i32.load offset=8 (local.get $state))) (i32.const 4096)))
                        (if (i32.eq (local.get $n) (i32.const -1)) (then (return (i32.const 0))))
                        (if (i32.gt_s (local.get $n) (i32.const 0))
                            (then
                                (i32.store offset=8 (local.get $state)
                                    (i32.add (i32.load offset=8 (local.get $state)) (local.get $n)))
                                (br $more))))
                    (i32.store (local.get $state) (i32.const 1))))
            (loop $next
                (local.set $n (i32.load offset=4 (local.get $state)))
                (if (i32.ge_u (local.get $n) (i32.load offset=8 (local.get $state)))
                    (then (memory.fill (local.get $state) (i32.const 0) (i32.const 12)) (return (i32.const 1))))
                (local.set $at (i32.add (local.get $program) (local.get $n)))
                (i32.store offset=4 (local.get $state) (i32.add (local.get $n) (i32.const {INSTRUCTION_BYTES})))
                (local.set $a (i32.load offset=4 (local.get $at)))
                (local.set $b (i32.load offset=8 (local.get $at)))
                (local.set $c (i32.load offset=12 (local.get $at)))
                (local.set $d (i32.load offset=16 (local.get $at)))
                {blocks} (br_table{targets} $i0 (i32.load8_u (local.get $at)))
                {cases}
            )
            (i32.const 1)))"#
    )
}

/// See the module.
pub struct Calls {
    sandbox: Arc<dyn Sandbox>,
}

impl Calls {
    /// An interpreter on this host.
    pub fn new(bench: &Bench) -> Self {
        let wasm = wat::parse_str(interpreter()).expect("valid WAT");
        let module = bench.runtime.load(&wasm, Tier::Fast).expect("a module of this ABI");
        Calls { sandbox: module.sandbox(Arc::new(Bench::spec()), vec![("NAME".into(), "value".into())]) }
    }

    /// Runs what `input` says: two programs, one after the other in it. Tells how they ended.
    ///
    /// # Panics
    /// When the host does what it must not.
    pub fn run(&self, bench: &Bench, input: &[u8]) -> Vec<Ended> {
        let (first, second) = input.split_at(input.len() / 2);
        let programs = [program(first), program(second)];
        let ended = bench.run(&self.sandbox, &[&programs[0], &programs[1]]);
        let ended = ended.expect("an init that does nothing never fails");
        // whatever they did, the next instance serves: it replies, by the last instructions but four
        let reply: Vec<u8> = [20, 21, 24].into_iter().flat_map(|op| instruction(op, [0; 4])).collect();
        // a machine that is busy enough keeps even this one past its deadline, but not for ever
        let replied = (0..100)
            .map(|_| bench.run(&self.sandbox, &[&reply]).expect("it starts"))
            .find(|ended| *ended != [Err(ErrorKind::TimedOut)]);
        assert_eq!(replied, Some(vec![Ok(())]), "a well-behaved program is served after {programs:?}");
        ended
    }
}

fn instruction(op: u8, arguments: [u32; 4]) -> [u8; INSTRUCTION_BYTES] {
    let mut bytes = [0; INSTRUCTION_BYTES];
    bytes[0] = op;
    for (at, argument) in bytes[4..].chunks_exact_mut(4).zip(arguments) {
        at.copy_from_slice(&argument.to_le_bytes());
    }
    bytes
}

/// The program that some bytes stand for.
fn program(input: &[u8]) -> Vec<u8> {
    let mut input = input.iter().copied();
    let mut program = Vec::new();
    while let Some(op) = input.next()
        && program.len() < MAX_INSTRUCTIONS * INSTRUCTION_BYTES
    {
        let arguments = std::array::from_fn(|_| argument(&mut input));
        program.extend(instruction(op % INSTRUCTIONS.len() as u8, arguments));
    }
    program
}

/// A number from one to five bytes.
fn argument(input: &mut impl Iterator<Item = u8>) -> u32 {
    let mut byte = || u32::from(input.next().unwrap_or(0));
    let kind = byte();
    match kind % 8 {
        // calls, handles, levels, descriptors, lengths
        0..=3 => kind / 8 % 4,
        4 => byte(),
        // somewhere in memory
        5 => byte() << 8 | byte(),
        // about its end
        6 => MEMORY.wrapping_add(kind / 8).wrapping_sub(byte() % 32),
        _ => match kind / 8 % 8 {
            0 => u32::MAX,
            1 => i32::MAX as u32,
            2 => i32::MIN as u32,
            3 => MEMORY,
            4 => 256 << 10,
            _ => u32::from_le_bytes([byte() as u8, byte() as u8, byte() as u8, byte() as u8]),
        },
    }
}
