//! What follows from the runs: which memory is the cheapest that is enough, and which the fastest for its price. Pure.

use std::time::Duration;

use faas_core::{invocation::ErrorKind, profile::Profile};
use rust_decimal::Decimal;

use super::{events::Events, run::Run};

/// A function, measured with each memory.
pub(super) struct Tuned {
    pub(super) function: String,
    pub(super) profile: String,
    /// What it was asked.
    pub(super) events: Events,
    /// Whether a share of a CPU was computed for any of them.
    pub(super) is_shared: bool,
    pub(super) tries: Vec<Try>,
    /// The memory of the cheapest that is enough.
    pub(super) cheapest: Option<u32>,
    /// The memory of the one whose time times cost is the least.
    pub(super) fastest_per_dollar: Option<u32>,
}

/// One memory.
pub(super) struct Try {
    pub(super) memory_mib: u32,
    /// Thousandths of a CPU; absent where nobody says.
    pub(super) milli_vcpus: Option<u32>,
    pub(super) outcome: Outcome,
}

/// What came of it.
pub(super) enum Outcome {
    /// It is enough.
    Enough(Figures),
    /// The first invocation that failed.
    Failed {
        /// What went wrong; absent when the function replied so.
        kind: Option<ErrorKind>,
        why: String,
        memory_peak_bytes: u64,
        after: Duration,
    },
}

/// Medians of warm invocations, unless every one was cold.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figures {
    pub(super) requests: usize,
    pub(super) duration: Duration,
    pub(super) cpu: Duration,
    pub(super) billed: Duration,
    /// The most of any.
    pub(super) memory_peak_bytes: u64,
    /// The mean, for a million.
    pub(super) usd_per_million: Decimal,
}

impl Tuned {
    pub(super) fn of(function: &str, profile: &Profile, events: Events, runs: Vec<Run>) -> Self {
        let is_shared = runs.iter().any(|run| profile.cpu_share(run.memory_mib).is_some());
        let tries: Vec<Try> = runs.into_iter().map(|run| Try::of(profile, run)).collect();
        let enough = || tries.iter().filter_map(|one| Some((one.memory_mib, one.figures()?)));
        // the smaller memory where two are alike
        let cheapest = enough().min_by_key(|(mib, figures)| (figures.usd_per_million, *mib));
        let fastest = enough().min_by_key(|(mib, figures)| {
            let ns = Decimal::from(u64::try_from(figures.duration.as_nanos()).unwrap_or(u64::MAX));
            (ns.saturating_mul(figures.usd_per_million), *mib)
        });
        Tuned {
            function: function.to_owned(),
            profile: profile.name.clone(),
            events,
            is_shared,
            cheapest: cheapest.map(|(mib, _)| mib),
            fastest_per_dollar: fastest.map(|(mib, _)| mib),
            tries,
        }
    }
}

impl Try {
    fn of(profile: &Profile, run: Run) -> Self {
        let milli_vcpus = Some(profile.cpu.milli_vcpus(run.memory_mib)).filter(|milli| *milli > 0);
        let memory_mib = run.memory_mib;
        if let Some((record, why)) = run.failed {
            let kind = match &record.end {
                faas_core::invocation::End::Failed(error) => Some(error.kind),
                _ => None,
            };
            let memory_peak_bytes = record.usage.memory_peak_bytes;
            let outcome = Outcome::Failed { kind, why, memory_peak_bytes, after: record.usage.handler_wall };
            return Try { memory_mib, milli_vcpus, outcome };
        }
        let measured = run.measured();
        let charges: Vec<_> = measured.iter().map(|record| profile.charge(record)).collect();
        let sum: Decimal = charges.iter().map(|charge| charge.cost_usd).sum();
        let count = Decimal::from(measured.len().max(1));
        let figures = Figures {
            requests: measured.len(),
            duration: median(measured.iter().map(|record| record.usage.handler_wall)),
            cpu: median(measured.iter().map(|record| record.usage.handler_cpu)),
            billed: median(charges.iter().map(|charge| charge.billed)),
            memory_peak_bytes: measured.iter().map(|r| r.usage.memory_peak_bytes).max().unwrap_or_default(),
            usd_per_million: (sum / count).saturating_mul(Decimal::from(1_000_000)),
        };
        Try { memory_mib, milli_vcpus, outcome: Outcome::Enough(figures) }
    }

    /// What was measured, if it is enough.
    pub(super) fn figures(&self) -> Option<&Figures> {
        match &self.outcome {
            Outcome::Enough(figures) => Some(figures),
            Outcome::Failed { .. } => None,
        }
    }
}

/// The lower of the two in the middle of an even number.
fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use faas_core::{
        clock::Time,
        invocation::{End, FunctionSpec, InvocationError, Record, Start, Usage},
    };

    use super::*;

    fn record(memory_mib: u32, start: Start, wall_ms: u64, end: End) -> Record {
        let wall = Duration::from_millis(wall_ms);
        Record {
            id: "1".into(),
            function: "f".into(),
            spec: Some(Arc::new(FunctionSpec { memory_mib, ..FunctionSpec::new("f") })),
            start: Some(start),
            instance: Some(1),
            arrived: Time::EPOCH,
            ended: Time::EPOCH + wall,
            queue: Duration::ZERO,
            usage: Usage {
                init_wall: if start == Start::Cold { Duration::from_millis(900) } else { Duration::ZERO },
                handler_wall: wall,
                handler_cpu: Duration::from_millis(10),
                memory_peak_bytes: 100 << 20,
                ..Usage::default()
            },
            end,
        }
    }

    fn run(memory_mib: u32, wall_ms: [u64; 3]) -> Run {
        let ok = End::Replied { status: http::StatusCode::OK, is_fault: false };
        let mut records = vec![record(memory_mib, Start::Cold, 5, ok.clone())];
        records.extend(wall_ms.map(|ms| record(memory_mib, Start::Warm, ms, ok.clone())));
        Run { memory_mib, records, failed: None }
    }

    /// A function that computes for 10 ms, and needs 100 MiB and somewhat more.
    pub(in crate::commands::tune) fn tuned() -> Tuned {
        let why = "the guest could not get the memory that it wanted";
        let no = End::Failed(InvocationError::new(ErrorKind::OutOfMemory, why));
        let killed = Run {
            memory_mib: 128,
            records: Vec::new(),
            failed: Some((Box::new(record(128, Start::Cold, 40, no)), why.to_owned())),
        };
        let runs = vec![
            killed,
            run(256, [64, 60, 61]),
            run(512, [30, 21, 31]),
            run(1024, [11, 13, 12]),
            run(1769, [10, 10, 10]),
            run(3538, [10, 10, 10]),
        ];
        Tuned::of(
            "f",
            &Profile::named("aws-lambda").expect("built in"),
            Events::Given(vec!["7".into()]),
            runs,
        )
    }

    #[test]
    fn the_cheapest_that_is_enough_and_the_fastest_for_its_price() {
        let tuned = tuned();
        // 1024 MiB for 12 ms are cheaper than 512 for 27 and 256 for 62; the start's 900 ms of init count nowhere
        assert_eq!((tuned.cheapest, tuned.fastest_per_dollar), (Some(1024), Some(1024)));
        let figures = tuned.tries[3].figures().expect("enough");
        assert_eq!((figures.requests, figures.duration.as_millis(), figures.billed.as_millis()), (3, 12, 12));
        // 12 ms of a GB, and a request
        assert_eq!(figures.usd_per_million, "0.4000004".parse().expect("a number"));
    }

    #[test]
    fn where_nothing_is_enough_nothing_is_recommended() {
        let mut runs = vec![run(128, [1, 1, 1])];
        runs[0].failed = Some((Box::new(runs[0].records[0].clone()), "it replied 500".into()));
        let aws = Profile::named("aws-lambda").expect("built in");
        let tuned = Tuned::of("f", &aws, Events::Nothing, runs);
        assert_eq!((tuned.cheapest, tuned.fastest_per_dollar), (None, None));
    }
}
