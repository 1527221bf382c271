//! The lines that a provider writes to a function's log, filled in for one invocation. Pure.

use std::time::Duration;

use super::{Log, Sourced};
use crate::{
    billing::Charge,
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

impl Log {
    /// What is written for this invocation; nothing if no instance served it, unless its init failed.
    pub fn lines(&self, record: &Record, charge: &Charge) -> LogLines {
        let filled = |line: &Option<Sourced<String>>| -> Vec<String> {
            line.iter().map(|line| fill(&line.value, record, charge)).collect()
        };
        let is_init = matches!(&record.end, End::Failed(error) if error.kind == ErrorKind::InitFailed);
        match record.start {
            _ if is_init => LogLines { before: Vec::new(), after: filled(&self.init_failed) },
            None => LogLines::default(),
            Some(start) => {
                let report = match start {
                    Start::Cold if self.report_cold.is_some() => &self.report_cold,
                    _ => &self.report,
                };
                let mut after = filled(&self.end);
                after.extend(filled(report));
                LogLines { before: filled(&self.start), after }
            }
        }
    }
}

fn fill(line: &str, record: &Record, charge: &Charge) -> String {
    let usage = &record.usage;
    // an init that failed left no instance that measured it: it took what the invocation did not queue
    let init = match record.start {
        Some(_) => usage.init_wall + usage.injected.init,
        None => record.ended.since(record.arrived).saturating_sub(record.queue),
    };
    let memory_mib = record.spec.as_ref().map_or(0, |spec| spec.memory_mib);
    line.replace("{id}", &record.id)
        .replace("{duration_ms}", &hundredths(usage.handler_wall))
        .replace("{billed_ms}", &charge.billed.as_millis().to_string())
        .replace("{memory_mib}", &memory_mib.to_string())
        .replace("{used_mib}", &usage.memory_peak_bytes.div_ceil(1 << 20).to_string())
        .replace("{init_ms}", &hundredths(init))
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
        let lines = profile.log.lines(record, &profile.charge(record));
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
    fn an_init_that_failed_has_a_report_of_its_own_and_what_did_not_run_has_none() {
        let mut failed = record(None);
        failed.end = End::Failed(InvocationError::new(ErrorKind::InitFailed, "no"));
        insta::assert_snapshot!(lines("aws-lambda", &failed), @"INIT_REPORT Init Duration: 20.00 ms	Phase: init	Status: error");
        failed.end = End::Failed(InvocationError::new(ErrorKind::Throttled, "no"));
        assert_eq!(lines("aws-lambda", &failed), "");
        assert_eq!(lines("cloudflare-workers", &record(Some(Start::Cold))), "", "it writes none");
    }
}
