//! `faas_core::testing` as its users have it: functions of this crate under virtual time.

mod events;
mod standby;

use std::time::Duration;

use faas_core::{
    Context, Error, Request, Result, function,
    invocation::{ErrorKind, Start, Usage},
    sandbox::mimic::ColdStarts,
    testing::{Chaos, Cloud},
};

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[function]
async fn hello(_: Request) -> &'static str {
    "Hello!"
}

#[function(timeout = "2m")]
async fn nap(seconds: u64, context: Context) -> Result<u64> {
    let begun = faas_core::now();
    faas_core::sleep(secs(seconds)).await;
    let slept = faas_core::now().duration_since(begun)?;
    assert_eq!(context.remaining(), Some(secs(120) - slept));
    Ok(slept.as_secs())
}

#[function]
async fn slow() {
    faas_core::sleep(secs(1)).await;
}

#[function]
async fn picky(event: Option<u32>) -> Result<u32> {
    event.ok_or_else(|| Error::client("say a number"))
}

#[faas_core::test]
async fn keeps_warm_for_ten_minutes(cloud: Cloud) {
    let first = cloud.get("hello").await;
    assert!(first.is_cold());
    assert_eq!((first.text(), first.took()), ("Hello!", Duration::from_millis(16)));
    cloud.advance(secs(599)).await;
    assert!(cloud.get("hello").await.is_warm());
    cloud.advance(secs(3600)).await;
    assert!(cloud.get("hello").await.is_cold());
    insta::assert_snapshot!(cloud.bill(), @r"
    hello: 3 invocations, 2 cold, 32 ms billed, $0.0000006666668
    aws-lambda: $0.0000006666668
    ");
    insta::assert_snapshot!(cloud.transcript(), @r"
    0:00:00.016 hello.1 started in 16 ms
    0:00:00.016 hello #1 cold: 200 after 16 ms
    0:09:59.016 hello #2 warm: 200 after 0 ms
    0:19:59.016 hello.1 stopped: Expired
    1:09:59.032 hello.1 started in 16 ms
    1:09:59.032 hello #3 cold: 200 after 16 ms
    ");
}

#[faas_core::test]
async fn functions_sleep_in_virtual_time_and_time_out_by_it(cloud: Cloud) {
    let slept = cloud.send("nap", &90u64).await;
    assert_eq!(slept.json::<u64>(), 90);
    assert_eq!(cloud.elapsed(), secs(90) + Duration::from_millis(16));
    let late = cloud.send("nap", &3600u64).await;
    assert_eq!(late.error().map(|error| error.kind), Some(ErrorKind::TimedOut));
    assert_eq!(late.took(), secs(120));
}

#[faas_core::test]
async fn an_hour_of_every_minute_is_sixty_invocations(cloud: Cloud) {
    cloud.every(secs(60), "picky");
    cloud.advance(secs(3600)).await;
    let records = cloud.records();
    assert_eq!(records.len(), 60, "what is due at the very end has run too");
    assert_eq!(records.iter().filter(|record| record.start == Some(Start::Cold)).count(), 1);
}

#[faas_core::test]
async fn a_burst_takes_an_instance_each(cloud: Cloud) {
    let answers = cloud.burst("slow", 20).await;
    assert!(answers.iter().all(|answer| answer.is_cold()));
    assert_eq!(cloud.snapshot().instances, 20);
    assert_eq!(cloud.elapsed(), Duration::from_millis(1016), "all at once, and not one after the other");
    cloud.deploy("slow");
    assert_eq!(cloud.get("slow").await.record.spec.expect("it ran").generation, 2);
}

#[faas_core::test]
async fn a_test_itself_sleeps_in_virtual_time() {
    let begun = faas_core::now();
    faas_core::sleep(secs(86_400)).await;
    assert_eq!(faas_core::now().duration_since(begun).expect("later"), secs(86_400));
}

/// What a seed makes of an hour with chaos.
fn hour(seed: u64) -> String {
    faas_core::testing::run(async {
        let chaos = Chaos {
            failed_starts_percent: 20,
            failed_calls_percent: 10,
            slow_calls_percent: 30,
            slow_by: secs(70),
        };
        let cloud = Cloud::builder().seed(seed).chaos(chaos).keep_alive(secs(30)).build();
        cloud.every(secs(45), "nap");
        cloud.every(secs(60), "hello");
        cloud.burst("hello", 10).await;
        cloud.advance(secs(3600)).await;
        cloud.transcript()
    })
}

#[test]
fn one_seed_gives_one_transcript_and_another_another() {
    let transcript = hour(7);
    assert!(transcript.contains("init_failed") && transcript.contains("no_reply"), "{transcript}");
    assert_eq!(transcript, hour(7));
    assert_ne!(transcript, hour(8));
}

#[faas_core::test]
async fn starts_are_as_slow_as_the_providers_if_asked_for() {
    let typical = Cloud::builder().cold_starts(ColdStarts::Typical).build();
    let first = typical.get("hello").await;
    let Usage { init_wall, injected, .. } = first.record.usage;
    assert_eq!((first.took(), first.record.queue), (Duration::from_millis(448), Duration::ZERO));
    assert_eq!(
        (init_wall, injected.platform.as_millis(), injected.init.as_millis()),
        (Duration::ZERO, 432, 16)
    );
    assert!(typical.get("hello").await.took().is_zero(), "it is warm");
    // the platform's part is nobody's bill
    insta::assert_snapshot!(typical.bill(), @"
    hello: 2 invocations, 1 cold, 16 ms billed, $0.0000004333334
    aws-lambda: $0.0000004333334
    ");

    let took = async |seed| {
        let cloud =
            Cloud::builder().cold_starts(ColdStarts::Real { seed }).keep_alive(Duration::ZERO).build();
        let mut took = Vec::new();
        for _ in 0..20 {
            took.push(cloud.get("hello").await.took());
        }
        took
    };
    let first = took(1).await;
    assert!(first.iter().all(|took| (448..=672).contains(&took.as_millis())), "{first:?}");
    assert!(first.windows(2).any(|pair| pair[0] != pair[1]), "{first:?}");
    assert_eq!(took(1).await, first);
    assert_ne!(took(2).await, first);
}

#[test]
#[should_panic(expected = "the test waits for ever")]
fn waiting_for_what_never_comes_is_told() {
    faas_core::testing::run(std::future::pending::<()>());
}
