//! `faas simulate`: replays a trace of past traffic under keep-alive policies, and compares them.
//!
//! The simulation is `faas_core::sim`'s; here are its options, its progress bar, and where its report goes.

mod plot;

use std::{
    io::{IsTerminal as _, Write as _},
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use clap::ValueEnum;
use faas_core::{
    policy::PolicyKind,
    sim::{self, ColdStart, Progress, Report, Spread, Strictness, Trace},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::plot::Target;
use crate::{error::Error, profiles};

/// Options of `faas simulate`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// A folder of Azure 2019 files (invocations, durations, memory), or an Azure 2021 file, or a folder with one
    trace: PathBuf,
    /// What keeps instances warm: fixed:10m, random:5m-7m, hybrid, greedy-dual, greedy-dual-size or none. Several, each with
    /// a --policy of its own, are compared on the same arrivals
    #[arg(long = "policy", value_name = "POLICY", required = true)]
    policies: Vec<PolicyKind>,
    /// Whose prices apply
    #[arg(long = "as", value_name = "PROFILE", default_value = crate::host::DEFAULT_PROFILE)]
    profile: String,
    /// Where in its minute an invocation falls, when the trace only counts them: poisson (each anywhere), even (the first at
    /// the minute's start, all at equal distances) or burst (all at one moment, anywhere)
    #[arg(long, value_name = "SPREAD", default_value_t)]
    arrivals: Spread,
    /// Where all that is drawn comes from
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How long cold starts take, in milliseconds: a time, or the median and the 99th percentile of a log-normal.
    /// The default is what clients of AWS Lambda saw (STeLLAR, 2021)
    #[arg(long, value_name = "MS[..MS]", default_value_t)]
    cold_start_ms: ColdStart,
    /// How much of a cold start is billed, in milliseconds. The default is the median init of Node.js 22 on AWS Lambda
    /// (lambda-perf, 2026)
    #[arg(long, value_name = "MS", default_value_t = 143)]
    init_ms: u64,
    /// How many invocations an instance serves at a time
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: u32,
    /// How many instances of each app are kept ready, and paid for, whether they serve or not
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    min_instances: u32,
    /// The memory of one host that all apps share, in MiB; without it each app has as much as it wants
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..))]
    memory_mib: Option<u64>,
    /// On how many threads; the result is the same on any number
    #[arg(long, value_name = "COUNT")]
    threads: Option<NonZeroUsize>,
    /// Refuse a trace whose files do not have the same functions, where medians would do for what is missing
    #[arg(long)]
    strict: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Draw cold starts against idle memory
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Whose share of cold starts the plot shows
    #[arg(long, value_enum, value_name = "SHARE", default_value_t, requires = "plot")]
    plot_share: plot::Share,
}

/// How to print the result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// For spreadsheets
    Csv,
    /// For programs: an object with `policies`
    Json,
}

/// Replays the trace and prints what came out.
///
/// # Errors
/// When an option or the trace is wrong, or the result cannot be written.
pub fn run(options: &Options) -> Result<(), Error> {
    let profile = profiles::find(&options.profile)?;
    // before the work, not after it
    let plot = options.plot.as_deref().map(Target::new).transpose()?;
    let mut how = sim::Options {
        spread: options.arrivals,
        seed: options.seed,
        cold_start: options.cold_start_ms,
        billed_init: Duration::from_millis(options.init_ms),
        instance_concurrency: options.concurrency,
        min_instances: options.min_instances,
        memory_mib: options.memory_mib,
        ..sim::Options::new(options.policies.clone(), profile)
    };
    if let Some(threads) = options.threads {
        how.threads = threads;
    }
    let strictness = if options.strict { Strictness::Strict } else { Strictness::Lenient };
    let report = replay(options, strictness, &how)?;
    let text = match options.format {
        Format::Table => report.to_table(),
        Format::Csv => report.to_csv(),
        Format::Json => format!("{:#}\n", report.to_json()),
    };
    if let Some(target) = plot {
        target.draw(&plot::of(&report, options.plot_share))?;
    }
    let mut told = std::io::stdout().write_all(text.as_bytes());
    if options.format != Format::Table {
        // where they do not disturb, and are seen by who looks at the numbers alone
        for note in &report.notes {
            told = told.and_then(|()| writeln!(anstream::stderr(), "note: {note}"));
        }
    }
    told.map_err(|why| Error::failed(format!("the result cannot be written: {why}")))
}

fn replay(options: &Options, strictness: Strictness, how: &sim::Options) -> Result<Report, Error> {
    let bar = bar();
    let report = Trace::open(&options.trace, strictness).and_then(|mut trace| {
        sim::replay(&mut trace, how, &|progress| match progress {
            Progress::Read(invocations) => bar.inc_length(invocations),
            Progress::Replayed(invocations) => bar.inc(invocations),
        })
    });
    bar.finish_and_clear();
    report.map_err(|why| Error::bad_input(why.to_string()))
}

/// On standard error, and only if somebody looks.
fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} invocations, {per_sec}")
        .expect("the template is a constant");
    ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style)
}
