//! A host for guests that nobody knows: runs them with small limits, and checks what must hold of every invocation.

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
    invocation::{End, ErrorKind, FunctionSpec, Invocation, Piece, ReplyBody, RequestBody, Tally},
    pool::Lease,
    sandbox::{Instance, Sandbox, wasmer},
    transition::{Observer, Transition},
};
use http_body_util::{BodyExt as _, Full};

/// What is reported of all that runs.
#[derive(Default)]
struct Seen {
    records: AtomicUsize,
    log_bytes: AtomicUsize,
    log_lines: AtomicUsize,
}

impl Observer for Seen {
    fn observe(&self, transition: &Transition<'_>) {
        match transition {
            Transition::Finished(_) => _ = self.records.fetch_add(1, Ordering::SeqCst),
            Transition::Log(line) => {
                self.log_lines.fetch_add(1, Ordering::SeqCst);
                self.log_bytes.fetch_add(line.text.len(), Ordering::SeqCst);
            }
            _ => {}
        }
    }
}

/// A host. Made once, used for every input.
pub struct Bench {
    tokio: tokio::runtime::Runtime,
    pub(crate) runtime: Arc<wasmer::Runtime>,
    clock: SharedClock,
    seen: Arc<Seen>,
}

/// How an invocation ended.
pub type Ended = Result<(), ErrorKind>;

impl Bench {
    /// A host on a tokio runtime of its own.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a tokio runtime");
        let (clock, seen) = (SystemClock::shared(), Arc::new(Seen::default()));
        let config = wasmer::Config { seed: Some([7; 32]), ..wasmer::Config::default() };
        let runtime = tokio.block_on(async { wasmer::Runtime::new(config, clock.clone(), seen.clone()) });
        Bench { tokio, runtime: runtime.expect("a runtime"), clock, seen }
    }

    /// Two MiB, two calls at once, and hardly any time for them.
    pub(crate) fn spec() -> FunctionSpec {
        FunctionSpec {
            memory_mib: 2,
            timeout: Duration::from_millis(30),
            instance_concurrency: 2,
            max_request_bytes: 1 << 20,
            max_reply_bytes: 100_000,
            ..FunctionSpec::new("f")
        }
    }

    /// Starts an instance and gives it these bodies, all at once. Absent when it does not start.
    ///
    /// # Panics
    /// When anything does not hold that must hold whatever the guest does.
    pub(crate) fn run(&self, sandbox: &Arc<dyn Sandbox>, bodies: &[&[u8]]) -> Option<Vec<Ended>> {
        self.tokio.block_on(async {
            let log_before = self.seen.log_bytes.load(Ordering::SeqCst);
            let lines_before = self.seen.log_lines.load(Ordering::SeqCst);
            let records_before = self.seen.records.load(Ordering::SeqCst);
            let started = match sandbox.start().await {
                Ok(started) => started,
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::InitFailed, "{error}");
                    return None;
                }
            };
            let leases = Arc::<AtomicUsize>::default();
            let calls = bodies.iter().map(|body| {
                let invocation = self.invocation(body);
                let leases = leases.clone();
                let lease = Lease::new(move |_| _ = leases.fetch_add(1, Ordering::SeqCst));
                tokio::spawn(invoke(started.instance.clone(), invocation, lease))
            });
            let mut ended = Vec::new();
            for call in calls.collect::<Vec<_>>() {
                ended.push(call.await.expect("the host does not panic"));
            }
            while leases.load(Ordering::SeqCst) < bodies.len() {
                tokio::task::yield_now().await; // a cancelled call gives its instance back on another thread
            }
            let records = self.seen.records.load(Ordering::SeqCst) - records_before;
            assert_eq!(records, bodies.len(), "each is reported exactly once");
            let log = self.seen.log_bytes.load(Ordering::SeqCst) - log_before;
            let lines = self.seen.log_lines.load(Ordering::SeqCst) - lines_before;
            // 256 KiB a call and as much for init; of what is not UTF-8 each byte becomes three
            assert!(log <= 4 * (1 + bodies.len()) * (300 << 10), "{log} bytes of log");
            assert!(lines <= (1 + bodies.len()) * (260 << 10), "{lines} lines of log");
            Some(ended)
        })
    }

    fn invocation(&self, body: &[u8]) -> Invocation {
        let tally = Tally::open("id".into(), "f".into(), self.clock.clone(), self.seen.clone());
        let body = Full::new(Bytes::copy_from_slice(body)).map_err(|never| match never {});
        let request = http::Request::new(RequestBody::new(body));
        Invocation { function: "f".into(), request, force_cold: false, tally }
    }
}

/// Checks one call from its beginning to its end.
async fn invoke(instance: Arc<dyn Instance>, invocation: Invocation, lease: Lease) -> Ended {
    let spec = Bench::spec();
    let (record, body_bytes) = match instance.invoke(invocation, lease).await {
        Err(failure) => (failure.record().clone(), 0),
        Ok(reply) => match reply.response.into_body() {
            ReplyBody::Whole(bytes) => (*reply.record, bytes.len()),
            ReplyBody::Stream(mut pieces) => {
                let mut len = 0;
                loop {
                    match pieces.recv().await.expect("a stream says how it ends") {
                        Piece::Chunk(chunk) => len += chunk.len(),
                        Piece::End(record) => break (*record, len),
                    }
                }
            }
        },
    };
    let usage = record.usage;
    assert!(
        body_bytes as u64 <= spec.max_reply_bytes && usage.bytes_out <= spec.max_reply_bytes,
        "{usage:?}"
    );
    assert!(usage.bytes_in <= spec.max_request_bytes, "{usage:?}");
    assert!(usage.memory_peak_bytes <= u64::from(spec.memory_mib) << 20, "{usage:?}");
    match record.end {
        End::Failed(error) => {
            assert_ne!(error.kind, ErrorKind::Platform, "the host is never at fault: {error}");
            assert!(error.message.len() < 100_000 && error.backtrace.len() <= 32, "{error:?}");
            Err(error.kind)
        }
        _ => Ok(()),
    }
}
