//! Cold starts beside wasmtime's: start, first call, end, of the same modules, in one run.
//!
//! `cargo bench --manifest-path faas-core/benches/peers/Cargo.toml`, then the same with `--bench plot` for the picture.
//!
//! What is compared: an invocation through `faas-core`'s sandbox (its head encoded, its reply decoded, its use counted,
//! its deadline watched) and, of wasmtime, the calls of the exports alone, with imports that read and write as many
//! bytes and keep nothing. wasmtime has no deadline to watch, so it pays for none.

mod faas;
#[path = "../../../tests/sandbox/cargo.rs"]
mod cargo;
mod peer;

use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use faas_core::sandbox::wasmer::Starts;

use crate::{faas::Host, peer::Wasmtime};

const HELLO_WAT: &str = include_str!("../../../tests/guests/wat/hello.wat");
const WAYS: [(&str, Starts); 3] =
    [("faas plain", Starts::Plain), ("faas snapshot", Starts::Snapshot), ("faas recycled", Starts::Recycled)];
const PEERS: [(&str, peer::Settings); 3] = [
    ("wasmtime on demand", peer::Settings::OnDemand),
    ("wasmtime pooling", peer::Settings::Pooling),
    ("wasmtime best", peer::Settings::Best),
];
const THREADS: usize = 8;

/// A module, and which of its functions is asked.
struct Guest {
    name: &'static str,
    wasm: Vec<u8>,
}

fn guests() -> Vec<Guest> {
    let settings = [("CARGO_PROFILE_RELEASE_DEBUG", "false"), ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")];
    let of = |package: &str, name: &str| {
        std::fs::read(cargo::build(package, &settings).join(format!("{name}.wasm"))).expect("it was built")
    };
    vec![
        Guest { name: "hello", wasm: wat::parse_str(HELLO_WAT).expect("valid WAT") },
        Guest { name: "hello", wasm: of("hello", "hello") },
        Guest { name: "tables", wasm: of("faas-test-guests", "tables") },
    ]
}

fn cold_start(c: &mut Criterion) {
    let labels = ["smallest guest", "hello in Rust", "10 ms of init"];
    for (guest, label) in guests().iter().zip(labels) {
        let mut group = c.benchmark_group(label);
        if label == "10 ms of init" {
            group.sample_size(20);
        }
        for (name, starts) in WAYS {
            let host = Host::new(guest.name, &guest.wasm, starts);
            group.bench_function(name, |b| b.iter(|| host.cold()));
            if starts == Starts::Recycled {
                group.bench_function("faas warm", |b| {
                    let instance = host.start();
                    b.iter(|| host.invoke(&instance));
                });
            }
        }
        for (name, settings) in PEERS {
            let peer = Wasmtime::new(guest.name, &guest.wasm, settings);
            group.bench_function(name, |b| b.iter(|| peer.cold()));
            if settings == peer::Settings::Best {
                group.bench_function("wasmtime warm", |b| {
                    let mut instance = peer.start();
                    b.iter(|| instance.invoke());
                });
            }
        }
        group.finish();
    }
}

/// Eight threads that start instances at once: the time of one start.
fn at_once(c: &mut Criterion) {
    let guest = &guests()[1];
    let mut group = c.benchmark_group("eight threads at once");
    let host = Host::new(guest.name, &guest.wasm, Starts::Recycled);
    threads(&mut group, "faas recycled", || host.cold());
    let host = Host::new(guest.name, &guest.wasm, Starts::Snapshot);
    threads(&mut group, "faas snapshot", || host.cold());
    for (name, settings) in PEERS {
        let peer = Wasmtime::new(guest.name, &guest.wasm, settings);
        threads(&mut group, name, || peer.cold());
    }
    group.finish();
}

fn threads(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, cold: impl Fn() + Sync) {
    group.bench_function(name, |b| {
        b.iter_custom(|iterations| {
            let each = iterations.div_ceil(THREADS as u64);
            let began = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| (0..each).for_each(|_| cold()));
                }
            });
            // as many as were asked for, though a few more were made
            Duration::from_secs_f64(
                began.elapsed().as_secs_f64() * iterations as f64 / (each * THREADS as u64) as f64,
            )
        });
    });
}

criterion_group!(benches, cold_start, at_once);
criterion_main!(benches);
