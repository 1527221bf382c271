//! Which bytes are taken for a module, and what is said of the others.

use faas_core::sandbox::wasmer::{Config, Tier};

use crate::support::{Host, module, poll, spec};

async fn message(wasm: &[u8]) -> String {
    Host::new().runtime.load(wasm, Tier::Fast).expect_err("not a module").to_string()
}

fn hello() -> String {
    poll("(return (call $reply (local.get $call)))")
}

#[tokio::test]
async fn what_is_no_module_says_why() {
    let wat = |text: &str| wat::parse_str(text).expect("valid WAT");
    insta::assert_snapshot!(message(b"#!/bin/sh").await, @"it is not a wasm module that can run here: it does not begin as wasm does");
    insta::assert_snapshot!(message(&wat("(module)")).await, @"it has no functions: put `#[function]` on one, and `faas_core::main!();` in src/main.rs");
    insta::assert_snapshot!(message(&wat(&hello().replace("\\\"abi\\\":1", "\\\"abi\\\":2"))).await, @"function `f` was built for ABI version 2, this host speaks 1: build it with a faas-core of the same version as `faas`");
    insta::assert_snapshot!(message(&wat(&hello().replace("faas_v1_cancel", "faas_v0_cancel"))).await, @"it does not export `faas_v1_cancel` as a function (i32): put `faas_core::main!();` in src/main.rs and build for wasm32-wasip1");
    insta::assert_snapshot!(message(&wat(&hello().replace("(memory (export \"memory\") 1)", "(memory 1)"))).await, @"it does not export `memory` as a memory: put `faas_core::main!();` in src/main.rs and build for wasm32-wasip1");
    insta::assert_snapshot!(message(&wat(&hello().replace("\"op_close\"", "\"launch\""))).await, @"it imports `faas_v1.launch`, which is not offered: only `faas_v1` and `wasi_snapshot_preview1` are (was it built for wasm32-wasip1?)");
    insta::assert_snapshot!(message(&wat(&hello().replace("(memory (export \"memory\") 1)", "(memory (export \"memory\") 1 2 shared)"))).await, @"it is not a wasm module that can run here: Validation error: threads must be enabled for shared memories (at offset 0x1ab)");
}

#[tokio::test]
async fn an_import_of_another_type_is_told_when_the_module_is_loaded() {
    let said = async |module: &str, import: &str, ty: &str| {
        let wat = format!(
            r#"(module (import "{module}" "{import}" {ty})
              (@custom "faas.manifest" "{{\"abi\":1,\"name\":\"f\",\"handler\":\"f\",\"kind\":\"http\"}}\n")
              (memory (export "memory") 1)
              (func (export "faas_v1_init") (result i32) (i32.const 0))
              (func (export "faas_v1_poll") (param i32) (result i32) (i32.const 1))
              (func (export "faas_v1_cancel") (param i32)))"#
        );
        Host::new().runtime.load(&wat::parse_str(wat).expect("valid WAT"), Tier::Fast).map(|_| ())
    };
    let (ours, wasi) = ("faas_v1", "wasi_snapshot_preview1");
    let refused = [
        (ours, "log", "(global i32)"),
        (ours, "log", "(table 1 funcref)"),
        (ours, "log", "(func (result i64))"),
        (ours, "body_read", "(func (param i32 i32 i64) (result i32))"),
        (wasi, "fd_write", "(func (result i64))"),
        (wasi, "fd_seek", "(func (param i32 i32 i32 i32) (result i32))"),
        (wasi, "proc_exit", "(func (param i32) (result i32))"),
        (wasi, "path_open", "(global i32)"),
        (wasi, "path_open", "(func (result i64))"),
        (wasi, "path_open", "(func (param i32))"),
        (wasi, "path_open", "(func (result i32 i32))"),
    ];
    let mut words = Vec::new();
    for (module, import, ty) in refused {
        words.push(said(module, import, ty).await.expect_err(ty).to_string());
    }
    insta::assert_snapshot!(words.join("\n"), @r"
    it imports `faas_v1.log` with another type than it has: it is a function (i32, i32, i32) (was it built for wasm32-wasip1?)
    it imports `faas_v1.log` with another type than it has: it is a function (i32, i32, i32) (was it built for wasm32-wasip1?)
    it imports `faas_v1.log` with another type than it has: it is a function (i32, i32, i32) (was it built for wasm32-wasip1?)
    it imports `faas_v1.body_read` with another type than it has: it is a function (i32, i32, i32) -> i32 (was it built for wasm32-wasip1?)
    it imports `wasi_snapshot_preview1.fd_write` with another type than it has: it is a function (i32, i32, i32, i32) -> i32 (was it built for wasm32-wasip1?)
    it imports `wasi_snapshot_preview1.fd_seek` with another type than it has: it is a function (i32, i64, i32, i32) -> i32 (was it built for wasm32-wasip1?)
    it imports `wasi_snapshot_preview1.proc_exit` with another type than it has: it is a function (i32) (was it built for wasm32-wasip1?)
    it imports `wasi_snapshot_preview1.path_open` with another type than it has: it is a function with the result i32 (was it built for wasm32-wasip1?)
    it imports `wasi_snapshot_preview1.path_open` with another type than it has: it is a function with the result i32 (was it built for wasm32-wasip1?)
    it imports `wasi_snapshot_preview1.path_open` with another type than it has: it is a function with the result i32 (was it built for wasm32-wasip1?)
    it imports `wasi_snapshot_preview1.path_open` with another type than it has: it is a function with the result i32 (was it built for wasm32-wasip1?)
    ");
    said(ours, "log", "(func (param i32 i32 i32))").await.expect("it is");
    said(wasi, "path_open", "(func (param f64 i64) (result i32))")
        .await
        .expect("answers that it is not there");
}

#[tokio::test]
async fn names_in_a_module_cannot_drive_a_terminal() {
    let name = r"\1b[2J\1b]0;owned\07\0d\0aerror: forged \c2\9b1m \e2\80\ae";
    let wasm = wat::parse_str(hello().replace("\"op_close\"", &format!("\"{name}\""))).expect("valid WAT");
    insta::assert_snapshot!(message(&wasm).await, @r"it imports `faas_v1.\u{1b}[2J\u{1b}]0;owned\u{7}\r\nerror: forged \u{9b}1m \u{202e}`, which is not offered: only `faas_v1` and `wasi_snapshot_preview1` are (was it built for wasm32-wasip1?)");
}

#[tokio::test]
async fn a_memory_over_the_limit_is_told_at_the_start() {
    let big = hello().replace("(memory (export \"memory\") 1)", "(memory (export \"memory\") 1000)");
    let error = Host::new().run(&big, spec()).await.expect_err("needs too much");
    insta::assert_snapshot!(error.message, @"the module needs 63 MiB of memory from the start, the function has 16: raise #[function(memory = …)]");
}

#[tokio::test]
async fn memory_grows_to_the_limit_and_not_a_page_further() {
    // 16 MiB are 256 pages, one is there: 255 more are granted, then none
    let grow = poll(
        r"(if (i32.ne (memory.grow (i32.const 256)) (i32.const -1)) (then unreachable))
          (if (i32.eq (memory.grow (i32.const 255)) (i32.const -1)) (then unreachable))
          (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
          (return (call $reply (local.get $call)))",
    );
    let host = Host::new();
    host.run(&grow, spec()).await.expect("the limit is exact");
    assert_eq!(host.seen.records.lock()[0].usage.memory_peak_bytes, 16 << 20);
}

#[tokio::test]
async fn both_tiers_and_a_second_process_run_the_same_module() {
    let dir = tempfile::tempdir().expect("a folder");
    let wasm = wat::parse_str(hello()).expect("valid WAT");
    for _process in 0..2 {
        let host = Host::with_config(Config { cache_dir: Some(dir.path().into()), ..Config::default() });
        for tier in [Tier::Fast, Tier::Optimised] {
            let module = host.runtime.load(&wasm, tier).expect("loads");
            assert_eq!((module.tier(), module.functions()[0].name.as_str()), (tier, "f"));
        }
        host.run(&hello(), spec()).await.expect("replies");
    }
    let files = std::fs::read_dir(dir.path()).expect("readable").count();
    assert_eq!(files, 2, "the optimised module and the key");
}

#[tokio::test]
async fn without_a_cache_that_can_be_used_it_goes_on_and_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let taken = dir.path().join("modules");
    std::fs::write(&taken, "a file").expect("writable");
    let host = Host::with_config(Config { cache_dir: Some(taken.clone()), ..Config::default() });
    let remark = host.runtime.cache_remark().expect("it is told");
    let told = format!("the cache of compiled modules, {}, is not used: ", taken.display());
    assert!(remark.starts_with(&told), "{remark}");
    host.run(&hello(), spec()).await.expect("replies");
    assert_eq!(Host::new().runtime.cache_remark(), None);
}

#[tokio::test]
async fn an_init_that_fails_says_so() {
    let with_init = |code: &str| {
        module(&format!(
            r#"(func $poll (param i32) (result i32) (i32.const 1))
               (func (export "faas_v1_init") (result i32) {code})"#
        ))
    };
    let host = Host::new();
    let short =
        faas_core::invocation::FunctionSpec { init_timeout: std::time::Duration::from_millis(30), ..spec() };
    let mut messages = Vec::new();
    // only who computes for ever is given so little: to start at all takes as long on a machine that is busy
    for (code, spec) in
        [("(i32.const 3)", spec()), ("(unreachable)", spec()), ("(loop $l (br $l)) (i32.const 0)", short)]
    {
        messages.push(host.run(&with_init(code), spec).await.expect_err("fails").message);
    }
    insta::assert_snapshot!(messages.join("\n"), @r"
    the function's init failed with code 3
    the function's init failed: the function aborted (it reached `unreachable`): a panic without a message, or abort()
    the function's init took longer than the 30ms that it has
    ");
}
