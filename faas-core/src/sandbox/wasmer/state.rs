//! What belongs to one instance on the host's side, within reach of its imports.

use std::sync::Arc;

use wasmer::{FunctionEnvMut, Memory};

use super::{
    calls::Calls,
    lines::{Budget, Lines},
    memory::seeds::InitReads,
    random::Random,
    watchdog::Alarm,
};
use crate::{
    clock::SharedClock,
    transition::{LogLevel, LogLine, SharedObserver, Transition},
};

/// Why an import ends the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GuestFault {
    /// It passed a pointer and length that are not in its memory.
    WildPointer(&'static str),
    /// It called this from its start function, which runs before its memory is known here.
    TooEarly(&'static str),
    /// Its `faas_v1_poll` answered this.
    NoAnswer(i32),
    /// It called `proc_exit`.
    Exit(u32),
    /// Its time is up: see the alarm.
    Overdue,
}

impl std::fmt::Display for GuestFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GuestFault::WildPointer(import) => {
                write!(f, "the function gave `{import}` a pointer outside its memory")
            }
            GuestFault::TooEarly(import) => write!(
                f,
                "the function called `{import}` in its start function, when the host cannot reach its memory yet: do \
                 so in `faas_v1_init`"
            ),
            GuestFault::NoAnswer(code) => {
                write!(
                    f,
                    "`faas_v1_poll` answered {code}: it is 0 when the call waits, and 1 when it has ended"
                )
            }
            GuestFault::Exit(code) => write!(f, "the function called exit({code})"),
            GuestFault::Overdue => f.write_str("the function's time is up"),
        }
    }
}

impl std::error::Error for GuestFault {}

/// See the module.
pub(super) struct GuestState {
    /// Absent until the instance exists.
    pub(super) memory: Option<Memory>,
    pub(super) clock: SharedClock,
    pub(super) calls: Calls,
    /// The call being polled.
    pub(super) current: Option<u32>,
    pub(super) logs: Logs,
    /// The message of a panic, sent just before the trap that follows it.
    pub(super) panic: Option<String>,
    pub(super) alarm: Arc<Alarm>,
    pub(super) random: Random,
    /// What init has read, while it runs.
    pub(super) init: Option<InitReads>,
    /// `NAME=value`, without the closing zero.
    pub(super) environment: Vec<Vec<u8>>,
    pub(super) args: Vec<Vec<u8>>,
}

/// The longest slice that an import copies at once; more is taken in part or refused.
pub(super) const MAX_COPY_BYTES: usize = 1 << 20;

impl GuestState {
    /// Every import begins here: a guest whose time is up goes no further.
    pub(super) fn check_alarm(&self) -> Result<(), GuestFault> {
        if self.alarm.raised().is_some() { Err(GuestFault::Overdue) } else { Ok(()) }
    }

    /// Forgets all that the instance has done, as if it were new. It must have no calls.
    pub(super) fn renew(&mut self) {
        self.calls.renew();
        self.current = None;
        self.logs.renew();
        self.panic = None;
    }
}

/// Reads `len` bytes of the guest's memory. The caller bounds `len`.
pub(super) fn read(
    env: &mut FunctionEnvMut<'_, GuestState>,
    import: &'static str,
    ptr: u32,
    len: usize,
) -> Result<Vec<u8>, GuestFault> {
    let (state, store) = env.data_and_store_mut();
    let memory = state.memory.as_ref().ok_or(GuestFault::TooEarly(import))?;
    let mut bytes = vec![0; len];
    memory.view(&store).read(u64::from(ptr), &mut bytes).map_err(|_| GuestFault::WildPointer(import))?;
    Ok(bytes)
}

/// Gives `f` the state, and a function that writes to the guest's memory.
pub(super) fn with_writer<R>(
    env: &mut FunctionEnvMut<'_, GuestState>,
    import: &'static str,
    f: impl FnOnce(&mut GuestState, &dyn Fn(u32, &[u8]) -> Result<(), GuestFault>) -> Result<R, GuestFault>,
) -> Result<R, GuestFault> {
    let (state, store) = env.data_and_store_mut();
    let memory = state.memory.clone().ok_or(GuestFault::TooEarly(import))?;
    let view = memory.view(&store);
    f(state, &|ptr, bytes| view.write(u64::from(ptr), bytes).map_err(|_| GuestFault::WildPointer(import)))
}

/// Which of its output streams a guest writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// Turns what an instance writes into log lines of the call being polled.
pub(super) struct Logs {
    function: Arc<str>,
    observer: SharedObserver,
    id: Option<Arc<str>>,
    budget: Budget,
    stdout: Lines,
    stderr: Lines,
    /// Whether the allocator reported that it got no memory: what std prints before it aborts.
    pub(super) allocation_failed: bool,
}

impl Logs {
    pub(super) fn new(function: Arc<str>, observer: SharedObserver) -> Self {
        Logs {
            function,
            observer,
            id: None,
            budget: Budget::default(),
            stdout: Lines::default(),
            stderr: Lines::default(),
            allocation_failed: false,
        }
    }

    /// As if nothing had been written yet.
    fn renew(&mut self) {
        self.id = None;
        self.budget = Budget::default();
        self.stdout = Lines::default();
        self.stderr = Lines::default();
        self.allocation_failed = false;
    }

    /// From now on, lines are those of this call; `budget` is what it has used of its own.
    pub(super) fn begin(&mut self, id: Option<Arc<str>>, budget: Budget) {
        self.id = id;
        self.budget = budget;
    }

    /// What the call has used by now.
    pub(super) fn budget(&self) -> Budget {
        self.budget
    }

    pub(super) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let taken = self.budget.take(bytes.len());
        let (lines, level) = match stream {
            Stream::Stdout => (&mut self.stdout, LogLevel::Stdout),
            Stream::Stderr => (&mut self.stderr, LogLevel::Stderr),
        };
        let (observer, function, id) = (&self.observer, &self.function, &self.id);
        let failed = &mut self.allocation_failed;
        lines.push(&bytes[..taken], |text| {
            *failed |= stream == Stream::Stderr && text.starts_with("memory allocation of ");
            emit(observer, function, id, level, text);
        });
    }

    pub(super) fn event(&mut self, level: LogLevel, text: &[u8]) {
        if self.budget.take_event(text.len()) {
            let text = String::from_utf8_lossy(text).into_owned();
            emit(&self.observer, &self.function, &self.id, level, text);
        }
    }

    /// The host's own words about something that the guest did, as often as there is room in its log.
    pub(super) fn remark(&mut self, text: &str) {
        if self.budget.take_event(text.len()) {
            self.note(text.to_owned());
        }
    }

    fn note(&self, text: String) {
        emit(&self.observer, &self.function, &self.id, LogLevel::Host, text);
    }

    /// At a call's end: its unfinished lines, and how much of its output was dropped.
    pub(super) fn end(&mut self) {
        let (observer, function, id) = (&self.observer, &self.function, &self.id);
        self.stdout.flush(|text| emit(observer, function, id, LogLevel::Stdout, text));
        self.stderr.flush(|text| emit(observer, function, id, LogLevel::Stderr, text));
        let dropped = self.budget.dropped();
        if dropped > 0 {
            let kept = super::lines::MAX_INVOCATION_BYTES >> 10;
            self.note(format!("{dropped} bytes of output dropped: {kept} KiB are kept of one invocation"));
        }
        self.id = None;
        self.budget = Budget::default();
    }
}

fn emit(
    observer: &SharedObserver,
    function: &Arc<str>,
    id: &Option<Arc<str>>,
    level: LogLevel,
    text: String,
) {
    let line = LogLine { id: id.clone(), function: function.clone(), level, text };
    observer.observe(&Transition::Log(&line));
}
