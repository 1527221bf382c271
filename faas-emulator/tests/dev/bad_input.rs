//! What cannot be done as asked: one message that says what, where, and what to do; exit code 2.

use std::{net::TcpListener, path::Path};

use crate::support::{Project, faas, run, says};

/// What `faas` says of these arguments, without the machine's own paths.
fn told(args: &[&str], dir: &Path) -> String {
    let output = run(args, dir);
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let dir = dir.canonicalize().expect("it is there");
    let last = stderr.find("error: ").map_or(stderr.as_str(), |at| &stderr[at..]);
    last.replace(&dir.display().to_string(), "DIR")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn nothing_to_serve() {
    let empty = folder();
    insta::assert_snapshot!(told(&["dev"], empty.path()), @r"
    error: there is no Cargo.toml and no .wasm file in DIR
    Go to a crate with functions, name one (`faas dev PATH`), or begin one with `faas new NAME`.
    ");
    insta::assert_snapshot!(told(&["dev", "gone"], empty.path()), @r"
    error: gone cannot be opened: No such file or directory (os error 2)
    Give a crate, a workspace, a folder of .wasm files or one .wasm file.
    ");
    insta::assert_snapshot!(told(&["list", "gone"], empty.path()), @r"
    error: gone cannot be opened: No such file or directory (os error 2)
    Give a crate, a workspace, a folder of .wasm files or one .wasm file.
    ");
}

#[test]
fn a_crate_without_functions() {
    let project = Project::new("functionless", "fn main() {}");
    insta::assert_snapshot!(told(&["dev", "--port", "0"], project.path()), @"error: the crate `functionless` in DIR has nothing to serve: it has no functions: put `#[function]` on one, and `faas_core::main!();` in src/main.rs");
    project.write(
        "Cargo.toml",
        "[workspace]\n[package]\nname = \"bare\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
    );
    insta::assert_snapshot!(told(&["dev"], project.path()), @r"
    error: the crate `bare` in DIR holds no functions
    it does not depend on faas-core: add it with `cargo add faas-core`, or begin a crate with `faas new NAME`.
    ");
}

#[test]
fn a_manifest_that_cargo_refuses() {
    let project = Project::new("refused", "fn main() {}");
    project.write("Cargo.toml", "[package\n");
    let words = told(&["dev"], project.path());
    assert!(words.starts_with("error: DIR/Cargo.toml cannot be used:\n"), "{words}");
}

#[test]
fn a_port_that_is_taken() {
    let project = Project::new("ported", &says("ported", "x"));
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let words = told(&["dev", "--port", &port], project.path());
    let pid = format!("(PID {})", std::process::id());
    assert!(words.contains(&pid), "{words}");
    let owner = words.split('`').nth(1).expect("the owner's name").to_owned();
    insta::assert_snapshot!(words.replace(&pid, "(PID 1)").replace(&port, "PORT").replace(&owner, "OWNER"), @r"
    error: port PORT of 127.0.0.1 is taken by `OWNER` (PID 1)
    Stop it, or choose another port with --port (0 takes any that is free).
    ");
}

#[test]
fn modules_that_cannot_be_served() {
    let dir = folder();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).expect("written");
    write("text.wasm", b"no module");
    insta::assert_snapshot!(told(&["dev", "text.wasm"], dir.path()), @"error: DIR/text.wasm cannot be served: it is not a wasm module that can run here: it does not begin as wasm does");
    write("plain.wasm", &wat::parse_str("(module)").expect("a module"));
    insta::assert_snapshot!(told(&["dev", "plain.wasm"], dir.path()), @"error: DIR/plain.wasm has nothing to serve: it has no functions: put `#[function]` on one, and `faas_core::main!();` in src/main.rs");
    let future = include_str!("../../../faas-core/tests/guests/wat/hello.wat")
        .replace("\\\"abi\\\":1", "\\\"abi\\\":9");
    write("future.wasm", &wat::parse_str(future).expect("a module"));
    insta::assert_snapshot!(told(&["dev", "future.wasm"], dir.path()), @"error: DIR/future.wasm cannot be served: function `hello` was built for ABI version 9, this host speaks 1: build it with a faas-core of the same version as `faas`");
    write("readme.txt", b"");
    insta::assert_snapshot!(told(&["dev", "readme.txt"], dir.path()), @r"
    error: readme.txt is no .wasm file
    Give a crate, a workspace, a folder of .wasm files or one .wasm file.
    ");
}

#[test]
fn a_broken_module_among_others_interrupts_no_compiler() {
    let dir = folder();
    // so much to compile that all are at it when the broken one is told
    let line = "(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const 7)) (local.get 0)))";
    let function = format!("(func (param i32) (result i32) {} (local.get 0))", line.repeat(500));
    for i in 0..4 {
        let wat = include_str!("../../../faas-core/tests/guests/wat/hello.wat")
            .replace("\\\"name\\\":\\\"hello", &format!("\\\"name\\\":\\\"hello{i}"));
        let last = wat.rfind(')').expect("the module's end");
        let wat = format!("{}{})", &wat[..last], function.repeat(20));
        let wasm = wat::parse_str(wat).expect("a module");
        std::fs::write(dir.path().join(format!("large{i}.wasm")), &wasm).expect("written");
        std::fs::write(dir.path().join("broken.wasm"), &wasm[..100]).expect("written");
    }
    let mut faas = faas();
    // compiled by nobody yet
    faas.args(["dev", "--port", "0"]).current_dir(dir.path()).env("FAAS_CACHE_DIR", dir.path().join("cache"));
    let output = faas.output().expect("the command runs");
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("broken.wasm cannot be served") && !stderr.contains("panicked"), "{stderr}");
    // who is interrupted panics only if it is unlucky, but has nothing to show in any case
    let cached = std::fs::read_dir(dir.path().join("cache/modules")).expect("a cache");
    assert_eq!(cached.count(), 4 + 1, "the large ones and the key");
}

#[test]
fn an_unknown_profile() {
    let dir = folder();
    insta::assert_snapshot!(told(&["dev", "--min-instances", "hello=4000000000"], dir.path()), @"error: `hello` cannot keep 4000000000 instances: under `aws-lambda` there are 1000 of all functions at most");
    insta::assert_snapshot!(told(&["dev", "--as", "aws"], dir.path()), @"error: there is no profile `aws`: did you mean `aws-lambda`? Choose one of aws-lambda (aws-lambda-x86), aws-lambda-arm (aws-lambda-arm64), cloudflare-workers (cloudflare-workers-paid), cloudflare-workers-free, google-cloud-run-functions (google-cloud-run-functions-gen2, gcf-gen2), google-cloud-run-functions-gen1 (google-cloud-functions-gen1, gcf-gen1), azure-functions (azure-functions-consumption, azure-consumption), azure-functions-flex (azure-flex), vercel-fluid (vercel), fastly-compute (fastly), deno-deploy (deno), own; or give the path of a file of your own, such as ./mine.toml");
}

#[test]
fn settings_that_the_provider_does_not_give() {
    let project =
        Project::new("greedy", &says("greedy", "x").replace("#[function]", "#[function(memory = 512)]"));
    insta::assert_snapshot!(told(&["dev", "--port", "0", "--as", "cloudflare-workers"], project.path()), @r"
    error: function `greedy` wants 512 MiB of memory; 128, no more and no less, may be had under `cloudflare-workers`
    Change its #[function(…)], or choose another profile.
    ");
}

#[test]
fn two_functions_on_one_route() {
    let source = says("a", "a").replace("#[function]", "#[function(route = \"GET /same\")]").replace(
        "faas_core::main",
        "#[function(route = \"/same\")]\nasync fn b() -> &'static str {\n    \"b\"\n}\n\nfaas_core::main",
    );
    let project = Project::new("routed", &source);
    insta::assert_snapshot!(told(&["dev", "--port", "0"], project.path()), @r#"
    error: the functions `a` and `b` both answer /same
    Give one of them another route, or each a method of its own: #[function(route = "GET /same")].
    "#);
}

#[test]
fn a_function_that_is_not_there() {
    let project = Project::new("absent", &says("present", "x"));
    insta::assert_snapshot!(told(&["invoke", "absent"], project.path()), @r"
    error: there is no function `absent`
    functions:
      present  *  /present
    ");
    insta::assert_snapshot!(told(&["invoke", "no/name"], project.path()), @r"
    error: `no/name` cannot name a function
    A name has letters, digits, - and _, 64 at most: see `faas list`.
    ");
}
