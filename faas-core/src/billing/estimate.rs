//! What stated use would count for in a month, without running anything. Each request is rounded as the provider rounds
//! it, then multiplied: averages are not.

use std::{collections::BTreeMap, time::Duration};

use rust_decimal::{Decimal, prelude::ToPrimitive as _};

use super::{
    Allowances, Invoice, Month, Standby, Use,
    quantities::{Measure, Quantities},
    usage::memory_mib,
};
use crate::profile::{Counts, Of, Profile, Range};

/// A month's use, as somebody states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    /// Requests, those on instances that are kept ready not among them.
    pub requests: u64,
    /// Wall time of each.
    pub duration: Duration,
    /// CPU time of each; all of its wall time where that is not known.
    pub cpu: Option<Duration>,
    /// Memory that is configured; where providers bill what is used, it is that.
    pub memory_mib: u32,
    /// CPUs of an instance in thousandths, where they are not the profile's for that memory.
    pub milli_vcpus: Option<u32>,
    /// Files of an instance, what is included counted too.
    pub scratch_mib: u32,
    /// Bytes of each reply, if they stream.
    pub streamed_bytes: u64,
    /// Bytes of each event, if they are asynchronous.
    pub event_bytes: Option<u64>,
    /// Bytes that leave the provider's network in the month.
    pub egress_bytes: u128,
    /// How many of the requests start an instance.
    pub cold_starts: u64,
    /// Wall time of each start and init.
    pub init: Duration,
    /// How many requests an instance serves at the same time, all the time.
    pub concurrency: u32,
    /// Instances that are kept ready.
    pub provisioned: Option<Provisioned>,
    /// Snapshots that instances start from.
    pub snapshots: Option<Snapshots>,
    /// Messages that are written, read and deleted once.
    pub messages: Option<Messages>,
    /// Use of services beside functions.
    pub services: Vec<(Counts, Decimal)>,
    /// The same by the name of a meter.
    pub named: BTreeMap<String, Decimal>,
    /// The most requests in a second, for servers; the month's, spread evenly, if it is not known.
    pub peak_rps: Option<Decimal>,
}

/// Instances that are kept ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Provisioned {
    /// How many.
    pub instances: u32,
    /// How long in the month.
    pub time: Duration,
    /// Requests that they serve.
    pub requests: u64,
    /// Wall time of each.
    pub duration: Duration,
}

/// Snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snapshots {
    /// How many versions have one.
    pub versions: u32,
    /// How long each is kept in the month.
    pub kept: Duration,
    /// How many instances start from one.
    pub restores: u64,
}

/// Messages of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Messages {
    /// How many.
    pub count: u64,
    /// Bytes of each.
    pub bytes: u64,
}

impl Default for Stated {
    /// No requests, of nothing, one at a time.
    fn default() -> Self {
        Stated {
            requests: 0,
            duration: Duration::ZERO,
            cpu: None,
            memory_mib: 0,
            milli_vcpus: None,
            scratch_mib: 0,
            streamed_bytes: 0,
            event_bytes: None,
            egress_bytes: 0,
            cold_starts: 0,
            init: Duration::ZERO,
            concurrency: 1,
            provisioned: None,
            snapshots: None,
            messages: None,
            services: Vec::new(),
            named: BTreeMap::new(),
            peak_rps: None,
        }
    }
}

/// What stated use comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// What was used, as the provider counts it.
    pub month: Month,
    /// What it costs.
    pub invoice: Invoice,
    /// What had to be assumed, is not priced, or would not be allowed.
    pub notices: Vec<String>,
}

impl Profile {
    /// Prices a month's use.
    ///
    /// ```
    /// use std::time::Duration;
    /// use faas_core::{billing::{Allowances, Stated}, profile::Profile};
    ///
    /// let stated = Stated {
    ///     requests: 3_000_000, duration: Duration::from_millis(120), memory_mib: 1536, ..Stated::default()
    /// };
    /// let estimate = Profile::named("aws-lambda")?.estimate(&stated, Allowances::Applied);
    /// assert_eq!(estimate.invoice.total_usd.to_string(), "2.73");
    /// # Ok::<(), faas_core::profile::UnknownProfile>(())
    /// ```
    pub fn estimate(&self, stated: &Stated, allowances: Allowances) -> Estimate {
        let mut notices = Vec::new();
        let month = self.month(stated, &mut notices);
        self.limits_exceeded(stated, &mut notices);
        if stated.cold_starts > stated.requests {
            notices.push(format!(
                "{} cold starts are more than there are requests: each is cold",
                stated.cold_starts
            ));
        }
        if !month.functions.is_exact() {
            notices.push(format!(
                "`{}`: some of it is more than can be counted: it costs more than this",
                self.name
            ));
        }
        let invoice = Invoice::of(&self.billing, &month, allowances);
        Estimate { month, invoice, notices }
    }

    fn month(&self, stated: &Stated, notices: &mut Vec<String>) -> Month {
        let mut month = Month::from(self.served(stated, notices));
        self.kept(stated, &mut month, notices);
        let mut service = |name: String, amount: Decimal| {
            let sum = month.services.entry(name).or_default();
            *sum = sum.saturating_add(amount);
        };
        for (counts, amount) in &stated.services {
            match self.billing.meters.iter().find(|meter| meter.counts == *counts) {
                Some(meter) => service(meter.name.clone(), *amount),
                None => notices.push(self.no_price(counts.what())),
            }
        }
        for (name, amount) in &stated.named {
            match self.billing.meters.iter().find(|meter| meter.name == *name) {
                Some(meter) => service(meter.name.clone(), *amount),
                None => notices.push(self.no_price(name)),
            }
        }
        if let Some(messages) = &stated.messages {
            let meter = self.billing.meters.iter().find(|meter| meter.counts == Counts::QueueOperations);
            match (&self.billing.queue, meter) {
                (Some(rule), Some(meter)) => {
                    let chunks = messages.bytes.div_ceil(rule.chunk_bytes.value).max(1);
                    let each = Decimal::from(chunks).saturating_mul(rule.operations.value.into());
                    service(meter.name.clone(), each.saturating_mul(messages.count.into()));
                }
                _ => notices.push(self.no_price(Counts::QueueOperations.what())),
            }
        }
        month
    }

    /// What requests count for.
    fn served(&self, stated: &Stated, notices: &mut Vec<String>) -> Quantities {
        let counted = |of: &[Counts]| self.billing.meters.iter().any(|meter| of.contains(&meter.counts));
        let has_requests = stated.requests > 0 || stated.provisioned.is_some_and(|kept| kept.requests > 0);
        if stated.cpu.is_none() && has_requests && counted(&[Counts::CpuMs, Counts::CpuHours]) {
            notices.push(format!(
                "`{}` bills CPU time, which is not given: all of the duration counts as such",
                self.name
            ));
        }
        for (is_stated, counts) in [
            (stated.scratch_mib > 0, Counts::ScratchGbSeconds),
            (stated.streamed_bytes > 0, Counts::StreamGb),
            (stated.egress_bytes > 0, Counts::EgressGb),
        ] {
            if is_stated && !counted(&[counts]) {
                notices.push(self.no_price(counts.what()));
            }
        }
        let one = Use {
            handler_wall: stated.duration,
            handler_cpu: stated.cpu.unwrap_or(stated.duration),
            memory_mib: stated.memory_mib,
            memory_used_mib: stated.memory_mib,
            milli_vcpus: stated.milli_vcpus,
            scratch_mib: stated.scratch_mib,
            streamed_bytes: stated.streamed_bytes,
            event_bytes: stated.event_bytes,
            ..Use::default()
        };
        let cold = Use { init_wall: stated.init, ..one };
        let mut sum = self.together(&one, &cold, stated.requests, stated.cold_starts, stated.concurrency);
        if let Some(provisioned) = &stated.provisioned {
            // where none are kept ready, what they would serve is served as any other
            let one = Use {
                handler_wall: provisioned.duration,
                handler_cpu: stated.cpu.unwrap_or(provisioned.duration),
                is_provisioned: true,
                ..one
            };
            sum += self.together(&one, &one, provisioned.requests, 0, stated.concurrency);
        }
        sum.with(Measure::Egress, stated.egress_bytes)
    }

    /// What `n` requests count for, of which so many are cold, and so many share an instance's time where that is what
    /// is billed.
    fn together(&self, warm: &Use, cold: &Use, n: u64, n_cold: u64, concurrency: u32) -> Quantities {
        let is_shared = self.billing.time.as_ref().is_some_and(|time| time.of.value == Of::Instance);
        let spans = |n: u64| if is_shared { n.div_ceil(concurrency.max(1).into()) } else { n };
        let (all, cold_spans) = (spans(n), spans(n_cold.min(n)));
        let [warm, cold] = [warm, cold].map(|used| self.count(used).1);
        let time = warm.times((all - cold_spans).into()) + cold.times(cold_spans.into());
        // what is not time does not depend on the start
        time.only(Measure::is_wall_time) + warm.only(|measure| !measure.is_wall_time()).times(n.into())
    }

    /// What is paid for being there.
    fn kept(&self, stated: &Stated, month: &mut Month, notices: &mut Vec<String>) {
        let billing = &self.billing;
        let used =
            Use { memory_mib: stated.memory_mib, memory_used_mib: stated.memory_mib, ..Use::default() };
        let mib = u128::from(memory_mib(&used, billing.memory.as_ref()));
        match (&stated.provisioned, &billing.provisioned) {
            (Some(kept), Some(_)) => {
                let time_ns = u64::try_from(kept.time.as_nanos()).unwrap_or(u64::MAX);
                let kept = Standby { instances: kept.instances, memory_mib: stated.memory_mib, time_ns };
                month.functions += self.standby_with(stated.milli_vcpus, &[kept], &month.functions);
            }
            (Some(_), None) => notices.push(format!(
                "{}, and what they would serve is billed as any other request",
                self.no_price(Counts::ProvisionedGbSeconds.what())
            )),
            (None, _) => {}
        }
        match (&stated.snapshots, &billing.snapshots) {
            (Some(kept), Some(rule)) => {
                let ns = kept.kept.max(Duration::from_millis(rule.min_ms.value)).as_nanos();
                month.functions = month
                    .functions
                    .with(Measure::SnapshotTime, ns.saturating_mul(u128::from(kept.versions) * mib))
                    .with(Measure::SnapshotRestored, u128::from(kept.restores) * mib);
            }
            (Some(_), None) => notices.push(self.no_price(Counts::SnapshotGbSeconds.what())),
            (None, _) => {}
        }
        if let Some((servers, why)) = self.servers(stated) {
            let hours = billing.servers.as_ref().map_or(0, |servers| servers.hours_per_month.value);
            let ns = u128::from(servers) * u128::from(hours) * 3_600_000_000_000;
            month.functions = month.functions.with(Measure::ServerTime, ns);
            notices.push(why);
        }
    }

    /// How many servers are enough for the peak, by CPU and by memory, and why.
    fn servers(&self, stated: &Stated) -> Option<(u64, String)> {
        let server = self.billing.servers.as_ref()?;
        if stated.requests == 0 && stated.peak_rps.is_none() {
            return None;
        }
        let month_seconds = Decimal::from(server.hours_per_month.value.max(1)) * Decimal::from(3600);
        let peak_rps = stated.peak_rps.unwrap_or_else(|| Decimal::from(stated.requests) / month_seconds);
        let seconds =
            |time: Duration| Decimal::from(time.as_secs()) + Decimal::new(time.subsec_nanos().into(), 9);
        let (wall, cpu) = (seconds(stated.duration), seconds(stated.cpu.unwrap_or(stated.duration)));
        let by_cpu = peak_rps.saturating_mul(cpu) / Decimal::from(server.vcpus.value);
        let instances = peak_rps.saturating_mul(wall) / Decimal::from(stated.concurrency.max(1));
        let by_memory =
            instances.saturating_mul(stated.memory_mib.into()) / Decimal::from(server.memory_mib.value);
        let servers = by_cpu.max(by_memory).ceil().max(Decimal::ONE).to_u64().unwrap_or(u64::MAX);
        let spread = match stated.peak_rps {
            Some(_) => "at the peak",
            None => "if requests are spread evenly over the month, which they are not: give the peak",
        };
        let why = format!(
            "`{}`: {servers} of {} vCPUs and {} MiB for {} requests a second {spread}",
            self.name,
            server.vcpus.value,
            server.memory_mib.value,
            peak_rps.round_dp(3).normalize(),
        );
        Some((servers, why))
    }

    fn no_price(&self, what: &str) -> String {
        format!("`{}` has no price for {what}: left out", self.name)
    }

    fn limits_exceeded(&self, stated: &Stated, notices: &mut Vec<String>) {
        let limits = &self.limits;
        let mut beyond = |what: &str, asked: u64, allowed: Option<String>| {
            if let Some(allowed) = allowed {
                notices.push(format!("`{}` does not allow {asked} {what}: {allowed}", self.name));
            }
        };
        if stated.requests == 0 {
            return;
        }
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        beyond("MiB of memory", stated.memory_mib.into(), outside(&limits.memory_mib, stated.memory_mib));
        if let Some(range) = &limits.timeout_ms {
            let duration_ms = ms(stated.duration);
            beyond("ms a request", duration_ms, above(range, duration_ms));
        }
        if let (Some(range), Some(cpu)) = (&limits.cpu_ms, stated.cpu) {
            beyond("ms of CPU time a request", ms(cpu), above(range, ms(cpu)));
        }
        if let Some(most) = &limits.requests_per_day {
            let a_day = stated.requests.div_ceil(30);
            let allowed = (a_day > most.value).then(|| format!("{} at most", most.value));
            beyond("requests a day", a_day, allowed);
        }
    }
}

fn outside(range: &Range<u32>, asked: u32) -> Option<String> {
    match (&range.min, &range.max) {
        (Some(min), _) if asked < min.value => Some(format!("{} at least", min.value)),
        (_, Some(max)) if asked > max.value => Some(format!("{} at most", max.value)),
        _ => None,
    }
}

fn above(range: &Range<u64>, asked: u64) -> Option<String> {
    let max = range.max.as_ref()?.value;
    (asked > max).then(|| format!("{max} at most"))
}
