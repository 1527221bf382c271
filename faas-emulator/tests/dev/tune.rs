//! `faas tune`: a real function with each memory, and what follows.

use serde_json::Value;

use crate::support::{Project, run};

const FUNCTIONS: &str = r#"
use faas_core::function;

/// How long one round of computing takes when nobody else has the processor: the quickest of some.
fn round(memory: &[u8]) -> std::time::Duration {
    let compute = || {
        let began = std::time::Instant::now();
        for n in 0..50_000_u64 {
            std::hint::black_box((memory, n));
        }
        began.elapsed()
    };
    (0..32).map(|_| compute()).min().unwrap_or_default()
}

/// Needs some MiB, and computes for so many milliseconds of CPU time, whatever else the machine does.
#[function(timeout = "3s")]
async fn work((mib, ms): (usize, u64)) -> usize {
    let memory = std::hint::black_box(vec![1_u8; mib << 20]);
    let rounds = u128::from(ms) * 1_000_000 / round(&memory).as_nanos().max(1);
    for n in 0..50_000 * rounds as u64 {
        std::hint::black_box((&memory, n));
    }
    memory.len()
}

faas_core::main!();
"#;

fn json(project: &Project, args: &[&str]) -> Value {
    let output = run(&[&["tune", "work", "--format", "json"], args].concat(), project.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one object")
}

#[test]
fn a_function_is_tried_with_each_memory() {
    // to fill its memory may take long on a slow machine, and 14 times as long with the least of a CPU
    let project = Project::new("is-tuned", &FUNCTIONS.replace("3s", "60s"));
    project.write("events.jsonl", "[150, 1]\n[140, 1]\n");
    let plot = project.path().join("plot.svg");
    let plot = plot.to_str().expect("text");
    let args = ["--data", "@events.jsonl", "--requests", "4", "--plot", plot];
    let tuned = json(&project, &args);
    let memories = tuned["memories"].as_array().expect("a list");
    let of = |key: &str| memories.iter().map(|one| one[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("memory_mib"), [128, 256, 512, 1024, 1769, 3538]);
    assert_eq!(of("is_enough"), [false, true, true, true, true, true], "{tuned}");
    assert_eq!(memories[0]["error"], "out_of_memory");
    let reason = memories[0]["reason"].as_str().expect("text");
    assert!(reason.starts_with("would be killed at 128 MiB because it had "), "{reason}");
    for one in &memories[1..] {
        assert_eq!(one["requests"], 4, "{one}");
        assert!(one["memory_peak_bytes"].as_u64().is_some_and(|bytes| bytes > 150 << 20), "{one}");
    }
    let cheapest = tuned["cheapest_mib"].as_u64().expect("one is enough");
    assert!((256..=3538).contains(&cheapest), "{tuned}");
    assert!(std::fs::read_to_string(plot).expect("it is drawn").contains("256 MiB"));

    let args = ["tune", "work", "--data", "[1, 1]", "--requests", "1", "--memory-mb", "128,128"];
    let table = run(&args, project.path());
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert_eq!(table.matches("the cheapest, the fastest for its price").count(), 1, "once each: {table}");
    assert!(table.contains("computed from the CPU time, and not waited for"), "{table}");
}

#[test]
fn who_has_too_little_of_a_cpu_runs_into_the_timeout() {
    let project = Project::new("is-overdue", FUNCTIONS);
    // 0.8 s of computing are 11 with 7 % of a CPU; in the middle between what is too little here and too much there
    let args = ["--data", "[1, 800]", "--requests", "1", "--memory-mb", "128,1769"];
    let tuned = json(&project, &args);
    assert_eq!(tuned["memories"][0]["error"], "timed_out", "{tuned}");
    let reason = tuned["memories"][0]["reason"].as_str().expect("text");
    assert!(reason.starts_with("would be killed at 128 MiB because its time was up after 3"), "{reason}");
    assert_eq!(tuned["cheapest_mib"], 1769, "{tuned}");
}

#[test]
fn what_cannot_be_tuned_is_told() {
    let project = Project::new("is-no-tune", FUNCTIONS);
    let told = |args: &[&str]| {
        let output = run(&[&["tune"], args].concat(), project.path());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, stderr) = told(&["play"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("there is no function `play`\nThere are: work."), "{stderr}");
    let (code, stderr) = told(&["work", "--memory-mb", "64"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("64 MiB of memory; 128 to 10240 may be had under `aws-lambda`"), "{stderr}");
    let (code, stderr) = told(&["work", "--plot", "plot.png"]);
    assert_eq!(code, Some(2), "{stderr}");
    // null is no event of its
    let output = run(&["tune", "work", "--memory-mb", "128", "--requests", "1"], project.path());
    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(stdout.contains("fails at 128 MiB: it replied 400 Bad Request"), "{stdout}");
}
