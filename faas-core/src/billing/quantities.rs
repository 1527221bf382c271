//! What a provider's meters count, in whole numbers.

use std::{
    collections::BTreeMap,
    ops::{Add, AddAssign},
};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{invocation::Record, profile::Counts, profile::Profile};

/// What functions use of a provider. Each is counted in a unit so small that counts are whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Requests, as they are billed.
    Requests,
    /// Billed memory times billed time: nanoseconds times MiB.
    MemoryTime,
    /// CPUs of instances times billed time: nanoseconds times thousandths of a CPU.
    VcpuTime,
    /// Clock of instances times billed time: nanoseconds times MHz.
    ClockTime,
    /// CPU time of handlers in nanoseconds.
    CpuTime,
    /// Billed files times billed time: nanoseconds times MiB.
    ScratchTime,
    /// Billed bytes of replies that stream.
    Streamed,
    /// Bytes that leave the provider's network.
    Egress,
    /// Memory kept ready: nanoseconds times MiB.
    ProvisionedTime,
    /// CPUs kept ready: nanoseconds times thousandths of a CPU.
    ProvisionedVcpuTime,
    /// Billed memory times billed time on instances that are kept ready, where that has a price of its own: nanoseconds
    /// times MiB.
    ProvisionedUse,
    /// The same where it is [memory time](Self::MemoryTime) as any other, and is not billed as being kept ready: no meter
    /// counts it.
    ProvisionedBusy,
    /// And of CPUs: nanoseconds times thousandths of a CPU.
    ProvisionedBusyVcpu,
    /// Snapshots kept: nanoseconds times MiB.
    SnapshotTime,
    /// Instances started from snapshots, in MiB.
    SnapshotRestored,
    /// Servers: nanoseconds.
    ServerTime,
}

const MEASURES: usize = Measure::ServerTime as usize + 1;
const SECOND: u64 = 1_000_000_000;

impl Counts {
    /// What is measured for it, and how much of that is one; absent for what services count.
    pub(super) fn measure(self) -> Option<(Measure, u64)> {
        Some(match self {
            Counts::Requests => (Measure::Requests, 1),
            Counts::GbSeconds => (Measure::MemoryTime, 1024 * SECOND),
            Counts::GbHours => (Measure::MemoryTime, 3600 * 1024 * SECOND),
            Counts::VcpuSeconds => (Measure::VcpuTime, 1000 * SECOND),
            Counts::GhzSeconds => (Measure::ClockTime, 1000 * SECOND),
            Counts::CpuMs => (Measure::CpuTime, SECOND / 1000),
            Counts::CpuHours => (Measure::CpuTime, 3600 * SECOND),
            Counts::ScratchGbSeconds => (Measure::ScratchTime, 1024 * SECOND),
            Counts::StreamGb => (Measure::Streamed, 1 << 30),
            Counts::EgressGb => (Measure::Egress, 1 << 30),
            Counts::ProvisionedGbSeconds => (Measure::ProvisionedTime, 1024 * SECOND),
            Counts::ProvisionedVcpuSeconds => (Measure::ProvisionedVcpuTime, 1000 * SECOND),
            Counts::ProvisionedUseGbSeconds => (Measure::ProvisionedUse, 1024 * SECOND),
            Counts::SnapshotGbSeconds => (Measure::SnapshotTime, 1024 * SECOND),
            Counts::SnapshotRestoreGb => (Measure::SnapshotRestored, 1024),
            Counts::ServerHours => (Measure::ServerTime, 3600 * SECOND),
            Counts::QueueOperations
            | Counts::StorageGbMonths
            | Counts::StorageWrites
            | Counts::StorageReads
            | Counts::KvReads
            | Counts::KvWrites
            | Counts::RowsRead
            | Counts::RowsWritten
            | Counts::Named => return None,
        })
    }
}

/// Counts of what is billed, in whole numbers: adding loses nothing, in whatever order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "BTreeMap<String, String>", try_from = "BTreeMap<String, String>")]
pub struct Quantities([u128; MEASURES]);

impl Quantities {
    /// What one invocation counts for. Nothing if no instance served it: providers do not bill what they turn away.
    ///
    /// Where a provider bills the time of an instance, this is the invocation's as if it had one for itself; what
    /// overlaps is [`Active`](super::Active)'s.
    pub fn of(record: &Record, profile: &Profile) -> Self {
        super::Use::of(record).map_or(Quantities::default(), |used| profile.count(&used).1)
    }

    /// These and so much more.
    #[must_use]
    pub fn with(mut self, measure: Measure, count: u128) -> Self {
        let sum = &mut self.0[measure as usize];
        *sum = sum.saturating_add(count);
        self
    }

    /// How much of one.
    pub fn get(&self, measure: Measure) -> u128 {
        self.0[measure as usize]
    }

    /// So many times as much.
    #[must_use]
    pub fn times(self, n: u128) -> Self {
        Quantities(self.0.map(|count| count.saturating_mul(n)))
    }

    /// `n / of` as much, each measure rounded down to its whole number: from what was observed to a month.
    #[must_use]
    pub fn scaled(self, n: u64, of: u64) -> Self {
        let of = u128::from(of.max(1));
        // divided first where the product does not fit: by then a whole number is far below what matters
        Quantities(self.0.map(|count| {
            count.checked_mul(n.into()).map_or_else(|| (count / of).saturating_mul(n.into()), |all| all / of)
        }))
    }

    /// Without these, which are among them.
    #[must_use]
    pub fn less(mut self, part: Self) -> Self {
        for (sum, part) in self.0.iter_mut().zip(part.0) {
            *sum = sum.saturating_sub(part);
        }
        self
    }

    /// Only those of these measures.
    #[must_use]
    pub(super) fn only(mut self, is_kept: impl Fn(Measure) -> bool) -> Self {
        for measure in Measure::ALL {
            if !is_kept(measure) {
                self.0[measure as usize] = 0;
            }
        }
        self
    }

    /// Whether a decimal holds each count, so that all of it can be priced exactly: below 2^96.
    ///
    /// ```
    /// use faas_core::billing::{Measure, Quantities};
    ///
    /// let used = |count| Quantities::default().with(Measure::MemoryTime, count);
    /// assert!(used((1 << 96) - 1).is_exact());
    /// assert!(!used(1 << 96).is_exact());
    /// ```
    pub fn is_exact(&self) -> bool {
        self.0.iter().all(|count| *count < 1 << 96)
    }

    /// Requests.
    pub fn requests(&self) -> u128 {
        self.get(Measure::Requests)
    }

    /// Memory times time of invocations in GB-seconds; a GB is 1024 MiB.
    pub fn gb_seconds(&self) -> Decimal {
        self.units(Counts::GbSeconds).saturating_add(self.units(Counts::ProvisionedUseGbSeconds))
    }

    /// CPU time in milliseconds.
    pub fn cpu_ms(&self) -> Decimal {
        self.units(Counts::CpuMs)
    }

    /// How much a meter counts, in its unit. Nothing of what services count.
    pub fn units(&self, counts: Counts) -> Decimal {
        counts
            .measure()
            .map_or(Decimal::ZERO, |(measure, one)| decimal(self.get(measure)) / Decimal::from(one))
    }
}

/// As strings: a count may be more than a JSON number holds. What is not there is none.
impl From<Quantities> for BTreeMap<String, String> {
    fn from(of: Quantities) -> Self {
        let count = |measure: &Measure| (measure.as_str().to_owned(), of.get(*measure).to_string());
        Measure::ALL.iter().filter(|measure| of.get(**measure) > 0).map(count).collect()
    }
}

impl TryFrom<BTreeMap<String, String>> for Quantities {
    type Error = String;

    fn try_from(counts: BTreeMap<String, String>) -> Result<Self, String> {
        counts.into_iter().try_fold(Quantities::default(), |sum, (name, count)| {
            let measure = Measure::ALL
                .into_iter()
                .find(|measure| measure.as_str() == name)
                .ok_or_else(|| format!("nothing is measured by the name of `{name}`"))?;
            let count = count.parse().map_err(|_| format!("`{count}` is no count of `{name}`"))?;
            Ok(sum.with(measure, count))
        })
    }
}

impl Measure {
    /// A stable name for machines: `memory_time`.
    pub fn as_str(self) -> &'static str {
        match self {
            Measure::Requests => "requests",
            Measure::MemoryTime => "memory_time",
            Measure::VcpuTime => "vcpu_time",
            Measure::ClockTime => "clock_time",
            Measure::CpuTime => "cpu_time",
            Measure::ScratchTime => "scratch_time",
            Measure::Streamed => "streamed",
            Measure::Egress => "egress",
            Measure::ProvisionedTime => "provisioned_time",
            Measure::ProvisionedVcpuTime => "provisioned_vcpu_time",
            Measure::ProvisionedUse => "provisioned_use",
            Measure::ProvisionedBusy => "provisioned_busy",
            Measure::ProvisionedBusyVcpu => "provisioned_busy_vcpu",
            Measure::SnapshotTime => "snapshot_time",
            Measure::SnapshotRestored => "snapshot_restored",
            Measure::ServerTime => "server_time",
        }
    }

    const ALL: [Measure; MEASURES] = [
        Measure::Requests,
        Measure::MemoryTime,
        Measure::VcpuTime,
        Measure::ClockTime,
        Measure::CpuTime,
        Measure::ScratchTime,
        Measure::Streamed,
        Measure::Egress,
        Measure::ProvisionedTime,
        Measure::ProvisionedVcpuTime,
        Measure::ProvisionedUse,
        Measure::ProvisionedBusy,
        Measure::ProvisionedBusyVcpu,
        Measure::SnapshotTime,
        Measure::SnapshotRestored,
        Measure::ServerTime,
    ];

    /// Whether it grows with the billed wall time of invocations.
    pub(super) fn is_wall_time(self) -> bool {
        matches!(
            self,
            Measure::MemoryTime
                | Measure::VcpuTime
                | Measure::ClockTime
                | Measure::ScratchTime
                | Measure::ProvisionedUse
                | Measure::ProvisionedBusy
                | Measure::ProvisionedBusyVcpu
        )
    }
}

/// More than 96 bits of MiB-nanoseconds are some 100,000 years of a large host: there the count stays at its end.
pub(super) fn decimal(count: u128) -> Decimal {
    i128::try_from(count)
        .ok()
        .and_then(|n| Decimal::try_from_i128_with_scale(n, 0).ok())
        .unwrap_or(Decimal::MAX)
}

impl Add for Quantities {
    type Output = Quantities;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl AddAssign for Quantities {
    fn add_assign(&mut self, other: Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum = sum.saturating_add(more);
        }
    }
}

impl std::iter::Sum for Quantities {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Quantities::default(), Add::add)
    }
}
