//! Runs one function of one module, without a scheduler.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use faas_core::{
    clock::{SharedClock, SystemClock},
    invocation::{
        BoxError, ErrorKind, Failure, FunctionSpec, Invocation, InvocationError, Piece, Record, ReplyBody,
        RequestBody, Tally,
    },
    pool::Lease,
    sandbox::{Instance, Sandbox, wasmer},
    transition::{LogLevel, Observer, SharedObserver, Transition},
};
use http_body_util::{BodyExt as _, Full};
use parking_lot::Mutex;

/// Keeps records and log lines.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) records: Mutex<Vec<Record>>,
    pub(crate) lines: Mutex<Vec<(LogLevel, String)>>,
}

impl Observer for Seen {
    fn observe(&self, transition: &Transition<'_>) {
        match transition {
            Transition::Finished(record) => self.records.lock().push((*record).clone()),
            Transition::Log(line) => self.lines.lock().push((line.level, line.text.clone())),
            _ => {}
        }
    }
}

pub(crate) struct Host {
    pub(crate) runtime: Arc<wasmer::Runtime>,
    pub(crate) clock: SharedClock,
    pub(crate) seen: Arc<Seen>,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::with_config(wasmer::Config { seed: Some([7; 32]), ..wasmer::Config::default() })
    }

    pub(crate) fn with_config(config: wasmer::Config) -> Self {
        Self::with(config, SystemClock::shared())
    }

    pub(crate) fn with_starts(starts: wasmer::Starts) -> Self {
        Self::with_config(wasmer::Config { starts, ..wasmer::Config::default() })
    }

    pub(crate) fn with_clock(clock: SharedClock) -> Self {
        Self::with(wasmer::Config::default(), clock)
    }

    fn with(config: wasmer::Config, clock: SharedClock) -> Self {
        let seen = Arc::new(Seen::default());
        let runtime = wasmer::Runtime::new(config, clock.clone(), seen.clone()).expect("a runtime");
        Host { runtime, clock, seen }
    }

    /// The function of a module in WAT, in a sandbox of `spec`. The fast tier: these tests check behaviour.
    pub(crate) fn sandbox(&self, wat: &str, spec: FunctionSpec) -> Arc<dyn Sandbox> {
        let wasm = wat::parse_str(wat).expect("valid WAT");
        let module = self.runtime.load(&wasm, wasmer::Tier::Fast).expect("a module of this ABI");
        module.sandbox(Arc::new(spec), vec![("GREETING".into(), "hello".into())])
    }

    pub(crate) async fn start(&self, wat: &str, spec: FunctionSpec) -> Result<Function<'_>, InvocationError> {
        let started = self.sandbox(wat, spec.clone()).start().await?;
        Ok(self.function(spec, started.instance))
    }

    pub(crate) fn function(&self, spec: FunctionSpec, instance: Arc<dyn Instance>) -> Function<'_> {
        Function {
            host: self,
            spec: Arc::new(spec),
            instance,
            released: Arc::default(),
            condemned: Arc::default(),
        }
    }

    /// Starts the function, invokes it once with an empty body, and gives its whole reply.
    pub(crate) async fn run(
        &self,
        wat: &str,
        spec: FunctionSpec,
    ) -> Result<(http::StatusCode, Bytes), InvocationError> {
        self.start(wat, spec).await?.get().await
    }
}

/// A started instance.
pub(crate) struct Function<'h> {
    host: &'h Host,
    spec: Arc<FunctionSpec>,
    instance: Arc<dyn Instance>,
    released: Arc<AtomicUsize>,
    condemned: Arc<AtomicUsize>,
}

impl Function<'_> {
    pub(crate) fn invocation(&self, body: RequestBody) -> Invocation {
        let observer: SharedObserver = self.host.seen.clone();
        let tally = Tally::open("id".into(), self.spec.name.clone(), self.host.clock.clone(), observer);
        let request = http::Request::new(body);
        Invocation { function: self.spec.name.clone(), request, force_cold: false, tally }
    }

    pub(crate) fn lease(&self) -> Lease {
        let (released, condemned) = (self.released.clone(), self.condemned.clone());
        Lease::new(move |healthy| {
            (if healthy { &released } else { &condemned }).fetch_add(1, Ordering::SeqCst);
        })
    }

    pub(crate) async fn invoke(&self, body: RequestBody) -> Result<faas_core::invocation::Reply, Failure> {
        self.instance.clone().invoke(self.invocation(body), self.lease()).await
    }

    pub(crate) async fn get(&self) -> Result<(http::StatusCode, Bytes), InvocationError> {
        self.send(Bytes::new()).await
    }

    pub(crate) async fn send(
        &self,
        body: impl Into<Bytes>,
    ) -> Result<(http::StatusCode, Bytes), InvocationError> {
        let reply = self.invoke(whole(body)).await.map_err(|failure| failure.error().clone())?;
        let status = reply.response.status();
        let mut bytes = Vec::new();
        match reply.response.into_body() {
            ReplyBody::Whole(whole) => return Ok((status, whole)),
            ReplyBody::Stream(mut pieces) => {
                while let Some(piece) = pieces.recv().await {
                    match piece {
                        Piece::Chunk(chunk) => bytes.extend_from_slice(&chunk),
                        Piece::End(record) => {
                            if let faas_core::invocation::End::Failed(error) = record.end {
                                return Err(error);
                            }
                        }
                    }
                }
            }
        }
        Ok((status, bytes.into()))
    }

    /// How many leases came back healthy, and how many condemned the instance.
    pub(crate) fn leases(&self) -> (usize, usize) {
        (self.released.load(Ordering::SeqCst), self.condemned.load(Ordering::SeqCst))
    }

    /// Waits until `n` leases have come back.
    pub(crate) async fn leases_back(&self, n: usize) -> (usize, usize) {
        loop {
            let (released, condemned) = self.leases();
            if released + condemned >= n {
                return (released, condemned);
            }
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) fn whole(body: impl Into<Bytes>) -> RequestBody {
    RequestBody::new(Full::new(body.into()).map_err(|never| match never {}))
}

/// A body that fails at its first frame.
pub(crate) fn broken(error: &'static str) -> RequestBody {
    struct Broken(&'static str);
    impl http_body::Body for Broken {
        type Data = Bytes;
        type Error = BoxError;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
            std::task::Poll::Ready(Some(Err(self.0.into())))
        }
    }
    RequestBody::new(Broken(error))
}

pub(crate) fn spec() -> FunctionSpec {
    FunctionSpec { memory_mib: 16, timeout: Duration::from_secs(20), ..FunctionSpec::new("f") }
}

pub(crate) fn spec_with_timeout(timeout_ms: u64) -> FunctionSpec {
    FunctionSpec { timeout: Duration::from_millis(timeout_ms), ..spec() }
}

#[track_caller]
pub(crate) fn assert_failed(
    result: Result<(http::StatusCode, Bytes), InvocationError>,
    kind: ErrorKind,
    message: &str,
) {
    let error = result.expect_err("it must fail");
    assert_eq!((error.kind, error.message.as_str()), (kind, message));
}

/// A module around `body`, which defines `$poll` and may use the imports below, a 64 KiB page of memory, and at
/// address 0 the head of an empty 200 reply, at 16 the text `hello`.
pub(crate) fn module(body: &str) -> String {
    format!(
        r#"(module
            (@custom "faas.manifest" "{{\"abi\":1,\"name\":\"f\",\"handler\":\"f\",\"kind\":\"http\"}}\n")
            (import "faas_v1" "request_head" (func $request_head (param i32 i32 i32) (result i32)))
            (import "faas_v1" "body_read" (func $body_read (param i32 i32 i32) (result i32)))
            (import "faas_v1" "response_head" (func $response_head (param i32 i32 i32) (result i32)))
            (import "faas_v1" "body_write" (func $body_write (param i32 i32 i32) (result i32)))
            (import "faas_v1" "wake" (func $wake (param i32)))
            (import "faas_v1" "op_begin" (func $op_begin (param i32 i32 i32 i32) (result i32)))
            (import "faas_v1" "op_take" (func $op_take (param i32 i32 i32) (result i32)))
            (import "faas_v1" "op_close" (func $op_close (param i32)))
            (import "faas_v1" "log" (func $log (param i32 i32 i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "clock_time_get"
                (func $clock_time_get (param i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "poll_oneoff"
                (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\c8\00\00\00\00\00\00")
            (data (i32.const 16) "hello")
            {body}
            (func $reply (param $call i32) (result i32)
                (drop (call $response_head (local.get $call) (i32.const 0) (i32.const 7)))
                (drop (call $body_write (local.get $call) (i32.const 16) (i32.const 5)))
                (i32.const 1))
            {init}
            (func (export "faas_v1_cancel") (param i32))
            (export "faas_v1_poll" (func $poll)))"#,
        init = if body.contains("faas_v1_init") {
            ""
        } else {
            r#"(func (export "faas_v1_init") (result i32) (i32.const 0))"#
        }
    )
}

/// A module whose `init` is `code`, and which replies.
pub(crate) fn init(code: &str) -> String {
    module(&format!(
        r#"(func (export "faas_v1_init") (result i32) (local $i i32) {code})
           (func $poll (param $call i32) (result i32) (call $reply (local.get $call)))"#
    ))
}

/// The module with more memory to begin with: `pages` of 64 KiB.
pub(crate) fn with_pages(wat: &str, pages: u32) -> String {
    let one = r#"(memory (export "memory") 1)"#;
    assert!(wat.contains(one));
    wat.replace(one, &format!(r#"(memory (export "memory") {pages})"#))
}

/// Bytes as the text of a data segment.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}

/// A module whose `poll` is `code`; `(local.get $call)` is the call's number.
pub(crate) fn poll(code: &str) -> String {
    module(&format!("(func $poll (param $call i32) (result i32) (local $i i32) {code})"))
}
