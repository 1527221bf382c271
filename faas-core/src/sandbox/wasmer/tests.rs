//! What is billed, held against what the kernel says of the thread that a guest ran on.
//!
//! From inside, because only here a guest can be polled on the test's own thread.

use std::task::Waker;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};

use super::{
    instance::{Event, PendingCall, WasmInstance},
    watchdog::Bounds,
    *,
};
use crate::{clock::SystemClock, invocation::RequestBody, transition::Unobserved};

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

#[tokio::test]
async fn cpu_time_is_what_getrusage_says() {
    let clock = SystemClock::shared();
    let runtime = Runtime::new(Config::default(), clock.clone(), Arc::new(Unobserved)).expect("a runtime");
    let wasm = wat::parse_str(EVERY_TENTH).expect("valid WAT");
    let module = runtime.load(&wasm, Tier::Fast).expect("a module");
    let function = Arc::new(Function {
        compiled: module.compiled.clone(),
        runtime: runtime.clone(),
        spec: Arc::new(FunctionSpec::new("f")),
        environment: Vec::new(),
        limits: calls::Limits { max_request_bytes: 0, max_reply_bytes: 0 },
        habit: placement::Habit::new(Pace::Real),
        init_habit: placement::Habit::new(Pace::Real),
        image: OnceLock::new(),
        spare: Mutex::default(),
    });
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
