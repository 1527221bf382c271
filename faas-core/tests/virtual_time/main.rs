//! Compiled guests in `faas_core::testing`: the wasm that ships, in the sandbox, and not a second of real time.

use std::time::Duration;

use faas_core::{
    Body, Request,
    invocation::ErrorKind,
    testing::{Cloud, run},
};

#[path = "../sandbox/cargo.rs"]
mod cargo;
#[path = "../sandbox/rust.rs"]
mod rust;

fn cloud(guests: &[&str]) -> Cloud {
    let cloud = Cloud::builder().only([]).build();
    guests.iter().for_each(|name| cloud.deploy_module(&rust::guest(name)));
    cloud
}

fn get(target: &str) -> Request {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = target.parse().expect("a target");
    request
}

/// Twice, because the second time everything is cached, warm and in another place.
fn twice(story: impl AsyncFn() -> String) -> String {
    let first = run(story());
    assert_eq!(run(story()), first, "the same seed gives the same transcript");
    first
}

#[test]
fn guests_sleep_wait_and_expire_in_virtual_time() {
    let transcript = twice(async || {
        let cloud = cloud(&["sleep", "counter"]);
        let first = cloud.call("sleep", get("/?ms=1500")).await;
        assert!(first.is_cold() && first.took() >= Duration::from_millis(1500), "{first:?}");
        // instances have a memory of their own, and keep it as long as they are warm
        assert_eq!(cloud.get("counter").await.text(), "1");
        cloud.advance(Duration::from_secs(599)).await;
        assert_eq!(cloud.get("counter").await.text(), "2");
        cloud.advance(Duration::from_secs(3600)).await;
        assert_eq!(cloud.get("counter").await.text(), "1");
        format!("{}\n{}", cloud.transcript(), cloud.bill())
    });
    insta::assert_snapshot!(transcript);
}

#[test]
fn a_client_that_leaves_costs_the_call_only() {
    run(async {
        let cloud = cloud(&["sleep"]);
        let call = cloud.call("sleep", get("/?ms=60000"));
        cloud.advance(Duration::from_secs(1)).await;
        call.cancel();
        cloud.advance(Duration::from_secs(1)).await;
        assert!(cloud.call("sleep", get("/?ms=1")).await.is_warm(), "the instance was told, and serves on");
        assert_eq!(cloud.records()[0].end.as_str(), "cancelled");
    });
}

#[test]
fn timeouts_pass_in_virtual_time_and_a_guest_that_computes_is_stopped_all_the_same() {
    run(async {
        let cloud =
            Cloud::builder().only([]).configure(|spec| spec.timeout = Duration::from_millis(300)).build();
        ["sleep", "spin"].iter().for_each(|name| cloud.deploy_module(&rust::guest(name)));
        let slept = cloud.call("sleep", get("/?ms=600000")).await;
        assert_eq!(slept.error().map(|error| error.kind), Some(ErrorKind::TimedOut));
        let spun = cloud.get("spin").await;
        assert_eq!(spun.error().map(|error| error.kind), Some(ErrorKind::TimedOut));
        // the other functions do not mind
        assert!(cloud.call("sleep", get("/?ms=1")).await.is_cold());
    });
}
