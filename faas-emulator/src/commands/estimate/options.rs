//! The options of `faas estimate`, and the use that they state.

use faas_core::{
    billing::{Allowances, Messages, Provisioned, Snapshots, Stated},
    profile::{Counts, Profile},
};
use rust_decimal::Decimal;

use super::number::{decimal, named, pieces, time, whole};
use crate::error::Error;

const MS: u64 = 1_000_000;
const HOUR: u64 = 3_600_000 * MS;

/// How the answer looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table for people
    Table,
    /// One JSON object
    Json,
}

/// An architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Arch {
    /// As the profile is
    #[value(alias = "x86_64", alias = "amd64")]
    X86,
    /// The variant of the profile whose name ends in `-arm`
    #[value(alias = "arm64", alias = "aarch64")]
    Arm,
}

/// Options of `faas estimate`. Numbers may be written 3000000, 3_000_000 or 3M.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Whose rules and prices apply: a name of `faas profiles`, or the path of a file
    #[arg(long = "as", value_name = "PROFILE", default_value = crate::host::DEFAULT_PROFILE, conflicts_with = "compare")]
    pub(super) profile: String,
    /// Under every profile, cheapest first, with the number of requests from which servers of your own pay
    #[arg(long)]
    pub(super) compare: bool,
    /// The architecture, for profiles that have several
    #[arg(long, value_enum, default_value = "x86")]
    pub(super) arch: Arch,
    /// Do not take off what a month includes: it is used up
    #[arg(long)]
    pub(super) no_free_tier: bool,
    /// Leave out the monthly fee: the account pays it already
    #[arg(long)]
    pub(super) no_plan: bool,
    /// How the answer looks
    #[arg(long, value_enum, default_value = "table")]
    pub(super) format: Format,

    /// Requests in the month
    #[arg(long, value_name = "N", value_parser = whole, help_heading = "Requests")]
    requests: Option<u64>,
    /// How long each takes, in milliseconds; rounded as the provider rounds each
    #[arg(long, value_name = "MS", value_parser = decimal, help_heading = "Requests")]
    duration_ms: Option<Decimal>,
    /// CPU time of each in milliseconds; all of the duration if absent
    #[arg(long, value_name = "MS", value_parser = decimal, help_heading = "Requests")]
    cpu_ms: Option<Decimal>,
    /// Memory in MB of 1024 KB; the profile's default if absent
    #[arg(long, value_name = "MB", value_parser = whole, alias = "memory-mib", help_heading = "Requests")]
    memory_mb: Option<u64>,
    /// CPUs of an instance, where they are not the profile's for that memory
    #[arg(long, value_name = "N", value_parser = decimal, help_heading = "Requests")]
    vcpus: Option<Decimal>,
    /// Ephemeral storage in MB, with what is included
    #[arg(long, value_name = "MB", value_parser = whole, default_value = "0", help_heading = "Requests")]
    ephemeral_mb: u64,
    /// How many requests an instance serves at the same time; shares its time where instances are billed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), default_value = "1", help_heading = "Requests")]
    concurrency: u32,
    /// How many of the requests are for static assets and do not reach the function
    #[arg(long, value_name = "N", value_parser = whole, default_value = "0", help_heading = "Requests")]
    static_requests: u64,
    /// How many of the requests start an instance
    #[arg(long, value_name = "N", value_parser = whole, default_value = "0", requires = "init_ms", help_heading = "Requests")]
    cold_starts: u64,
    /// How long a start and its init take, in milliseconds
    #[arg(long, value_name = "MS", value_parser = decimal, requires = "cold_starts", help_heading = "Requests")]
    init_ms: Option<Decimal>,
    /// The requests are asynchronous events of so many KB of 1024 bytes
    #[arg(long, value_name = "KB", value_parser = decimal, help_heading = "Requests")]
    event_kb: Option<Decimal>,
    /// Replies stream, each so many MB
    #[arg(long, value_name = "MB", value_parser = decimal, help_heading = "Requests")]
    stream_mb: Option<Decimal>,
    /// Traffic to the internet in the month, in GB
    #[arg(long, value_name = "GB", value_parser = decimal, help_heading = "Requests")]
    egress_gb: Option<Decimal>,
    /// The most requests in a second, to say how many servers are enough; the month's, evenly spread, if absent
    #[arg(long, value_name = "N", value_parser = decimal, help_heading = "Requests")]
    peak_rps: Option<Decimal>,

    /// Instances that are kept ready (provisioned concurrency, always ready)
    #[arg(long, value_name = "N", requires = "provisioned_hours", help_heading = "Kept ready")]
    provisioned: Option<u32>,
    /// How many hours of the month they are kept
    #[arg(long, value_name = "H", value_parser = decimal, requires = "provisioned", help_heading = "Kept ready")]
    provisioned_hours: Option<Decimal>,
    /// Requests that they serve, not among --requests
    #[arg(long, value_name = "N", value_parser = whole, default_value = "0", requires = "provisioned", help_heading = "Kept ready")]
    provisioned_requests: u64,
    /// How long each of those takes; as --duration-ms if absent
    #[arg(long, value_name = "MS", value_parser = decimal, requires = "provisioned", help_heading = "Kept ready")]
    provisioned_duration_ms: Option<Decimal>,
    /// How many days of the month a version's snapshot is kept (SnapStart)
    #[arg(long, value_name = "DAYS", value_parser = decimal, help_heading = "Kept ready")]
    snapstart_days: Option<Decimal>,
    /// How many versions have a snapshot
    #[arg(
        long,
        value_name = "N",
        default_value = "1",
        requires = "snapstart_days",
        help_heading = "Kept ready"
    )]
    snapstart_versions: u32,
    /// How many instances start from one
    #[arg(long, value_name = "N", value_parser = whole, default_value = "0", requires = "snapstart_days", help_heading = "Kept ready")]
    restores: u64,

    /// Messages, each written, read and deleted once
    #[arg(long, value_name = "N", value_parser = whole, help_heading = "Services")]
    queue_messages: Option<u64>,
    /// Their size in KB of 1000 bytes
    #[arg(long, value_name = "KB", value_parser = decimal, default_value = "1", requires = "queue_messages", help_heading = "Services")]
    queue_message_kb: Decimal,
    /// Operations on a queue, if they are known
    #[arg(long, value_name = "N", value_parser = decimal, help_heading = "Services")]
    queue_operations: Option<Decimal>,
    /// Objects stored, in GB-months
    #[arg(long, value_name = "GB", value_parser = decimal, help_heading = "Services")]
    storage_gb: Option<Decimal>,
    /// Operations that write objects
    #[arg(long, value_name = "N", value_parser = decimal, help_heading = "Services")]
    storage_writes: Option<Decimal>,
    /// Operations that read objects
    #[arg(long, value_name = "N", value_parser = decimal, help_heading = "Services")]
    storage_reads: Option<Decimal>,
    /// Keys read
    #[arg(long, value_name = "N", value_parser = decimal, help_heading = "Services")]
    kv_reads: Option<Decimal>,
    /// Keys written
    #[arg(long, value_name = "N", value_parser = decimal, help_heading = "Services")]
    kv_writes: Option<Decimal>,
    /// Rows read by queries
    #[arg(long, value_name = "N", value_parser = decimal, help_heading = "Services")]
    rows_read: Option<Decimal>,
    /// Rows written
    #[arg(long, value_name = "N", value_parser = decimal, help_heading = "Services")]
    rows_written: Option<Decimal>,
    /// So much of a meter of the profile, by its name: --use "KV storage=10"
    #[arg(long = "use", value_name = "METER=N", value_parser = named, help_heading = "Services")]
    named: Vec<(String, Decimal)>,
}

impl Options {
    pub(super) fn allowances(&self) -> Allowances {
        if self.no_free_tier { Allowances::UsedUp } else { Allowances::Applied }
    }

    /// Whether they state how many requests there are, be it none.
    pub(super) fn has_requests(&self) -> bool {
        self.requests.is_some()
    }

    /// The use that they state. Memory is 0 if it is left open.
    pub(super) fn stated(&self) -> Result<Stated, Error> {
        let all = self.requests.unwrap_or(0);
        let part = |part: u64, how: &str| {
            all.checked_sub(part).ok_or_else(|| {
                Error::bad_input(format!(
                    "{part} of {all} requests cannot {how}: --requests counts those too"
                ))
            })
        };
        let requests = part(self.static_requests, "be for static assets")?;
        part(self.cold_starts, "start an instance")?;
        if self.memory_mb == Some(0) {
            return Err(Error::bad_input(
                "--memory-mb 0 is no memory: leave it out for the profile's default",
            ));
        }
        if self.vcpus.is_some_and(|n| n.is_zero()) {
            return Err(Error::bad_input("--vcpus 0 is no CPU: leave it out for the profile's"));
        }
        let within = |given: Option<Decimal>, option: &str, most: u32| {
            given.filter(|given| *given > most.into()).map_or(Ok(()), |given| {
                Err(Error::bad_input(format!("{option} {given} is more than a month has: {most} at most")))
            })
        };
        within(self.provisioned_hours, "--provisioned-hours", 744)?;
        within(self.snapstart_days, "--snapstart-days", 31)?;
        let mib = |mb: u64| u32::try_from(mb).map_err(|_| Error::bad_input(format!("{mb} MB are too many")));
        let bytes =
            |amount: Option<Decimal>, unit: u64| amount.map(|amount| pieces(amount, unit)).transpose();
        let ms = |amount: Option<Decimal>| amount.map(|ms| time(ms, MS)).transpose();
        let duration = ms(self.duration_ms.or(self.cpu_ms))?.unwrap_or_default();
        let services = [
            (Counts::QueueOperations, self.queue_operations),
            (Counts::StorageGbMonths, self.storage_gb),
            (Counts::StorageWrites, self.storage_writes),
            (Counts::StorageReads, self.storage_reads),
            (Counts::KvReads, self.kv_reads),
            (Counts::KvWrites, self.kv_writes),
            (Counts::RowsRead, self.rows_read),
            (Counts::RowsWritten, self.rows_written),
        ];
        let kept = time(self.provisioned_hours.unwrap_or_default(), HOUR)?;
        let provisioned_duration = ms(self.provisioned_duration_ms)?.unwrap_or(duration);
        let provisioned = self.provisioned.map(|instances| Provisioned {
            instances,
            time: kept,
            requests: self.provisioned_requests,
            duration: provisioned_duration,
        });
        let kept = time(self.snapstart_days.unwrap_or_default(), 24 * HOUR)?;
        let snapshots = self.snapstart_days.map(|_| Snapshots {
            versions: self.snapstart_versions,
            kept,
            restores: self.restores,
        });
        let message_bytes = pieces(self.queue_message_kb, 1000)?;
        let messages = self.queue_messages.map(|count| Messages { count, bytes: message_bytes });
        let milli_vcpus = bytes(self.vcpus, 1000)?;
        Ok(Stated {
            requests,
            duration,
            cpu: ms(self.cpu_ms)?,
            memory_mib: mib(self.memory_mb.unwrap_or(0))?,
            milli_vcpus: milli_vcpus.map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
            scratch_mib: mib(self.ephemeral_mb)?,
            streamed_bytes: bytes(self.stream_mb, 1 << 20)?.unwrap_or(0),
            event_bytes: bytes(self.event_kb, 1024)?,
            egress_bytes: bytes(self.egress_gb, 1 << 30)?.unwrap_or(0).into(),
            cold_starts: self.cold_starts,
            init: ms(self.init_ms)?.unwrap_or_default(),
            concurrency: self.concurrency,
            provisioned,
            snapshots,
            messages,
            services: services.into_iter().filter_map(|(counts, n)| Some((counts, n?))).collect(),
            named: self.named.iter().cloned().collect(),
            peak_rps: self.peak_rps,
        })
    }

    /// What must be stated for this profile and is not.
    pub(super) fn check(&self, stated: &Stated, profile: &Profile) -> Result<(), Error> {
        let counts = |of: &[Counts]| profile.billing.meters.iter().any(|meter| of.contains(&meter.counts));
        let is_wall = profile.billing.time.is_some() || counts(&[Counts::ServerHours]);
        if stated.requests > 0 && self.duration_ms.is_none() && (is_wall || self.cpu_ms.is_none()) {
            let option = if is_wall { "--duration-ms" } else { "--cpu-ms" };
            return Err(Error::bad_input(format!(
                "`{}` bills the time that requests take: say how long one takes with {option}",
                profile.name
            )));
        }
        for name in stated.named.keys() {
            if !profile.billing.meters.iter().any(|meter| meter.name == *name) {
                let names: Vec<&str> =
                    profile.billing.meters.iter().map(|meter| meter.name.as_str()).collect();
                return Err(Error::bad_input(format!(
                    "`{}` has no meter `{name}`: choose one of {}",
                    profile.name,
                    names.join(", ")
                )));
            }
        }
        Ok(())
    }
}
