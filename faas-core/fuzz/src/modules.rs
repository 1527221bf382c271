//! Arbitrary module bytes: what loads is started twice, plainly and from its image if it has one, and invoked.

use std::{sync::Arc, time::Duration};

use faas_core::{invocation::FunctionSpec, sandbox::wasmer::Tier};

use super::bench::Bench;

/// Loads, starts and invokes `wasm`. Says whether it loaded.
///
/// # Panics
/// When the host does what it must not.
pub fn run(bench: &Bench, wasm: &[u8]) -> bool {
    let Ok(module) = bench.runtime.load(wasm, Tier::Fast) else { return false };
    // an init may be one that spins
    let spec = FunctionSpec { init_timeout: Duration::from_millis(30), ..Bench::spec() };
    let sandbox = module.sandbox(Arc::new(spec), Vec::new());
    for _ in 0..2 {
        bench.run(&sandbox, &[b"body"]);
    }
    true
}

/// A module with some of everything, for [`mutant`] to spoil.
const WHOLE: &str = r#"(module
    (@custom "faas.manifest" "{\"abi\":1,\"name\":\"f\",\"handler\":\"f\",\"kind\":\"http\"}\n")
    (import "faas_v1" "response_head" (func $response_head (param i32 i32 i32) (result i32)))
    (import "faas_v1" "body_write" (func $body_write (param i32 i32 i32) (result i32)))
    (import "faas_v1" "body_read" (func $body_read (param i32 i32 i32) (result i32)))
    (import "faas_v1" "op_begin" (func $op_begin (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i64) (result i32)))
    (type $unary (func (param i32) (result i32)))
    (memory (export "memory") 2 20)
    (table $t 8 16 funcref)
    (elem (table $t) (i32.const 1) func $double $fold)
    (elem $passive func $double)
    (global $count (mut i32) (i32.const 7))
    (global $wide (mut v128) (v128.const i32x4 1 2 3 4))
    (global $float (mut f64) (f64.const 0.5))
    (data (i32.const 0) "\c8\00\00\00\00\00\00")
    (data (i32.const 16) "hello")
    (data $later "later")
    (func $double (type $unary) (i32.shl (local.get 0) (i32.const 1)))
    (func $fold (type $unary) (local $i i32) (local $sum i64)
        (loop $l
            (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (i32.load8_u (local.get $i)))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $i) (local.get 0))))
        (i32.wrap_i64 (local.get $sum)))
    (func (export "faas_v1_init") (result i32)
        (drop (call $random_get (i32.const 64) (i32.const 16)))
        (global.set $count (i32.const 9)) (i32.const 0))
    (func (export "faas_v1_poll") (param $call i32) (result i32)
        (drop (call $body_read (local.get $call) (i32.const 1024) (i32.const 100)))
        (drop (memory.grow (i32.const 3)))
        (memory.fill (i32.const 4096) (i32.const 5) (i32.const 60000))
        (memory.copy (i32.const 5000) (i32.const 0) (i32.const 512))
        (global.set $count (call_indirect $t (type $unary) (i32.const 40) (i32.const 2)))
        (global.set $float (f64.div (f64.convert_i32_s (global.get $count)) (global.get $float)))
        (global.set $wide (i32x4.add (global.get $wide) (i32x4.splat (global.get $count))))
        (v128.store (i32.const 128) (global.get $wide))
        (drop (call $path_open (i32.const 0) (i64.const 0)))
        (block $out (block $in (br_table $in $out (local.get $call))) (drop (i32.div_u (i32.const 9) (global.get $count))))
        (drop (call $response_head (local.get $call) (i32.const 0) (i32.const 7)))
        (drop (call $body_write (local.get $call) (i32.const 16) (i32.const 5)))
        (i32.const 1))
    (func (export "faas_v1_cancel") (param i32)))"#;

/// The module that mutants are made of.
pub fn whole() -> Vec<u8> {
    wat::parse_str(WHOLE).expect("valid WAT")
}

/// A copy of `whole` in which some bytes are other ones, as `input` says: six bytes of it a change.
pub fn mutant(whole: &[u8], input: &[u8]) -> Vec<u8> {
    let mut wasm = whole.to_vec();
    for change in input.chunks_exact(6).take(16) {
        let &[kind, at_high, at_low, byte, from_high, from_low] = change else { continue };
        let at = usize::from(u16::from_be_bytes([at_high, at_low])) % wasm.len().max(1);
        let from = usize::from(u16::from_be_bytes([from_high, from_low])) % wasm.len().max(1);
        match kind % 8 {
            // most often one byte is another: what is longer or shorter seldom parses
            0..=2 if !wasm.is_empty() => wasm[at] = byte,
            3 if !wasm.is_empty() => wasm[at] = wasm[at].wrapping_add(1),
            4 if !wasm.is_empty() => wasm[at] ^= 1 << (byte % 8),
            5 => wasm.insert(at, byte),
            6 => {
                // a few bytes from elsewhere
                let len = usize::from(byte % 8).min(wasm.len() - at.max(from));
                wasm.copy_within(from..from + len, at);
            }
            _ if byte == 0 => wasm.truncate(at),
            _ => {}
        }
    }
    wasm
}
