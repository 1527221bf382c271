//! What a profile's file may say of limits, scaling, starts and errors. Plain data; nothing here decides. Prices are in
//! [`super::prices`].

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, de::Error as _};

/// Where numbers are from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Publication and date.
    pub title: String,
    /// Whether somebody has read the numbers there, as opposed to remembering them.
    #[serde(default = "yes")]
    pub verified: bool,
}

fn yes() -> bool {
    true
}

/// A number and the name of its [`Source`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sourced<T> {
    /// The number.
    pub value: T,
    /// A key of the profile's sources.
    pub source: String,
}

/// What applies unless a function asks otherwise, and what it may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range<T> {
    /// What a function gets that does not ask.
    pub default: Sourced<T>,
    /// The least it may ask for.
    pub min: Option<Sourced<T>>,
    /// The most it may ask for.
    pub max: Option<Sourced<T>>,
}

/// What a function may use. What is absent is not limited, or nobody says how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Memory of an instance in MiB.
    pub memory_mib: Range<u32>,
    /// Wall time of an invocation in milliseconds.
    pub timeout_ms: Option<Range<u64>>,
    /// CPU time of an invocation in milliseconds.
    pub cpu_ms: Option<Range<u64>>,
    /// Start and init of an instance in milliseconds.
    pub init_ms: Option<Range<u64>>,
    /// A request's body in bytes.
    pub request_bytes: Option<Range<u64>>,
    /// A reply's body in bytes.
    pub reply_bytes: Option<Range<u64>>,
    /// A reply's body in bytes where it streams.
    pub stream_reply_bytes: Option<Range<u64>>,
    /// An asynchronous event in bytes.
    pub event_bytes: Option<Range<u64>>,
    /// Files of an instance in MiB.
    pub scratch_mib: Option<Range<u32>>,
    /// Environment variables together, in bytes.
    pub env_bytes: Option<Sourced<u64>>,
    /// The code as it is uploaded, in bytes.
    pub package_bytes: Option<Sourced<u64>>,
    /// The code unpacked, in bytes.
    pub unpacked_bytes: Option<Sourced<u64>>,
    /// Requests that one invocation may make.
    pub subrequests: Option<Sourced<u64>>,
    /// Connections that one invocation may have open.
    pub connections: Option<Sourced<u64>>,
    /// Files that an instance may have open.
    pub open_files: Option<Sourced<u64>>,
    /// Threads of an instance.
    pub threads: Option<Sourced<u64>>,
    /// A request's URL in bytes.
    pub url_bytes: Option<Sourced<u64>>,
    /// A request's headers in bytes.
    pub header_bytes: Option<Sourced<u64>>,
    /// Requests of an account in a day.
    pub requests_per_day: Option<Sourced<u64>>,
    /// Requests of an account in a minute.
    pub requests_per_minute: Option<Sourced<u64>>,
}

/// How instances come and go. What is absent is not limited, or nobody says how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    /// The most invocations that one instance serves at a time.
    pub instance_concurrency: Option<Sourced<u32>>,
    /// How many it serves at a time unless told otherwise.
    pub default_concurrency: Option<Sourced<u32>>,
    /// Instances of all functions together.
    pub max_instances: Option<Sourced<u32>>,
    /// Invocations of all functions that may run at once.
    pub max_running: Option<Sourced<u32>>,
    /// Memory of all instances together, in MiB.
    pub memory_mib: Option<Sourced<u64>>,
    /// Instances of one function.
    pub max_function_instances: Option<Sourced<u32>>,
    /// How many instances of a function may be added in each [`burst_window_ms`](Self::burst_window_ms).
    pub burst_instances: Option<Sourced<u32>>,
    /// What [`burst_instances`](Self::burst_instances) is counted in, in milliseconds.
    pub burst_window_ms: Option<Sourced<u64>>,
    /// Requests a second for each instance that there may be.
    pub requests_per_second_per_instance: Option<Sourced<u32>>,
    /// How many invocations of a function may wait for capacity.
    pub max_queued: Option<Sourced<usize>>,
    /// How long they may wait, in milliseconds.
    pub max_wait_ms: Option<Sourced<u64>>,
    /// Another instance is started when more than this share of the places is taken, in percent.
    pub target_utilization_percent: Option<Sourced<u8>>,
    /// How long an idle instance is kept, in milliseconds; until its room is needed when absent.
    pub keep_alive_ms: Option<Sourced<u64>>,
    /// How long it is kept at most, where that varies.
    pub keep_alive_max_ms: Option<Sourced<u64>>,
}

/// How much CPU an instance has. Prices may depend on it, and so does how fast a function runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// So much memory has one CPU, and CPU grows with memory.
    pub mib_per_vcpu: Option<Sourced<u32>>,
    /// Thousandths of a CPU by memory.
    pub milli_vcpus: Option<Sourced<Vec<Step>>>,
    /// The CPU's clock by memory, in MHz.
    pub mhz: Option<Sourced<Vec<Step>>>,
    /// In what periods an instance gets its share, in milliseconds; Linux's own 100 when absent.
    pub period_ms: Option<Sourced<u32>>,
}

/// What an instance of this memory has. One between two steps has what the larger has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Up to this memory,
    pub memory_mib: u32,
    /// this much.
    pub has: u32,
}

impl Cpu {
    /// Thousandths of a CPU that an instance of this memory has; 0 where nothing says.
    pub fn milli_vcpus(&self, memory_mib: u32) -> u32 {
        match (&self.milli_vcpus, &self.mib_per_vcpu) {
            (Some(steps), _) => at(&steps.value, memory_mib),
            (None, Some(per)) => {
                let milli = u64::from(memory_mib) * 1000 / u64::from(per.value.max(1));
                u32::try_from(milli).unwrap_or(u32::MAX)
            }
            (None, None) => 0,
        }
    }

    /// The clock of an instance of this memory; 0 where nothing says.
    pub fn mhz(&self, memory_mib: u32) -> u32 {
        self.mhz.as_ref().map_or(0, |steps| at(&steps.value, memory_mib))
    }
}

fn at(steps: &[Step], memory_mib: u32) -> u32 {
    let step = steps.iter().find(|step| step.memory_mib >= memory_mib).or(steps.last());
    step.map_or(0, |step| step.has)
}

/// Which part of a start was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Init: from where the provider's runtime begins to run the function's code, to its first invocation.
    Init,
    /// What is before that: the provider's own.
    Platform,
    /// Both, as a client sees it.
    Whole,
}

/// How long starts take: quantiles of a distribution, in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColdStart {
    /// What was measured: whose init, or what a client sees.
    pub what: String,
    /// Which part of a start that is.
    pub part: Part,
    /// With how much memory it was measured, in MiB; with any when absent. One between two of them goes by the larger.
    pub memory_mib: Option<u32>,
    /// The quickest that was measured.
    pub min_us: Option<Sourced<u64>>,
    /// Half of them take at most this.
    pub p50_us: Sourced<u64>,
    /// Nine of ten.
    pub p90_us: Option<Sourced<u64>>,
    /// 99 of a hundred.
    pub p99_us: Option<Sourced<u64>>,
    /// All that were measured.
    pub max_us: Option<Sourced<u64>>,
}

/// What clients get when something is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Errors {
    /// Too many at once.
    pub throttled: Option<ErrorShape>,
    /// Too many at once of a function for which some are reserved; as too many at once when absent.
    pub reserved: Option<ErrorShape>,
    /// Too many in a short time; as too many at once when absent.
    pub rate_limited: Option<ErrorShape>,
    /// Too many today.
    pub daily_cap: Option<ErrorShape>,
    /// The function failed.
    pub failed: Option<ErrorShape>,
    /// Wall time ran out.
    pub timed_out: Option<ErrorShape>,
    /// CPU time ran out.
    pub cpu_exceeded: Option<ErrorShape>,
    /// The request's body is too large.
    pub request_too_large: Option<ErrorShape>,
    /// The reply's body is too large.
    pub reply_too_large: Option<ErrorShape>,
}

/// What a client gets.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorShape {
    /// The status.
    pub status: Sourced<u16>,
    /// The provider's own number for it, as its pages and documentation have it.
    pub code: Option<Sourced<u32>>,
    /// The body.
    pub body: Option<Sourced<String>>,
    /// Headers.
    pub headers: Option<Sourced<BTreeMap<String, String>>>,
}

/// Lines that the provider writes to a function's log. `{id}`, `{duration_ms}`, `{billed_ms}`, `{memory_mib}`,
/// `{used_mib}`, `{init_ms}` and `{status}` stand for what they say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Before an invocation.
    pub start: Option<Sourced<String>>,
    /// After it.
    pub end: Option<Sourced<String>>,
    /// What it used.
    pub report: Option<Sourced<String>>,
    /// What it used, after a cold start.
    pub report_cold: Option<Sourced<String>>,
    /// An init that failed.
    pub init_failed: Option<Sourced<String>>,
    /// What `{status}` stands for where something went wrong; nothing where all went well.
    #[serde(default)]
    pub status: LogStatus,
}

/// How a line says that something went wrong. What has none is as if it had not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogStatus {
    /// Wall time ran out, or that of init.
    pub timed_out: Option<Sourced<String>>,
    /// Memory did.
    pub out_of_memory: Option<Sourced<String>>,
    /// The function's process ended.
    pub exited: Option<Sourced<String>>,
}

/// No price is more than a million dollars: sums of prices fit a decimal then, whatever ran.
const MOST_USD: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);

/// Dollars, exact. Written as a string, so that no binary fraction comes between: `"0.20"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usd(pub Decimal);

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong =
            |found: &str| D::Error::custom(format!("{found} is no price: write it as \"0.0000166667\""));
        let text = String::deserialize(deserializer)?;
        let usd = Decimal::from_str_exact(&text).map_err(|_| wrong(&format!("\"{text}\"")))?;
        if usd.is_sign_negative() || usd > MOST_USD { Err(wrong(&text)) } else { Ok(Usd(usd)) }
    }
}
