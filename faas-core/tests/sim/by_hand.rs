//! Traces so small that what must come out can be computed on paper.

use std::time::Duration;

use faas_core::sim::{Options, Spread};

use crate::support::{Function, on_threads, only, options, run, trace};

#[test]
fn an_app_that_comes_back_in_time_is_warm_and_one_that_does_not_is_cold() {
    // One invocation at 0:00, 4:00, 10:00 and 14:00, each of 30 s; a keep-alive of 5 minutes; the trace ends at 15:00.
    //   0:00 cold, ends 0:30; 4:00 is 3:30 later: warm, idle for 210 s
    //   4:30 ends; 10:00 is 5:30 later: cold, idle for 300 s
    //  10:30 ends; 14:00 is 3:30 later: warm, idle for 210 s
    //  14:30 ends; the trace does at 15:00: idle for 30 s
    let folder = trace(&[Function {
        app: "a",
        memory_mib: 512,
        duration_ms: 30_000,
        counts: &[1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1],
    }]);
    let policy = only(run(folder.path(), &options(&["fixed:5m"], 0)));
    assert_eq!((policy.invocations, policy.cold_starts, policy.instances_started), (4, 2, 2));
    assert_eq!(policy.idle_gb_s, 750.0 / 2.0);
    assert_eq!((policy.app_cold_share_p50, policy.delay_ms_p50, policy.delay_ms_p99), (0.5, 0.0, 0.0));
    // 4 × 30 s × 0.5 GB and 2 × 143 ms of init × 0.5 GB, and 4 requests
    assert_eq!(policy.cost_usd.to_string(), "0.0010031853381");
}

#[test]
fn a_keep_alive_that_ends_as_somebody_arrives_has_ended() {
    // Ends at 0:30, and 5:30 of keep-alive end at 6:00, when the next arrives.
    let folder = trace(&[Function {
        app: "a",
        memory_mib: 1024,
        duration_ms: 30_000,
        counts: &[1, 0, 0, 0, 0, 0, 1],
    }]);
    let cold_starts = |policy: &str| only(run(folder.path(), &options(&[policy], 0))).cold_starts;
    assert_eq!((cold_starts("fixed:330s"), cold_starts("fixed:331s")), (2, 1));
}

#[test]
fn invocations_that_overlap_need_an_instance_each() {
    // At 0:00, 0:20 and 0:40, each of 30 s: the second overlaps the first, the third finds the first's instance,
    // idle since 0:30. The second minute finds both idle.
    //   instance 1: idle 0:30 to 0:40; ends 1:10. instance 2: idle 0:50 to the end, but for what the second minute
    //   takes. 1:00 runs in instance 2 (1 is busy): idle 0:50 to 1:00, ends 1:30. The trace ends at 2:00:
    //   instance 1 idle 1:10 to 2:00, instance 2 idle 1:30 to 2:00.
    let folder = trace(&[Function { app: "a", memory_mib: 1024, duration_ms: 30_000, counts: &[3, 1] }]);
    let policy = only(run(folder.path(), &options(&["none"], 0)));
    assert_eq!((policy.invocations, policy.cold_starts), (4, 2));
    assert_eq!(policy.idle_gb_s, 10.0 + 10.0 + 50.0 + 30.0);
}

#[test]
fn functions_of_one_app_share_its_instances_and_apps_do_not() {
    let one = Function { app: "a", memory_mib: 128, duration_ms: 1_000, counts: &[1, 0, 0] };
    let other = |app| Function { app, memory_mib: 128, duration_ms: 1_000, counts: &[0, 1, 0] };
    let cold = |app| only(run(trace(&[one, other(app)]).path(), &options(&["fixed:10m"], 0))).cold_starts;
    assert_eq!((cold("a"), cold("b")), (1, 2));
}

#[test]
fn who_waits_for_a_start_waits_for_all_of_it() {
    // Every start takes 400 ms; ten minutes apart with a keep-alive of one: all are cold.
    let mut counts = [0; 40];
    counts.iter_mut().step_by(10).for_each(|count| *count = 1);
    let folder = trace(&[Function { app: "a", memory_mib: 128, duration_ms: 100, counts: &counts }]);
    let policy = only(run(folder.path(), &options(&["fixed:1m"], 400)));
    assert_eq!(policy.cold_starts, 4);
    assert_eq!((policy.delay_ms_p50, policy.delay_ms_p99), (400.0, 400.0));
    // idle for the keep-alive after each
    assert_eq!(policy.idle_gb_s, 4.0 * 60.0 / 8.0);
}

#[test]
fn the_end_of_the_trace_is_the_end_of_what_counts() {
    // The last invocation arrives in the last minute and ends an hour later: it counts, and is billed whole; nothing
    // is idle after the end.
    let folder = trace(&[Function { app: "a", memory_mib: 1024, duration_ms: 3_600_000, counts: &[0, 1] }]);
    let policy = only(run(folder.path(), &options(&["fixed:10m"], 1_000)));
    assert_eq!((policy.invocations, policy.cold_starts, policy.idle_gb_s), (1, 1, 0.0));
    assert_eq!(policy.cost_usd.to_string(), "0.0600027033381");
}

#[test]
fn an_instance_may_serve_several_at_a_time() {
    let folder = trace(&[Function { app: "a", memory_mib: 1024, duration_ms: 60_000, counts: &[4, 0] }]);
    let with = |instance_concurrency| {
        let options = Options { instance_concurrency, ..options(&["none"], 0) };
        only(run(folder.path(), &options))
    };
    // at 0:00, 0:15, 0:30 and 0:45, each of a minute
    assert_eq!((with(1).instances_started, with(1).idle_gb_s), (4, 60.0 + 45.0 + 30.0 + 15.0));
    assert_eq!((with(2).instances_started, with(4).instances_started), (2, 1));
    assert_eq!(with(4).idle_gb_s, 15.0, "from 1:45 on nobody is served");
}

#[test]
fn a_burst_needs_an_instance_for_each_and_a_poisson_minute_fewer() {
    let folder = trace(&[Function { app: "a", memory_mib: 128, duration_ms: 100, counts: &[60] }]);
    let cold = |spread| only(run(folder.path(), &Options { spread, ..options(&["none"], 0) })).cold_starts;
    assert_eq!((cold(Spread::Even), cold(Spread::Burst)), (1, 60));
    assert!((2..20).contains(&cold(Spread::Poisson)), "{}", cold(Spread::Poisson));
}

#[test]
fn every_policy_sees_the_same_arrivals() {
    let functions: Vec<Function<'_>> = ["a", "b", "b", "c"]
        .into_iter()
        .map(|app| Function { app, memory_mib: 128, duration_ms: 700, counts: &[3, 0, 0, 7, 1, 40, 0, 2] })
        .collect();
    let folder = trace(&functions);
    let poisson = |policies: &[&str], seed| Options {
        spread: Spread::Poisson,
        seed,
        cold_start: "300..900".parse().expect("a time"),
        billed_init: Duration::from_millis(50),
        ..options(policies, 0)
    };
    let together = run(folder.path(), &on_threads(&poisson(&["fixed:1m", "none"], 1), 3));
    for (n, name) in ["fixed:1m", "none"].into_iter().enumerate() {
        let alone = only(run(folder.path(), &on_threads(&poisson(&[name], 1), 1)));
        assert_eq!(together.policies[n], alone);
    }
    let other_seed = run(folder.path(), &poisson(&["fixed:1m", "none"], 2));
    assert_ne!(together.policies, other_seed.policies);
}

#[test]
fn apps_that_share_a_host_push_each_other_out() {
    // a at 0:00 and 2:00, b at 1:00 and 3:00, each of 512 MiB for a second. In 512 MiB each evicts the other, having
    // idled for 59 s; in 1024 MiB both stay, and the second starts are warm. The trace ends at 4:00.
    let functions = [("a", [1, 0, 1, 0]), ("b", [0, 1, 0, 1])].map(|(app, counts)| (app, counts.to_vec()));
    let functions: Vec<Function<'_>> = functions
        .iter()
        .map(|(app, counts)| Function { app, memory_mib: 512, duration_ms: 1_000, counts })
        .collect();
    let folder = trace(&functions);
    let within = |memory_mib| {
        let options = Options { memory_mib: Some(memory_mib), ..options(&["none", "greedy-dual"], 0) };
        let policies = run(folder.path(), &options).policies;
        policies.iter().map(|policy| (policy.cold_starts, policy.idle_gb_s)).collect::<Vec<_>>()
    };
    assert_eq!(within(512), [(4, 4.0 * 59.0 / 2.0); 2]);
    // a: 0:01 to 2:00 and 2:01 to 4:00; b: 1:01 to 3:00 and 3:01 to 4:00
    assert_eq!(within(1024), [(2, (119.0 + 119.0 + 119.0 + 59.0) / 2.0); 2]);
}

#[test]
fn what_does_not_fit_the_host_is_refused_and_not_billed() {
    let folder = trace(&[Function { app: "a", memory_mib: 512, duration_ms: 1_000, counts: &[1] }]);
    let policy = only(run(folder.path(), &Options { memory_mib: Some(256), ..options(&["none"], 0) }));
    assert_eq!((policy.invocations, policy.refused, policy.cold_starts), (1, 1, 0));
    assert!(policy.cost_usd.is_zero());
}

#[test]
fn hybrid_unloads_an_app_that_comes_back_after_a_fixed_time_and_warms_it_again() {
    // Every 30 minutes for a day: once the policy has seen it, it unloads at once and loads before the next.
    let mut counts = vec![0; 1440];
    counts.iter_mut().step_by(30).for_each(|count| *count = 1);
    let folder = trace(&[Function { app: "a", memory_mib: 1024, duration_ms: 1_000, counts: &counts }]);
    let report = run(folder.path(), &options(&["fixed:10m", "fixed:1h", "hybrid"], 100));
    let [ten, hour, hybrid] = <[_; 3]>::try_from(report.policies).expect("three policies");
    assert_eq!((ten.cold_starts, hour.cold_starts), (48, 1));
    assert!(hybrid.cold_starts < 6, "{hybrid:?}");
    assert!(hybrid.idle_gb_s < hour.idle_gb_s, "{hybrid:?}");
}

#[test]
fn instances_that_are_kept_ready_are_paid_for_and_what_overflows_is_not_theirs() {
    // At 0:00, 0:20 and 0:40, each of 30 s, with one instance of 1 GB kept ready and started in no time: it serves the first
    // and the third; the second is cold, and on demand. The trace ends at 2:00, which are five minutes to AWS.
    let folder = trace(&[Function { app: "a", memory_mib: 1024, duration_ms: 30_000, counts: &[3, 0] }]);
    let kept = |profile: &str| {
        let profile = faas_core::profile::Profile::named(profile).expect("built in");
        only(run(folder.path(), &Options { min_instances: 1, profile, ..options(&["none"], 0) }))
    };
    let policy = kept("aws-lambda");
    assert_eq!((policy.invocations, policy.cold_starts, policy.instances_started), (3, 1, 2));
    // idle 0:30 to 0:40 and 1:10 to 2:00; the other 0:50 to 2:00
    assert_eq!(policy.idle_gb_s, 10.0 + 50.0 + 70.0);
    // 3 requests; 60 s at the lower price; 30.143 s at the other; 300 s of being kept
    assert_eq!(policy.cost_usd.to_string(), "0.0023363263381");
    // Cloud Run: 60 s are active at the full price, and 60 idle, of 1 GiB and 0.583 vCPU; it bills 30.2 s beside
    let cost = kept("google-cloud-run-functions").cost_usd;
    assert_eq!(cost.to_string(), "0.0017262284");
    // nobody sells it there: as if each had been warm or cold on demand
    assert_eq!(kept("azure-functions").cost_usd.to_string(), "0.0014406");
}
