//! Instances that are started while the client still shakes hands. What is asserted is the order of things, not their time.

use std::fmt::Write as _;

use crate::{
    hosts::SOURCE,
    support::{Dev, Project, block_on},
    tls_client::{CLIENT, Client, TLS12, get},
};

#[test]
fn the_instance_is_there_before_the_request() {
    let project = Project::new("warmed", SOURCE);
    let dev = Dev::serve(project.path(), &["--no-watch", "--tls"]);
    block_on(async {
        for (name, alpn) in [("hello", &["h2"]), ("user", &["http/1.1"])] {
            let client = Client { alpn, ..CLIENT };
            let host = format!("{name}.localhost");
            let stream = client.connect(dev.addr, &host).await.expect("they shake hands");
            // nothing has been asked yet, and nothing will be until this has happened
            tokio::task::block_in_place(|| {
                dev.event_where("starting_ahead", |e| e["function"] == name);
                dev.event_where("started", |e| e["function"] == name);
            });
            let first = get(stream, &format!("https://{host}/users/1")).await;
            assert_eq!((first.status, &*first.start), (200, "warm"), "{first:?}");
        }
    });
    // the start is on nobody's bill
    let invocation = dev.event_where("invocation", |e| e["function"] == "user");
    assert_eq!(invocation["start_ms"], 0.0, "{invocation}");
    assert_eq!(invocation["origin"], serde_json::Value::Null, "{invocation}");
}

#[test]
fn it_is_not_if_that_is_not_wanted() {
    let project = Project::new("unwarmed", SOURCE);
    let dev = Dev::serve(project.path(), &["--no-watch", "--tls", "--no-handshake-warming"]);
    block_on(async {
        let stream = CLIENT.connect(dev.addr, "hello.localhost").await.expect("they shake hands");
        let first = get(stream, "https://hello.localhost/").await;
        assert_eq!((first.status, &*first.start), (200, "cold"), "{first:?}");
    });
    let (_, events) = stopped(dev);
    assert!(!events.iter().any(|e| e["event"] == "starting_ahead"), "{events:?}");
}

#[test]
fn nor_if_the_request_would_be_refused() {
    let project = Project::new("unaffordable", SOURCE);
    let dev = Dev::serve(project.path(), &["--no-watch", "--tls", "--budget", "hello=0"]);
    block_on(async {
        let stream = CLIENT.connect(dev.addr, "hello.localhost").await.expect("they shake hands");
        let _other = CLIENT.connect(dev.addr, "user.localhost").await.expect("they shake hands");
        tokio::task::block_in_place(|| dev.event_where("started", |e| e["function"] == "user"));
        assert_eq!(get(stream, "https://hello.localhost/").await.status, 429);
    });
    let (_, events) = stopped(dev);
    assert!(!events.iter().any(|e| e["event"] == "starting_ahead" && e["function"] == "hello"), "{events:?}");
}

#[test]
fn one_version_of_tls_is_as_good_as_the_other() {
    let project = Project::new("warmed-12", SOURCE);
    let dev = Dev::serve(project.path(), &["--no-watch", "--tls"]);
    block_on(async {
        let client = Client { versions: TLS12, ..CLIENT };
        let stream = client.connect(dev.addr, "hello.localhost").await.expect("they shake hands");
        tokio::task::block_in_place(|| dev.event("started"));
        assert_eq!(get(stream, "https://hello.localhost/").await.start, "warm");
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "another process's tokens come back by the real clock")]
fn names_that_are_merely_knocked_at_start_few() {
    const FUNCTIONS: usize = 40;
    let limit = faas_core::knock::Limits::LAPTOP.all;
    let mut source = String::from("use faas_core::function;\n");
    for n in 0..FUNCTIONS {
        write!(source, "#[function]\nasync fn f{n}() -> &'static str {{ \"{n}\" }}\n").expect("a String");
    }
    source.push_str("faas_core::main!();\n");
    let project = Project::new("knocked", &source);
    let dev = Dev::serve(project.path(), &["--no-watch", "--tls"]);
    let began = std::time::Instant::now();
    block_on(async {
        for round in 0..3 {
            for n in 0..FUNCTIONS {
                let name = if round == 2 { format!("g{n}.localhost") } else { format!("f{n}.localhost") };
                CLIENT.connect(dev.addr, &name).await.expect("they shake hands");
            }
        }
        // who is not merely knocked at is served all the same
        let asked = CLIENT.get(dev.addr, "f39.localhost", "/").await;
        assert_eq!((asked.status, &*asked.text), (200, "39"));
    });
    // what a slow machine has given back meanwhile
    let back = began.elapsed().as_nanos() * u128::from(limit.burst) / limit.per.as_nanos() + 1;
    let (least, most) = (limit.burst as usize, limit.burst as usize + back as usize);
    let (_, events) = stopped(dev);
    let of = |kind: &str| events.iter().filter(|e| e["event"] == kind).count();
    let ahead = of("starting_ahead");
    assert!((least..=most).contains(&ahead), "{ahead} were started, {least} to {most} may be");
    assert!(of("knock_ignored") >= FUNCTIONS.saturating_sub(most), "{events:?}");
    let names = events.iter().filter(|e| e["event"] == "starting_ahead").map(|e| e["function"].to_string());
    assert!(names.into_iter().all(|name| name.starts_with("\"f")), "{events:?}");
}

#[test]
fn a_knock_that_nobody_follows_is_let_go() {
    let project = Project::new("let-go", SOURCE);
    let dev = Dev::serve(project.path(), &["--no-watch", "--tls"]);
    block_on(async {
        let stream = CLIENT.connect(dev.addr, "hello.localhost").await.expect("they shake hands");
        // long before the minutes for which one that has served is kept
        let gone = tokio::task::block_in_place(|| dev.event("stopped"));
        assert_eq!((&gone["function"], &gone["reason"]), (&"hello".into(), &"expired".into()));
        assert_eq!(get(stream, "https://hello.localhost/").await.start, "cold");
    });
}

/// Stops it, and gives all that it has said.
fn stopped(dev: Dev) -> (std::process::ExitStatus, Vec<serde_json::Value>) {
    dev.interrupt();
    let (status, events, _) = dev.wait();
    (status, events)
}
