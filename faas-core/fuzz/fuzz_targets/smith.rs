//! Modules that are valid, made of bytes by wasm-smith, with the exports and imports of the ABI.
#![no_main]

use std::sync::OnceLock;

use faas_fuzz::{bench::Bench, modules};
use libfuzzer_sys::arbitrary::Unstructured;
use wasm_smith::{Config, Module};

const EXPORTS: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "faas_v1_init") (result i32) unreachable)
    (func (export "faas_v1_poll") (param i32) (result i32) unreachable)
    (func (export "faas_v1_cancel") (param i32) unreachable))"#;

const IMPORTS: &str = r#"(module
    (import "faas_v1" "request_head" (func (param i32 i32 i32) (result i32)))
    (import "faas_v1" "body_read" (func (param i32 i32 i32) (result i32)))
    (import "faas_v1" "response_head" (func (param i32 i32 i32) (result i32)))
    (import "faas_v1" "body_write" (func (param i32 i32 i32) (result i32)))
    (import "faas_v1" "wake" (func (param i32)))
    (import "faas_v1" "op_begin" (func (param i32 i32 i32 i32) (result i32)))
    (import "faas_v1" "op_take" (func (param i32 i32 i32) (result i32)))
    (import "faas_v1" "log" (func (param i32 i32 i32)))
    (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_pread" (func (param i32 externref) (result f64))))"#;

/// A custom section may stand last.
const MANIFEST: &[u8] = br#"{"abi":1,"name":"f","handler":"f","kind":"http"}"#;

fn config() -> Config {
    let parse = |wat: &str| Some(wat::parse_str(wat).expect("valid WAT"));
    Config {
        exports: parse(EXPORTS),
        available_imports: parse(IMPORTS),
        max_imports: 8,
        max_memories: 1,
        max_tables: 3,
        bulk_memory_enabled: true,
        multi_value_enabled: true,
        reference_types_enabled: true,
        simd_enabled: true,
        extended_const_enabled: true,
        exceptions_enabled: false,
        gc_enabled: false,
        compact_imports_enabled: false,
        relaxed_simd_enabled: false,
        shared_everything_threads_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        memory64_enabled: false,
        ..Config::default()
    }
}

static HOST: OnceLock<(Bench, Config)> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let (bench, config) = HOST.get_or_init(|| (Bench::new(), config()));
    let Ok(module) = Module::new(config.clone(), &mut Unstructured::new(input)) else { return };
    let mut wasm = module.to_bytes();
    let name = b"faas.manifest";
    wasm.extend([0, (1 + name.len() + MANIFEST.len()) as u8, name.len() as u8]);
    wasm.extend(name);
    wasm.extend(MANIFEST);
    modules::run(bench, &wasm);
});
