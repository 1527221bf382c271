//! Some apps of a trace: their arrivals are drawn once, and given to an engine for each policy.
//!
//! Apps that share no limit are independent of each other, so each is a shard of its own; those that share a host's
//! memory are one shard. Arrivals and durations are drawn from the seed and the function alone, however apps are sharded.

use std::sync::Arc;

use fastrand::Rng;

use super::{
    arrivals::Spread,
    engine::{Arrival, Engine},
    measure::{Counted, nearest_rank},
    trace::{Counts, Durations, Exact, MINUTE_NS},
};
use crate::{
    billing::{Quantities, Tally, Tariff},
    invocation::FunctionSpec,
    profile::Profile,
};

/// A function's place in a key; the rest is the nanosecond of the minute, 36 bits.
const PLACE_BITS: u32 = 24;

#[derive(Debug)]
struct Function {
    /// The app's place in the shard.
    app: u32,
    durations: Durations,
    rng: Rng,
}

#[derive(Debug)]
struct App {
    tariff: Tariff,
    invocations: u64,
    /// All its invocations, as if each had been warm.
    all_warm: Tally,
}

#[derive(Debug)]
pub(super) struct Shard {
    engines: Vec<Engine>,
    apps: Vec<App>,
    functions: Vec<Function>,
    keys: Vec<u64>,
    arrivals: Vec<Arrival>,
}

/// What one policy did to the apps of a shard.
pub(super) struct Outcome<'a> {
    pub(super) counted: &'a Counted,
    /// Invocations and cold starts by app.
    pub(super) apps: Vec<(u64, u64)>,
    /// What the provider bills.
    pub(super) billed: Quantities,
}

/// What a shard's apps are made of.
pub(super) struct NewApp {
    /// As the pool holds it.
    pub(super) held: Arc<FunctionSpec>,
    pub(super) tariff: Tariff,
    /// Where instances are kept ready, how those are billed: their tariff and memory.
    pub(super) kept: Option<(Tariff, u32)>,
}

impl Shard {
    pub(super) fn new(engines: Vec<Engine>) -> Self {
        Shard { engines, apps: Vec::new(), functions: Vec::new(), keys: Vec::new(), arrivals: Vec::new() }
    }

    /// One more app; its place in the shard is how many there were.
    pub(super) fn add_app(&mut self, now: u64, app: &NewApp) {
        for engine in &mut self.engines {
            engine.add_app(now, app);
        }
        self.apps.push(App { tariff: app.tariff.clone(), invocations: 0, all_warm: Tally::default() });
    }

    /// One more function of the app at that place; its place in the shard.
    pub(super) fn add_function(&mut self, app: u32, seed: u64) -> u32 {
        let place = u32::try_from(self.functions.len()).unwrap_or(u32::MAX);
        assert!(place < 1 << PLACE_BITS, "a trace has fewer than sixteen million functions");
        self.functions.push(Function { app, durations: Durations([0; 7]), rng: Rng::with_seed(seed) });
        place
    }

    /// From now on, the function at that place takes this long.
    pub(super) fn set_durations(&mut self, place: u32, durations: Durations) {
        self.functions[place as usize].durations = durations;
    }

    /// Replays the counts of a window that begins at `from`: each row with its function's place.
    pub(super) fn run_counts(&mut self, from: u64, rows: &[(u32, &Counts)], spread: Spread) {
        let mut next = vec![0; rows.len()];
        loop {
            // the next minute in which anything happens
            let due = |(next, (_, row)): (&usize, &(u32, &Counts))| row.minutes.get(*next).copied();
            let Some(minute) = next.iter().zip(rows).filter_map(due).min() else { return };
            let begin = from + u64::from(minute) * MINUTE_NS;
            self.keys.clear();
            for (next, (place, row)) in next.iter_mut().zip(rows) {
                if row.minutes.get(*next) == Some(&minute) {
                    let rng = &mut self.functions[*place as usize].rng;
                    spread.draw(rng, row.counts[*next], |ns| {
                        self.keys.push(ns << PLACE_BITS | u64::from(*place));
                    });
                    *next += 1;
                }
            }
            self.keys.sort_unstable();
            self.arrivals.clear();
            for key in &self.keys {
                let function = &mut self.functions[(key & ((1 << PLACE_BITS) - 1)) as usize];
                let duration_ns = function.durations.draw(&mut function.rng);
                let at = begin + (key >> PLACE_BITS);
                self.arrivals.push(Arrival { at, duration_ns, app: function.app });
            }
            self.give();
        }
    }

    /// Replays invocations whose moments are known, in order of time: each with its app's place.
    pub(super) fn run_exact(&mut self, rows: &[(u32, Exact)]) {
        self.arrivals.clear();
        let arrivals =
            rows.iter().map(|(app, row)| Arrival { at: row.at, duration_ns: row.duration_ns, app: *app });
        self.arrivals.extend(arrivals);
        self.give();
    }

    fn give(&mut self) {
        for arrival in &self.arrivals {
            let app = &mut self.apps[arrival.app as usize];
            app.invocations += 1;
            app.tariff.add_warm(&mut app.all_warm, arrival.duration_ns);
        }
        for engine in &mut self.engines {
            engine.arrive(&self.arrivals);
        }
    }

    /// The trace ends here.
    pub(super) fn finish(&mut self, end: u64) {
        self.engines.iter_mut().for_each(|engine| engine.finish(end));
    }

    /// What each engine counted.
    pub(super) fn outcomes<'a>(&'a self, profile: &'a Profile) -> impl Iterator<Item = Outcome<'a>> {
        self.engines.iter().map(move |engine| {
            let (counted, cold_starts) = engine.counted();
            let apps = self.apps.iter().map(|app| app.invocations).zip(cold_starts).collect();
            let billed = engine.billed(profile, self.apps.iter().map(|app| app.all_warm));
            Outcome { counted, apps, billed }
        })
    }
}

/// The share of cold starts that this many percent of the apps do not exceed; apps without invocations do not count.
pub(super) fn share_of_apps(apps: &[(u64, u64)], percents: [usize; 3]) -> [f64; 3] {
    let mut shares: Vec<f64> = apps
        .iter()
        .filter(|(invocations, _)| *invocations > 0)
        .map(|(invocations, cold)| *cold as f64 / *invocations as f64)
        .collect();
    shares.sort_unstable_by(f64::total_cmp);
    percents.map(|percent| nearest_rank(&shares, percent))
}
