//! Which limits an invocation came near. Pure: it looks at what was used, after it was; limits are kept by the sandbox.

use std::time::Duration;

use crate::invocation::{ErrorKind, FunctionSpec, InvocationError, Record};

/// The most log of one invocation that is passed on, in bytes.
pub const MAX_LOG_BYTES: u64 = 256 << 10;

/// From so much of a limit on an invocation is near it, in percent.
pub const NEAR_PERCENT: u64 = 80;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// Wall time.
    Timeout,
    /// CPU time.
    Cpu,
    /// Memory of the instance.
    Memory,
    /// The request's body.
    Request,
    /// The reply's body.
    Reply,
    /// What is written to the log.
    Log,
}

impl Limit {
    const ALL: [Limit; 6] =
        [Limit::Timeout, Limit::Cpu, Limit::Memory, Limit::Request, Limit::Reply, Limit::Log];

    /// What it is of, in words: `timeout`.
    pub fn as_str(self) -> &'static str {
        match self {
            Limit::Timeout => "timeout",
            Limit::Cpu => "CPU limit",
            Limit::Memory => "memory",
            Limit::Request => "limit of a request's body",
            Limit::Reply => "limit of a reply's body",
            Limit::Log => "limit of log",
        }
    }

    /// What happens at it.
    fn stops(self) -> Option<ErrorKind> {
        Some(match self {
            Limit::Timeout => ErrorKind::TimedOut,
            Limit::Cpu => ErrorKind::CpuExceeded,
            Limit::Memory => ErrorKind::OutOfMemory,
            Limit::Request => ErrorKind::RequestTooLarge,
            Limit::Reply => ErrorKind::ReplyTooLarge,
            Limit::Log => return None,
        })
    }

    /// What was used of it, and how much there is: nanoseconds or bytes. Absent where there is no limit.
    fn of(self, record: &Record, spec: &FunctionSpec) -> Option<(u64, u64)> {
        let usage = &record.usage;
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Some(match self {
            Limit::Timeout => (ns(usage.handler_wall), ns(spec.timeout)),
            Limit::Cpu => (ns(usage.handler_cpu), ns(spec.cpu_limit?)),
            Limit::Memory => (usage.memory_peak_bytes, u64::from(spec.memory_mib) << 20),
            Limit::Request => (usage.bytes_in, spec.max_request_bytes),
            Limit::Reply => (usage.bytes_out, spec.max_reply_bytes),
            Limit::Log => (usage.log_bytes, MAX_LOG_BYTES),
        })
    }
}

/// A limit that an invocation came near, or reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Near {
    /// Which.
    pub limit: Limit,
    /// What was used: nanoseconds or bytes.
    pub used: u64,
    /// How much there is: nanoseconds or bytes.
    pub most: u64,
    /// Whether the invocation was stopped there.
    pub is_over: bool,
}

/// The limits that an invocation came near.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use faas_core::{clock::Time, invocation::*, limits};
///
/// let mut record = Record {
///     id: "1".into(), function: "f".into(), spec: Some(Arc::new(FunctionSpec::new("f"))), // 3 s, 128 MiB
///     start: Some(Start::Warm), instance: None, arrived: Time::EPOCH, ended: Time::EPOCH, queue: Duration::ZERO,
///     usage: Usage { handler_wall: Duration::from_millis(2_399), ..Usage::default() },
///     end: End::Replied { status: http::StatusCode::OK, is_fault: false },
/// };
/// assert_eq!(limits::near(&record).count(), 0);
/// record.usage.handler_wall = Duration::from_millis(2_400);
/// let near = limits::near(&record).next().expect("80 %");
/// assert_eq!(near.to_string(), "2.400 s of its timeout of 3.000 s (80 %)");
/// ```
pub fn near(record: &Record) -> impl Iterator<Item = Near> {
    let spec = record.spec.as_deref().filter(|_| record.start.is_some());
    let stopped = match &record.end {
        crate::invocation::End::Failed(InvocationError { kind, .. }) => Some(*kind),
        _ => None,
    };
    Limit::ALL.into_iter().filter_map(move |limit| {
        let (used, most) = limit.of(record, spec?)?;
        let is_over = stopped.is_some() && limit.stops() == stopped;
        let is_near = used > 0 && u128::from(used) * 100 >= u128::from(most) * u128::from(NEAR_PERCENT);
        (is_near || is_over).then_some(Near { limit, used, most, is_over })
    })
}

impl std::fmt::Display for Near {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Near { limit, used, most, is_over } = *self;
        let amount = |n: u64| match limit {
            Limit::Timeout | Limit::Cpu => format!("{:.3} s", n as f64 / 1e9),
            _ if n < 1 << 20 => format!("{:.1} KiB", n as f64 / 1024.0),
            _ => format!("{:.1} MiB", n as f64 / f64::from(1 << 20)),
        };
        let percent = u128::from(used) * 100 / u128::from(most.max(1));
        let what = limit.as_str();
        write!(f, "{} of its {what} of {}", amount(used), amount(most))?;
        if is_over { f.write_str(", and was stopped there") } else { write!(f, " ({percent} %)") }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        clock::Time,
        invocation::{End, Start, Usage},
    };

    fn record(usage: Usage) -> Record {
        let spec = FunctionSpec { cpu_limit: Some(Duration::from_millis(10)), ..FunctionSpec::new("f") };
        Record {
            id: "1".into(),
            function: "f".into(),
            spec: Some(Arc::new(spec)),
            start: Some(Start::Warm),
            instance: None,
            arrived: Time::EPOCH,
            ended: Time::EPOCH,
            queue: Duration::ZERO,
            usage,
            end: End::Replied { status: http::StatusCode::OK, is_fault: false },
        }
    }

    fn told(record: &Record) -> String {
        near(record).map(|near| format!("{near}\n")).collect()
    }

    #[test]
    fn each_limit_is_near_from_four_fifths_on() {
        let usage = Usage {
            handler_wall: Duration::from_millis(2_999),
            handler_cpu: Duration::from_micros(8_100),
            memory_peak_bytes: 110 << 20,
            bytes_in: 5 << 20,
            bytes_out: (6 << 20) - 1,
            log_bytes: 300 << 10,
            ..Usage::default()
        };
        insta::assert_snapshot!(told(&record(usage)), @"
        2.999 s of its timeout of 3.000 s (99 %)
        0.008 s of its CPU limit of 0.010 s (81 %)
        110.0 MiB of its memory of 128.0 MiB (85 %)
        5.0 MiB of its limit of a request's body of 6.0 MiB (83 %)
        6.0 MiB of its limit of a reply's body of 6.0 MiB (99 %)
        300.0 KiB of its limit of log of 256.0 KiB (117 %)
        ");
        let little = Usage {
            handler_wall: Duration::from_millis(2_399),
            memory_peak_bytes: 102 << 20,
            bytes_out: 5_033_164,
            ..Usage::default()
        };
        assert_eq!(told(&record(little)), "");
    }

    #[test]
    fn who_was_stopped_at_a_limit_was_near_it_whatever_was_measured() {
        let mut stopped = record(Usage { memory_peak_bytes: 1 << 20, ..Usage::default() });
        stopped.end = End::Failed(InvocationError::new(ErrorKind::OutOfMemory, "no"));
        insta::assert_snapshot!(told(&stopped), @"1.0 MiB of its memory of 128.0 MiB, and was stopped there");
    }

    #[test]
    fn what_has_no_limit_or_did_not_run_comes_near_nothing() {
        let mut unlimited = record(Usage { bytes_out: 1 << 40, ..Usage::default() });
        let spec = FunctionSpec { max_reply_bytes: u64::MAX, cpu_limit: None, ..FunctionSpec::new("f") };
        unlimited.spec = Some(Arc::new(spec));
        assert_eq!(told(&unlimited), "");
        let mut refused = record(Usage { memory_peak_bytes: 128 << 20, ..Usage::default() });
        refused.start = None;
        assert_eq!(told(&refused), "");
    }
}
