//! `faas bill`: what a session cost, while it runs and after it, for a month, under other profiles, against a baseline.

use std::{path::Path, process::Output, str::FromStr as _, time::Duration};

use rust_decimal::Decimal;
use serde_json::Value;

use crate::support::{Dev, Project, block_on, run, says};

fn bill(project: &Path, args: &[&str]) -> Output {
    run(&[&["bill"], args].concat(), project)
}

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&out(output)).expect("one object")
}

fn usd(value: &Value) -> Decimal {
    Decimal::from_str(value.as_str().expect("dollars are a string")).expect("a number")
}

#[test]
fn a_session_is_billed_while_it_runs_and_after_it() {
    let project = Project::new("is-billed", &says("hello", "hi"));
    let none = bill(project.path(), &[]);
    assert_eq!(none.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&none.stderr).contains("there is no session to bill"), "{none:?}");

    let dev = Dev::serve(project.path(), &["--no-watch"]);
    block_on(async {
        for _ in 0..3 {
            assert_eq!(dev.get("/hello").await.text, "hi");
        }
    });
    let running = json(&bill(project.path(), &["--format", "json"]));
    assert_eq!(running["functions"][0]["requests"], 3);
    let told = dev.stop();
    let ended = json(&bill(project.path(), &["--format", "json"]));
    assert_eq!(ended["functions"], running["functions"]);
    assert_eq!(
        usd(&ended["exact_usd"]).round_dp(15),
        usd(&told["total_usd"]).round_dp(15),
        "as the console has it"
    );
    let lines = ended["functions"][0]["lines"].as_array().expect("lines");
    let sum: Decimal = lines.iter().map(|line| usd(&line["exact_usd"])).sum();
    assert_eq!(sum.normalize(), usd(&ended["exact_usd"]), "the parts are the whole");

    let csv = out(&bill(project.path(), &["--format", "csv"]));
    assert!(csv.starts_with("function,meter,unit,quantity,"), "{csv}");
    assert!(csv.contains("\nhello,requests,request,3,0,"), "{csv}");
    let table = out(&bill(project.path(), &[]));
    assert!(table.contains("3 requests; nothing is taken off"), "{table}");

    let month = json(&bill(project.path(), &["--month", "--format", "json"]));
    assert!(month["scaled"].as_str().is_some_and(|how| how.starts_with("3 requests in ")), "{month}");
    let compared = json(&bill(project.path(), &["--compare", "--format", "json"]));
    let profiles = compared["profiles"].as_array().expect("a list");
    assert!(profiles.len() > 10, "{compared}");
    let totals: Vec<Decimal> = profiles.iter().map(|one| usd(&one["total_usd"])).collect();
    assert!(totals.is_sorted(), "{totals:?}");
    let aws = profiles.iter().find(|one| one["profile"] == "aws-lambda").expect("it is there");
    assert_eq!(aws["total_usd"], month["total_usd"], "one arithmetic");
    assert!(compared["servers"].as_str().is_some_and(|s| s.contains("would be idle")), "{compared}");

    // the gate: the same load costs the same; a baseline that was cheaper fails it
    out(&bill(project.path(), &["--save", "baseline.json"]));
    let same = out(&bill(project.path(), &["--check", "baseline.json"]));
    assert!(same.contains("(+0.0 %)") || same.contains("(0 %)"), "{same}");
    let file = project.path().join("baseline.json");
    let mut baseline: Value =
        serde_json::from_str(&std::fs::read_to_string(&file).expect("it is there")).expect("JSON");
    let cost = usd(&baseline["functions"]["hello"]["usd"]);
    baseline["functions"]["hello"]["usd"] = (cost / Decimal::from(2)).to_string().into();
    project.write("baseline.json", &baseline.to_string());
    let risen = bill(project.path(), &["--check", "baseline.json", "--tolerance", "50"]);
    assert_eq!(risen.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&risen.stderr).contains("rose by more than 50 %"), "{risen:?}");
    assert!(bill(project.path(), &["--check", "baseline.json", "--tolerance", "101"]).status.success());
}

#[test]
fn a_budget_stops_who_has_spent_it() {
    let project = Project::new(
        "is-capped",
        &(says("hello", "hi")
            .replace("faas_core::main", "#[function]\nasync fn other() {}\n\nfaas_core::main")),
    );
    // less than any invocation costs: the first one spends it
    let dev = Dev::serve(project.path(), &["--no-watch", "--budget", "hello=0.0000001/day"]);
    block_on(async {
        assert_eq!(dev.get("/hello").await.status, 200);
        let refused = dev.get("/hello").await;
        assert_eq!((refused.status.as_u16(), refused.header("faas-error")), (429, "budget_exceeded"));
        let message = refused.json()["message"].as_str().expect("a message").to_owned();
        assert!(message.starts_with("the budget of `hello`, $0.0000001 a day is spent"), "{message}");
        assert!(message.contains("it frees in "), "{message}");
        assert_eq!(dev.get("/other").await.status, 200, "it is not the other's");
    });
    let told = dev.event("notice");
    assert!(told["text"].as_str().is_some_and(|text| text.contains("is spent: $")), "{told}");
    dev.interrupt();
    let (status, events, stderr) = dev.wait();
    assert!(status.success(), "{stderr}");
    let refused = events.iter().find(|event| event["event"] == "notice").expect("what was refused");
    let text = refused["text"].as_str().expect("text");
    assert!(
        text.starts_with("the budget refused 1 invocations of `hello`: they would have cost $"),
        "{text}"
    );

    let warns = ["--no-watch", "--budget", "0", "--budget-warn"];
    let dev = Dev::serve(project.path(), &warns);
    block_on(async {
        assert_eq!(dev.get("/hello").await.status, 200);
        assert_eq!(dev.get("/hello").await.status, 200);
    });
    dev.event_where("notice", |told| told["text"].as_str().is_some_and(|t| t.contains("is spent: $")));
    dev.stop();
}

/// Waits until a note of this kind names the function, which no other test has.
fn until_noted(kind: &str, function: &str) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("functions/faas").join(kind);
    for _ in 0..2_400 {
        let notes = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        if notes
            .filter_map(|note| std::fs::read_to_string(note.path()).ok())
            .any(|text| text.contains(function))
        {
            return;
        }
        #[allow(clippy::disallowed_methods)] // another process is waited for, and nobody else is here
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{function} is in no note in {}", dir.display());
}

#[test]
fn who_is_killed_leaves_a_bill_and_what_was_spent() {
    // notes of former runs are still there
    let name = format!("killed_{}", std::process::id());
    let project = Project::new("killed", &says(&name, "Hello!"));
    let (budget, path) = (format!("{name}=0.0000001/day"), format!("/{name}"));
    let budget = ["--no-watch", "--budget", &budget];
    let dev = Dev::serve(project.path(), &budget);
    block_on(async { assert_eq!(dev.get(&path).await.status, 200) });
    until_noted("session", &name);
    until_noted("spent", &name);
    drop(dev); // SIGKILL

    let bill = bill(project.path(), &["--format", "json"]);
    assert!(out(&bill).contains(&name), "{bill:?}");

    let dev = Dev::serve(project.path(), &budget);
    dev.event_where("notice", |told| told["text"].as_str().is_some_and(|text| text.contains("is spent: $")));
    block_on(async { assert_eq!(dev.get(&path).await.status, 429, "today's is spent") });
}
