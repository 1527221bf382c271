//! [`Deliveries`]: which event is delivered next, which waits until when, which is given up. A state machine: no IO, no
//! clock, no lock; `now` is an argument, randomness comes from a seed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use super::rules::{Outcome, Rules};
use crate::clock::Time;

/// An accepted event: counts up in the order in which events are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u64);

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Events of all functions together, those that are being delivered included.
    pub max_events: usize,
    /// Their bodies together, in bytes.
    pub max_bytes: u64,
    /// So many events of one function are delivered at a time.
    pub max_running: usize,
}

impl Default for Limits {
    /// What a laptop keeps without noticing it: 10,000 events, 256 MiB, 100 of a function at a time.
    fn default() -> Self {
        Limits { max_events: 10_000, max_bytes: 256 << 20, max_running: 100 }
    }
}

/// No more is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// Events that wait or are being delivered.
    pub events: usize,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// What may be.
    pub limits: Limits,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Full { events, bytes, limits: Limits { max_events, max_bytes, .. } } = self;
        write!(
            f,
            "no more events are taken: {events} of {bytes} bytes wait to be delivered, and {max_events} of {max_bytes} \
             bytes may; send again when some are"
        )
    }
}

impl std::error::Error for Full {}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Deliver this event, and [`settle`](Deliveries::settle) it.
    Deliver {
        /// The event.
        key: Key,
        /// Counts from 1: the function has failed with it once less.
        attempt: u32,
    },
    /// Give this event up: it is a dead letter.
    GiveUp {
        /// The event.
        key: Key,
        /// Why.
        why: Dead,
    },
}

/// Why an event is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dead {
    /// The function has failed with it so many times.
    Failed {
        /// Attempts that have failed.
        attempts: u32,
    },
    /// It has become too old.
    Expired {
        /// How old an event may become.
        max_age: Duration,
    },
    /// It was refused, and would be again.
    Refused,
}

/// What becomes of an event after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is delivered, and forgotten here.
    Done,
    /// It is delivered again.
    Retry {
        /// When.
        at: Time,
        /// How often the function has failed with it.
        failures: u32,
    },
    /// It is given up, and forgotten here.
    GivenUp(Dead),
    /// It stays as it was before the attempt.
    Stays,
}

/// A place in a line: a number that no other has, so that a place whose event is gone is not its own when it comes back.
type Place = u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Counted, and not yet to be delivered: somebody still writes it down.
    Admitted,
    /// In its function's line, in this place of it.
    Ready(Place),
    /// In `retries`.
    Waiting(Time),
    Running,
}

#[derive(Debug)]
struct Entry {
    function: Arc<str>,
    bytes: u64,
    expires: Time,
    /// How often the function has failed with it.
    failures: u32,
    /// How often it could not be run.
    unserved: u32,
    state: State,
}

/// The events of one function that are due: in the order in which they became so.
#[derive(Debug, Default)]
struct Line {
    /// May name events that are gone, or in another place now.
    ready: VecDeque<(Key, Place)>,
    running: usize,
    is_listed: bool,
}

/// All events that are accepted and not settled.
///
/// ```
/// use std::time::Duration;
/// use faas_core::{
///     clock::Time,
///     delivery::{Deliveries, Limits, Outcome, Step, Verdict},
///     profile::Profile,
/// };
///
/// let rules = Profile::named("aws-lambda")?.delivery_rules();
/// let (mut deliveries, now) = (Deliveries::new(rules, Limits::default(), 42), Time::EPOCH);
/// let key = deliveries.admit("mail".into(), 17)?; // 17 bytes, which somebody writes down now
/// deliveries.kept(now, key);
/// assert_eq!(deliveries.next(now), Some(Step::Deliver { key, attempt: 1 }));
/// // the function has failed with it: once more in a minute
/// let at = now + Duration::from_secs(60);
/// assert_eq!(deliveries.settle(now, key, Outcome::Failed), Verdict::Retry { at, failures: 1 });
/// assert_eq!((deliveries.next(now), deliveries.next_deadline()), (None, Some(at)));
/// assert_eq!(deliveries.next(at), Some(Step::Deliver { key, attempt: 2 }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Deliveries {
    rules: Rules,
    limits: Limits,
    random: fastrand::Rng,
    next_key: u64,
    next_place: Place,
    bytes: u64,
    events: BTreeMap<Key, Entry>,
    lines: HashMap<Arc<str>, Line>,
    /// Functions with something in line and room to deliver it, each once: they take turns.
    turns: VecDeque<Arc<str>>,
    retries: BTreeSet<(Time, Key)>,
    /// Of events that are not being delivered.
    expiries: BTreeSet<(Time, Key)>,
}

impl Deliveries {
    /// Nothing to deliver. `seed` is for jitter.
    pub fn new(rules: Rules, limits: Limits, seed: u64) -> Self {
        Deliveries {
            rules,
            limits,
            random: fastrand::Rng::with_seed(seed),
            next_key: 1,
            next_place: 0,
            bytes: 0,
            events: BTreeMap::new(),
            lines: HashMap::new(),
            turns: VecDeque::new(),
            retries: BTreeSet::new(),
            expiries: BTreeSet::new(),
        }
    }

    /// Makes room for an event. It is delivered once it is [`kept`](Self::kept), and its age counts from then.
    ///
    /// # Errors
    /// When as much waits as may.
    pub fn admit(&mut self, function: Arc<str>, bytes: u64) -> Result<Key, Full> {
        self.room(bytes)?;
        let key = Key(self.next_key);
        self.next_key += 1;
        self.insert(key, function, bytes, 0);
        Ok(key)
    }

    /// Makes room for an event that was given up, to deliver it from the beginning. To be [`kept`](Self::kept), too.
    ///
    /// # Errors
    /// When as much waits as may.
    pub fn readmit(&mut self, key: Key, function: Arc<str>, bytes: u64) -> Result<(), Full> {
        self.room(bytes)?;
        self.insert(key, function, bytes, 0);
        Ok(())
    }

    /// Takes an event back that an earlier host had accepted, over the limits if need be. It waits until `due`. Its age
    /// counts from now: it was not delivered because nobody was there to do so.
    pub fn restore(&mut self, now: Time, key: Key, function: Arc<str>, bytes: u64, failures: u32, due: Time) {
        self.next_key = self.next_key.max(key.0 + 1);
        self.insert(key, function, bytes, failures);
        self.begin(now, key, due);
    }

    /// Keys are counted on from here: those up to it are others'.
    pub fn reserve(&mut self, key: Key) {
        self.next_key = self.next_key.max(key.0 + 1);
    }

    fn room(&self, bytes: u64) -> Result<(), Full> {
        let Limits { max_events, max_bytes, .. } = self.limits;
        if self.events.len() < max_events && self.bytes.saturating_add(bytes) <= max_bytes {
            return Ok(());
        }
        Err(Full { events: self.events.len(), bytes: self.bytes, limits: self.limits })
    }

    fn insert(&mut self, key: Key, function: Arc<str>, bytes: u64, failures: u32) {
        self.bytes += bytes;
        let expires = Time::from_unix_nanos(u64::MAX);
        let entry = Entry { function, bytes, expires, failures, unserved: 0, state: State::Admitted };
        self.events.insert(key, entry);
    }

    /// An event that was admitted is written down: from now on it is delivered.
    pub fn kept(&mut self, now: Time, key: Key) {
        self.begin(now, key, now);
    }

    /// An event that was admitted is to be delivered at `due`.
    fn begin(&mut self, now: Time, key: Key, due: Time) {
        let Some(entry) = self.events.get_mut(&key).filter(|entry| entry.state == State::Admitted) else {
            return;
        };
        entry.expires = now + self.rules.max_age;
        self.expiries.insert((entry.expires, key));
        if due > now {
            entry.state = State::Waiting(due);
            self.retries.insert((due, key));
        } else {
            self.line_up(key);
        }
    }

    /// An event that was admitted could not be written down: it is none.
    pub fn abandon(&mut self, key: Key) {
        if self.events.get(&key).is_some_and(|entry| entry.state == State::Admitted) {
            self.forget(key);
        }
    }

    fn forget(&mut self, key: Key) {
        let Some(entry) = self.events.remove(&key) else { return };
        self.bytes -= entry.bytes;
        self.expiries.remove(&(entry.expires, key));
        if let State::Waiting(at) = entry.state {
            self.retries.remove(&(at, key));
        }
    }

    /// Puts an event into its function's line.
    fn line_up(&mut self, key: Key) {
        if let Some((function, place)) = self.place(key) {
            self.lines.entry(function.clone()).or_default().ready.push_back((key, place));
            self.list(&function);
        }
    }

    /// Draws a place for an event in its function's line.
    fn place(&mut self, key: Key) -> Option<(Arc<str>, Place)> {
        let entry = self.events.get_mut(&key)?;
        let place = self.next_place;
        self.next_place += 1;
        entry.state = State::Ready(place);
        Some((entry.function.clone(), place))
    }

    /// Gives a function its turn, if it has something to deliver and room to do so.
    fn list(&mut self, function: &Arc<str>) {
        let Some(line) = self.lines.get_mut(function) else { return };
        let is_there = |(key, place): &(Key, Place)| {
            self.events.get(key).is_some_and(|entry| entry.state == State::Ready(*place))
        };
        while line.ready.front().is_some_and(|front| !is_there(front)) {
            line.ready.pop_front();
        }
        if line.ready.is_empty() {
            if line.running == 0 && !line.is_listed {
                self.lines.remove(function);
            }
        } else if line.running < self.limits.max_running && !line.is_listed {
            line.is_listed = true;
            self.turns.push_back(function.clone());
        }
    }

    /// What is to be done now; to be asked until there is nothing.
    pub fn next(&mut self, now: Time) -> Option<Step> {
        if let Some(&(at, key)) = self.expiries.first()
            && at <= now
        {
            self.forget(key);
            return Some(Step::GiveUp { key, why: Dead::Expired { max_age: self.rules.max_age } });
        }
        while let Some(&(at, key)) = self.retries.first()
            && at <= now
        {
            self.retries.remove(&(at, key));
            self.line_up(key);
        }
        while let Some(function) = self.turns.pop_front() {
            let Some(line) = self.lines.get_mut(&function) else { continue };
            line.is_listed = false;
            let mut next = None;
            while let Some((key, place)) = line.ready.pop_front() {
                if let Some(entry) =
                    self.events.get_mut(&key).filter(|entry| entry.state == State::Ready(place))
                {
                    entry.state = State::Running;
                    self.expiries.remove(&(entry.expires, key));
                    line.running += 1;
                    next = Some(Step::Deliver { key, attempt: entry.failures + 1 });
                    break;
                }
            }
            self.list(&function);
            if next.is_some() {
                return next;
            }
        }
        None
    }

    /// How the attempt to deliver an event went. Nothing of one that is not being delivered.
    pub fn settle(&mut self, now: Time, key: Key, outcome: Outcome) -> Verdict {
        let Some(entry) = self.events.get_mut(&key).filter(|entry| entry.state == State::Running) else {
            return Verdict::Stays;
        };
        let function = entry.function.clone();
        if let Some(line) = self.lines.get_mut(&function) {
            line.running -= 1;
        }
        let wait = match outcome {
            Outcome::Delivered => Err(Verdict::Done),
            Outcome::Refused => Err(Verdict::GivenUp(Dead::Refused)),
            Outcome::Failed => {
                entry.failures += 1;
                match entry.failures {
                    attempts if attempts > self.rules.max_retries => {
                        Err(Verdict::GivenUp(Dead::Failed { attempts }))
                    }
                    times => Ok(self.rules.retry.wait(times, &mut self.random)),
                }
            }
            Outcome::Unserved => {
                entry.unserved += 1;
                Ok(self.rules.unserved.wait(entry.unserved, &mut self.random))
            }
            Outcome::Interrupted => {
                self.expiries.insert((entry.expires, key));
                if let Some((function, place)) = self.place(key) {
                    self.lines.entry(function.clone()).or_default().ready.push_front((key, place));
                    self.list(&function);
                }
                return Verdict::Stays;
            }
        };
        let verdict = match wait {
            // it would be given up before
            Ok(wait) if now + wait >= entry.expires => {
                Verdict::GivenUp(Dead::Expired { max_age: self.rules.max_age })
            }
            Ok(wait) => {
                let at = now + wait;
                entry.state = State::Waiting(at);
                self.retries.insert((at, key));
                self.expiries.insert((entry.expires, key));
                Verdict::Retry { at, failures: entry.failures }
            }
            Err(verdict) => verdict,
        };
        if !matches!(verdict, Verdict::Retry { .. }) {
            self.forget(key);
        }
        self.list(&function);
        verdict
    }

    /// When [`next`](Self::next) has something that it has not now, if nothing else happens.
    pub fn next_deadline(&self) -> Option<Time> {
        let first = |of: &BTreeSet<(Time, Key)>| of.first().map(|(at, _)| *at);
        [first(&self.retries), first(&self.expiries)].into_iter().flatten().min()
    }

    /// How many events are accepted and not settled.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
