//! Ctrl-C lets what runs end, a second one does not, and no process is left behind.

use std::{path::Path, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{Dev, Held, Project, block_on, says};

const SLOW: &str = r#"
use faas_core::{Request, Result, function};

#[function(timeout = "60s")]
async fn slow(request: Request) -> String {
    let ms = request.uri().query().and_then(|q| q.parse().ok()).unwrap_or(0);
    faas_core::sleep(std::time::Duration::from_millis(ms)).await;
    "slept".into()
}

#[function(timeout = "600s")]
async fn spins() {
    println!("it spins");
    loop {
        std::hint::black_box(());
    }
}

#[function(timeout = "60s")]
async fn reads(request: Request) -> Result<String> {
    request.into_body().bytes().await?;
    Ok("read".into())
}

faas_core::main!();
"#;

#[test]
fn what_runs_ends_first() {
    let project = Project::new("drained", SLOW);
    let dev = Dev::serve(project.path(), &[]);
    block_on(async {
        let held = Held::open(dev.addr, "/reads").await;
        tokio::task::block_in_place(|| dev.event("started"));
        dev.interrupt();
        let draining = tokio::task::block_in_place(|| dev.event("draining"));
        assert_eq!(draining["connections"], 1);
        assert!(TcpStream::connect(dev.addr).await.is_err(), "nobody new is let in");
        let reply = held.end().await;
        assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("read"), "{reply}");
    });
    let (status, events, _) = dev.wait();
    assert!(status.success(), "{status}");
    assert_eq!(events.last().expect("the bill")["functions"][0]["requests"], 1);
}

/// A client that says so much, and waits for nothing.
async fn say(dev: &Dev, said: &str) -> TcpStream {
    let mut stream = TcpStream::connect(dev.addr).await.expect("it listens");
    stream.write_all(said.as_bytes()).await.expect("sent");
    stream
}

#[test]
fn clients_that_say_no_more_are_not_waited_for() {
    let project = Project::new("silent", SLOW);
    let dev = Dev::serve(project.path(), &[]);
    block_on(async {
        let mut silent = Vec::new();
        for said in ["GET /sl", "GET /slow HTTP/1.1\r\nhost: ", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            silent.push(say(&dev, said).await);
        }
        // accepted after those
        assert_eq!(dev.get("/slow?0").await.text, "slept");
        dev.interrupt();
        for mut stream in silent {
            // closed; what HTTP/2 says before that is its own
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    let (status, events, _) = dev.wait();
    assert!(status.success(), "{status}");
    assert_eq!(events.last().expect("the bill")["event"], "bill");
}

#[test]
fn what_computes_for_nobody_is_stopped_and_billed() {
    let project = Project::new("nobodys", SLOW);
    let dev = Dev::serve(project.path(), &[]);
    block_on(async {
        let _stream = say(&dev, "GET /spins HTTP/1.1\r\nhost: x\r\n\r\n").await;
        tokio::task::block_in_place(|| dev.event("log"));
    });
    dev.interrupt();
    let (status, events, _) = dev.wait();
    assert!(status.success(), "{status}");
    let told = events.iter().find(|e| e["event"] == "invocation").expect("it is told");
    assert_eq!(told["error"], "cancelled", "{told}");
    // until it was stopped, some seconds after the last client had left
    assert!(told["handler_ms"].as_f64() > Some(2_000.0), "{told}");
    assert_eq!(events.last().expect("the bill")["functions"][0]["requests"], 1);
}

#[test]
fn a_second_interrupt_stops_now() {
    let project = Project::new("stopped", SLOW);
    let dev = Dev::serve(project.path(), &[]);
    block_on(async {
        let mut stream = say(&dev, "GET /slow?50000 HTTP/1.1\r\nhost: x\r\n\r\n").await;
        tokio::task::block_in_place(|| dev.event("started"));
        dev.interrupt();
        tokio::task::block_in_place(|| dev.event("draining"));
        dev.interrupt();
        let mut reply = Vec::new();
        // closed without a reply, long before the function would have ended
        let _ = stream.read_to_end(&mut reply).await;
        assert!(reply.is_empty());
    });
    let (status, events, _) = dev.wait();
    assert_eq!(status.code(), Some(130));
    assert_eq!(events.last().expect("the bill")["event"], "bill");
}

#[test]
fn a_build_that_runs_is_ended_with_its_children() {
    let project = Project::new("endless", &says("endless", "x"));
    let note = project.path().join("pid");
    // a build script stands for a compiler that takes long
    project.write(
        "build.rs",
        &format!(
            "fn main() {{\n    std::fs::write({note:?}, std::process::id().to_string()).unwrap();\n    \
             std::thread::sleep(std::time::Duration::from_secs(600));\n}}\n"
        ),
    );
    let dev = Dev::start(project.path(), &[]);
    let pid =
        soon("the build script runs", || std::fs::read_to_string(&note).ok().filter(|pid| !pid.is_empty()));
    assert!(is_running(&pid));
    dev.interrupt();
    let (status, ..) = dev.wait();
    assert_eq!(status.code(), Some(130));
    soon("the build script is gone", || (!is_running(&pid)).then_some(()));
}

fn is_running(pid: &str) -> bool {
    // a zombie that nobody has waited for yet runs no more
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

/// What becomes true in a while.
#[expect(clippy::disallowed_methods, reason = "another process's doing, which nothing announces")]
fn soon<T>(what: &str, check: impl Fn() -> Option<T>) -> T {
    for _ in 0..1200 {
        if let Some(value) = check() {
            return value;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{what}: not in two minutes")
}
