//! [`Recorder`]: one sample a function, shared by whoever sees requests.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use faas_core::clock::SharedClock;
use fastrand::Rng;
use http::{HeaderMap, HeaderName};
use parking_lot::Mutex;

use super::{HEADERS, MAX_EVENT_BYTES, Recorded, Recording, sample::Sample};

/// Records requests.
pub struct Recorder {
    /// Those that are recorded beside [`HEADERS`].
    named: Vec<HeaderName>,
    pub(super) clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    samples: BTreeMap<Arc<str>, Sample>,
    /// Functions of which something has come that nobody has taken to keep it.
    unkept: BTreeSet<Arc<str>>,
    rng: Rng,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Recorder").field(&self.named).finish()
    }
}

impl Recorder {
    /// A recorder that has seen nothing yet, and keeps these headers too.
    pub fn new(named: Vec<HeaderName>, clock: SharedClock, seed: u64) -> Self {
        let rng = Rng::with_seed(seed);
        let state = Mutex::new(State { samples: BTreeMap::new(), unkept: BTreeSet::new(), rng });
        Recorder { named, clock, state }
    }

    /// The headers that are recorded.
    pub(super) fn headers(&self, all: &HeaderMap) -> HeaderMap {
        let is_kept = |name: &HeaderName| HEADERS.contains(name) || self.named.contains(name);
        let kept = all.iter().filter(|(name, _)| is_kept(name));
        kept.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// A request has been served; absent if it is too large.
    pub(super) fn offer(&self, function: Arc<str>, event: Option<Recorded>) {
        let State { samples, unkept, rng } = &mut *self.state.lock();
        let sample = samples.entry(function.clone()).or_default();
        match event {
            Some(event) => sample.offer(event, rng),
            None => sample.leave_out(),
        }
        unkept.insert(function);
    }

    /// What has changed since this was last asked, by function.
    pub fn take_unkept(&self) -> Vec<(Arc<str>, Recording)> {
        let state = &mut *self.state.lock();
        let functions = std::mem::take(&mut state.unkept);
        let recording = |function: Arc<str>| {
            let recording = state.samples.get(&function)?.recording();
            Some((function, recording))
        };
        functions.into_iter().filter_map(recording).collect()
    }

    /// Takes back what could not be kept.
    pub fn give_back_unkept(&self, functions: impl IntoIterator<Item = Arc<str>>) {
        self.state.lock().unkept.extend(functions);
    }

    /// What is recorded, in words.
    pub fn told(&self) -> String {
        let headers = HEADERS.iter().chain(&self.named).map(HeaderName::as_str);
        format!(
            "requests are recorded for `faas tune`, those that are served well: path, query and body whole, of headers {}",
            headers.collect::<Vec<_>>().join(", ")
        )
    }

    /// How much was recorded, in words: a line for each function.
    pub fn summary(&self) -> Vec<String> {
        let state = self.state.lock();
        let told = |(function, sample): (&Arc<str>, &Sample)| {
            let Recording { events, seen, too_large } = sample.recording();
            let large = match too_large {
                0 => String::new(),
                n => format!(", {n} were larger than {} KiB", MAX_EVENT_BYTES >> 10),
            };
            format!(
                "recorded {} of {seen} requests of `{function}`{large}: `faas tune {function}` uses them",
                events.len()
            )
        };
        state.samples.iter().map(told).collect()
    }
}
