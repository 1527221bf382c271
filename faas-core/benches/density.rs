//! What an idle warm instance costs: ten thousand of a function in one process, each of which has served once.
//!
//! `cargo bench -p faas-core --features wasmer --bench density`, with `INSTANCES=10000` unless told otherwise. Figures
//! are the kernel's, of the whole process, so what the runtime itself takes is measured before and taken off.
#![allow(clippy::print_stdout)]

#[path = "../tests/sandbox/cargo.rs"]
mod cargo;
#[path = "../tests/soak/process.rs"]
mod process;

use std::{hint::black_box, sync::Arc};

use bytes::Bytes;
use faas_core::{
    clock::{SharedClock, SystemClock},
    invocation::{FunctionSpec, Invocation, ReplyBody, RequestBody, Tally},
    pool::Lease,
    sandbox::{
        Instance,
        wasmer::{Config, Runtime, Tier},
    },
    transition::Unobserved,
};
use http_body_util::{BodyExt as _, Empty};
use process::Held;

const HELLO: &str = include_str!("../tests/guests/wat/hello.wat");

async fn invoke(instance: Arc<dyn Instance>, clock: &SharedClock, name: &Arc<str>) {
    let tally = Tally::open("id".into(), name.clone(), clock.clone(), Arc::new(Unobserved));
    let body = RequestBody::new(Empty::<Bytes>::new().map_err(|never| match never {}));
    let invocation =
        Invocation { function: name.clone(), request: http::Request::new(body), force_cold: false, tally };
    let reply = instance.invoke(invocation, Lease::new(|_| {})).await.expect("replies");
    assert!(matches!(reply.response.into_body(), ReplyBody::Whole(body) if !body.is_empty()));
}

/// Proportional set size: memory of this process, what it shares with others divided.
fn pss_bytes() -> u64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").expect("Linux");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).expect("the kernel says it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

fn main() {
    let count = std::env::var("INSTANCES").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let rust =
        std::fs::read(cargo::build("hello", &[("CARGO_PROFILE_RELEASE_PANIC", "abort")]).join("hello.wasm"));
    let modules = [
        ("hello in WAT", wat::parse_str(HELLO).expect("valid WAT")),
        ("examples/hello", rust.expect("it was built")),
    ];
    for (what, wasm) in modules {
        measure(what, &wasm, count);
    }
}

fn measure(what: &str, wasm: &[u8], count: u32) {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    tokio.expect("a tokio runtime").block_on(async {
        let clock = SystemClock::shared();
        let runtime =
            Runtime::new(Config::default(), clock.clone(), Arc::new(Unobserved)).expect("a runtime");
        let module = runtime.load(wasm, Tier::Optimised).expect("a module");
        let name: Arc<str> = "hello".into();
        let sandbox = module.sandbox(Arc::new(FunctionSpec::new(name.clone())), Vec::new());
        let first = sandbox.start().await.expect("starts");
        for _ in 0..100 {
            invoke(first.instance.clone(), &clock, &name).await;
        }
        let (before, pss_before) = (Held::now(), pss_bytes());
        let began = clock.now();
        let mut instances = Vec::new();
        for n in 0..count {
            let started = sandbox.start().await.unwrap_or_else(|why| panic!("instance {n}: {why}"));
            invoke(started.instance.clone(), &clock, &name).await;
            instances.push(started.instance);
        }
        let took = clock.now().since(began);
        let (after, pss_after) = (Held::now(), pss_bytes());
        println!("{what}: {count} idle warm instances in {took:.2?}");
        println!("  before {before}\n  after  {after}");
        let each = |before: u64, after: u64| (after - before) as f64 / f64::from(count) / 1024.0;
        println!(
            "  each: {:.1} KiB of its own (RssAnon), {:.1} KiB PSS, {:.1} mappings",
            each(before.rss_bytes, after.rss_bytes),
            each(pss_before, pss_after),
            (after.mappings - before.mappings) as f64 / f64::from(count)
        );
        // they still serve
        for instance in instances.iter().step_by(97) {
            invoke(instance.clone(), &clock, &name).await;
        }
        black_box(&instances);
    });
}
