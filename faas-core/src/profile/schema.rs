//! What a profile's file may say. Plain data; nothing here decides.

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

/// What a function may use. What is absent is not limited.
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
}

/// How instances come and go. What is absent is not limited.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    /// The most invocations that one instance serves at a time.
    pub instance_concurrency: Option<Sourced<u32>>,
    /// Instances of all functions together.
    pub max_instances: Option<Sourced<u32>>,
    /// How many invocations of a function may wait for capacity.
    pub max_queued: Option<Sourced<usize>>,
    /// How long an idle instance is kept, in milliseconds; until its room is needed when absent.
    pub keep_alive_ms: Option<Sourced<u64>>,
}

/// What is billed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Billing {
    /// By the request.
    pub requests: Requests,
    /// By time.
    pub time: BilledTime,
    /// By the month, whatever is used.
    pub plan: Option<Plan>,
}

/// A price by the request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// Dollars for a million.
    pub usd_per_million: Sourced<Usd>,
    /// Requests a month that the account does not pay.
    pub included: Option<Sourced<u64>>,
}

/// Which time is billed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BilledTime {
    /// Wall time of init and handler, times the memory that is configured.
    WallByMemory(WallByMemory),
    /// CPU time of the handler.
    Cpu(CpuTime),
}

/// A price of wall time by memory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WallByMemory {
    /// Dollars for a GB-second; a GB is 1024 MiB.
    pub usd_per_gb_second: Sourced<Usd>,
    /// GB-seconds a month that the account does not pay.
    pub included_gb_seconds: Option<Sourced<u64>>,
    /// The time of an invocation is rounded up to a multiple of this, in milliseconds.
    pub round_up_ms: Sourced<u32>,
}

/// A price of CPU time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuTime {
    /// Dollars for a million milliseconds.
    pub usd_per_million_ms: Sourced<Usd>,
    /// Milliseconds a month that the account does not pay.
    pub included_ms: Option<Sourced<u64>>,
}

/// A fixed price.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Dollars a month.
    pub usd_per_month: Sourced<Usd>,
}

/// Dollars, exact. Written as a string, so that no binary fraction comes between: `"0.20"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usd(pub Decimal);

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong =
            |found: &str| D::Error::custom(format!("{found} is no price: write it as \"0.0000166667\""));
        let text = String::deserialize(deserializer)?;
        let usd = Decimal::from_str_exact(&text).map_err(|_| wrong(&format!("\"{text}\"")))?;
        if usd.is_sign_negative() { Err(wrong(&text)) } else { Ok(Usd(usd)) }
    }
}
