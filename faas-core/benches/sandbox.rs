//! What the wasm sandbox costs: a warm invocation beside a bare wasmer call of the same guest (the smallest there is,
//! `examples/hello`, and a page of `examples/axum-site`), and a cold start.
//!
//! `cargo bench -p faas-core --features wasmer --bench sandbox`

#[path = "../tests/sandbox/cargo.rs"]
mod cargo;

use std::{hint::black_box, sync::Arc};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use faas_core::{
    abi::envelope::RequestHead,
    clock::{SharedClock, SystemClock},
    invocation::{FunctionSpec, Invocation, RequestBody, Tally},
    pool::Lease,
    sandbox::{
        Instance, Sandbox,
        wasmer::{Config, Runtime, Tier},
    },
    transition::Unobserved,
};
use http_body_util::{BodyExt as _, Empty};

const HELLO: &str = include_str!("../tests/guests/wat/hello.wat");

/// A module, and what is asked of it.
struct Asked {
    of: &'static str,
    function: &'static str,
    wasm: Vec<u8>,
    path: &'static str,
}

fn asked() -> [Asked; 3] {
    let smallest = wat::parse_str(HELLO).expect("valid WAT");
    [
        Asked { of: "", function: "hello", wasm: smallest, path: "/" },
        Asked { of: " of hello in Rust", function: "hello", wasm: example("hello"), path: "/" },
        Asked { of: " of a page by axum", function: "site", wasm: example("axum-site"), path: "/site" },
    ]
}

fn invocation(clock: &SharedClock, id: &Arc<str>, name: &Arc<str>, path: &'static str) -> Invocation {
    let tally = Tally::open(id.clone(), name.clone(), clock.clone(), Arc::new(Unobserved));
    let body = RequestBody::new(Empty::<Bytes>::new().map_err(|never| match never {}));
    let mut request = http::Request::new(body);
    *request.uri_mut() = http::Uri::from_static(path);
    Invocation { function: name.clone(), request, force_cold: false, tally }
}

async fn invoke(
    instance: &Arc<dyn Instance>,
    clock: &SharedClock,
    id: &Arc<str>,
    name: &Arc<str>,
    path: &'static str,
) {
    let reply = instance.clone().invoke(invocation(clock, id, name, path), Lease::new(|_| {})).await;
    assert_eq!(black_box(reply.expect("replies")).response.status(), 200);
}

fn sandbox(c: &mut Criterion) {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a tokio runtime");
    let clock = SystemClock::shared();
    let id: Arc<str> = "id".into();
    let runtime = tokio
        .block_on(async { Runtime::new(Config::default(), clock.clone(), Arc::new(Unobserved)) })
        .expect("a runtime");
    let asked = asked();
    let sandbox = |asked: &Asked| -> Arc<dyn Sandbox> {
        let module = runtime.load(&asked.wasm, Tier::Optimised).expect("a module");
        module.sandbox(Arc::new(FunctionSpec::new(asked.function)), vec![])
    };

    let mut group = c.benchmark_group("sandbox");
    for asked in &asked {
        group.bench_function(format!("bare wasmer call{}", asked.of), |b| {
            let (mut store, poll) = bare(asked);
            b.iter(|| black_box(poll.call(&mut store, 0).expect("returns")));
        });
        let (sandbox, name) = (sandbox(asked), Arc::from(asked.function));
        group.bench_function(format!("warm invocation{}", asked.of), |b| {
            let instance = tokio.block_on(sandbox.start()).expect("starts").instance;
            b.to_async(&tokio).iter(|| invoke(&instance, &clock, &id, &name, asked.path));
        });
    }
    let [smallest, in_rust, _] = &asked;
    let (sandbox, name) = (sandbox(smallest), Arc::from(smallest.function));
    group.bench_function("cold start, invocation and drop", |b| {
        b.to_async(&tokio).iter(|| async {
            let instance = sandbox.start().await.expect("starts").instance;
            invoke(&instance, &clock, &id, &name, smallest.path).await;
        });
    });
    group.finish();

    let mut group = c.benchmark_group("compile");
    group.sample_size(20);
    for tier in [Tier::Fast, Tier::Optimised] {
        group.bench_function(tier.as_str(), |b| {
            b.iter(|| runtime.load(&in_rust.wasm, tier).expect("a module"))
        });
    }
    group.finish();
}

/// A package among the examples, with the settings of a reload by `faas dev`.
fn example(package: &str) -> Vec<u8> {
    let settings = [
        ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
        ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "2"),
        ("CARGO_PROFILE_RELEASE_INCREMENTAL", "true"),
        ("CARGO_PROFILE_RELEASE_STRIP", "debuginfo"),
        ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ];
    std::fs::read(cargo::build(package, &settings).join(package).with_extension("wasm"))
        .expect("it was built")
}

/// The same guest without anything of ours around it: its imports give it a request, and accept whatever they get.
fn bare(asked: &Asked) -> (wasmer::Store, wasmer::TypedFunction<u32, i32>) {
    let mut store = wasmer::Store::default();
    let module = wasmer::Module::new(&store, &asked.wasm).expect("a module");
    let accept = wasmer::Function::new_typed(&mut store, |_: u32, _: u32, len: u32| len as i32);
    let took = wasmer::Function::new_typed(&mut store, |_: u32, _: u32, _: u32| 0);
    let memory = wasmer::FunctionEnv::new(&mut store, None::<wasmer::Memory>);
    let head = request_head(asked);
    let give = wasmer::Function::new_typed_with_env(
        &mut store,
        &memory,
        move |mut env: wasmer::FunctionEnvMut<'_, Option<wasmer::Memory>>, _: u32, ptr: u32, _: u32| {
            let (memory, store) = env.data_and_store_mut();
            let memory = memory.as_ref().expect("set before it is called");
            memory.view(&store).write(ptr.into(), &head).expect("the guest has room");
            head.len() as i32
        },
    );
    let mut imports = wasmer::Imports::new();
    for import in module.imports() {
        let function = match import.name() {
            "request_head" => give.clone(),
            "response_head" => took.clone(),
            "body_write" => accept.clone(),
            _ => nothing(&mut store, import.ty().func().expect("guests import functions")),
        };
        imports.define(import.module(), import.name(), function);
    }
    let instance = wasmer::Instance::new(&mut store, &module, &imports).expect("an instance");
    *memory.as_mut(&mut store) = instance.exports.get_memory("memory").ok().cloned();
    if let Ok(init) = instance.exports.get_typed_function::<(), i32>(&store, "faas_v1_init") {
        init.call(&mut store).expect("begins");
    }
    let poll = instance.exports.get_typed_function(&store, "faas_v1_poll").expect("exported");
    (store, poll)
}

/// An import that says yes to everything.
fn nothing(store: &mut wasmer::Store, ty: &wasmer::FunctionType) -> wasmer::Function {
    let zero = |ty: &wasmer::Type| match ty {
        wasmer::Type::I64 => wasmer::Value::I64(0),
        _ => wasmer::Value::I32(0),
    };
    let results: Vec<wasmer::Value> = ty.results().iter().map(zero).collect();
    wasmer::Function::new(store, ty, move |_: &[wasmer::Value]| Ok(results.clone()))
}

/// As [`invocation`]'s.
fn request_head(asked: &Asked) -> Vec<u8> {
    let mut bytes = Vec::new();
    RequestHead {
        function: asked.function,
        request_id: "id",
        deadline_unix_ms: 0,
        memory_mib: 128,
        generation: 1,
        method: http::Method::GET,
        uri: http::Uri::from_static(asked.path),
        headers: http::HeaderMap::new(),
    }
    .encode(&mut bytes);
    bytes
}

criterion_group!(benches, sandbox);
criterion_main!(benches);
