//! What the console can be told. Plain data: how it looks is decided by [`super::text`] and [`super::json`].

use std::{path::PathBuf, time::Duration};

use faas_core::{
    billing::Charge,
    clock::Time,
    delivery::{Progress, What},
    invocation::{End, Record},
    profile::LogLines,
    transition::{LogLine, StopReason},
};
use rust_decimal::Decimal;

/// Something that a person, or a program that reads `--json`, may want to know.
#[derive(Debug, Clone)]
pub enum Event {
    /// The server takes connections. The first event of all.
    Listening {
        /// Where.
        addr: std::net::SocketAddr,
        /// Whose rules and prices apply.
        profile: String,
        /// Whether it speaks TLS.
        tls: bool,
    },
    /// A line of a build's progress.
    Progress(String),
    /// Something was done or noticed that the person did not ask for.
    Notice(String),
    /// The first build is served.
    Built {
        /// What is served.
        functions: Vec<Served>,
        /// Cargo's share, if cargo ran.
        cargo: Option<Duration>,
        /// Ours: loading, compiling, swapping.
        ours: Duration,
    },
    /// A build that is not served, and why: the compiler's words, or ours.
    BuildFailed {
        /// The words, as they are.
        message: String,
        /// Whether an older generation is still being served.
        still_serving: bool,
    },
    /// A later build is served.
    Reloaded {
        /// The files that caused it.
        changed: Vec<PathBuf>,
        /// What is new or has changed.
        functions: Vec<Served>,
        /// Names of functions that are gone.
        retired: Vec<String>,
        /// From the save to the moment the new generation answers.
        since_save: Duration,
        /// Cargo's share, if cargo ran.
        cargo: Option<Duration>,
    },
    /// An instance is being started that nobody waits for yet.
    StartingAhead {
        /// Its function.
        function: String,
        /// Its generation.
        generation: u64,
    },
    /// A handshake named this function, and no instance was started for it: there have been many that nobody followed.
    KnockIgnored {
        /// The function.
        function: String,
    },
    /// An instance is ready.
    Started {
        /// Its function.
        function: String,
        /// Its generation.
        generation: u64,
        /// How long start and init took.
        took: Duration,
    },
    /// An instance is gone.
    Stopped {
        /// Its function.
        function: String,
        /// Its generation.
        generation: u64,
        /// Why.
        reason: StopReason,
    },
    /// An invocation has ended.
    Invocation(Box<Invoked>),
    /// Lines in the words of the provider's log.
    Provider(Vec<String>),
    /// Invocations of one function within a second, too many for a line each.
    Many(Many),
    /// A guest wrote a line.
    Log(LogLine),
    /// An event that nobody waits for has come a step further.
    Delivery(Progress),
    /// Functions that the clock calls.
    Schedules {
        /// When this is said.
        now: Time,
        /// Each of them; none when there are none any more.
        upcoming: Vec<Upcoming>,
    },
    /// So many events did not fit.
    Dropped(u64),
    /// The server takes no new requests and waits for these.
    Draining(usize),
    /// What it all cost.
    Bill(Bill),
}

impl Event {
    /// How many bytes of text functions have put into it. What else it takes is much the same for all.
    pub fn text_bytes(&self) -> usize {
        match self {
            Event::Log(line) => line.text.len(),
            Event::Invocation(invoked) => {
                let error = match &invoked.record.end {
                    End::Failed(error) => {
                        error.message.len() + error.backtrace.iter().map(String::len).sum::<usize>()
                    }
                    _ => 0,
                };
                let LogLines { before, after } = &invoked.lines;
                error + before.iter().chain(after).map(String::len).sum::<usize>()
            }
            Event::Delivery(Progress {
                what: What::Retry { because, .. } | What::Dead { because }, ..
            }) => because.len(),
            _ => 0,
        }
    }
}

/// When the clock calls a function next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upcoming {
    /// The function.
    pub function: String,
    /// Its schedule.
    pub schedule: String,
    /// When.
    pub at: Time,
}

/// A function that is being served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Its name.
    pub function: String,
    /// Its generation.
    pub generation: u64,
    /// The method it answers; `*` for every one.
    pub method: String,
    /// Its route.
    pub route: String,
}

/// An invocation that has ended, priced.
#[derive(Debug, Clone)]
pub struct Invoked {
    /// What became of it.
    pub record: Record,
    /// What it is billed.
    pub charge: Charge,
    /// What all have cost so far, this one included.
    pub total_usd: Decimal,
    /// What the provider would write to the function's log; nothing for people who read ours.
    pub lines: LogLines,
}

/// A second's worth of invocations of one function.
#[derive(Debug, Clone, PartialEq)]
pub struct Many {
    /// The function.
    pub function: String,
    /// How many there were.
    pub count: u64,
    /// How many of them were cold.
    pub cold: u64,
    /// How many of them failed.
    pub failed: u64,
    /// Half of them took at most this long.
    pub p50: Duration,
    /// 99 of 100 took at most this long.
    pub p99: Duration,
    /// What all invocations of all functions have cost so far.
    pub total_usd: Decimal,
}

/// What it all cost, by function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    /// Whose prices.
    pub profile: String,
    /// A line for each function.
    pub lines: Vec<BillLine>,
    /// Their sum.
    pub total_usd: Decimal,
}

/// A function's part of the bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillLine {
    /// The function.
    pub function: String,
    /// Requests billed.
    pub requests: u64,
    /// Memory times time, in GB-seconds.
    pub gb_seconds: Decimal,
    /// CPU time, in milliseconds.
    pub cpu_ms: Decimal,
    /// Dollars for its requests.
    pub usd: Decimal,
    /// Dollars for its instances that are kept ready, whether they serve or not.
    pub kept_usd: Decimal,
}
