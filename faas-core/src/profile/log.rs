//! The lines that a provider writes to a function's log, filled in for one invocation. Pure.

use std::time::Duration;

use super::{LogStatus, Profile, Sourced};
use crate::{
    billing::{Charge, Use},
    invocation::{End, ErrorKind, Record, Start},
};

/// A provider's lines for one invocation: those before what the function wrote, and those after.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogLines {
    /// Before.
    pub before: Vec<String>,
    /// After.
    pub after: Vec<String>,
}

impl LogLines {
    /// Whether there are any.
    pub fn is_some(&self) -> bool {
        !(self.before.is_empty() && self.after.is_empty())
    }
}

impl Profile {
    /// What is written for this invocation; nothing if no instance served it, unless its init failed.
    pub fn log_lines(&self, record: &Record, charge: &Charge) -> LogLines {
        let log = &self.log;
        let status = self.status(record);
        let filled = |line: &Option<Sourced<String>>| -> Vec<String> {
            line.iter().map(|line| fill(&line.value, record, charge, status)).collect()
        };
        match record.start {
            _ if is_of_init(record) => LogLines { before: Vec::new(), after: filled(&log.init_failed) },
            None => LogLines::default(),
            Some(start) => {
                let report = match start {
                    Start::Cold if log.report_cold.is_some() => &log.report_cold,
                    _ => &log.report,
                };
                let mut after = filled(&log.end);
                after.extend(filled(report));
                LogLines { before: filled(&log.start), after }
            }
        }
    }

    /// How it says that something went wrong. A panic is none of that: the runtime catches it, and replies with an error.
    fn status(&self, record: &Record) -> &str {
        let End::Failed(error) = &record.end else { return "" };
        let LogStatus { timed_out, out_of_memory, exited } = &self.log.status;
        let init_limit = self.limits.init_ms.as_ref().map(|limit| Duration::from_millis(limit.default.value));
        let status = match error.kind {
            ErrorKind::TimedOut => timed_out,
            ErrorKind::OutOfMemory => out_of_memory,
            ErrorKind::InitFailed if init_limit.is_some_and(|limit| init(record) >= limit) => timed_out,
            ErrorKind::Trap
            | ErrorKind::StackOverflow
            | ErrorKind::Exited
            | ErrorKind::InstanceLost
            | ErrorKind::InitFailed => exited,
            _ => return "",
        };
        status.as_ref().map_or("", |status| &status.value)
    }
}

fn is_of_init(record: &Record) -> bool {
    matches!(&record.end, End::Failed(error) if error.kind == ErrorKind::InitFailed)
}

/// How long start and init took. One that failed left no instance that measured it: it took what the invocation did not queue.
fn init(record: &Record) -> Duration {
    match record.start {
        Some(_) => record.usage.init_wall + record.usage.injected.init,
        None => record.ended.since(record.arrived).saturating_sub(record.queue),
    }
}

fn fill(line: &str, record: &Record, charge: &Charge, status: &str) -> String {
    let memory_mib = record.spec.as_ref().map_or(0, |spec| spec.memory_mib);
    let handler = Use::of(record).map_or(record.usage.handler_wall, |used| used.handler_wall);
    line.replace("{id}", &record.id)
        .replace("{duration_ms}", &hundredths(handler))
        .replace("{billed_ms}", &charge.billed.as_millis().to_string())
        .replace("{memory_mib}", &memory_mib.to_string())
        .replace("{used_mib}", &record.usage.memory_peak_bytes.div_ceil(1 << 20).to_string())
        .replace("{init_ms}", &hundredths(init(record)))
        .replace("{status}", status)
}

/// Milliseconds with two places, as AWS writes them: `16.04`.
fn hundredths(time: Duration) -> String {
    let hundredths = (time.as_micros() + 5) / 10;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        clock::Time,
        invocation::{FunctionSpec, InvocationError, Usage},
        profile::Profile,
    };

    fn record(start: Option<Start>) -> Record {
        let init_us = if start == Some(Start::Cold) { 15_304 } else { 0 };
        Record {
            id: "8f5".into(),
            function: "hello".into(),
            spec: start.map(|_| Arc::new(FunctionSpec::new("hello"))),
            start,
            instance: start.map(|_| 0),
            arrived: Time::EPOCH,
            ended: Time::EPOCH + Duration::from_micros(20_000),
            queue: Duration::ZERO,
            usage: Usage {
                init_wall: Duration::from_micros(init_us),
                handler_wall: Duration::from_micros(1_428),
                memory_peak_bytes: 1_179_648,
                ..Usage::default()
            },
            end: End::Replied { status: http::StatusCode::OK, is_fault: false },
        }
    }

    fn lines(name: &str, record: &Record) -> String {
        let profile = Profile::named(name).expect("built in");
        let lines = profile.log_lines(record, &profile.charge(record));
        [lines.before, lines.after].concat().join("\n")
    }

    #[test]
    fn lambda_reports_each_invocation() {
        insta::assert_snapshot!(lines("aws-lambda", &record(Some(Start::Cold))), @"
        START RequestId: 8f5 Version: $LATEST
        END RequestId: 8f5
        REPORT RequestId: 8f5	Duration: 1.43 ms	Billed Duration: 17 ms	Memory Size: 128 MB	Max Memory Used: 2 MB	Init Duration: 15.30 ms
        ");
        insta::assert_snapshot!(lines("aws-lambda", &record(Some(Start::Warm))), @"
        START RequestId: 8f5 Version: $LATEST
        END RequestId: 8f5
        REPORT RequestId: 8f5	Duration: 1.43 ms	Billed Duration: 2 ms	Memory Size: 128 MB	Max Memory Used: 2 MB
        ");
    }

    #[test]
    fn a_report_of_what_went_well_ends_in_a_tab() {
        for (start, end) in
            [(Start::Warm, "Max Memory Used: 2 MB\t"), (Start::Cold, "Init Duration: 15.30 ms\t")]
        {
            let lines = lines("aws-lambda", &record(Some(start)));
            assert!(lines.ends_with(end), "{lines:?}");
        }
    }

    #[test]
    fn what_ended_an_invocation_is_at_the_end_of_its_report() {
        let report = |kind, start, handler_ms| {
            let mut failed = record(Some(start));
            failed.usage.handler_wall = Duration::from_millis(handler_ms);
            failed.end = End::Failed(InvocationError::new(kind, "no"));
            lines("aws-lambda", &failed).lines().last().expect("REPORT").to_owned()
        };
        // what a deadline is late by here is nobody's
        insta::assert_snapshot!(report(ErrorKind::TimedOut, Start::Cold, 3_004), @"REPORT RequestId: 8f5\tDuration: 3000.00 ms\tBilled Duration: 3016 ms\tMemory Size: 128 MB\tMax Memory Used: 2 MB\tInit Duration: 15.30 ms\tStatus: timeout");
        insta::assert_snapshot!(report(ErrorKind::OutOfMemory, Start::Warm, 7), @"REPORT RequestId: 8f5\tDuration: 7.00 ms\tBilled Duration: 7 ms\tMemory Size: 128 MB\tMax Memory Used: 2 MB\tStatus: error\tError Type: Runtime.OutOfMemory");
        insta::assert_snapshot!(report(ErrorKind::Trap, Start::Warm, 7), @"REPORT RequestId: 8f5\tDuration: 7.00 ms\tBilled Duration: 7 ms\tMemory Size: 128 MB\tMax Memory Used: 2 MB\tStatus: error\tError Type: Runtime.ExitError");
        insta::assert_snapshot!(report(ErrorKind::Panic, Start::Warm, 7), @"REPORT RequestId: 8f5\tDuration: 7.00 ms\tBilled Duration: 7 ms\tMemory Size: 128 MB\tMax Memory Used: 2 MB");
    }

    #[test]
    fn an_init_that_failed_has_a_report_of_its_own_and_what_did_not_run_has_none() {
        let mut failed = record(None);
        failed.end = End::Failed(InvocationError::new(ErrorKind::InitFailed, "no"));
        insta::assert_snapshot!(lines("aws-lambda", &failed), @"INIT_REPORT Init Duration: 20.00 ms\tPhase: init\tStatus: error\tError Type: Runtime.ExitError");
        failed.ended = Time::EPOCH + Duration::from_secs(10);
        insta::assert_snapshot!(lines("aws-lambda", &failed), @"INIT_REPORT Init Duration: 10000.00 ms\tPhase: init\tStatus: timeout");
        failed.end = End::Failed(InvocationError::new(ErrorKind::Throttled, "no"));
        assert_eq!(lines("aws-lambda", &failed), "");
        assert_eq!(lines("cloudflare-workers", &record(Some(Start::Cold))), "", "it writes none");
    }
}
