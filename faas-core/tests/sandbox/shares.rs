//! Guests that are held to a share of a CPU, and what happens to a guest between invocations: nothing.

use std::{sync::Arc, time::Duration};

use faas_core::{
    clock::{Clock as _, Time, VirtualClock},
    invocation::{CpuShare, ErrorKind, FunctionSpec, InvocationError, Usage},
};

use crate::support::{Host, init, poll, spec};

const PERIOD: Duration = Duration::from_millis(20);

fn held(milli_vcpus: u32, is_computed: bool) -> FunctionSpec {
    let share = CpuShare { milli_vcpus, period: PERIOD, is_computed };
    FunctionSpec { cpu_share: Some(share), ..spec() }
}

/// Computes, then replies: some tens of milliseconds.
fn computes() -> String {
    let work = "(local.set $i (i32.const 30000000))
        (loop $w (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br_if $w (local.get $i)))";
    poll(&format!("{work} (call $reply (local.get $call))"))
}

/// What the call waits for, if it does. What comes after its deadline is for the time in which it computes: it would be
/// answered then without being waited for.
fn waits_until(clock: &VirtualClock, spec: &FunctionSpec) -> Option<Time> {
    clock.next_wake().filter(|at| *at <= Time::EPOCH + spec.timeout)
}

/// Invokes once, moving time on whenever everybody waits for it, and not while the guest computes.
async fn invoke(wat: &str, spec: FunctionSpec) -> (Result<(), InvocationError>, Usage, VirtualClock) {
    let clock = VirtualClock::default();
    let host = Host::with_clock(Arc::new(clock.clone()));
    let guest = host.start(wat, spec.clone()).await.expect("starts");
    let mut call = Box::pin(guest.get());
    let replied = loop {
        tokio::select! {
            biased;
            replied = &mut call => break replied,
            () = tokio::task::yield_now() => {}
        }
        if let Some(at) = waits_until(&clock, &spec)
            && (at < Time::EPOCH + spec.timeout || spec.timeout < Duration::from_secs(5))
        {
            clock.advance(at.since(clock.now()));
        }
    };
    drop(call);
    let usage = host.seen.records.lock().last().expect("a record").usage;
    (replied.map(drop), usage, clock)
}

fn assert_fair(usage: &Usage, milli_vcpus: u32) {
    let Usage { handler_wall, handler_cpu, .. } = *usage;
    let share = f64::from(milli_vcpus) / 1e3;
    let (wall, cpu) = (handler_wall.as_secs_f64(), handler_cpu.as_secs_f64());
    let period = PERIOD.as_secs_f64();
    assert!(
        cpu <= wall * share + period * share + 1e-6,
        "{cpu} s of CPU in {wall} s, with a share of {share}"
    );
    assert!(wall <= cpu / share + period, "{wall} s for {cpu} s of CPU, with a share of {share}");
}

#[tokio::test]
async fn a_handler_takes_its_cpu_time_by_its_share() {
    for milli_vcpus in [72, 500] {
        let (replied, usage, clock) = invoke(&computes(), held(milli_vcpus, false)).await;
        replied.expect("replies");
        assert!(usage.handler_cpu > Duration::from_millis(1), "{usage:?}");
        assert_fair(&usage, milli_vcpus);
        // the clock stood still while it computed: what that took is waited for as well
        assert_eq!(usage.handler_wall, usage.injected.throttled);
        assert_eq!(clock.now().since(Time::EPOCH), usage.handler_wall, "it was waited for");
    }
    let (replied, usage, _) = invoke(&computes(), spec()).await;
    replied.expect("replies");
    assert_eq!((usage.handler_wall, usage.injected.throttled), (Duration::ZERO, Duration::ZERO));
}

#[tokio::test]
async fn what_is_computed_is_reported_and_not_waited_for() {
    let (replied, usage, clock) = invoke(&computes(), held(72, true)).await;
    replied.expect("replies");
    assert_fair(&usage, 72);
    assert_eq!(usage.handler_wall, usage.injected.throttled + usage.handler_cpu);
    assert_eq!(clock.now(), Time::EPOCH);
}

/// On a machine whose processors others have.
#[tokio::test]
async fn where_time_is_computed_what_this_machine_takes_longer_is_not_the_guests() {
    let clock = VirtualClock::default();
    let host = Host::with_clock(Arc::new(clock.clone()));
    for (wat, is_endless) in [(computes(), false), (poll("(loop $l (br $l)) (i32.const 1)"), true)] {
        // long enough for what it computes, on any machine; and no moment of the hours that pass meanwhile
        let spec =
            FunctionSpec { timeout: Duration::from_secs(if is_endless { 1 } else { 60 }), ..held(500, true) };
        let guest = host.start(&wat, spec.clone()).await.expect("starts");
        let mut call = Box::pin(guest.get());
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut call => break ended,
                () = tokio::task::yield_now() => clock.advance(Duration::from_secs(60)),
            }
        };
        let usage = host.seen.records.lock().last().expect("a record").usage;
        if is_endless {
            assert_eq!(ended.expect_err("it goes on for ever").kind, ErrorKind::TimedOut);
            assert_eq!(usage.handler_wall, spec.timeout, "{usage:?}");
            assert!(usage.handler_cpu >= spec.timeout, "time is that of computing: {usage:?}");
        } else {
            ended.expect("it has all the time that it takes");
            assert_fair(&usage, 500);
            assert!(usage.handler_wall < spec.timeout, "{usage:?}");
        }
    }
}

#[tokio::test]
async fn who_is_slowed_beyond_its_timeout_is_stopped_there() {
    for is_computed in [false, true] {
        // a thousandth of a CPU: 3 ms in three seconds
        let spec = FunctionSpec { timeout: Duration::from_secs(3), ..held(1, is_computed) };
        let (replied, usage, _) = invoke(&computes(), spec).await;
        assert_eq!(replied.expect_err("overdue").kind, ErrorKind::TimedOut);
        assert_eq!(usage.handler_wall, Duration::from_secs(3), "{is_computed}: {usage:?}");
        assert_eq!(usage.injected.throttled, usage.handler_wall);
    }
}

#[tokio::test]
async fn who_leaves_during_a_pause_has_paused_until_then() {
    let clock = VirtualClock::default();
    let host = Host::with_clock(Arc::new(clock.clone()));
    let spec = held(1, false);
    let guest = host.start(&computes(), spec.clone()).await.expect("starts");
    let mut call = Box::pin(guest.get());
    while waits_until(&clock, &spec).is_none() {
        tokio::select! {
            biased;
            replied = &mut call => panic!("it pauses for seconds: {replied:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    clock.advance(Duration::from_secs(1));
    drop(call);
    let usage = host.seen.records.lock().last().expect("a record").usage;
    assert_eq!(
        (usage.handler_wall, usage.injected.throttled),
        (Duration::from_secs(1), Duration::from_secs(1))
    );
}

#[tokio::test]
async fn init_has_a_whole_cpu() {
    let work = "(local.set $i (i32.const 30000000))
        (loop $w (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br_if $w (local.get $i))) (i32.const 0)";
    let clock = VirtualClock::default();
    let host = Host::with_clock(Arc::new(clock.clone()));
    // nobody moves time on
    let started = host.sandbox(&init(work), held(1, false)).start().await.expect("starts");
    assert!(started.init.cpu > Duration::from_millis(1), "{:?}", started.init);
    assert_eq!(started.init.wall, Duration::ZERO);
}
