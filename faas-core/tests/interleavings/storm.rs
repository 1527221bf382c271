//! A bit of everything, drawn anew in each order: two functions, room for two instances, and tasks that call, drop, deploy,
//! retire, start ahead and move the clock.

use faas_core::{invocation::FunctionSpec, pool::Limits};
use shuttle::{
    Runner,
    future::{block_on, spawn},
    rand::{Rng, thread_rng},
    scheduler::{RandomScheduler, UncontrolledNondeterminismCheckScheduler},
};
use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use crate::bench::{Bench, config, in_many_orders, one_instance, pause};

const NAMES: [&str; 2] = ["one", "many"];

fn limits() -> Limits {
    Limits { max_instances: 2, max_running: Some(3), max_queued: 2, ..one_instance() }
}

fn deploy(bench: &Bench, name: &str, generation: u64) {
    let sandbox = bench.steps(FunctionSpec {
        generation,
        instance_concurrency: if name == "many" { 2 } else { 1 },
        min_instances: u32::from(name == "one"),
        ..FunctionSpec::new(name)
    });
    if generation > 1 {
        sandbox.failing_starts.store(thread_rng().gen_range(0..2), SeqCst);
        sandbox.traps.store(thread_rng().gen_range(0..2), SeqCst);
    }
    bench.deploy(sandbox);
}

async fn something(bench: &Bench, generation: u64) {
    let name = NAMES[thread_rng().gen_range(0..NAMES.len())];
    match thread_rng().gen_range(0..10) {
        0 => deploy(bench, name, generation),
        1 => {
            bench.scheduler.retire(name);
            pause().await;
            deploy(bench, name, generation);
        }
        2 => _ = bench.scheduler.prewarm(name),
        3 => bench.clock.advance(Duration::from_secs(thread_rng().gen_range(1..70))),
        4 | 5 => {
            let call = bench.send(name);
            pause().await;
            call.abort();
            drop(call.await);
        }
        6 => drop(bench.call_as(name, true).await),
        _ => drop(bench.call(name).await),
    }
    let snapshot = bench.scheduler.snapshot();
    assert!(snapshot.instances <= 2 && snapshot.running <= 3, "{snapshot:?}");
}

async fn storm(bench: Bench) {
    NAMES.iter().for_each(|name| deploy(&bench, name, 1));
    let tasks: Vec<_> = (1..=3)
        .map(|task| {
            let bench = bench.clone();
            spawn(async move {
                for n in 1..=3 {
                    something(&bench, 10 * task + n).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no rule is broken");
    }
    // from here on nothing fails
    NAMES.iter().for_each(|name| deploy(&bench, name, 1));
    bench.close().await;
}

#[test]
fn a_storm_breaks_no_rule_in_any_order() {
    in_many_orders(storm, limits());
}

/// Else a schedule that failed could not be replayed.
#[test]
fn nothing_but_the_schedule_decides() {
    let scheduler = UncontrolledNondeterminismCheckScheduler::new(RandomScheduler::new(100));
    Runner::new(scheduler, config()).run(|| block_on(storm(Bench::new(limits()))));
}
