//! Time that moves while calls come and go: what is due is done, once, and takes nothing from who was quicker.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use faas_core::{invocation::ErrorKind, pool::Limits};
use shuttle::future::spawn;

use crate::bench::{Bench, KEEP_ALIVE, MAX_WAIT, in_many_orders, one_instance, pause};

#[test]
fn an_instance_that_expires_while_a_call_comes_serves_it_or_is_replaced() {
    in_many_orders(
        async |bench| {
            bench.deploy_plain("f", 1);
            assert_eq!(bench.call("f").await, Ok(1));
            let call = bench.send("f");
            bench.clock.advance(KEEP_ALIVE);
            assert_eq!(call.await.expect("it does not panic"), Ok(1));
            assert!(bench.seen.starts.load(SeqCst) <= 2);
            bench.close().await;
        },
        one_instance(),
    );
}

#[test]
fn an_idle_instance_expires_whenever_the_clock_moves() {
    in_many_orders(expires, one_instance());
}

/// The clock moves once, and as far as it must, before or after the timer task has learnt of the deadline; and then again.
pub(crate) async fn expires(bench: Bench) {
    bench.deploy_plain("f", 1);
    for _ in 0..2 {
        assert_eq!(bench.call("f").await, Ok(1));
        bench.clock.advance(KEEP_ALIVE);
        while bench.scheduler.snapshot().instances > 0 {
            shuttle::future::yield_now().await;
        }
    }
    bench.close().await;
}

#[test]
fn who_has_waited_too_long_is_refused_or_served_and_not_both() {
    in_many_orders(
        async |bench| {
            bench.deploy_plain("f", 1);
            let calls = [(); 3].map(|()| bench.send("f"));
            let weather = spawn({
                let clock = bench.clock.clone();
                async move {
                    pause().await;
                    clock.advance(MAX_WAIT);
                    pause().await;
                    clock.advance(MAX_WAIT);
                }
            });
            let mut served = 0;
            for call in calls {
                match call.await.expect("it does not panic") {
                    Ok(1) => served += 1,
                    Err(ErrorKind::Throttled) => {}
                    other => panic!("{other:?}"),
                }
            }
            weather.await.expect("it does not panic");
            assert!(served >= 1, "who waits for a start does not wait for capacity");
            bench.close().await;
        },
        one_instance(),
    );
}

#[test]
fn a_start_ahead_serves_the_call_that_it_was_for_or_goes() {
    in_many_orders(
        async |bench| {
            bench.deploy_plain("f", 1);
            let knock = spawn({
                let scheduler = bench.scheduler.clone();
                async move { scheduler.prewarm_for("f", Duration::from_secs(5)) }
            });
            let call = bench.send("f");
            bench.clock.advance(Duration::from_secs(5));
            assert_eq!(call.await.expect("it does not panic"), Ok(1));
            knock.await.expect("it does not panic");
            bench.close().await;
        },
        Limits { max_instances: 2, ..one_instance() },
    );
}
