//! The item that flows: an [`Invocation`] goes down the stack, a [`Reply`] comes back, and a [`Record`] of what
//! it used is reported exactly once, whatever becomes of it.
//!
//! The [`Tally`] travels with the invocation. Whoever ends the invocation calls [`Tally::finish`]; a tally that
//! is dropped unfinished (the client left, a future was cancelled) reports itself as [`End::Cancelled`].
//! So billing and the console cannot miss an invocation, and none is reported twice.

mod spec;
mod start;

pub use spec::{CpuShare, FunctionSpec};
pub use start::{Init, Injected, Origin, Start};

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

use crate::{
    clock::{SharedClock, Time},
    transition::{SharedObserver, Transition},
};

/// An error of unknown type, as tower and hyper pass them.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body on its way to a function.
pub type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// One invocation, on its way down.
#[derive(Debug)]
pub struct Invocation {
    /// The function to run.
    pub function: Arc<str>,
    /// What it is asked.
    pub request: http::Request<RequestBody>,
    /// Start a fresh instance for it even if a warm one is idle.
    pub force_cold: bool,
    /// What it has used so far.
    pub tally: Tally,
}

/// Whose doing an error is. Billing and status codes depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The function's code.
    Function,
    /// Whoever sent the request.
    Client,
    /// A limit on how much may run at once.
    Throttled,
    /// The host.
    Platform,
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The function panicked.
    Panic,
    /// The guest trapped: a wild pointer, an unreachable, a division by zero.
    Trap,
    /// The guest's stack overflowed.
    StackOverflow,
    /// The guest could not get the memory that it wanted.
    OutOfMemory,
    /// The wall-clock limit passed.
    TimedOut,
    /// The CPU limit passed.
    CpuExceeded,
    /// The guest called `exit`.
    Exited,
    /// Another invocation, served by the same instance at the same time, took the instance down.
    InstanceLost,
    /// The guest ended the call, or waits for nothing, without having replied.
    NoReply,
    /// The guest's reply was not one.
    BadReply,
    /// The reply's body is over its limit.
    ReplyTooLarge,
    /// The instance could not be started, or its init failed.
    InitFailed,
    /// The request's body is over its limit.
    RequestTooLarge,
    /// The client left, or its body broke off.
    ClientGone,
    /// No capacity, and no room to wait for some.
    Throttled,
    /// The same, where it is what is reserved for the function that is in use.
    ReservedThrottled,
    /// It came too soon after others: see [`rate`](crate::rate).
    RateLimited,
    /// There have been as many today as the provider's plan has: see [`rate`](crate::rate).
    DailyCap,
    /// What the function may cost is spent.
    BudgetExceeded,
    /// The function has been called too often in one chain of calls.
    LoopDetected,
    /// No function of that name is deployed.
    NotFound,
    /// The host is shutting down.
    ShuttingDown,
    /// The host failed.
    Platform,
}

impl ErrorKind {
    /// Whose doing it is.
    pub fn fault(self) -> Fault {
        match self {
            ErrorKind::RequestTooLarge | ErrorKind::ClientGone | ErrorKind::NotFound => Fault::Client,
            ErrorKind::Throttled
            | ErrorKind::ReservedThrottled
            | ErrorKind::RateLimited
            | ErrorKind::DailyCap
            | ErrorKind::BudgetExceeded => Fault::Throttled,
            ErrorKind::ShuttingDown | ErrorKind::Platform => Fault::Platform,
            _ => Fault::Function,
        }
    }

    /// A stable name for machines: `timed_out`.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Panic => "panic",
            ErrorKind::Trap => "trap",
            ErrorKind::StackOverflow => "stack_overflow",
            ErrorKind::OutOfMemory => "out_of_memory",
            ErrorKind::TimedOut => "timed_out",
            ErrorKind::CpuExceeded => "cpu_exceeded",
            ErrorKind::Exited => "exited",
            ErrorKind::InstanceLost => "instance_lost",
            ErrorKind::NoReply => "no_reply",
            ErrorKind::BadReply => "bad_reply",
            ErrorKind::ReplyTooLarge => "reply_too_large",
            ErrorKind::InitFailed => "init_failed",
            ErrorKind::RequestTooLarge => "request_too_large",
            ErrorKind::ClientGone => "client_gone",
            ErrorKind::Throttled | ErrorKind::ReservedThrottled => "throttled",
            ErrorKind::RateLimited => "rate_limited",
            ErrorKind::DailyCap => "daily_cap",
            ErrorKind::BudgetExceeded => "budget_exceeded",
            ErrorKind::LoopDetected => "loop_detected",
            ErrorKind::NotFound => "not_found",
            ErrorKind::ShuttingDown => "shutting_down",
            ErrorKind::Platform => "platform",
        }
    }
}

/// Why an invocation has no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvocationError {
    /// What went wrong.
    pub kind: ErrorKind,
    /// What happened and what to do, for a person. One line, no secrets of the host.
    pub message: String,
    /// The guest's stack, innermost frame first, where there is one.
    pub backtrace: Vec<String>,
}

impl InvocationError {
    /// An error without a backtrace.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        InvocationError { kind, message: message.into(), backtrace: Vec::new() }
    }
}

impl fmt::Display for InvocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for InvocationError {}

/// An invocation that failed: its record, which ends in [`End::Failed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(Box<Record>);

impl Failure {
    /// Why it failed.
    pub fn error(&self) -> &InvocationError {
        match &self.0.end {
            End::Failed(error) => error,
            End::Replied { .. } | End::Cancelled => unreachable!("made by Tally::fail alone"),
        }
    }

    /// What became of the invocation.
    pub fn record(&self) -> &Record {
        &self.0
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error().fmt(f)
    }
}

impl std::error::Error for Failure {}

/// What an invocation used: the quantities that some provider bills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// What the instance was made from; absent for a warm start.
    pub origin: Option<Origin>,
    /// Wall time of start and init; zero for a warm start.
    pub init_wall: Duration,
    /// CPU time of the guest's init; zero for a warm start, and when init did not run.
    pub init_cpu: Duration,
    /// Wall time from the first poll of the call to its end.
    pub handler_wall: Duration,
    /// CPU time of the call's polls.
    pub handler_cpu: Duration,
    /// The most memory the instance has had, in bytes.
    pub memory_peak_bytes: u64,
    /// Request body bytes that the guest read.
    pub bytes_in: u64,
    /// Reply body bytes that the guest wrote.
    pub bytes_out: u64,
    /// Bytes of log that the guest wrote, those that were dropped included.
    pub log_bytes: u64,
    /// What was added to it all, to be as slow as a provider.
    pub injected: Injected,
    /// Whether its instance is one that its function must have: see [`FunctionSpec::min_instances`].
    pub is_provisioned: bool,
    /// The size of the event that it was to deliver; absent when somebody waited for the reply.
    pub event_bytes: Option<u64>,
}

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The function replied with this status.
    Replied {
        /// The reply's status.
        status: http::StatusCode,
        /// Whether the function returned an error.
        is_fault: bool,
    },
    /// It failed.
    Failed(InvocationError),
    /// Nobody waited for it any more.
    Cancelled,
}

impl End {
    /// The reply's status, the name of the error's kind, or `cancelled`.
    pub fn as_str(&self) -> &str {
        match self {
            End::Replied { status, .. } => status.as_str(),
            End::Failed(error) => error.kind.as_str(),
            End::Cancelled => "cancelled",
        }
    }
}

/// What became of an invocation. Each invocation has exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The invocation's id.
    pub id: Arc<str>,
    /// The function's name.
    pub function: Arc<str>,
    /// The generation that ran, and its settings; absent when nothing ran.
    pub spec: Option<Arc<FunctionSpec>>,
    /// Whether the instance was cold or warm; absent when it got none.
    pub start: Option<Start>,
    /// Which instance served it: a number that no other of its scheduler's has; absent when it got none.
    pub instance: Option<u64>,
    /// When the invocation arrived.
    pub arrived: Time,
    /// When it ended.
    pub ended: Time,
    /// How long it waited for capacity.
    pub queue: Duration,
    /// What it used.
    pub usage: Usage,
    /// How it ended.
    pub end: End,
}

/// Counts what one invocation uses and reports it exactly once: at [`Tally::finish`] or, failing that, on drop.
pub struct Tally {
    // taken by `finish`, so that drop knows
    open: Option<Open>,
}

struct Open {
    record: Box<Record>,
    clock: SharedClock,
    observer: SharedObserver,
}

impl Tally {
    /// Opens the account of an invocation that arrives now.
    pub fn open(id: Arc<str>, function: Arc<str>, clock: SharedClock, observer: SharedObserver) -> Self {
        let now = clock.now();
        let record = Box::new(Record {
            id,
            function,
            spec: None,
            start: None,
            instance: None,
            arrived: now,
            ended: now,
            queue: Duration::ZERO,
            usage: Usage::default(),
            end: End::Cancelled,
        });
        Tally { open: Some(Open { record, clock, observer }) }
    }

    /// What is known so far. (A finished tally is consumed, so there always is something.)
    pub fn record(&self) -> &Record {
        &self.open.as_ref().expect("only finish() takes it, and finish() takes self").record
    }

    fn record_mut(&mut self) -> &mut Record {
        &mut self.open.as_mut().expect("only finish() takes it, and finish() takes self").record
    }

    /// Notes that the invocation has an instance of `spec`, cold or warm, after waiting for `queue`.
    pub fn started(&mut self, spec: Arc<FunctionSpec>, start: Start, queue: Duration) {
        let record = self.record_mut();
        (record.spec, record.start, record.queue) = (Some(spec), Some(start), queue);
    }

    /// Notes which instance serves it.
    pub fn served_by(&mut self, instance: u64) {
        self.record_mut().instance = Some(instance);
    }

    /// Notes what has been used so far, so that a cancelled invocation is billed too.
    pub fn used(&mut self, update: impl FnOnce(&mut Usage)) {
        update(&mut self.record_mut().usage);
    }

    /// Closes the account of an invocation that failed, and reports it.
    pub fn fail(self, error: InvocationError) -> Failure {
        Failure(self.finish(End::Failed(error)))
    }

    /// Closes the account, reports it to the observer and returns it.
    pub fn finish(mut self, end: End) -> Box<Record> {
        let Open { mut record, clock, observer } =
            self.open.take().expect("only finish() takes it, and finish() takes self");
        record.end = end;
        record.ended = clock.now();
        observer.observe(&Transition::Finished(&record));
        record
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if self.open.is_some() {
            let this = Tally { open: self.open.take() };
            this.finish(End::Cancelled);
        }
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tally").field(&self.open.as_ref().map(|o| &o.record)).finish()
    }
}

/// A function's reply on its way back.
#[derive(Debug)]
pub struct Reply {
    /// Status, headers and body.
    pub response: http::Response<ReplyBody>,
    /// What is known of the invocation: everything when the body is [`ReplyBody::Whole`], all but the end and
    /// the final usage when it still streams.
    pub record: Box<Record>,
}

/// A reply's body.
#[derive(Debug)]
pub enum ReplyBody {
    /// The function has ended; this is all of it.
    Whole(Bytes),
    /// The function still runs. Chunks, then its record; an error where it failed or was stopped mid-way.
    /// Dropping the receiver cancels the call.
    Stream(tokio::sync::mpsc::Receiver<Piece>),
}

/// What a streaming body receives.
#[derive(Debug)]
pub enum Piece {
    /// Some bytes of the body.
    Chunk(Bytes),
    /// The end: how it went ([`End::Failed`] when the body broke off) and what it used.
    End(Box<Record>),
}
