//! Small traces, written to a temporary folder.

use std::{fmt::Write as _, fs, num::NonZeroUsize, path::Path, time::Duration};

use faas_core::{
    profile::Profile,
    sim::{ColdStart, Options, PolicyReport, Report, Spread, Strictness, Trace, replay},
};
use tempfile::TempDir;

/// A function: its app, its memory, how long every invocation takes, and its counts minute by minute.
#[derive(Clone, Copy)]
pub(crate) struct Function<'a> {
    pub(crate) app: &'a str,
    pub(crate) memory_mib: u32,
    pub(crate) duration_ms: u32,
    pub(crate) counts: &'a [u32],
}

pub(crate) const DURATIONS: &str = "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,\
     percentile_Average_0,percentile_Average_1,percentile_Average_25,percentile_Average_50,\
     percentile_Average_75,percentile_Average_99,percentile_Average_100\n";

pub(crate) fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("it can be written");
    }
    folder
}

/// One day as the three files of a 2019 trace.
pub(crate) fn trace(functions: &[Function<'_>]) -> TempDir {
    let width = functions.iter().map(|function| function.counts.len()).max().unwrap_or_default();
    let minutes: Vec<String> = (1..=width).map(|minute| minute.to_string()).collect();
    let mut invocations = format!("HashOwner,HashApp,HashFunction,Trigger,{}\n", minutes.join(","));
    let (mut durations, mut memory) =
        (DURATIONS.to_owned(), "HashOwner,HashApp,SampleCount,AverageAllocatedMb\n".to_owned());
    for (n, Function { app, memory_mib, duration_ms, counts }) in functions.iter().enumerate() {
        write!(invocations, "o,{app},f{n},http").expect("to a string");
        for minute in 0..width {
            write!(invocations, ",{}", counts.get(minute).copied().unwrap_or_default()).expect("to a string");
        }
        invocations.push('\n');
        let ms = duration_ms;
        writeln!(durations, "o,{app},f{n},{ms},1,{ms},{ms},{ms},{ms},{ms},{ms},{ms},{ms},{ms}")
            .expect("to a string");
        writeln!(memory, "o,{app},1,{memory_mib}").expect("to a string");
    }
    folder(&[("invocations.csv", &invocations), ("durations.csv", &durations), ("memory.csv", &memory)])
}

/// Replays with arrivals at equal distances and cold starts of this length.
pub(crate) fn options(policies: &[&str], cold_start_ms: u64) -> Options {
    Options {
        spread: Spread::Even,
        cold_start: ColdStart::constant(Duration::from_millis(cold_start_ms)),
        ..Options::new(
            policies.iter().map(|name| name.parse().expect("it is a policy")).collect(),
            Profile::named("aws-lambda").expect("built in"),
        )
    }
}

pub(crate) fn run(path: &Path, options: &Options) -> Report {
    let mut trace = Trace::open(path, Strictness::Strict).expect("a good trace");
    replay(&mut trace, options, &|_| ()).expect("a good trace")
}

pub(crate) fn on_threads(options: &Options, threads: usize) -> Options {
    Options { threads: NonZeroUsize::new(threads).expect("some"), ..options.clone() }
}

pub(crate) fn only(report: Report) -> PolicyReport {
    let [policy] = <[PolicyReport; 1]>::try_from(report.policies).expect("one policy");
    policy
}
