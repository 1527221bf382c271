//! Guests that break the rules, over HTTP: a clear error for that request, a fresh instance for the next, and other
//! functions that never noticed.

use std::{fmt::Write as _, path::Path, process::Command};

use tokio::task::JoinHandle;

use crate::support::{Connection, Dev, block_on, faas, repository};

/// A guest that gives the host a pointer outside its memory.
const WILD: &str = r#"(module
  (@custom "faas.manifest" "{\"abi\":1,\"name\":\"wild\",\"handler\":\"wild\",\"kind\":\"http\"}\n")
  (import "faas_v1" "response_head" (func $response_head (param i32 i32 i32) (result i32)))
  (import "faas_v1" "body_write" (func $body_write (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\c8\00\00\00\00\00\00")
  (func (export "faas_v1_init") (result i32) (i32.const 0))
  (func (export "faas_v1_poll") (param $call i32) (result i32)
    (drop (call $response_head (local.get $call) (i32.const 0) (i32.const 7)))
    (drop (call $body_write (local.get $call) (i32.const -8) (i32.const 100)))
    (i32.const 1))
  (func (export "faas_v1_cancel") (param i32)))"#;

/// One that computes for a minute, and would for ever.
const ENDLESS: &str = r#"(module
  (@custom "faas.manifest" "{\"abi\":1,\"name\":\"endless\",\"handler\":\"endless\",\"kind\":\"http\",\"timeout_ms\":60000}\n")
  (memory (export "memory") 1)
  (func (export "faas_v1_init") (result i32) (i32.const 0))
  (func (export "faas_v1_poll") (param i32) (result i32) (loop $l (br $l)) (i32.const 1))
  (func (export "faas_v1_cancel") (param i32)))"#;

/// The compiled guests of faas-core's tests, and those above, in one folder.
fn guests() -> tempfile::TempDir {
    let list = faas().args(["list", "--json"]).arg(repository().join("faas-core/tests/guests")).output();
    let list = list.expect("the command runs");
    assert!(list.status.success(), "{}", String::from_utf8_lossy(&list.stderr));
    let dir = tempfile::tempdir().expect("a folder");
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("functions/faas/wasm32-wasip1/release");
    for name in [
        "alloc",
        "busy",
        "counter",
        "exit",
        "flood",
        "huge_reply",
        "no_reply",
        "panic",
        "recurse",
        "spin",
        "trap",
    ] {
        let file = format!("{name}.wasm");
        std::fs::copy(built.join(&file), dir.path().join(&file)).expect("the guest was built");
    }
    for (file, wat) in [("wild.wasm", WILD), ("endless.wasm", ENDLESS)] {
        std::fs::write(dir.path().join(file), wat::parse_str(wat).expect("a module")).expect("written");
    }
    dir
}

#[test]
fn what_breaks_one_request_breaks_nothing_else() {
    let guests = guests();
    let dev = Dev::serve(guests.path(), &["--no-watch", "--errors", "own"]);
    block_on(async {
        assert_eq!(dev.get("/counter").await.text, "1");
        let mut told = String::new();
        let mut count = 1;
        for name in
            ["panic", "trap", "spin", "alloc", "recurse", "wild", "no_reply", "huge_reply", "exit", "flood"]
        {
            let first = dev.get(&format!("/{name}")).await;
            // its instance is gone: the next request gets a fresh one, and the same answer
            let second = dev.get(&format!("/{name}")).await;
            assert_eq!(second.status, first.status, "{name}");
            let error = first.header("faas-error");
            let expected = if error.is_empty() { "warm" } else { "cold" };
            assert_eq!((first.start(), second.start()), ("cold", expected), "{name}");
            let message = match error {
                "" => "it replies".to_owned(),
                _ => first.json()["message"].as_str().expect("a message").to_owned(),
            };
            writeln!(told, "{name}: {} {error}: {message}", first.status.as_u16()).expect("a string");
            // the same instance of another function counts on
            count += 1;
            let counted = dev.get("/counter").await;
            assert_eq!(counted.start(), "warm", "after {name}");
            assert_eq!(counted.text, count.to_string(), "after {name}");
        }
        insta::assert_snapshot!(told);
    });
    dev.stop();
}

#[test]
fn a_guest_that_spins_does_not_hold_up_the_others() {
    let guests = guests();
    let dev = Dev::serve(guests.path(), &["--no-watch"]);
    block_on(async {
        let mut connection = Connection::open(dev.addr).await;
        connection.get("/counter").await.expect("a reply");
        let get = async |addr, path| Connection::open(addr).await.get(path).await.expect("a reply");
        let eight =
            |path: &'static str| -> Vec<_> { (0..8).map(|_| tokio::spawn(get(dev.addr, path))).collect() };
        // all at once, and each is stopped after 3 s
        for spun in eight("/spin") {
            let spun = spun.await.expect("no panic");
            assert_eq!(
                (spun.status.as_u16(), spun.header("faas-error")),
                (502, "timed_out"),
                "as AWS has it"
            );
        }
        let spins = eight("/endless");
        for _ in &spins {
            tokio::task::block_in_place(|| dev.event_where("started", |e| e["function"] == "endless"));
        }
        for _ in 0..10 {
            let counted = connection.get("/counter").await.expect("a reply");
            assert_eq!((counted.status.as_u16(), counted.start()), (200, "warm"), "{counted:?}");
        }
        assert!(!spins.iter().any(JoinHandle::is_finished), "ten replies while eight guests spin");
    });
}

#[test]
fn a_panic_shows_where_on_the_console() {
    let guests = guests();
    let dev = Dev::serve(guests.path(), &["--no-watch"]);
    block_on(dev.get("/panic"));
    let told = dev.event("invocation");
    assert_eq!(told["error"], "panic");
    let frames = told["backtrace"].as_array().expect("frames");
    assert!(frames.iter().any(|frame| frame.as_str().is_some_and(|f| f.contains("panic::"))), "{told}");
}

#[test]
fn the_guest_in_c_is_a_function_like_any_other() {
    let tools = ["clang", "wasm-ld"];
    let has = |tool: &&str| Command::new(tool).arg("--version").output().is_ok_and(|o| o.status.success());
    if !tools.iter().all(has) {
        // Debian's packages clang and lld; CI says so too
        eprintln!("not run: clang or wasm-ld is missing");
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let module = dir.path().join("hello-c.wasm");
    let build = repository().join("faas-core/tests/guests/c/build");
    assert!(Command::new(build).arg(&module).status().expect("a script").success());
    let dev = Dev::serve(&module, &["--no-watch"]);
    let served = block_on(dev.get("/"));
    let route = served
        .text
        .lines()
        .nth(1)
        .and_then(|line| line.split_whitespace().nth(2))
        .expect("a route")
        .to_owned();
    let reply = block_on(dev.get(&route));
    assert_eq!(reply.status, 200, "{reply:?}");
}
