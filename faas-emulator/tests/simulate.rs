//! `faas simulate`, end to end: the command on the sample of a real trace.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../faas-core/tests/sim/azure2019_100")
}

fn simulate(trace: &Path, args: &[&str]) -> Output {
    let mut faas = Command::new(env!("CARGO_BIN_EXE_faas"));
    faas.arg("simulate").arg(trace).args(args).output().expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn policies_stand_side_by_side_in_json_and_in_a_plot() {
    let folder = tempfile::tempdir().expect("a folder");
    let plot = folder.path().join("plot.svg");
    let plot_name = plot.to_str().expect("text");
    let args = ["--policy", "fixed:10m", "--policy", "hybrid", "--format", "json", "--plot", plot_name];
    let output = simulate(&sample(), &args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "", "no bar where nobody looks");
    let json: Value = serde_json::from_slice(&output.stdout).expect("one object");
    let policies = json["policies"].as_array().expect("a list");
    assert_eq!(policies.iter().map(|p| &p["policy"]).collect::<Vec<_>>(), ["fixed:10m", "hybrid"]);
    for policy in policies {
        assert_eq!(policy["invocations"], 339_657, "the trace has so many");
        for name in ["cold_starts", "idle_gb_s", "app_cold_share_p50", "app_cold_share_p75"] {
            assert!(policy[name].as_f64().is_some_and(|value| value > 0.0), "{name} in {policy}");
        }
    }
    let share = |n: usize| policies[n]["app_cold_share_p75"].as_f64().expect("a number");
    assert!(share(1) < share(0), "hybrid spares most apps");
    let svg = std::fs::read_to_string(&plot).expect("a plot");
    assert!(svg.starts_with("<svg") && svg.contains("fixed:10m") && svg.contains("hybrid"), "{svg}");

    // by app, hybrid is the lower point; in an SVG, down is larger
    let height = |svg: &str, policy: &str| {
        let before = svg.split(&format!("\n{policy}\n")).next().expect("a piece");
        let y = before.rsplit(" y=\"").next().and_then(|rest| rest.split('"').next()).expect("a place");
        y.parse::<i32>().expect("a number")
    };
    let is_lower = |svg: &str| height(svg, "hybrid") > height(svg, "fixed:10m");
    let by_app = [&args[..], &["--plot-share", "p75"]].concat();
    assert!(simulate(&sample(), &by_app).status.success());
    let svg_by_app = std::fs::read_to_string(&plot).expect("a plot");
    assert!(svg_by_app.contains("third-quartile app"), "{svg_by_app}");
    assert!(is_lower(&svg_by_app) && is_lower(&svg), "{svg_by_app}");
}

#[test]
fn the_choices_are_printed_with_the_table() {
    let args = ["--policy", "none", "--arrivals", "burst", "--seed", "7", "--as", "cloudflare-workers"];
    let output = simulate(&sample(), &args);
    let table = text(&output.stdout);
    assert!(table.contains("arrivals burst · seed 7"), "{table}");
    assert!(table.contains("note: traces have no CPU time"), "{table}");
}

#[test]
fn what_is_kept_ready_is_paid_for_under_a_profile_of_ones_own_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let mine = folder.path().join("mine.toml");
    let aws = Path::new(env!("CARGO_MANIFEST_DIR")).join("../faas-core/src/profile/aws-lambda.toml");
    std::fs::copy(aws, &mine).expect("it can be copied");
    let mine = mine.to_str().expect("text");
    let cost = |args: &[&str]| {
        let output = simulate(&sample(), &[&["--policy", "fixed:10m", "--format", "json"], args].concat());
        let json: Value = serde_json::from_slice(&output.stdout).expect("one object");
        let policy = &json["policies"][0];
        let usd: f64 = policy["cost_usd"].as_str().expect("text").parse().expect("a number");
        (usd, policy["cold_starts"].as_u64().expect("a number"))
    };
    let (without, kept) = (cost(&["--as", mine]), cost(&["--as", mine, "--min-instances", "1"]));
    assert!(kept.0 > without.0 && kept.1 < without.1, "dearer, and warmer: {without:?}, {kept:?}");
    assert_eq!(cost(&["--as", "aws-lambda"]), without);
    let args = ["--policy", "none", "--as", "cloudflare-workers", "--min-instances", "1"];
    let table = text(&simulate(&sample(), &args).stdout);
    assert!(table.contains("min instances 1"), "{table}");
    assert!(
        table.contains("note: no price of `cloudflare-workers` for instances that are kept ready"),
        "{table}"
    );
}

#[test]
fn what_is_wrong_is_told_before_the_work() {
    let told = |trace: &Path, args: &[&str]| {
        let output = simulate(trace, args);
        assert_eq!(output.status.code(), Some(2));
        text(&output.stderr)
    };
    insta::assert_snapshot!(told(&sample(), &["--policy", "lru"]), @r"
    error: invalid value 'lru' for '--policy <POLICY>': no policy `lru`: there is none of that name
    There are: fixed:TIME (such as fixed:10m), random:TIME-TIME (random:5m-7m), none, hybrid, greedy-dual, greedy-dual-size.

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(told(&sample(), &["--policy", "none", "--plot", "plot.txt"]), @r"
    error: plot.txt is no name of a plot
    It ends in .svg.
    ");
    insta::assert_snapshot!(told(&sample(), &["--policy", "none", "--arrivals", "odd"]), @r"
    error: invalid value 'odd' for '--arrivals <SPREAD>': `odd` is none of poisson, even and burst

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(
        told(Path::new("nowhere"), &["--policy", "none"]),
        @"error: nowhere: cannot be read: No such file or directory (os error 2)"
    );
}
