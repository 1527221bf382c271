//! What the pool costs: its decisions on the warm path, evictions under memory pressure, starts ahead of demand, and a whole
//! call through the scheduler, with 10 to 100,000 instances idle. It should not matter how many.

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use faas_core::{
    clock::{SharedClock, SystemClock, Time},
    invocation::{FunctionSpec, Invocation, RequestBody, Tally},
    policy::{self, FixedTtl},
    pool::{Decision, Effect, Lease, Limits, Pool},
    sandbox::{Sandbox, scripted::Scripted},
    scheduler::{Config, Deployment, Scheduler},
    transition::{SharedObserver, Unobserved},
};
use http_body_util::BodyExt;
use tower::Service;

const IDLE: [usize; 3] = [10, 1_000, 100_000];
/// As many functions share the instances, where there are enough.
const FUNCTIONS: usize = 100;
/// So few that they are still in the cache when they are used.
const FEW: BatchSize = BatchSize::NumIterations(64);
const LIMITS: Limits = Limits {
    max_instances: 1 << 20,
    max_queued: 1 << 20,
    max_wait: Duration::from_secs(60),
    ..Limits::LAPTOP
};

fn keep_alive() -> FixedTtl {
    FixedTtl(Duration::from_secs(600))
}

fn pool(c: &mut Criterion) {
    let mut group = c.benchmark_group("pool/acquire+release");
    for idle in IDLE {
        let mut pool = Pool::new(LIMITS, keep_alive());
        let mut effects = Vec::new();
        let functions: Vec<_> = (0..FUNCTIONS.min(idle))
            .map(|n| pool.deploy(Time::EPOCH, Arc::new(FunctionSpec::new(n.to_string())), &mut effects))
            .collect();
        for n in 0..idle {
            pool.acquire(Time::EPOCH, functions[n % functions.len()], false, &mut effects);
        }
        let started: Vec<_> = effects
            .iter()
            .filter_map(
                |effect| if let Effect::Start { instance, .. } = effect { Some(*instance) } else { None },
            )
            .collect();
        started.iter().for_each(|id| assert!(pool.started(Time::EPOCH, *id, &mut effects)));
        started.iter().for_each(|id| pool.release(Time::EPOCH, *id, true, &mut effects));
        let mut n = 0_u64;
        group.bench_function(BenchmarkId::from_parameter(idle), |b| {
            b.iter(|| {
                n += 1;
                effects.clear();
                let now = Time::from_unix_nanos(n);
                let function = functions[n as usize % functions.len()];
                let Decision::Run(id) = pool.acquire(now, function, false, &mut effects) else {
                    panic!("all are idle");
                };
                pool.release(now, black_box(id), true, &mut effects);
            });
        });
    }
    group.finish();
}

/// Hundreds of functions, all of whose instances are idle and fill the host's memory, and one that needs room each time.
fn eviction(c: &mut Criterion) {
    let mut group = c.benchmark_group("pool/evict+start+serve");
    for policy in ["none", "greedy-dual"] {
        for idle in IDLE {
            let limits = Limits { memory_mib: Some(128 * idle as u64), ..LIMITS };
            let mut pool = Pool::new(limits, policy::parse(policy, 1).expect("it exists"));
            let mut effects = Vec::new();
            let functions: Vec<_> = (0..FUNCTIONS.max(idle / 10))
                .map(|n| pool.deploy(Time::EPOCH, Arc::new(FunctionSpec::new(n.to_string())), &mut effects))
                .collect();
            let mut n = 0_u64;
            let mut once = |pool: &mut Pool, force_cold| {
                n += 1;
                effects.clear();
                let now = Time::from_unix_nanos(n * 1000);
                pool.acquire(now, functions[n as usize % functions.len()], force_cold, &mut effects);
                let start = effects.iter().find_map(|effect| match effect {
                    Effect::Start { instance, .. } => Some(*instance),
                    _ => None,
                });
                let instance = start.expect("it is cold");
                pool.started(now + Duration::from_nanos(500), instance, &mut effects);
                pool.release(now + Duration::from_nanos(500), instance, true, &mut effects);
            };
            (0..idle).for_each(|_| once(&mut pool, true));
            assert_eq!(pool.instances(), idle);
            group.bench_function(BenchmarkId::new(policy, idle), |b| b.iter(|| once(&mut pool, true)));
            assert_eq!(pool.instances(), idle);
        }
    }
    group.finish();
}

/// A function is warmed beside many idle instances, and the instance fails, so that the next can be warmed.
fn prewarm(c: &mut Criterion) {
    let mut group = c.benchmark_group("pool/prewarm+started+fail");
    for idle in IDLE {
        let mut pool = Pool::new(LIMITS, keep_alive());
        let mut effects = Vec::new();
        let other = pool.deploy(Time::EPOCH, Arc::new(FunctionSpec::new("other")), &mut effects);
        let wanted = pool.deploy(Time::EPOCH, Arc::new(FunctionSpec::new("wanted")), &mut effects);
        for _ in 0..idle {
            pool.acquire(Time::EPOCH, other, false, &mut effects);
        }
        let starts: Vec<_> = std::mem::take(&mut effects);
        for effect in starts {
            let Effect::Start { instance, .. } = effect else { panic!("all are cold") };
            pool.started(Time::EPOCH, instance, &mut effects);
            pool.release(Time::EPOCH, instance, true, &mut effects);
        }
        let mut n = 0_u64;
        group.bench_function(BenchmarkId::from_parameter(idle), |b| {
            b.iter(|| {
                n += 1;
                let now = Time::from_unix_nanos(n);
                effects.clear();
                assert!(pool.prewarm(now, wanted, &mut effects));
                let Some(Effect::Start { instance, .. }) = effects.pop() else { panic!("it starts") };
                pool.started(now, instance, &mut effects);
                let Decision::Run(id) = pool.acquire(now, wanted, false, &mut effects) else {
                    panic!("it is warm");
                };
                pool.release(now, id, false, &mut effects);
            });
        });
    }
    group.finish();
}

fn scheduler(c: &mut Criterion) {
    let mut group = c.benchmark_group("scheduler/warm call");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    group.bench_function("without scheduler", |b| {
        let clock = SystemClock::shared();
        let observer: SharedObserver = Arc::new(Unobserved);
        let sandbox = Scripted::new(clock.clone(), Duration::ZERO, Duration::ZERO, "hi");
        let instance = runtime.block_on(sandbox.start()).expect("it starts").instance;
        b.iter_batched(
            || (instance.clone(), invocation(&clock, &observer)),
            |(instance, invocation)| runtime.block_on(instance.invoke(invocation, Lease::new(|_| ()))),
            FEW,
        );
    });
    for idle in IDLE {
        let clock = SystemClock::shared();
        let observer: SharedObserver = Arc::new(Unobserved);
        let config = Config { limits: LIMITS, policy: Box::new(keep_alive()) };
        let _inside = runtime.enter();
        let mut scheduler = Scheduler::new(config, clock.clone(), observer.clone());
        let sandbox = Scripted::new(clock.clone(), Duration::ZERO, Duration::ZERO, "hi");
        scheduler
            .deploy(Deployment { spec: Arc::new(FunctionSpec::new("hello")), sandbox: Arc::new(sandbox) });
        runtime.block_on(async {
            for _ in 0..idle {
                let mut cold = invocation(&clock, &observer);
                cold.force_cold = true;
                scheduler.call(cold).await.expect("it replies");
            }
        });
        assert_eq!(scheduler.snapshot().instances, idle);
        group.bench_function(BenchmarkId::from_parameter(idle), |b| {
            // the invocation's own parts (id, request, tally) are made in the setup
            b.iter_batched(
                || invocation(&clock, &observer),
                |invocation| runtime.block_on(scheduler.call(invocation)),
                FEW,
            );
        });
    }
    group.finish();
}

fn invocation(clock: &SharedClock, observer: &SharedObserver) -> Invocation {
    let body: RequestBody = http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync();
    let function: Arc<str> = "hello".into();
    let tally = Tally::open("1".into(), function.clone(), clock.clone(), observer.clone());
    Invocation { function, request: http::Request::new(body), force_cold: false, tally }
}

criterion_group!(benches, pool, eviction, prewarm, scheduler);
criterion_main!(benches);
