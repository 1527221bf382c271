//! Calls that come at once, wait for each other, and are dropped: whoever runs has its place to itself, and gives it back
//! however it ends.

use faas_core::{
    invocation::{ErrorKind, FunctionSpec},
    pool::Limits,
};
use shuttle::future::spawn;
use std::{future::poll_fn, sync::atomic::Ordering::SeqCst, task::Poll};

use crate::bench::{Bench, in_many_orders, one_instance, pause};

#[test]
fn an_instance_serves_one_call_at_a_time() {
    in_many_orders(
        async |bench| {
            bench.deploy_plain("f", 1);
            for call in [(); 3].map(|()| bench.send("f")) {
                assert_eq!(call.await.expect("it does not panic"), Ok(1));
            }
            assert_eq!(bench.seen.starts.load(SeqCst), 1, "it is the same instance");
            bench.close().await;
        },
        one_instance(),
    );
}

#[test]
fn an_instance_with_two_places_serves_two_and_no_third() {
    in_many_orders(
        async |bench| {
            bench.deploy(bench.steps(FunctionSpec { instance_concurrency: 2, ..FunctionSpec::new("f") }));
            for call in [(); 4].map(|()| bench.send("f")) {
                call.await.expect("it does not panic").expect("all get their turn");
            }
            assert_eq!(bench.seen.starts.load(SeqCst), 1);
            bench.close().await;
        },
        one_instance(),
    );
}

#[test]
fn a_call_that_is_dropped_anywhere_leaves_its_place_to_the_next() {
    in_many_orders(dropped_anywhere, one_instance());
}

/// It waits for a start, or in the queue; the grant is on its way, or there and not taken; or it runs.
pub(crate) async fn dropped_anywhere(bench: Bench) {
    bench.deploy_plain("f", 1);
    let [first, second, third] = [(); 3].map(|()| bench.send("f"));
    let impatience = second.abort_handle();
    let impatient = spawn(async move {
        pause().await;
        impatience.abort();
    });
    assert_eq!(first.await.expect("it does not panic"), Ok(1));
    assert_eq!(third.await.expect("it does not panic"), Ok(1));
    impatient.await.expect("it does not panic");
    if let Ok(told) = second.await {
        assert_eq!(told, Ok(1), "it was too late to stop it");
    }
    if !bench.has_run("#1") {
        assert_eq!(
            bench.seen.starts.load(SeqCst),
            1,
            "nobody ran in what it gave back: it is as good as it was"
        );
    }
    bench.close().await;
}

#[test]
fn a_call_that_is_dropped_leaves_the_queue_at_once() {
    in_many_orders(
        async |bench| {
            bench.deploy_plain("f", 1);
            let first = bench.send("f");
            let mut second = Box::pin(bench.call("f"));
            let polled = poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx))).await;
            drop(second);
            let snapshot = bench.scheduler.snapshot();
            let f = snapshot.function("f").expect("it is deployed");
            assert!(f.pending + f.queued <= 1, "none but the first can still wait: {f:?}, {polled:?}");
            assert_eq!(first.await.expect("it does not panic"), Ok(1));
            bench.close().await;
        },
        one_instance(),
    );
}

#[test]
fn a_start_goes_on_when_nobody_waits_for_it_any_more() {
    in_many_orders(
        async |bench| {
            bench.deploy_plain("f", 1);
            let calls = [bench.send("f"), spawn(bench.call_as("f", true))];
            calls.iter().for_each(|call| call.abort());
            for call in calls {
                drop(call.await);
            }
            // a cancelled call that ran has condemned its instance, any other has left it to who comes now
            bench.close().await;
        },
        Limits { max_instances: 2, ..one_instance() },
    );
}

#[test]
fn a_trap_costs_the_instance_and_no_other_call() {
    in_many_orders(
        async |bench| {
            let sandbox = bench.steps(FunctionSpec { instance_concurrency: 2, ..FunctionSpec::new("f") });
            sandbox.traps.store(1, SeqCst);
            bench.deploy(sandbox);
            let mut trapped = 0;
            for call in [(); 3].map(|()| bench.send("f")) {
                match call.await.expect("it does not panic") {
                    Ok(1) => {}
                    Err(ErrorKind::Trap) => trapped += 1,
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(trapped, 1);
            bench.close().await;
        },
        one_instance(),
    );
}

#[test]
fn two_functions_take_turns_in_room_for_one() {
    in_many_orders(
        async |bench| {
            bench.deploy_plain("f", 1);
            bench.deploy_plain("g", 1);
            for call in ["f", "g", "f"].map(|name| bench.send(name)) {
                assert_eq!(call.await.expect("it does not panic"), Ok(1));
            }
            bench.close().await;
        },
        one_instance(),
    );
}

#[test]
fn who_finds_the_queue_full_is_told_and_nobody_else_is() {
    in_many_orders(
        async |bench| {
            bench.deploy_plain("f", 1);
            let mut served = 0;
            for call in [(); 3].map(|()| bench.send("f")) {
                match call.await.expect("it does not panic") {
                    Ok(1) => served += 1,
                    Err(ErrorKind::Throttled) => {}
                    other => panic!("{other:?}"),
                }
            }
            assert!(served >= 1, "the first to come at least");
            bench.close().await;
        },
        Limits { max_queued: 0, ..one_instance() },
    );
}
