//! How many invocations a second a replay gets through, reading the trace's files included. The trace is made here:
//! a day of a thousand apps whose rates fall off as those of the Azure 2019 data set do, so that a fifth of them have
//! nearly all invocations.

use std::{fmt::Write as _, fs, num::NonZeroUsize, path::Path};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use faas_core::{
    profile::Profile,
    sim::{Options, Report, Strictness, Trace, replay},
};

const APPS: u64 = 1_000;
const MINUTES: u64 = 1_440;

/// Writes the trace; how many invocations it has.
fn write_trace(folder: &Path) -> u64 {
    let minutes = (1..=MINUTES).map(|minute| minute.to_string()).collect::<Vec<_>>().join(",");
    let mut invocations = format!("HashOwner,HashApp,HashFunction,Trigger,{minutes}\n");
    let mut durations = "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,\
         percentile_Average_1,percentile_Average_25,percentile_Average_50,percentile_Average_75,\
         percentile_Average_99,percentile_Average_100\n"
        .to_owned();
    let mut memory = "HashOwner,HashApp,SampleCount,AverageAllocatedMb\n".to_owned();
    let (mut total, mut rng) = (0, fastrand::Rng::with_seed(1));
    for app in 0..APPS {
        let (owner, name, function) = (format!("o{app}"), format!("a{app}"), format!("f{app}"));
        // a minute, in thousandths of an invocation
        let rate = 2_000_000 / (app + 1) / (1 + app / 40);
        write!(invocations, "{owner},{name},{function},http").expect("to a string");
        for _ in 0..MINUTES {
            let count = (rate * rng.u64(500..1500) / 1000 + rng.u64(0..1000)) / 1000;
            total += count;
            write!(invocations, ",{count}").expect("to a string");
        }
        invocations.push('\n');
        let ms = rng.u64(5..800);
        writeln!(
            durations,
            "{owner},{name},{function},{ms},9,0,{0},1,2,{1},{ms},{2},{0},{0}",
            ms * 4,
            ms / 2,
            ms * 2
        )
        .expect("to a string");
        writeln!(memory, "{owner},{name},9,{}", rng.u64(50..400)).expect("to a string");
    }
    for (name, text) in [("invocations", invocations), ("durations", durations), ("memory", memory)] {
        fs::write(folder.join(format!("{name}.csv")), text).expect("a file in a temporary folder");
    }
    total
}

fn run(folder: &Path, policies: &[&str], threads: usize) -> Report {
    let mut trace = Trace::open(folder, Strictness::Strict).expect("it was written here");
    let policies = policies.iter().map(|name| name.parse().expect("it is one")).collect();
    let options = Options {
        threads: NonZeroUsize::new(threads).expect("some"),
        ..Options::new(policies, Profile::named("aws-lambda").expect("built in"))
    };
    replay(&mut trace, &options, &|_| ()).expect("a good trace")
}

fn sim(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let invocations = write_trace(folder.path());
    let mut group = c.benchmark_group("sim/replay");
    group.sample_size(10).throughput(Throughput::Elements(invocations));
    for threads in [1, 2] {
        group.bench_function(format!("fixed:10m on {threads}"), |b| {
            b.iter(|| run(folder.path(), &["fixed:10m"], threads));
        });
    }
    group.finish();
}

criterion_group!(benches, sim);
criterion_main!(benches);
