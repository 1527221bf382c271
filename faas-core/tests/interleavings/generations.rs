//! Deployments, retirements, starts that fail and the end of it all, among calls.

use std::sync::atomic::Ordering::SeqCst;

use faas_core::{
    invocation::{ErrorKind, FunctionSpec},
    pool::Limits,
};
use shuttle::future::spawn;

use crate::bench::{Bench, Steps, in_many_orders, one_instance};

fn two_instances() -> Limits {
    Limits { max_instances: 2, ..one_instance() }
}

#[test]
fn a_deployment_loses_no_call_and_later_ones_get_it() {
    in_many_orders(
        async |bench| {
            bench.deploy_plain("f", 1);
            let calls = [(); 2].map(|()| bench.send("f"));
            let deployed = spawn({
                let bench = bench.clone();
                async move {
                    bench.deploy_plain("f", 2);
                    bench.call("f").await
                }
            });
            for call in calls {
                call.await.expect("it does not panic").expect("the swap loses nobody");
            }
            assert_eq!(
                deployed.await.expect("it does not panic"),
                Ok(2),
                "who comes after it is served by it"
            );
            bench.close().await;
        },
        two_instances(),
    );
}

#[test]
fn a_retired_function_ends_what_it_began_and_refuses_the_rest() {
    in_many_orders(
        async |bench| {
            bench.deploy_plain("f", 1);
            let calls = [(); 3].map(|()| bench.send("f"));
            assert!(bench.scheduler.retire("f"));
            assert_eq!(bench.call("f").await, Err(ErrorKind::NotFound));
            for call in calls {
                let told = call.await.expect("it does not panic");
                assert!(matches!(told, Ok(1) | Err(ErrorKind::NotFound)), "{told:?}");
            }
            assert_eq!(bench.scheduler.snapshot().instances, 0, "the last call took the instance with it");
            bench.close().await;
        },
        one_instance(),
    );
}

#[test]
fn it_can_be_back_before_its_last_call_has_ended() {
    in_many_orders(
        async |bench| {
            bench.deploy_plain("f", 1);
            let calls = [(); 2].map(|()| bench.send("f"));
            bench.scheduler.retire("f");
            bench.deploy_plain("f", 2);
            for call in calls {
                let told = call.await.expect("it does not panic");
                assert!(matches!(told, Ok(1 | 2) | Err(ErrorKind::NotFound)), "{told:?}");
            }
            assert_eq!(bench.call("f").await, Ok(2));
            bench.close().await;
        },
        one_instance(),
    );
}

#[test]
fn a_start_that_fails_is_told_to_who_waited_for_it() {
    in_many_orders(
        async |bench| {
            let sandbox = bench.steps(FunctionSpec::new("f"));
            sandbox.failing_starts.store(1, SeqCst);
            bench.deploy(sandbox);
            let mut failed = 0;
            for call in [(); 3].map(|()| bench.send("f")) {
                match call.await.expect("it does not panic") {
                    Ok(_) => {}
                    Err(ErrorKind::InitFailed) => failed += 1,
                    other => panic!("{other:?}"),
                }
            }
            assert!(failed <= 1, "one start fails one call: {failed}");
            bench.close().await;
        },
        two_instances(),
    );
}

#[test]
fn a_shutdown_waits_for_who_was_taken_and_refuses_who_comes() {
    in_many_orders(shutdown, one_instance());
}

pub(crate) async fn shutdown(bench: Bench) {
    bench.deploy_plain("f", 1);
    let calls = [(); 2].map(|()| bench.send("f"));
    shut_down(&bench).await;
    for call in calls {
        let told = call.await.expect("it does not panic");
        assert!(matches!(told, Ok(1) | Err(ErrorKind::ShuttingDown)), "{told:?}");
    }
    assert_eq!(bench.call("f").await, Err(ErrorKind::ShuttingDown));
    bench.end().await;
}

async fn shut_down(bench: &Bench) {
    bench.scheduler.shutdown().await;
    assert_eq!(bench.seen.running.load(SeqCst), 0, "nothing runs any more");
    let snapshot = bench.scheduler.snapshot();
    assert_eq!((snapshot.instances, snapshot.running), (0, 0));
}

#[test]
fn two_shutdowns_both_return() {
    in_many_orders(
        async |bench| {
            bench.deploy_plain("f", 1);
            let call = bench.send("f");
            let other = spawn({
                let bench = bench.clone();
                async move { shut_down(&bench).await }
            });
            shut_down(&bench).await;
            other.await.expect("it does not panic");
            drop(call.await);
            bench.end().await;
        },
        one_instance(),
    );
}

#[test]
fn a_shutdown_abandons_a_start_that_nobody_waits_for() {
    in_many_orders(
        async |bench| {
            let spec = FunctionSpec { min_instances: 1, ..FunctionSpec::new("f") };
            bench.deploy(Steps { never_starts: true, ..bench.steps(spec) });
            let call = bench.send("f");
            call.abort();
            bench.scheduler.shutdown().await;
            drop(call.await);
            bench.end().await;
        },
        two_instances(),
    );
}

#[test]
fn a_scheduler_that_is_dropped_serves_whom_it_took() {
    in_many_orders(
        async |bench| {
            bench.deploy_plain("f", 1);
            let calls = [(); 2].map(|()| bench.send("f"));
            bench.end_by_drop(calls).await;
        },
        one_instance(),
    );
}
