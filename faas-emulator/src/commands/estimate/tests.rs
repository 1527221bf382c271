//! The command from its words to what it prints: published bills as somebody would type them, and what is refused.

use clap::Parser as _;

use rust_decimal::Decimal;

use super::*;

#[derive(Debug, clap::Parser)]
struct Command {
    #[command(flatten)]
    options: Options,
}

fn run(words: &str) -> Result<(String, Vec<String>), Error> {
    let words = ["estimate"].into_iter().chain(words.split_whitespace());
    answer(&Command::try_parse_from(words).expect("good words").options)
}

fn json(words: &str) -> serde_json::Value {
    let (text, _) = run(&format!("{words} --format json")).expect("it can be priced");
    serde_json::from_str(&text).expect("JSON")
}

fn total(words: &str) -> String {
    json(words)["total_usd"].as_str().expect("a string").to_owned()
}

#[test]
fn published_bills_come_out_to_the_cent() {
    for (usd, words) in [
        ("2.73", "--as aws-lambda --requests 3M --duration-ms 120 --memory-mb 1536"),
        ("249.49", "--as aws-lambda --requests 7440000 --duration-ms 2000 --memory-mb 1024 --no-free-tier"),
        (
            "106.41",
            "--as aws-lambda --requests 6_000_000 --duration-ms 280 --memory-mb 4096 --ephemeral-mb 2048",
        ),
        (
            "19.96",
            "--as aws-lambda --requests 2.5M --duration-ms 120 --memory-mb 1536 --provisioned 100 --provisioned-hours 8 \
             --provisioned-requests 500k --provisioned-duration-ms 100",
        ),
        (
            "263.92",
            "--as aws-lambda --requests 7.44M --duration-ms 2000 --memory-mb 1024 --no-free-tier --snapstart-days 31 \
             --restores 74400",
        ),
        // a tier of duration, and its requests at $0.20 a million
        ("101200.20", "--as aws-lambda --requests 6B --duration-ms 1000 --memory-mb 1024 --no-free-tier"),
        ("238000.20", "--as aws-lambda --requests 15B --duration-ms 1000 --memory-mb 1024 --no-free-tier"),
        ("8.00", "--as cloudflare-workers --requests 15M --duration-ms 300 --cpu-ms 7 --memory-mb 128"),
        ("5.00", "--as cloudflare-workers --requests 15M --static-requests 12M --cpu-ms 7"),
        ("6.99", "--as cloudflare-workers --requests 720 --cpu-ms 180000"),
        ("35.60", "--as cloudflare-workers --queue-messages 30M --no-plan"),
        ("239.60", "--as cloudflare-workers --queue-messages 100M --queue-message-kb 127 --no-plan"),
        ("14.85", "--as cloudflare-workers --storage-gb 1000 --no-plan"),
        ("66.00", "--as azure-functions --requests 3M --duration-ms 1000 --memory-mb 1536"),
        (
            "1.93",
            "--as azure-flex --requests 144k --duration-ms 1000 --memory-mb 2048 --concurrency 4 --no-free-tier",
        ),
        ("7.20", "--as gcf-gen1 --requests 10M --duration-ms 300 --memory-mb 128"),
        ("7.20", "--as gcf-gen1 --requests 10M --duration-ms 260 --memory-mb 128"),
        ("0.15", "--as vercel-fluid --requests 1 --duration-ms 3600000 --cpu-ms 3600000 --memory-mb 2048"),
    ] {
        assert_eq!(total(words), usd, "{words}");
    }
    let flex = json("--as azure-flex --requests 144k --duration-ms 1000 --concurrency 4 --no-free-tier");
    assert_eq!(flex["exact_usd"], "1.9296");
}

#[test]
fn time_is_rounded_for_each_request() {
    let lambda =
        |ms: &str| total(&format!("--requests 100M --duration-ms {ms} --memory-mb 1024 --no-free-tier"));
    assert_eq!(lambda("120.5"), lambda("121"));
    // init and handler are one sum
    let cold = total(
        "--requests 1M --duration-ms 10.4 --memory-mb 1024 --cold-starts 1M --init-ms 15.3 --no-free-tier",
    );
    assert_eq!(cold, total("--requests 1M --duration-ms 26 --memory-mb 1024 --no-free-tier"));
}

#[test]
fn arm_is_a_profile_and_an_architecture() {
    let words = "--requests 100M --duration-ms 100 --memory-mb 1024";
    let arm = total(&format!("--as aws-lambda-arm {words}"));
    assert_eq!(arm, total(&format!("--as aws-lambda --arch arm64 {words}")));
    assert_eq!(arm, "147.80");
    insta::assert_snapshot!(run("--as vercel --arch arm --requests 1 --duration-ms 1").expect_err("none"), @"`vercel-fluid` has no variant for Arm: leave out --arch");
}

#[test]
fn people_get_a_table() {
    let (text, notices) =
        run("--requests 3M --duration-ms 120 --memory-mb 1536 --egress-gb 150").expect("priced");
    insta::assert_snapshot!(text, @r"
    aws-lambda: AWS Lambda, x86_64, US East (N. Virginia)

                 billed   included           $ each           $
    requests  2,000,000  1,000,000  request  0.0000002     0.40
    duration    140,000    400,000  GB-s     0.0000166667  2.33
    egress           50        100  GB       0.09 *        4.50
    total                                                  7.23

    * unverified: recalled from AWS's price lists and logs, not looked up
    ");
    assert!(notices.is_empty(), "{notices:?}");
    insta::assert_snapshot!(
        run("--as cloudflare-workers --requests 15M --cpu-ms 7 --storage-gb 12.5 --rows-read 30B").expect("priced").0,
        @r"
    cloudflare-workers: Cloudflare Workers, paid plan

                         billed        included            $ each           $
    plan                      1                  month     5             5.00
    requests          5,000,000      10,000,000  request   0.0000003     1.50
    CPU time         75,000,000      30,000,000  CPU ms    0.00000002    1.50
    D1 rows read  5,000,000,000  25,000,000,000  row       0.000000001   5.00
    R2 storage                3              10  GB-month  0.015         0.05
    total                                                               13.05
    "
    );
}

#[test]
fn programs_get_json() {
    insta::assert_json_snapshot!(json("--requests 3M --duration-ms 120 --memory-mb 1536"), @r#"
    {
      "exact_usd": "2.733338",
      "lines": [
        {
          "amount_usd": "0.40",
          "exact_usd": "0.4",
          "included": "1000000",
          "meter": "requests",
          "quantity": "2000000",
          "source": "aws.amazon.com/lambda/pricing, as of 2026",
          "unit": "request",
          "unit_price_usd": "0.0000002",
          "verified": true
        },
        {
          "amount_usd": "2.33",
          "exact_usd": "2.333338",
          "included": "400000",
          "meter": "duration",
          "quantity": "140000",
          "source": "aws.amazon.com/lambda/pricing, as of 2026",
          "unit": "GB-s",
          "unit_price_usd": "0.0000166667",
          "verified": true
        }
      ],
      "notices": [],
      "profile": "aws-lambda",
      "title": "AWS Lambda, x86_64, US East (N. Virginia)",
      "total_usd": "2.73"
    }
    "#);
}

#[test]
fn profiles_are_compared_with_servers() {
    let (text, notices) =
        run("--compare --requests 20M --duration-ms 200 --cpu-ms 5 --memory-mb 512 --peak-rps 50")
            .expect("priced");
    insta::assert_snapshot!(format!("{text}\n{}", notices.join("\n")), @r"
                                     $ a month      servers pay from
    cloudflare-workers-free               0.00
    fastly-compute                        5.00  207,990,000 requests
    cloudflare-workers                    9.40  361,483,334 requests
    aws-lambda-arm                       25.13   98,825,000 requests
    azure-functions                      29.40   84,775,000 requests
    aws-lambda                           30.47   81,888,845 requests
    google-cloud-run-functions           38.95   67,612,500 requests
    vercel-fluid                         39.12   74,658,334 requests
    google-cloud-run-functions-gen1      41.20   66,578,125 requests
    deno-deploy                          60.28   54,097,500 requests
    own *                               146.00
    azure-functions-flex                265.30   11,096,539 requests

    * a price in it is unverified: `faas profiles NAME` says which

    `cloudflare-workers-free` does not allow 512 MiB of memory: 128 at most
    `cloudflare-workers-free` does not allow 666667 requests a day: 100000 at most
    `fastly-compute` does not allow 512 MiB of memory: 128 at most
    `cloudflare-workers` does not allow 512 MiB of memory: 128 at most
    `vercel-fluid` does not allow 512 MiB of memory: 2048 at least
    `own`: 2 of 2 vCPUs and 4096 MiB for 50 requests a second at the peak
    ");
}

#[test]
fn servers_that_pay_are_those_that_are_enough() {
    let pay_from = |words: &str| {
        let compared = json(&format!("--compare --requests 15M {words}"));
        let mut all = compared["profiles"].as_array().expect("profiles").iter();
        let aws = all.find(|one| one["profile"] == "aws-lambda").expect("aws-lambda");
        aws["break_even_requests"].as_str().map(str::to_owned)
    };
    // who computes all the time fills a server before it costs as much
    assert_eq!(pay_from("--duration-ms 123.4 --memory-mb 512"), None);
    for words in [
        "--duration-ms 123.4 --memory-mb 512 --cpu-ms 10",
        "--duration-ms 1000 --memory-mb 1024 --cpu-ms 100",
        "--duration-ms 40 --memory-mb 2048 --cpu-ms 30",
    ] {
        let pay_from = pay_from(words).expect("servers pay at some time");
        let cost = |profile: &str, requests: &str| -> Decimal {
            total(&format!("--as {profile} --requests {requests} {words}")).parse().expect("dollars")
        };
        assert!(cost("aws-lambda", &pay_from) >= cost("own", &pay_from), "{words}: {pay_from}");
        let one_less = (pay_from.parse::<u64>().expect("a number") - 1).to_string();
        assert!(cost("aws-lambda", &one_less) < cost("own", &one_less), "{words}: {one_less}");
    }
}

#[test]
fn no_requests_cost_nothing_but_the_plan() {
    assert_eq!(total("--requests 0 --duration-ms 5 --memory-mb 128"), "0.00");
    assert_eq!(total("--as cloudflare-workers --requests 0"), "5.00");
    insta::assert_snapshot!(run("--requests 0").expect("priced").0, @"
    aws-lambda: AWS Lambda, x86_64, US East (N. Virginia)

           billed  included    $ each     $
    total                              0.00
    ");
}

#[test]
fn what_cannot_be_counted_exactly_is_not_priced() {
    let told = |words: &str| run(words).expect_err(words).to_string();
    let long = "--duration-ms 900000 --memory-mb 10240";
    assert_eq!(total(&format!("--requests 1000B {long} --no-free-tier")), "120000834999.20");
    insta::assert_snapshot!(
        [
            told(&format!("--requests 10000B {long}")),
            told("--as cloudflare-workers --requests 1000000000B --cpu-ms 300000"),
            told("--requests 1 --duration-ms 100000000000000"),
            told("--requests 1 --duration-ms 1 --egress-gb 99999999999999999"),
            told("--compare --requests 10000B --duration-ms 900000 --memory-mb 10240"),
        ]
        .join("\n"),
        @"
    this is more than can be counted exactly under `aws-lambda`: state a tenth of the requests, or less, and take the answer ten times
    this is more than can be counted exactly under `cloudflare-workers`: state a tenth of the requests, or less, and take the answer ten times
    100000000000000 is too large to be counted exactly
    99999999999999999 is too large to be counted exactly
    this is more than can be counted exactly under `cloudflare-workers-free`: state a tenth of the requests, or less, and take the answer ten times
    "
    );
}

#[test]
fn what_cannot_be_is_refused() {
    let told = |words: &str| run(words).expect_err(words).to_string();
    insta::assert_snapshot!(
        [
            told("--requests 5 --duration-ms 1 --cold-starts 6 --init-ms 1"),
            told("--requests 5 --duration-ms 1 --memory-mb 0"),
            told("--requests 5 --duration-ms 1 --vcpus 0"),
            told("--provisioned 1 --provisioned-hours 745"),
            told("--snapstart-days 31.5"),
        ]
        .join("\n"),
        @"
    6 of 5 requests cannot start an instance: --requests counts those too
    --memory-mb 0 is no memory: leave it out for the profile's default
    --vcpus 0 is no CPU: leave it out for the profile's
    --provisioned-hours 745 is more than a month has: 744 at most
    --snapstart-days 31.5 is more than a month has: 31 at most
    "
    );
}

#[test]
fn what_is_not_stated_is_asked_for() {
    let told = |words: &str| run(words).expect_err(words).to_string();
    insta::assert_snapshot!(
        [
            told("--as aws-lambda"),
            told("--as aws-lambda --requests 1M"),
            told("--as cloudflare-workers --requests 1M"),
            told("--as own --requests 1M --cpu-ms 3"),
            told("--requests 5 --static-requests 6 --duration-ms 1"),
            told("--as vercel --use KV=1"),
            told("--compare"),
        ]
        .join("\n"),
        @r"
    there is nothing to price: state --requests with --duration-ms and --memory-mb, or what services do
    `aws-lambda` bills the time that requests take: say how long one takes with --duration-ms
    `cloudflare-workers` bills the time that requests take: say how long one takes with --cpu-ms
    `own` bills the time that requests take: say how long one takes with --duration-ms
    6 of 5 requests cannot be for static assets: --requests counts those too
    `vercel-fluid` has no meter `KV`: choose one of active CPU, provisioned memory, invocations
    there is nothing to compare: state --requests and --duration-ms
    "
    );
    let notices = run("--as cloudflare-workers-free --requests 30M --duration-ms 20 --ephemeral-mb 600")
        .expect("priced")
        .1;
    insta::assert_snapshot!(notices.join("\n"), @r"
    `cloudflare-workers-free` bills CPU time, which is not given: all of the duration counts as such
    `cloudflare-workers-free` has no price for ephemeral storage: left out
    `cloudflare-workers-free` does not allow 1000000 requests a day: 100000 at most
    ");
}
