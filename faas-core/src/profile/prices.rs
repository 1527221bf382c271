//! What a profile's file may say of prices: which rules make billed quantities of use, and which meters price them.
//! Plain data; the arithmetic is in [`billing`](crate::billing), the same for every provider.

use rust_decimal::Decimal;
use serde::Deserialize;

use super::schema::{Sourced, Usd};

/// What is billed. What a provider does not bill has no meter; what it does not round has no rule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Billing {
    /// By the month, whatever is used.
    pub plan: Option<Plan>,
    /// What is counted and what it costs, in the order of an invoice.
    pub meters: Vec<Meter>,
    /// How wall time is rounded.
    pub time: Option<TimeRule>,
    /// How memory is rounded.
    pub memory: Option<MemoryRule>,
    /// How asynchronous events count as requests.
    pub events: Option<EventRule>,
    /// Files of an instance.
    pub scratch: Option<ScratchRule>,
    /// Replies that stream.
    pub stream: Option<StreamRule>,
    /// Instances that are kept ready.
    pub provisioned: Option<ProvisionedRule>,
    /// Snapshots that instances start from.
    pub snapshots: Option<SnapshotRule>,
    /// Messages of a queue.
    pub queue: Option<QueueRule>,
    /// Servers that are paid whether they are used or not.
    pub servers: Option<Servers>,
}

/// A fixed price.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Dollars a month.
    pub usd_per_month: Sourced<Usd>,
}

/// Something that is counted, and its price.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meter {
    /// Its name on an invoice, unique in a profile.
    pub name: String,
    /// What it counts.
    pub counts: Counts,
    /// What one is called, where [`counts`](Self::counts) does not say: `GB-month`.
    pub unit: Option<String>,
    /// Dollars for [`per`](Self::per); absent where there are tiers.
    pub usd: Option<Sourced<Usd>>,
    /// Dollars by how much is used in a month, from the first unit on.
    #[serde(default)]
    pub tiers: Vec<Tier>,
    /// How many the prices are for.
    #[serde(default = "one")]
    pub per: u64,
    /// How many a month the account does not pay.
    pub included: Option<Sourced<Quantity>>,
    /// Whether a month's use is rounded up to whole [`per`](Self::per).
    pub whole: Option<Sourced<bool>>,
}

fn one() -> u64 {
    1
}

/// A price for a part of a month's use.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Where the part ends, counted from nothing; absent for the last.
    pub up_to: Option<Sourced<Quantity>>,
    /// Dollars for the meter's `per`.
    pub usd: Sourced<Usd>,
}

/// How much of something. A whole number.
pub type Quantity = u64;

/// What a meter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counts {
    /// Invocations; an asynchronous event may count for several.
    Requests,
    /// Billed memory times billed time; a GB is 1024 MiB.
    GbSeconds,
    /// The same, by the hour.
    GbHours,
    /// CPUs of the instance times billed time.
    VcpuSeconds,
    /// The instance's clock times billed time.
    GhzSeconds,
    /// CPU time that was used, in milliseconds.
    CpuMs,
    /// The same, by the hour.
    CpuHours,
    /// Files beyond what is included, times billed time.
    ScratchGbSeconds,
    /// Bytes of replies that stream, beyond what is included in each; a GB is 1024 MiB.
    StreamGb,
    /// Bytes that leave the provider's network.
    EgressGb,
    /// Memory that is kept ready, times the time that it is.
    ProvisionedGbSeconds,
    /// CPUs that are kept ready, times the time that they are.
    ProvisionedVcpuSeconds,
    /// Billed memory times billed time, on instances that are kept ready. Without such a meter it counts as any other's.
    ProvisionedUseGbSeconds,
    /// Memory of snapshots times the time that they are kept.
    SnapshotGbSeconds,
    /// Memory of instances started from snapshots.
    SnapshotRestoreGb,
    /// Hours of servers.
    ServerHours,
    /// Operations of a queue: [`QueueRule`] says how many a message is.
    QueueOperations,
    /// Bytes stored as objects.
    StorageGbMonths,
    /// Operations that write objects.
    StorageWrites,
    /// Operations that read objects.
    StorageReads,
    /// Keys read.
    KvReads,
    /// Keys written.
    KvWrites,
    /// Rows that queries read.
    RowsRead,
    /// Rows that queries write.
    RowsWritten,
    /// Whatever the meter's name says.
    Named,
}

impl Counts {
    /// What one is called; absent where the meter says so.
    pub fn unit(self) -> Option<&'static str> {
        Some(match self {
            Counts::Requests => "request",
            Counts::GbSeconds
            | Counts::ScratchGbSeconds
            | Counts::ProvisionedGbSeconds
            | Counts::ProvisionedUseGbSeconds
            | Counts::SnapshotGbSeconds => "GB-s",
            Counts::GbHours => "GB-h",
            Counts::VcpuSeconds | Counts::ProvisionedVcpuSeconds => "vCPU-s",
            Counts::GhzSeconds => "GHz-s",
            Counts::CpuMs => "CPU ms",
            Counts::CpuHours => "CPU-h",
            Counts::StreamGb | Counts::EgressGb | Counts::SnapshotRestoreGb => "GB",
            Counts::ServerHours => "server-h",
            Counts::QueueOperations | Counts::StorageWrites | Counts::StorageReads => "operation",
            Counts::StorageGbMonths => "GB-month",
            Counts::KvReads | Counts::KvWrites => "key",
            Counts::RowsRead | Counts::RowsWritten => "row",
            Counts::Named => return None,
        })
    }

    /// What it is, for a person: `rows read`.
    pub fn what(self) -> &'static str {
        match self {
            Counts::Requests => "requests",
            Counts::GbSeconds | Counts::GbHours => "memory",
            Counts::VcpuSeconds | Counts::GhzSeconds => "CPU of an instance",
            Counts::CpuMs | Counts::CpuHours => "CPU time",
            Counts::ScratchGbSeconds => "ephemeral storage",
            Counts::StreamGb => "replies that stream",
            Counts::EgressGb => "traffic out",
            Counts::ProvisionedGbSeconds | Counts::ProvisionedVcpuSeconds => "instances that are kept ready",
            Counts::ProvisionedUseGbSeconds => "use of instances that are kept ready",
            Counts::SnapshotGbSeconds => "snapshots",
            Counts::SnapshotRestoreGb => "starts from snapshots",
            Counts::ServerHours => "servers",
            Counts::QueueOperations => "a queue",
            Counts::StorageGbMonths => "objects stored",
            Counts::StorageWrites => "objects written",
            Counts::StorageReads => "objects read",
            Counts::KvReads => "keys read",
            Counts::KvWrites => "keys written",
            Counts::RowsRead => "rows read",
            Counts::RowsWritten => "rows written",
            Counts::Named => "what its name says",
        }
    }
}

impl Meter {
    /// What one is called.
    pub fn unit(&self) -> &str {
        self.unit.as_deref().or(self.counts.unit()).unwrap_or("unit")
    }

    /// Dollars for one, of the first that are paid.
    pub fn first_price_usd(&self) -> Decimal {
        let usd = self.usd.as_ref().or(self.tiers.first().map(|tier| &tier.usd));
        usd.map_or(Decimal::ZERO, |usd| usd.value.0) / Decimal::from(self.per)
    }
}

/// Whose wall time is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// That of each invocation: what overlaps is paid twice.
    Invocation,
    /// That in which an instance is active: what overlaps is paid once.
    Instance,
}

/// How wall time is billed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeRule {
    /// Whose.
    pub of: Sourced<Of>,
    /// Whether start and init are billed, in one sum with the handler's time.
    pub init: Option<Sourced<bool>>,
    /// Each is rounded up to a multiple of this, in milliseconds.
    pub round_up_ms: Option<Sourced<u32>>,
    /// Each counts for at least this, in milliseconds.
    pub min_ms: Option<Sourced<u32>>,
}

/// Which memory is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryOf {
    /// What is configured.
    Configured,
    /// The most that was used.
    Used,
}

/// How memory is billed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryRule {
    /// Which.
    pub of: Option<Sourced<MemoryOf>>,
    /// Rounded up to a multiple of this, in MiB.
    pub round_up_mib: Option<Sourced<u32>>,
    /// At least this, in MiB.
    pub min_mib: Option<Sourced<u32>>,
    /// Rounded up to one of these, in MiB.
    pub sizes_mib: Option<Sourced<Vec<u32>>>,
}

/// How an asynchronous event counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventRule {
    /// So many bytes are one request,
    pub first_bytes: Sourced<u64>,
    /// and so many more are one more each.
    pub further_bytes: Sourced<u64>,
}

/// How files are billed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScratchRule {
    /// What an instance does not pay, in MiB.
    pub included_mib: Sourced<u32>,
}

/// How streams are billed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamRule {
    /// What a reply does not pay, in bytes.
    pub included_bytes: Sourced<u64>,
}

/// How instances that are kept ready are billed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvisionedRule {
    /// The time from switching it on to switching it off is rounded up to a multiple of this, in milliseconds.
    pub round_up_ms: Option<Sourced<u32>>,
    /// Whether only those are billed so that serve nobody: what serves is billed as any other.
    pub idle_only: Option<Sourced<bool>>,
}

/// How snapshots are billed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotRule {
    /// Each counts as kept for at least this, in milliseconds.
    pub min_ms: Sourced<u64>,
}

/// How many operations a message is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueRule {
    /// A message of more than so many bytes counts as several.
    pub chunk_bytes: Sourced<u64>,
    /// What is done to a message that is delivered at once: written, read, deleted.
    pub operations: Sourced<u32>,
}

/// What a server is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Servers {
    /// Its CPUs.
    pub vcpus: Sourced<u32>,
    /// Its memory in MiB.
    pub memory_mib: Sourced<u32>,
    /// How long a month is.
    pub hours_per_month: Sourced<u32>,
}
