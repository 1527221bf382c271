//! From what one invocation used to what it counts for: rounding, floors and sizes, by a profile's rules.

use std::time::Duration;

use super::quantities::Quantities;
use crate::{
    invocation::{End, ErrorKind, Record},
    profile::{EventRule, MemoryOf, MemoryRule, Profile, TimeRule},
};

/// What one invocation used, or one span of time in which an instance was active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Use {
    /// Wall time of start and init, what was injected as such included; zero for a warm start.
    pub init_wall: Duration,
    /// Wall time of the handler; its timeout at most.
    pub handler_wall: Duration,
    /// CPU time of the handler.
    pub handler_cpu: Duration,
    /// Memory that is configured.
    pub memory_mib: u32,
    /// The most memory that was used.
    pub memory_used_mib: u32,
    /// CPUs of the instance in thousandths, where they are not the profile's for its memory.
    pub milli_vcpus: Option<u32>,
    /// Files of the instance, what is included counted too.
    pub scratch_mib: u32,
    /// Bytes of a reply that streams.
    pub streamed_bytes: u64,
    /// Bytes that leave the provider's network.
    pub egress_bytes: u64,
    /// Bytes of the event, if it is asynchronous.
    pub event_bytes: Option<u64>,
    /// Whether the instance is one that is kept ready.
    pub is_provisioned: bool,
}

impl Use {
    /// What an invocation used; nothing if no instance served it. Where its reply went nobody here knows, so no
    /// traffic is counted.
    pub fn of(record: &Record) -> Option<Self> {
        let (Some(spec), Some(_)) = (&record.spec, record.start) else { return None };
        let usage = &record.usage;
        let used_mib = usage.memory_peak_bytes.div_ceil(1 << 20);
        // by how much it was stopped too late is our doing
        let is_overdue = matches!(&record.end, End::Failed(error) if error.kind == ErrorKind::TimedOut);
        let most = if is_overdue { spec.timeout } else { Duration::MAX };
        Some(Use {
            // what was injected as init is billed as init; what the platform takes, nobody bills
            init_wall: usage.init_wall + usage.injected.init,
            handler_wall: usage.handler_wall.min(most),
            handler_cpu: usage.handler_cpu,
            memory_mib: spec.memory_mib,
            memory_used_mib: u32::try_from(used_mib).unwrap_or(u32::MAX),
            event_bytes: usage.event_bytes,
            is_provisioned: usage.is_provisioned,
            ..Use::default()
        })
    }
}

impl Profile {
    /// The time that is billed of it, and what it counts for.
    pub(super) fn count(&self, used: &Use) -> (Duration, Quantities) {
        // init and handler are one sum, rounded once
        let init_wall = if self.bills_init() { used.init_wall } else { Duration::ZERO };
        let wall = init_wall + used.handler_wall;
        let wall = self.billing.time.as_ref().map_or(wall, |rule| rounded(wall, rule));
        self.count_for(used, wall)
    }

    /// The same where so much wall time is billed of it.
    pub(super) fn count_for(&self, used: &Use, wall: Duration) -> (Duration, Quantities) {
        let billing = &self.billing;
        let quantities = self.rates(used).times(1, wall.as_nanos(), used.handler_cpu.as_nanos());
        let billed = if billing.time.is_some() { wall } else { used.handler_cpu };
        (billed, quantities)
    }
}

/// Requests as they are billed: a large event is several.
pub(super) fn requests(used: &Use, rule: Option<&EventRule>) -> u64 {
    match (rule, used.event_bytes) {
        (Some(rule), Some(bytes)) => {
            let further = bytes.saturating_sub(rule.first_bytes.value);
            1 + further.div_ceil(rule.further_bytes.value)
        }
        _ => 1,
    }
}

/// In nanoseconds. What takes five centuries stays at their end.
pub(super) fn ns(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos().into())
}

/// This time, rounded and raised as the rule says.
pub(super) fn rounded(time: Duration, rule: &TimeRule) -> Duration {
    let step_ms = rule.round_up_ms.as_ref().map_or(0, |step| step.value);
    let min_ms = rule.min_ms.as_ref().map_or(0, |min| min.value);
    round_up(time, step_ms).max(Duration::from_millis(min_ms.into()))
}

pub(super) fn round_up(time: Duration, step_ms: u32) -> Duration {
    let step_ns = u128::from(step_ms) * 1_000_000;
    if step_ns == 0 {
        return time;
    }
    let rounded_ns = time.as_nanos().div_ceil(step_ns) * step_ns;
    u64::try_from(rounded_ns).map_or(Duration::MAX, Duration::from_nanos)
}

/// Memory as it is billed.
pub(super) fn memory_mib(used: &Use, rule: Option<&MemoryRule>) -> u32 {
    let Some(rule) = rule else { return used.memory_mib };
    let memory_mib = match rule.of.as_ref().map(|of| of.value) {
        Some(MemoryOf::Used) => used.memory_used_mib,
        Some(MemoryOf::Configured) | None => used.memory_mib,
    };
    let step = rule.round_up_mib.as_ref().map_or(1, |step| step.value.max(1));
    let min = rule.min_mib.as_ref().map_or(0, |min| min.value);
    let memory_mib = memory_mib.div_ceil(step).saturating_mul(step).max(min);
    match &rule.sizes_mib {
        Some(sizes) => {
            let size = sizes.value.iter().find(|size| **size >= memory_mib).or(sizes.value.last());
            size.copied().unwrap_or(memory_mib).max(memory_mib)
        }
        None => memory_mib,
    }
}
