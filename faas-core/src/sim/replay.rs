//! The whole replay: reads window after window, and lets threads carry each through the shards.
//!
//! Which thread takes which shard does not matter: shards share nothing, and sums are of whole numbers.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fastrand::Rng;

use super::{
    arrivals::Spread,
    draw::ColdStart,
    engine::Engine,
    report::{PolicyReport, Report},
    shard::{NewApp, Shard},
    trace::{Arrivals, Counts, Exact, Trace, TraceError, Window},
};
use crate::{
    billing::{Tariff, Use},
    invocation::FunctionSpec,
    policy::PolicyKind,
    pool::Limits,
    profile::Profile,
};

/// How to replay.
#[derive(Debug, Clone)]
pub struct Options {
    /// What to compare: each replays the same arrivals.
    pub policies: Vec<PolicyKind>,
    /// Whose prices and memory sizes apply.
    pub profile: Profile,
    /// Where in its minute an invocation falls, if the trace does not say.
    pub spread: Spread,
    /// Where all that is drawn comes from.
    pub seed: u64,
    /// How long a cold start keeps an invocation waiting.
    pub cold_start: ColdStart,
    /// How much of a cold start the provider bills: its function's init, not the making of its environment.
    pub billed_init: Duration,
    /// How many invocations an instance serves at a time.
    pub instance_concurrency: u32,
    /// How many instances of each app are kept ready, and paid for, whether they serve or not.
    pub min_instances: u32,
    /// The memory of the one host that all apps share; absent, every app has a host of its own, without limit. With a
    /// limit, policies compare at equal memory.
    pub memory_mib: Option<u64>,
    /// On how many threads: apps are independent of each other unless they share a host; policies always are.
    pub threads: NonZeroUsize,
}

impl Options {
    /// Replays under these policies and this profile; the rest as the fields say.
    ///
    /// Of a cold start, 143 ms are billed: the median init of Node.js 22 on AWS Lambda, 128 MB, from a zip file
    /// (lambda-perf, June to August 2026).
    pub fn new(policies: Vec<PolicyKind>, profile: Profile) -> Self {
        Options {
            policies,
            profile,
            spread: Spread::default(),
            seed: 0,
            cold_start: ColdStart::default(),
            billed_init: Duration::from_millis(143),
            instance_concurrency: 1,
            min_instances: 0,
            memory_mib: None,
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// What is heard of a replay while it runs, from any of its threads. Invocations count once for each policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many more invocations have been read.
    Read(u64),
    /// So many more have been replayed.
    Replayed(u64),
}

/// Replays a trace, and reports.
///
/// ```no_run
/// use std::path::Path;
/// use faas_core::{profile::Profile, sim::{Options, Strictness, Trace, replay}};
///
/// let mut trace = Trace::open(Path::new("azure2019"), Strictness::Lenient)?;
/// let policies = vec!["fixed:10m".parse()?, "none".parse()?];
/// let report = replay(&mut trace, &Options::new(policies, Profile::named("aws-lambda")?), &|_| ())?;
/// println!("{}", report.to_table());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// What is wrong with the trace's files.
pub fn replay(
    trace: &mut Trace,
    options: &Options,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Report, TraceError> {
    let mut replay = Replay { options, shards: Vec::new(), apps: 0, homes: Vec::new() };
    let mut end = 0;
    while let Some(window) = trace.next_window()? {
        replay.take_in(trace, window.from);
        replay.run(trace, &window, progress);
        end = window.until;
    }
    replay.finish(end);
    Ok(replay.report(trace, end))
}

struct Replay<'a> {
    options: &'a Options,
    /// One an app, with an engine a policy; or, where apps share a host, one a policy, with all apps.
    shards: Vec<Shard>,
    apps: usize,
    /// By function: its app, and its place in the shard or in every shard.
    homes: Vec<(u32, u32)>,
}

/// A shard, and what it is to do.
struct Task<'a> {
    shard: &'a mut Shard,
    work: Work<'a>,
    weight: u64,
}

enum Work<'a> {
    /// Each with its function's place in the shard.
    Counts(Vec<(u32, &'a Counts)>),
    /// Each with its app's place in the shard.
    Exact(Vec<(u32, Exact)>),
}

impl Replay<'_> {
    /// Makes room for apps and functions that the trace has named since.
    fn take_in(&mut self, trace: &Trace, now: u64) {
        let options = self.options;
        let engine = |policy: &PolicyKind, of: u64| {
            let seed = |purpose| mix(options.seed, of, purpose);
            let limits = Limits { memory_mib: options.memory_mib, ..UNLIMITED };
            Engine::new(limits, policy.build(seed(1)), options.cold_start, seed(2))
        };
        if options.memory_mib.is_some() && self.shards.is_empty() {
            let shards = options.policies.iter().map(|policy| Shard::new(vec![engine(policy, 0)]));
            self.shards.extend(shards);
        }
        for app in &trace.catalog.apps[self.apps..] {
            let held = Arc::new(FunctionSpec {
                memory_mib: app.memory_mib,
                instance_concurrency: options.instance_concurrency,
                min_instances: options.min_instances,
                ..FunctionSpec::new(self.apps.to_string())
            });
            let memory_mib = billed_mib(&options.profile, app.memory_mib);
            // what a trace says of memory is what was allocated: as much is configured, and used
            let used = Use { memory_mib, memory_used_mib: memory_mib, ..Use::default() };
            let tariff = |used: &Use| Tariff::of(&options.profile, used, options.billed_init);
            let kept = (options.min_instances > 0)
                .then(|| (tariff(&Use { is_provisioned: true, ..used }), memory_mib));
            let app = NewApp { held, tariff: tariff(&used), kept };
            if options.memory_mib.is_none() {
                let of = self.apps as u64;
                self.shards.push(Shard::new(options.policies.iter().map(|p| engine(p, of)).collect()));
            }
            self.shards_of(self.apps).for_each(|shard| shard.add_app(now, &app));
            self.apps += 1;
        }
        for (n, function) in trace.catalog.functions.iter().enumerate() {
            let app = function.app as usize;
            if n == self.homes.len() {
                let app_place = if options.memory_mib.is_some() { function.app } else { 0 };
                let seed = mix(options.seed, n as u64, 0);
                // shards that share an app have the same functions
                let place = self.shards_of(app).map(|shard| shard.add_function(app_place, seed)).last();
                self.homes.push((function.app, place.expect("every app has a shard")));
            }
            let place = self.homes[n].1;
            self.shards_of(app).for_each(|shard| shard.set_durations(place, function.durations));
        }
    }

    /// The shards that an app is in.
    fn shards_of(&mut self, app: usize) -> impl Iterator<Item = &mut Shard> {
        let range = if self.options.memory_mib.is_some() { 0..self.shards.len() } else { app..app + 1 };
        self.shards[range].iter_mut()
    }

    fn run<'w>(&mut self, trace: &Trace, window: &'w Window, progress: &(dyn Fn(Progress) + Sync)) {
        let is_shared = self.options.memory_mib.is_some();
        let empty = || match window.arrivals {
            Arrivals::Counts(_) => (Work::Counts(Vec::new()), 0),
            Arrivals::Exact(_) => (Work::Exact(Vec::new()), 0),
        };
        let mut works: Vec<(Work<'w>, u64)> = self.shards.iter().map(|_| empty()).collect();
        let mut put = |app: u32, weight: u64, add: &dyn Fn(&mut Work<'w>)| {
            let range = if is_shared { 0..works.len() } else { app as usize..app as usize + 1 };
            for (work, sum) in &mut works[range] {
                *sum += weight;
                add(work);
            }
        };
        match &window.arrivals {
            Arrivals::Counts(rows) => {
                for row in rows {
                    let (app, place) = self.homes[row.function as usize];
                    let weight = row.counts.iter().map(|count| u64::from(*count)).sum();
                    put(app, weight, &|work| {
                        if let Work::Counts(rows) = work {
                            rows.push((place, row));
                        }
                    });
                }
            }
            Arrivals::Exact(rows) => {
                for row in rows {
                    let app = trace.catalog.functions[row.function as usize].app;
                    let place = if is_shared { app } else { 0 };
                    put(app, 1, &|work| {
                        if let Work::Exact(rows) = work {
                            rows.push((place, *row));
                        }
                    });
                }
            }
        }
        let policies = if is_shared { 1 } else { self.options.policies.len() as u64 };
        let mut tasks: Vec<Task<'_>> = self
            .shards
            .iter_mut()
            .zip(works)
            .filter(|(_, (_, weight))| *weight > 0)
            .map(|(shard, (work, weight))| Task { shard, work, weight: weight * policies })
            .collect();
        // the largest is begun first: it is taken from the end
        tasks.sort_by_key(|task| task.weight);
        progress(Progress::Read(tasks.iter().map(|task| task.weight).sum()));
        let spread = self.options.spread;
        in_parallel(self.options.threads, tasks, |Task { shard, work, weight }| {
            match work {
                Work::Counts(rows) => shard.run_counts(window.from, &rows, spread),
                Work::Exact(rows) => shard.run_exact(&rows),
            }
            progress(Progress::Replayed(weight));
        });
    }

    fn finish(&mut self, end: u64) {
        let shards: Vec<&mut Shard> = self.shards.iter_mut().collect();
        in_parallel(self.options.threads, shards, |shard| shard.finish(end));
    }

    fn report(&self, trace: &Trace, end: u64) -> Report {
        let profile = &self.options.profile;
        let mut policies: Vec<PolicyReport> = Vec::new();
        for (n, policy) in self.options.policies.iter().enumerate() {
            let outcomes: Vec<_> = if self.options.memory_mib.is_some() {
                self.shards.iter().skip(n).take(1).flat_map(|shard| shard.outcomes(profile)).collect()
            } else {
                self.shards.iter().filter_map(|shard| shard.outcomes(profile).nth(n)).collect()
            };
            policies.push(PolicyReport::of(*policy, profile, outcomes.into_iter()));
        }
        Report::new(trace, self.options, end, policies)
    }
}

/// Does each task once, the last first, on so many threads.
fn in_parallel<T: Send>(threads: NonZeroUsize, tasks: Vec<T>, each: impl Fn(T) + Sync) {
    let threads = threads.get().min(tasks.len());
    let tasks = Mutex::new(tasks);
    let work = || {
        // a panic in a task ends the replay: the scope passes it on
        while let Some(task) = { tasks.lock().unwrap_or_else(PoisonError::into_inner).pop() } {
            each(task);
        }
    };
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
}

/// No limit but those that a policy sets.
const UNLIMITED: Limits = Limits {
    max_instances: u32::MAX,
    max_queued: usize::MAX,
    max_wait: Duration::from_secs(3600),
    max_prewarmed: u32::MAX,
    ..Limits::LAPTOP
};

/// The memory that a provider would bill: the app's, or the nearest that the provider gives.
fn billed_mib(profile: &Profile, memory_mib: u32) -> u32 {
    let range = &profile.limits.memory_mib;
    let least = range.min.as_ref().map_or(0, |min| min.value);
    let most = range.max.as_ref().map_or(u32::MAX, |max| max.value);
    memory_mib.min(most).max(least)
}

/// A seed for one purpose.
fn mix(seed: u64, of: u64, purpose: u64) -> u64 {
    let step = |seed: u64, n: u64| {
        Rng::with_seed(seed.wrapping_add((n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))).u64(..)
    };
    step(step(seed, of), purpose)
}
