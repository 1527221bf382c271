//! Against a simulator that is written to be obviously right: a list of instances, searched from end to end.

use proptest::prelude::*;

use crate::support::{Function, only, options, run, trace};

/// An instance of the naive simulator, in milliseconds.
struct Instance {
    busy_until: u64,
    /// When it was last given an invocation.
    memory_mib: u32,
}

/// One function with arrivals at equal distances; starts take no time. Cold starts, and idle MiB-milliseconds.
fn naive(function: &Function<'_>, ttl_ms: u64, minutes: usize) -> (u64, u128) {
    let end = minutes as u64 * 60_000;
    let mut arrivals = Vec::new();
    for (minute, count) in function.counts.iter().enumerate() {
        for n in 0..u64::from(*count) {
            arrivals.push(minute as u64 * 60_000 + n * 60_000 / u64::from(*count));
        }
    }
    let (mut instances, mut cold, mut idle): (Vec<Instance>, _, u128) = (Vec::new(), 0, 0);
    let mut count_idle = |instance: &Instance, until: u64| {
        let ms = until.min(end).saturating_sub(instance.busy_until);
        idle += u128::from(ms) * u128::from(instance.memory_mib);
    };
    for at in arrivals {
        instances.retain(|instance| {
            let gone = instance.busy_until + ttl_ms <= at;
            if gone {
                count_idle(instance, instance.busy_until + ttl_ms);
            }
            !gone
        });
        // the one that became idle last
        let free = instances.iter_mut().filter(|instance| instance.busy_until <= at);
        match free.max_by_key(|instance| instance.busy_until) {
            Some(instance) => {
                count_idle(instance, at);
                instance.busy_until = at + u64::from(function.duration_ms);
            }
            None => {
                cold += 1;
                let busy_until = at + u64::from(function.duration_ms);
                instances.push(Instance { busy_until, memory_mib: function.memory_mib });
            }
        }
    }
    for instance in &instances {
        count_idle(instance, instance.busy_until + ttl_ms);
    }
    (cold, idle)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_fixed_keep_alive_does_as_the_naive_simulator(
        // counts that divide a minute into whole milliseconds
        rows in prop::collection::vec(
            (prop::collection::vec(prop_oneof![4 => Just(0_u32), 2 => 1..6_u32, 1 => Just(60_u32)], 30),
             64..512_u32, 1..200_000_u32),
            1..5,
        ),
        ttl_s in 0..900_u64,
    ) {
        let names: Vec<String> = (0..rows.len()).map(|n| format!("app{n}")).collect();
        let functions: Vec<Function<'_>> = rows
            .iter()
            .zip(&names)
            .map(|((counts, memory_mib, duration_ms), app)| Function {
                app, memory_mib: *memory_mib, duration_ms: *duration_ms, counts,
            })
            .collect();
        let (mut cold, mut idle) = (0, 0);
        for function in &functions {
            let (more_cold, more_idle) = naive(function, ttl_s * 1000, 30);
            cold += more_cold;
            idle += more_idle;
        }
        let folder = trace(&functions);
        let policy = only(run(folder.path(), &options(&[&format!("fixed:{ttl_s}s")], 0)));
        prop_assert_eq!(policy.cold_starts, cold);
        let naive_gb_s = idle as f64 / 1024.0 / 1e3;
        prop_assert!((policy.idle_gb_s - naive_gb_s).abs() <= naive_gb_s * 1e-9, "{} and {}", policy.idle_gb_s, naive_gb_s);
    }
}
