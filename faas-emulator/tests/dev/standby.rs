//! Instances that are kept ready: what a session pays for them, whether they are called or not.

use rust_decimal::Decimal;
use serde_json::Value;

use crate::support::{Dev, Project, block_on, run, says};

fn bill(project: &Project, args: &[&str]) -> String {
    let output = run(&[&["bill"], args].concat(), project.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(project: &Project, args: &[&str]) -> Value {
    serde_json::from_str(&bill(project, &[args, &["--format", "json"]].concat())).expect("one object")
}

fn usd(value: &Value) -> Decimal {
    value.as_str().expect("dollars are a string").parse().expect("a number")
}

fn line<'a>(lines: &'a Value, meter: &str) -> &'a Value {
    let lines = lines.as_array().expect("lines");
    lines.iter().find(|line| line["meter"] == meter).unwrap_or_else(|| panic!("no {meter} in {lines:?}"))
}

fn notice(dev: &Dev, text: &str) -> String {
    let of = |told: &Value| told["text"].as_str().is_some_and(|told| told.contains(text));
    dev.event_where("notice", of)["text"].as_str().expect("text").to_owned()
}

#[test]
fn what_is_kept_ready_is_billed_by_the_providers_rule_whether_it_is_called_or_not() {
    let project = Project::new("is-ready", &says("hello", "hi"));
    let args = ["--no-watch", "--min-instances", "hello=2", "--budget", "0.0003/day", "--budget-warn"];
    let dev = Dev::start(project.path(), &args);
    assert_eq!(
        notice(&dev, "kept ready"),
        "2 x 128 MiB are kept ready for `hello`: $0.00375 an hour, whether it is called or not"
    );
    dev.event("built");
    // five minutes at least, from the first moment on: that is more than the budget
    let spent = notice(&dev, "is spent: ");
    assert!(spent.contains("is spent: $0.00031250"), "{spent}");
    let idle = json(&project, &[]);
    assert_eq!(
        (&idle["functions"][0]["requests"], idle["exact_usd"].as_str()),
        (&0.into(), Some("0.0003125025"))
    );

    let (cost, billed_ms) = block_on(async {
        let reply = dev.get("/hello").await;
        assert_eq!((reply.status.as_u16(), reply.start()), (200, "warm"));
        (reply.header("faas-cost-usd").to_owned(), reply.header("faas-billed-ms").to_owned())
    });
    let billed_ms: Decimal = billed_ms.parse().expect("milliseconds");
    let number = |text: &str| text.parse::<Decimal>().expect("a number");
    let use_usd = billed_ms * number("0.000125") * number("0.0000097222");
    assert_eq!(number(&cost), number("0.0000002") + use_usd, "the lower price of duration");
    let told = dev.event("invocation");
    assert_eq!(usd(&told["total_usd"]), number(&cost) + number("0.0003125025"), "{told}");

    let running = json(&project, &[]);
    let told = dev.stop();
    assert_eq!(told["functions"][0]["kept_usd"], "0.0003125025");
    let ended = json(&project, &[]);
    assert_eq!(ended["functions"], running["functions"]);
    assert_eq!(usd(&ended["exact_usd"]), usd(&told["total_usd"]), "as the console has it");
    let lines = &ended["functions"][0]["lines"];
    assert_eq!(
        line(lines, "provisioned concurrency")["quantity"],
        "75",
        "two of an eighth of a GB for 300 s"
    );
    assert_eq!(usd(&line(lines, "duration on provisioned concurrency")["exact_usd"]), use_usd.normalize());
    let csv = bill(&project, &["--format", "csv"]);
    assert!(
        csv.contains("\nhello,provisioned concurrency,GB-s,75,0,0.0000041667,0.00,0.0003125025\n"),
        "{csv}"
    );
    let table = bill(&project, &[]);
    assert!(table.contains("provisioned concurrency"), "{table}");

    // a month is a month, not so many times five minutes
    let month = json(&project, &["--month"]);
    let kept = line(&month["lines"], "provisioned concurrency");
    assert_eq!((kept["quantity"].as_str(), kept["amount_usd"].as_str()), (Some("657000"), Some("2.74")));
    let compared = json(&project, &["--compare"]);
    let total = |name: &str| {
        let profiles = compared["profiles"].as_array().expect("a list");
        let one = profiles.iter().find(|one| one["profile"] == name).expect("it is there");
        usd(&one["total_usd"])
    };
    assert_eq!(total("aws-lambda"), usd(&month["total_usd"]), "one arithmetic");
    assert!(compared["unpriced"].as_str().is_some_and(|told| told.contains("vercel-fluid")), "{compared}");
    // two of 512 MiB, which is the least that Flex sells, for a month at $0.000004
    let flex = Decimal::from(730 * 3600) * number("0.000004");
    assert!(total("azure-functions-flex") >= flex.round_dp(2), "{compared}");
}

#[test]
fn where_nobody_sells_it_that_is_said() {
    let project = Project::new("is-not-sold", &says("hello", "hi"));
    let dev = Dev::start(
        project.path(),
        &["--no-watch", "--min-instances", "hello=1", "--as", "cloudflare-workers", "--rate", "hallo=1/s"],
    );
    assert_eq!(
        notice(&dev, "kept ready"),
        "1 x 128 MiB are kept ready for `hello`: no price of `cloudflare-workers` for that is known, so it is not in the bill"
    );
    dev.event("built");
    let misspelt = notice(&dev, "no function is called so");
    assert_eq!(misspelt, "--rate names `hallo`, and no function is called so: there are hello");
    assert_eq!(dev.stop()["total_usd"], "0");
}
