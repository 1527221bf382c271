//! Events that nobody waits for, and functions that the clock calls: hours of them.

use faas_core::{
    Error, Request, Result,
    delivery::{self, Rules},
    function,
    invocation::{End, ErrorKind, Start},
    policy::{FixedTtl, Scheduled},
    pool::Limits,
    testing::{Cloud, START},
};
use serde::Deserialize;

use super::secs;

/// Fails until it is asked for the attempt with this number.
#[function]
async fn flaky(request: Request) -> Result<String> {
    let attempt = request.headers()["faas-attempt"].to_str()?.to_owned();
    assert_eq!(request.headers()["faas-invocation"], "async");
    let succeeds_at: u32 = serde_json::from_slice(&request.into_body().bytes().await?)?;
    if attempt.parse::<u32>()? < succeeds_at { Err(Error::new("not yet")) } else { Ok(attempt) }
}

#[derive(Deserialize)]
struct Firing {
    schedule: String,
    time: String,
}

#[function(schedule = "*/5 * * * *")]
async fn sweep(firing: Firing) -> Result<String> {
    assert_eq!(firing.schedule, "*/5 * * * *");
    Ok(firing.time)
}

#[faas_core::test]
async fn an_event_is_retried_as_aws_does_it(cloud: Cloud) {
    let id = cloud.enqueue("flaky", &3).await.expect("there is room");
    assert_eq!(cloud.events().len(), 1, "accepted, and delivered later");
    cloud.advance(secs(200)).await;
    assert!(cloud.events().is_empty());
    insta::assert_snapshot!(cloud.transcript(), @r"
    0:00:00.000 flaky #1 accepted: async
    0:00:00.016 flaky.1 started in 16 ms
    0:00:00.016 flaky #1 cold: 500 after 16 ms
    0:00:00.016 flaky #1 again in 1 min after attempt 1: the function returned an error
    0:01:00.016 flaky #1 warm: 500 after 0 ms
    0:01:00.016 flaky #1 again in 2 min after attempt 2: the function returned an error
    0:03:00.016 flaky #1 warm: 200 after 0 ms
    0:03:00.016 flaky #1 delivered in attempt 3
    ");
    let records = cloud.records();
    assert!(records.iter().all(|record| record.id == id), "one event, one id");
    assert_eq!(records[0].usage.event_bytes, Some(1));
}

#[faas_core::test]
async fn what_cannot_be_delivered_is_a_dead_letter_and_can_be_put_back(cloud: Cloud) {
    let id = cloud.enqueue("flaky", &u32::MAX).await.expect("there is room");
    cloud.enqueue("flaky", &"no number").await.expect("there is room");
    cloud.advance(secs(3600)).await;
    let dead = cloud.events();
    assert_eq!(dead.len(), 2);
    assert_eq!((&dead[0].id, dead[0].status.failures), (&id, 3));
    assert!(dead.iter().all(|event| event.status.dead.is_some_and(|at| at < START + secs(200))));
    insta::assert_snapshot!(dead[0].status.error.as_deref().expect("why"), @"all 3 attempts failed; the last time: the function returned an error");

    assert_eq!(cloud.redrive().await, Ok(2));
    assert!(cloud.events().iter().all(|event| event.status.dead.is_none()));
    cloud.advance(secs(3600)).await;
    assert_eq!(cloud.records().len(), 12, "all over again");
    assert_eq!(cloud.events().len(), 2);
}

#[faas_core::test]
async fn who_asks_the_impossible_is_not_asked_again(cloud: Cloud) {
    // the event is at fault, not the function: `picky` says 400 to what is no number
    cloud.enqueue("picky", &"seven").await.expect("there is room");
    cloud.advance(secs(3600)).await;
    assert_eq!(cloud.records().len(), 1);
    insta::assert_snapshot!(cloud.events()[0].status.error.as_deref().expect("why"), @"the function replied 400 Bad Request");
}

#[faas_core::test]
async fn throttled_events_come_back_until_there_is_room() {
    let limits = Limits { max_running: Some(1), max_queued: 0, ..Limits::LAPTOP };
    let cloud = Cloud::builder().limits(limits).build();
    for _ in 0..20 {
        cloud.enqueue("nap", &50).await.expect("there is room");
    }
    cloud.advance(secs(4 * 3600)).await;
    assert!(cloud.events().is_empty(), "each has been delivered");
    let (served, throttled): (Vec<_>, Vec<_>) =
        cloud.records().into_iter().partition(|record| matches!(record.end, End::Replied { .. }));
    assert_eq!(served.len(), 20);
    assert!(throttled.iter().all(|r| matches!(&r.end, End::Failed(e) if e.kind == ErrorKind::Throttled)));
    assert!(throttled.len() > 20, "throttling uses up no attempts");
}

#[faas_core::test]
async fn what_is_too_old_is_given_up() {
    let aws = faas_core::profile::Profile::named("aws-lambda").expect("built in").delivery_rules();
    let rules = Rules { max_age: secs(90), ..aws };
    let cloud = Cloud::builder().delivery(rules).build();
    cloud.enqueue("flaky", &u32::MAX).await.expect("there is room");
    cloud.enqueue("nobody", &()).await.expect("there is room");
    cloud.advance(secs(89)).await;
    cloud.advance(secs(2)).await;
    let why: Vec<_> = cloud.events().into_iter().filter_map(|event| event.status.error).collect();
    insta::assert_snapshot!(why.join("\n"), @r"
    it would be older than 90 s; the last time: the function returned an error
    it would be older than 90 s; the last time: no function `nobody` is deployed: check the name, or deploy it first
    ");
}

#[faas_core::test]
async fn beyond_what_may_wait_events_are_refused() {
    let limits = delivery::Limits { max_events: 2, ..delivery::Limits::default() };
    let cloud = Cloud::builder().delivery_limits(limits).build();
    for _ in 0..2 {
        cloud.enqueue("nap", &1).await.expect("there is room");
    }
    let refused = cloud.enqueue("nap", &1).await.expect_err("there is none").to_string();
    insta::assert_snapshot!(refused, @"no more events are taken: 2 of 2 bytes wait to be delivered, and 2 of 268435456 bytes may; send again when some are");
    cloud.advance(secs(60)).await;
    cloud.enqueue("nap", &1).await.expect("there is room again");
}

#[faas_core::test]
async fn an_hour_of_cron(cloud: Cloud) {
    cloud.start_schedules();
    cloud.advance(secs(3600)).await;
    let records = cloud.records();
    assert_eq!(records.len(), 12);
    for (n, record) in (1..).zip(&records) {
        assert_eq!(record.arrived, START + secs(n * 300));
        assert!(matches!(record.end, End::Replied { status, .. } if status == 200), "{record:?}");
    }
    assert_eq!(records.iter().filter(|record| record.start == Some(Start::Cold)).count(), 1);
}

#[faas_core::test]
async fn who_knows_the_schedule_is_warm_before_the_clock_strikes() {
    let policy = Scheduled::new(FixedTtl(secs(10)), secs(5));
    let cloud = Cloud::builder().policy(policy).only(["sweep"]).build();
    cloud.start_schedules();
    cloud.advance(secs(3600)).await;
    let records = cloud.records();
    assert_eq!(records.len(), 12);
    assert!(records.iter().all(|record| record.start == Some(Start::Warm)));
    let transcript = cloud.transcript();
    let first: Vec<&str> = transcript.lines().take(4).collect();
    insta::assert_snapshot!(first.join("\n"), @r"
    0:04:55.000 sweep.1 is being started ahead
    0:04:55.016 sweep.1 started in 16 ms
    0:05:00.000 sweep #1 accepted: schedule
    0:05:00.000 sweep #1 warm: 200 after 0 ms
    ");
}

#[faas_core::test]
async fn a_large_event_is_billed_as_several_requests(cloud: Cloud) {
    // with its quotes a byte more than the 256 KiB that are one request
    cloud.enqueue("hello", &"x".repeat((256 << 10) - 1)).await.expect("there is room");
    cloud.advance(secs(1)).await;
    insta::assert_snapshot!(cloud.bill(), @r"
    hello: 1 invocations, 1 cold, 16 ms billed, $0.0000004333334
    aws-lambda: $0.0000004333334
    ");
}
