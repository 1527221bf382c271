//! What is billed, held against what the kernel says of the thread that a guest ran on.
//!
//! From inside, because only here a guest can be polled on the test's own thread.

use std::{
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};

use super::{
    instance::{Event, PendingCall, WasmInstance},
    watchdog::Bounds,
    *,
};
use crate::{
    clock::SystemClock,
    invocation::{Origin, RequestBody},
    transition::Unobserved,
};

/// Computes for a tenth of a second in every tenth invocation, and not at all in the others. No reply: nobody asks.
const EVERY_TENTH: &str = r#"(module
    (@custom "faas.manifest" "{\"abi\":1,\"name\":\"f\",\"handler\":\"f\",\"kind\":\"http\"}\n")
    (memory (export "memory") 1)
    (global $count (mut i32) (i32.const 0))
    (func (export "faas_v1_init") (result i32) (i32.const 0))
    (func (export "faas_v1_poll") (param i32) (result i32) (local $left i32)
        (global.set $count (i32.add (global.get $count) (i32.const 1)))
        (if (i32.rem_u (global.get $count) (i32.const 10)) (then (return (i32.const 1))))
        (local.set $left (i32.const 100000000))
        (loop $on
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br_if $on (local.get $left)))
        (i32.const 1))
    (func (export "faas_v1_cancel") (param i32)))"#;

/// User and system time of the calling thread.
fn thread_usage() -> Duration {
    // as of now: left alone, the kernel counts at its ticks, of which some have 4 ms between them
    let _ = cpu::thread_time();
    // SAFETY: all zeros is a valid value of this plain structure, and a valid place for the result.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage), 0);
        usage
    };
    let time = |time: libc::timeval| {
        let part = |part: i64| u64::try_from(part).expect("not negative");
        Duration::from_secs(part(time.tv_sec)) + Duration::from_micros(part(time.tv_usec))
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

fn function(config: Config, clock: SharedClock, pages: u32) -> Arc<Function> {
    let runtime = Runtime::new(config, clock, Arc::new(Unobserved)).expect("a runtime");
    let wat = EVERY_TENTH
        .replace(r#"(memory (export "memory") 1)"#, &format!(r#"(memory (export "memory") {pages})"#));
    let wasm = wat::parse_str(wat).expect("valid WAT");
    let module = runtime.load(&wasm, Tier::Fast).expect("a module");
    Arc::new(Function::new(&module, Arc::new(FunctionSpec::new("f")), Vec::new()))
}

/// A function that has its image, and whose guests have one thread to compute on, which is held until the sender is dropped.
#[cfg(target_os = "linux")]
async fn held(pages: u32) -> (Arc<Function>, std::sync::mpsc::Sender<()>) {
    let config = Config { max_compute_threads: Some(NonZeroUsize::MIN), ..Config::default() };
    let function = function(config, SystemClock::shared(), pages);
    let first = WasmSandbox(function.clone()).start().await.expect("starts");
    assert_eq!(first.init.origin, Origin::Plain);
    let (release, held) = std::sync::mpsc::channel::<()>();
    function.runtime.compute.spawn(function.places.take_now(), move || held.recv());
    (function, release)
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn copies_that_take_long_are_made_on_threads_that_may_be_held() {
    let (function, release) = held(1).await;
    let sandbox = WasmSandbox(function.clone());
    let once = &mut Context::from_waker(Waker::noop());
    let Poll::Ready(copy) = sandbox.start().as_mut().poll(once) else {
        panic!("it is on the thread that asks")
    };
    // kept, so that it is none that another would begin as
    let copy = copy.expect("starts");
    assert_eq!(copy.init.origin, Origin::Snapshot);
    function.copy_habit.observe(Duration::from_millis(5));
    let mut start = sandbox.start();
    assert!(start.as_mut().poll(once).is_pending(), "it waits for the thread");
    drop(release);
    assert_eq!(start.await.expect("starts").init.origin, Origin::Snapshot);
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn much_memory_is_cleared_on_threads_that_may_be_held() {
    for (pages, is_at_once) in [(16, true), (512, false)] {
        let (function, release) = held(pages).await;
        let copy = WasmSandbox(function.clone()).start().await.expect("starts");
        assert_eq!(copy.init.origin, Origin::Snapshot);
        drop(copy);
        assert_eq!(function.spare.lock().len(), usize::from(is_at_once), "{pages} pages");
        drop(release);
        while function.spare.lock().is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn cpu_time_is_what_getrusage_says() {
    let clock = SystemClock::shared();
    let function = function(Config::default(), clock.clone(), 1);
    let (guest, ..) = function.start_plainly().expect("starts");
    let instance = WasmInstance::new(function.clone(), guest);
    let bounds = Bounds { deadline: clock.now() + Duration::from_secs(60), cpu_left: None };
    for n in 1..=40 {
        let body = RequestBody::new(Empty::<Bytes>::new().map_err(|never| match never {}));
        let request = http::Request::new(body);
        let (used, billed) = instance.with(|guest| {
            let call = PendingCall { id: "id".into(), request, deadline: bounds.deadline };
            let number = instance.begin(guest, call).expect("begins");
            let before = thread_usage();
            let step = instance.step(guest, number, Waker::noop(), bounds);
            let used = thread_usage() - before;
            assert!(matches!(step.event, Event::Done { .. }), "invocation {n}");
            (used, step.used.cpu)
        });
        if n % 10 == 0 {
            assert!(used > Duration::from_millis(10), "{used:?}: it computes");
            let off = used.abs_diff(billed);
            assert!(off < used / 20, "{billed:?} billed of {used:?}");
        }
    }
}
