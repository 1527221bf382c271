//! The samples of the real traces: what is told of them, and that it does not depend on threads or on the order of
//! a file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use faas_core::sim::{Options, Spread};

use crate::support::{folder, on_threads, options, run};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sim").join(name)
}

fn poisson(policies: &[&str]) -> Options {
    Options {
        spread: Spread::Poisson,
        cold_start: "431..655".parse().expect("a time"),
        ..options(policies, 0)
    }
}

#[test]
fn the_sample_of_2019_in_a_table() {
    let report =
        run(&sample("azure2019_100"), &poisson(&["fixed:10m", "fixed:1h", "random:5m-7m", "hybrid", "none"]));
    insta::assert_snapshot!(report.to_table(), @"
    trace azure-2019 · apps 100 · functions 100 · seconds 28800.0 · arrivals poisson · seed 0 · cold start ms 431..655 · billed init ms 143.0 · instance concurrency 1 · memory mib unlimited · profile aws-lambda

    policy        invocations  cold starts  cold %  app p50 %  app p75 %  idle GB-s  delay p50 ms  p99 ms  refused   dollars
    fixed:10m          339657         1012   0.298     20.000    100.000   160187.9           0.0     0.0        0  1.092484
    fixed:1h           339657          296   0.087      3.125     33.333   227753.4           0.0     0.0        0   1.09232
    random:5m-7m       339657         1607   0.473     20.000    100.000   143605.1           0.0     0.0        0  1.092623
    hybrid             339657          690   0.203      5.000     20.000   199654.9           0.0     0.0        0  1.092381
    none               339657          216   0.064      3.125     14.286   288243.3           0.0     0.0        0  1.092299

    note: without a limit on the host's memory nothing is ever evicted: none
    ");
}

#[test]
fn the_sample_of_2021_in_json_and_csv() {
    let report = run(&sample("azure2021/Azure2021_200.csv"), &options(&["fixed:1m"], 400));
    insta::assert_snapshot!(format!("{:#}", report.to_json()), @r#"
    {
      "choices": {
        "apps": 13,
        "arrivals": "as recorded",
        "billed_init_ms": 143.0,
        "cold_start_ms": "400",
        "functions": 31,
        "instance_concurrency": 1,
        "memory_mib": "unlimited",
        "profile": "aws-lambda",
        "seconds": 1260.055798055,
        "seed": 0,
        "trace": "azure-2021"
      },
      "notes": [],
      "policies": [
        {
          "app_cold_share_p50": 1.0,
          "app_cold_share_p75": 1.0,
          "app_cold_share_p99": 1.0,
          "cold_share": 0.5628140703517588,
          "cold_starts": 112,
          "cost_usd": "0.0294093260240908203125",
          "delay_ms_p50": 400.0,
          "delay_ms_p99": 400.0,
          "idle_gb_s": 1454.0363614818066,
          "instances_started": 112,
          "invocations": 199,
          "policy": "fixed:1m",
          "refused": 0,
          "rescued": 5
        }
      ]
    }
    "#);
    insta::assert_snapshot!(report.to_csv(), @"
    policy,invocations,cold_starts,cold_share,rescued,refused,instances_started,idle_gb_s,app_cold_share_p50,app_cold_share_p75,app_cold_share_p99,delay_ms_p50,delay_ms_p99,cost_usd
    fixed:1m,199,112,0.5628140703517588,5,0,112,1454.0363614818066,1.0,1.0,1.0,400.0,400.0,0.0294093260240908203125
    ");
}

#[test]
fn threads_change_nothing() {
    let report = |threads| run(&sample("azure2019_100"), &on_threads(&poisson(&["fixed:10m"]), threads));
    let one = report(1);
    assert_eq!(one, report(2));
    assert_eq!(one, report(7));
}

#[test]
fn days_follow_each_other() {
    // a trace cut in two days is the trace
    let text = fs::read_to_string(sample("azure2019_100").join("invocations.csv")).expect("a file");
    let of_day = |name: &str| fs::read_to_string(sample("azure2019_100").join(name)).expect("a file");
    let (durations, memory) = (of_day("durations.csv"), of_day("memory.csv"));
    let day = |day: u32| {
        // 240 minutes each: the first ends the first day, the second begins the second
        let lines = text.lines().enumerate().map(|(n, line)| {
            let fields: Vec<&str> = line.split(',').collect();
            let from = if day == 1 { 4 } else { 244 };
            let minutes: Vec<String> = match n {
                0 => (0..240).map(|minute| (if day == 1 { 1201 } else { 1 } + minute).to_string()).collect(),
                _ => fields[from..from + 240].iter().map(|count| (*count).to_owned()).collect(),
            };
            format!("{},{}", fields[..4].join(","), minutes.join(","))
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    let (first, second) = (day(1), day(2));
    let folder = folder(&[
        ("invocations_per_function_md.anon.d01.csv", &first),
        ("invocations_per_function_md.anon.d02.csv", &second),
        ("function_durations_percentiles.anon.d01.csv", &durations),
        ("function_durations_percentiles.anon.d02.csv", &durations),
        // the data set has no memory for its last days
        ("app_memory_percentiles.anon.d01.csv", &memory),
    ]);
    let options = poisson(&["fixed:10m"]);
    assert_eq!(run(folder.path(), &options).policies, run(&sample("azure2019_100"), &options).policies);
}

#[test]
fn rows_of_2021_may_come_in_any_order() {
    let text = fs::read_to_string(sample("azure2021/Azure2021_200.csv")).expect("a file");
    let mut lines: Vec<&str> = text.lines().collect();
    lines[1..].reverse();
    let folder = folder(&[("t.csv", &lines.join("\n"))]);
    let options = options(&["fixed:1m"], 400);
    let report = run(&folder.path().join("t.csv"), &options);
    let original = run(&sample("azure2021/Azure2021_200.csv"), &options);
    assert_eq!(report.policies, original.policies);
}

#[test]
fn a_host_with_room_for_all_is_as_good_as_one_for_each() {
    let alone =
        Options { cold_start: "400".parse().expect("a time"), ..poisson(&["fixed:10m", "hybrid", "none"]) };
    let together = Options { memory_mib: Some(1 << 40), ..alone.clone() };
    let [alone, together] = [alone, together].map(|options| run(&sample("azure2019_100"), &options).policies);
    assert_eq!(alone, together);
}

#[test]
fn policies_compare_at_equal_memory() {
    let policies = ["fixed:10m", "hybrid", "greedy-dual", "greedy-dual-size", "none"];
    let within = Options { memory_mib: Some(4096), ..poisson(&policies) };
    insta::assert_snapshot!(run(&sample("azure2019_100"), &within).to_table(), @"
    trace azure-2019 · apps 100 · functions 100 · seconds 28800.0 · arrivals poisson · seed 0 · cold start ms 431..655 · billed init ms 143.0 · instance concurrency 1 · memory mib 4096 · profile aws-lambda

    policy            invocations  cold starts  cold %  app p50 %  app p75 %  idle GB-s  delay p50 ms  p99 ms  refused   dollars
    fixed:10m              339657         4710   1.387     77.679    100.000   104649.0           0.0   339.7        0  1.093454
    hybrid                 339657         2739   0.806     46.774     93.750    99760.6           0.0     0.0        0  1.092958
    greedy-dual            339657         4861   1.431     94.316    100.000   103467.2           0.0   390.1        0  1.094062
    greedy-dual-size       339657         3447   1.015     40.206    100.000   103850.1           0.0     9.6        0  1.093428
    none                   339657         4710   1.387     77.679    100.000   104649.0           0.0   339.7        0  1.093454
    ");
}
