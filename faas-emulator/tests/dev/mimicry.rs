//! Being as slow as a provider, by choice; limits that somebody comes near; rates.

use serde_json::Value;

use crate::support::{Dev, Project, block_on, says};

const FUNCTIONS: &str = r#"
use faas_core::function;

#[function]
async fn hello() -> &'static str {
    "hi"
}

/// Some tens of milliseconds of CPU.
fn compute() -> String {
    (0..20_000_000_u64).fold(1, |x, n| std::hint::black_box(x ^ n.wrapping_mul(31))).to_string()
}

#[function(memory = 128, timeout = "2m")]
async fn small() -> String {
    compute()
}

#[function(memory = 1769, timeout = "2m")]
async fn large() -> String {
    compute()
}

#[function(memory = 128)]
async fn hungry() -> String {
    std::hint::black_box(vec![1_u8; 110 << 20]).len().to_string()
}

faas_core::main!();
"#;

fn ms(event: &Value, of: &str) -> f64 {
    event[of].as_f64().unwrap_or_else(|| panic!("{of} is a number: {event}"))
}

fn notices(events: &[Value]) -> Vec<&str> {
    let notices = events.iter().filter(|event| event["event"] == "notice");
    notices.map(|event| event["text"].as_str().expect("text")).collect()
}

#[test]
fn starts_and_cpus_are_as_slow_as_the_providers() {
    let project = Project::new("is-slow", FUNCTIONS);
    let dev = Dev::start(project.path(), &["--no-watch", "--cold-starts", "typical", "--cpu-share", "on"]);
    let told = dev.event("notice")["text"].as_str().expect("text").to_owned();
    assert_eq!(
        told,
        "cold starts take the median of aws-lambda, 448 ms, of which 16 ms are init, and billed"
    );
    dev.event("built");
    block_on(async {
        let cold = dev.get("/hello").await;
        assert_eq!(cold.start(), "cold");
        assert!(cold.header("server-timing").contains(", injected;dur=448.000, handler;dur="), "{cold:?}");
        assert!(cold.header("faas-billed-ms").parse::<u32>().expect("whole") >= 17, "{cold:?}");
        let warm = dev.get("/hello").await;
        assert_eq!(warm.start(), "warm");
        assert!(!warm.header("server-timing").contains("injected"), "{warm:?}");
    });
    let cold = dev.event_where("invocation", |event| event["start"] == "cold");
    assert_eq!((ms(&cold, "injected_platform_ms"), ms(&cold, "injected_init_ms")), (432.0, 16.0));
    assert!(ms(&cold, "duration_ms") >= 448.0, "{cold}");
    assert_eq!(cold["origin"], "plain", "init runs at each start, as it does there");
    let report = cold["provider_log"].as_array().expect("lines").last().expect("REPORT").to_string();
    let init =
        report.split("Init Duration: ").nth(1).and_then(|rest| rest.split(' ').next()).expect("it is cold");
    assert!(init.parse::<f64>().expect("milliseconds") >= 16.0, "{report}");

    // the same work with 7 % of a CPU and with a whole one; the first of each is cold
    block_on(async {
        for path in ["/small", "/small", "/large", "/large"] {
            assert_eq!(dev.get(path).await.status, 200);
        }
    });
    let warm = |name: &str| {
        dev.event_where("invocation", |event| event["function"] == name && event["start"] == "warm")
    };
    let (small, large) = (warm("small"), warm("large"));
    assert!(ms(&small, "throttled_ms") > 0.0, "{small}");
    // no more than its share of the time it took, and what a first period gives; twice that, because what a virtual
    // machine's host takes away counts as used
    assert!(ms(&small, "cpu_ms") <= (ms(&small, "handler_ms") + 20.0) * 0.144, "{small}");
    assert!(ms(&small, "billed_ms") >= ms(&small, "handler_ms"), "{small}");
    assert_eq!(ms(&large, "throttled_ms"), 0.0, "{large}");
    dev.stop();
}

#[test]
fn every_start_is_cold_if_asked_for() {
    let project = Project::new("is-cold", FUNCTIONS);
    let dev = Dev::serve(project.path(), &["--no-watch", "--cold"]);
    block_on(async {
        for _ in 0..3 {
            assert_eq!(dev.get("/hello").await.start(), "cold");
        }
    });
    dev.stop();
}

#[test]
fn who_comes_near_a_limit_is_told_once_and_counted() {
    let project = Project::new("is-near", FUNCTIONS);
    let dev = Dev::serve(project.path(), &["--no-watch"]);
    block_on(async {
        for _ in 0..3 {
            assert_eq!(dev.get("/hungry").await.status, 200);
        }
    });
    let near =
        dev.event_where("notice", |told| told["text"].as_str().is_some_and(|t| t.contains("of its memory")));
    assert!(near["text"].as_str().is_some_and(|t| t.starts_with("`hungry` used 11")), "{near}");
    dev.interrupt();
    let (status, events, stderr) = dev.wait();
    assert!(status.success(), "{stderr}");
    assert_eq!(notices(&events), ["3 invocations of `hungry` used 80 % or more of its memory"]);
}

#[test]
fn what_comes_too_soon_is_refused_in_the_providers_words() {
    let project = Project::new("is-limited", FUNCTIONS);
    let dev = Dev::serve(project.path(), &["--no-watch", "--rate", "hello=2/h"]);
    block_on(async {
        assert_eq!(dev.get("/hello").await.status, 200);
        assert_eq!(dev.get("/hello").await.status, 200);
        let refused = dev.get("/hello").await;
        assert_eq!((refused.status.as_u16(), refused.header("faas-error")), (429, "rate_limited"));
        assert_eq!(refused.json()["Reason"], "FunctionInvocationRateLimitExceeded");
        let retry_after: u32 = refused.header("retry-after").parse().expect("seconds");
        assert!((1700..=1800).contains(&retry_after), "{retry_after}");
        assert_eq!(dev.get("/small").await.status, 200, "it is not the other's");
    });
    let refused = dev.event_where("invocation", |event| event["error"] == "rate_limited");
    let message = refused["message"].as_str().expect("a message");
    assert!(message.starts_with("the rate limit of `hello`, 2 an hour, is reached: the next"), "{message}");
    dev.interrupt();
    let (status, events, stderr) = dev.wait();
    assert!(status.success(), "{stderr}");
    let told = notices(&events);
    assert!(
        told[0].starts_with("the rate limit refused 1 invocations of `hello`: they would have cost $"),
        "{told:?}"
    );

    let project = Project::new("is-limited-too", &says("hello", "hi"));
    let dev = Dev::serve(project.path(), &["--no-watch", "--as", "cloudflare-workers-free", "--rate", "1/h"]);
    block_on(async {
        assert_eq!(dev.get("/hello").await.status, 200);
        let refused = dev.get("/hello").await;
        assert_eq!((refused.status.as_u16(), refused.text.as_str()), (429, "error code: 1015"));
    });
    dev.stop();
}
