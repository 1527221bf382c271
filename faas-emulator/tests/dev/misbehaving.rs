//! Guests that break the rules, over HTTP: a clear error for that request, a fresh instance for the next, and other
//! functions that never noticed.

use std::{fmt::Write as _, path::Path, process::Command};

use http::Request;
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::support::{Connection, Dev, block_on, faas, h2c, repository};

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

/// One that replies with a status, and then with a body: half of it at once, half a moment later.
fn replies(name: &str, status: u16) -> String {
    let [low, high] = status.to_le_bytes();
    format!(
        r#"(module
  (@custom "faas.manifest" "{{\"abi\":1,\"name\":\"{name}\",\"handler\":\"{name}\",\"kind\":\"http\"}}\n")
  (import "faas_v1" "response_head" (func $response_head (param i32 i32 i32) (result i32)))
  (import "faas_v1" "body_write" (func $body_write (param i32 i32 i32) (result i32)))
  (import "faas_v1" "op_begin" (func $op_begin (param i32 i32 i32 i32) (result i32)))
  (import "faas_v1" "op_take" (func $op_take (param i32 i32 i32) (result i32)))
  (import "faas_v1" "op_close" (func $op_close (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\{low:02x}\{high:02x}\00\00\00\00\00")
  (data (i32.const 16) "hello\00\00\00\40\42\0f\00\00\00\00\00")
  (global $sleep (mut i32) (i32.const 0))
  (func (export "faas_v1_init") (result i32) (i32.const 0))
  (func (export "faas_v1_poll") (param $call i32) (result i32)
    (if (i32.eqz (global.get $sleep)) (then
      (drop (call $response_head (local.get $call) (i32.const 0) (i32.const 7)))
      (drop (call $body_write (local.get $call) (i32.const 16) (i32.const 5)))
      (global.set $sleep (call $op_begin (local.get $call) (i32.const 1) (i32.const 24) (i32.const 8)))))
    (if (i32.eq (call $op_take (global.get $sleep) (i32.const 0) (i32.const 0)) (i32.const -1))
      (then (return (i32.const 0))))
    (call $op_close (global.get $sleep))
    (global.set $sleep (i32.const 0))
    (drop (call $body_write (local.get $call) (i32.const 16) (i32.const 5)))
    (i32.const 1))
  (func (export "faas_v1_cancel") (param i32)))"#
    )
}

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
fn statuses_that_announce_or_forbid_a_body_break_no_client() {
    let dir = tempfile::tempdir().expect("a folder");
    for status in [100, 101, 103, 200, 204, 205, 304] {
        let name = format!("s{status}");
        let wasm = wat::parse_str(replies(&name, status)).expect("a module");
        std::fs::write(dir.path().join(format!("{name}.wasm")), wasm).expect("written");
    }
    let dev = Dev::serve(dir.path(), &["--no-watch", "--errors", "own"]);
    block_on(async {
        let mut h2 = h2c(dev.addr).await;
        // one connection: a reply that left it in disorder would break the next
        let mut h1 = Connection::open(dev.addr).await;
        for (path, status, error, body) in [
            ("/s100", 502, "bad_reply", None),
            ("/s101", 502, "bad_reply", None),
            ("/s103", 502, "bad_reply", None),
            ("/s204", 204, "", Some("")),
            ("/s205", 205, "", Some("")),
            ("/s304", 304, "", Some("")),
            ("/s200", 200, "", Some("hellohello")),
        ] {
            let over_h1 = h1.get(path).await.expect("a reply");
            let request =
                Request::get(format!("http://{}{path}", dev.addr)).body(Full::<bytes::Bytes>::default());
            let over_h2 = h2.send_request(request.expect("a request")).await.expect("a reply");
            let (head, rest) = over_h2.into_parts();
            let text = rest.collect().await.expect("a body").to_bytes();
            assert_eq!((over_h1.status.as_u16(), head.status.as_u16()), (status, status), "{path}");
            assert_eq!(over_h1.header("faas-error"), error, "{path}");
            if let Some(body) = body {
                assert_eq!((over_h1.text.as_str(), &text[..]), (body, body.as_bytes()), "{path}");
            }
            if body == Some("") {
                assert!(head.headers.contains_key("faas-billed-ms"), "{path}: {:?}", head.headers);
                let told = dev.event_where("invocation", |told| told["status"] == status);
                assert_eq!((&told["error"], &told["bytes_out"]), (&Value::Null, &10.into()), "{told}");
            }
        }
    });
    dev.stop();
}

#[test]
fn a_cache_that_cannot_be_used_is_told_after_the_address() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("wild.wasm"), wat::parse_str(WILD).expect("a module")).expect("written");
    let cache = dir.path().join("cache");
    std::fs::create_dir(&cache).expect("a folder");
    std::fs::write(cache.join("modules"), "a file").expect("written");
    // it is asserted there that the address comes first
    let dev = Dev::start_by(faas().env("FAAS_CACHE_DIR", &cache), dir.path(), &["--no-watch"]);
    let told = dev.event("notice");
    assert!(told["text"].as_str().is_some_and(|text| text.contains("modules, is not used: ")), "{told}");
    dev.event("built");
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
