//! The other commands: `invoke`, `list`, `new`, `completions`.

use std::process::Command;

use crate::support::{Dev, Project, block_on, faas, repository, run, says};

fn stdout(output: &std::process::Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[test]
fn invoke_runs_a_function_here() {
    let orders = repository().join("examples/orders");
    let output = run(&["invoke", "place", "--data", r#"{"customer":"ada","items":[]}"#], &orders);
    assert_eq!(output.status.code(), Some(1), "an order of nothing is the caller's error");
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"error\":\"client\""), "{output:?}");
    let hello = run(&["invoke", "hello", "--cold"], &repository().join("examples/hello"));
    assert_eq!(stdout(&hello), "Hello, world!\n", "the reply alone goes to standard output");
    let told = String::from_utf8_lossy(&hello.stderr);
    assert!(told.contains("cold") && told.contains("billed"), "{told}");
}

#[test]
fn invoke_asks_the_server_that_runs() {
    let project = Project::new("asked", &says("asked", "from the server\n"));
    // a target folder of its own: the server leaves its address there
    let own = |command: &mut Command| {
        command.env("CARGO_TARGET_DIR", project.path().join("target"));
    };
    let mut serve = faas();
    own(&mut serve);
    let mut dev = Dev::start_by(&mut serve, project.path(), &["--no-watch"]);
    // who answers has said where it is
    block_on(dev.get("/"));
    let invoke = || {
        let mut command = faas();
        own(&mut command);
        let output = command.args(["invoke", "asked"]).current_dir(project.path()).output().expect("it runs");
        assert_eq!(stdout(&output), "from the server\n");
        String::from_utf8(output.stderr).expect("text")
    };
    let (first, second) = (invoke(), invoke());
    assert!(first.contains("cold") && second.contains("warm"), "{first}{second}");
    // gone without having taken its note back
    dev.kill();
    assert!(invoke().contains("Finished"), "it is built and run here");
}

#[test]
fn list_tells_what_there_is() {
    let orders = repository().join("examples/orders");
    insta::assert_snapshot!(stdout(&run(&["list"], &orders)));
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&run(&["list", "--json"], &orders))).expect("JSON");
    assert!(json.as_array().is_some_and(|list| list.iter().all(|f| f["memory_mib"].is_u64())), "{json}");
}

#[test]
fn a_new_crate_is_served_and_tested_as_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    for template in ["http", "event", "axum"] {
        let name = format!("fresh-{template}");
        stdout(&run(&["new", &name, "--template", template], dir.path()));
        let path = dir.path().join(&name);
        std::fs::copy(repository().join("Cargo.lock"), path.join("Cargo.lock")).expect("a lock file");
        let target = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("functions");
        let tests = Command::new(env!("CARGO"))
            .args(["test", "--quiet"])
            .env("CARGO_TARGET_DIR", target)
            .current_dir(&path)
            .output()
            .expect("cargo runs");
        assert!(tests.status.success(), "{template}: {}", String::from_utf8_lossy(&tests.stderr));
        let dev = Dev::serve(&path, &["--no-watch"]);
        block_on(async {
            match template {
                "http" => assert_eq!(dev.get("/fresh_http?you").await.text, "Hello, you!\n"),
                "event" => {
                    let reply = dev.post("/fresh_event", r#"{"name":"Ada"}"#).await;
                    assert_eq!(reply.text, r#"{"greeting":"Hello, Ada!"}"#);
                }
                _ => assert_eq!(dev.get("/hello/you").await.text, "Hello, you!\n"),
            }
        });
    }
}

#[test]
fn completions_are_for_the_shell_that_is_named() {
    let script = stdout(&run(&["completions", "bash"], &repository()));
    assert!(script.contains("complete -F _faas"), "{script}");
}
