//! What clones of a [`Courier`](super::Courier) share: the lock, and how what is decided is carried out.
//!
//! Each step takes the lock once: the machine decides, the list follows, the journal takes the change over. Observers hear
//! of it after the lock is released.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    attempt::{because, deliver},
    courier::{MAX_DEAD, NotAccepted},
    journal::{Change, Journal, JournalError},
    letter::{Letter, Listed, Progress, Status, What},
    rules::Outcome,
    state::{Dead, Deliveries, Key, Verdict},
    words::given_up,
};
use crate::{
    clock::{BoxFuture, SharedClock},
    stack::Stack,
    transition::{SharedObserver, Transition},
};

pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) stack: Stack,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) clock: SharedClock,
    pub(super) observer: SharedObserver,
    /// Something may be due that was not.
    pub(super) wake: Notify,
    /// An attempt has ended.
    pub(super) ended: Notify,
}

pub(super) struct State {
    pub(super) deliveries: Deliveries,
    /// All that is in the journal.
    pub(super) listed: BTreeMap<Key, Listed>,
    /// Those of it that are given up.
    pub(super) dead: BTreeSet<Key>,
    /// Attempts that run, and writes of what became of them.
    pub(super) busy: usize,
    pub(super) is_stopping: bool,
}

impl State {
    /// Changes how an event stands; the event, if it is there.
    fn changed(&mut self, key: Key, change: impl FnOnce(&mut Status)) -> Option<Listed> {
        let event = self.listed.get_mut(&key)?;
        change(&mut event.status);
        Some(event.clone())
    }
}

/// A step that has been decided, to be told and waited for outside of the lock.
pub(super) struct Told {
    event: Listed,
    what: What,
    written: BoxFuture<'static, Result<(), JournalError>>,
    /// What follows if it cannot be written.
    follows: &'static str,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Courier").field("events", &state.listed.len()).field("busy", &state.busy).finish()
    }
}

impl Shared {
    pub(super) async fn accept(&self, letter: Letter) -> Result<(), NotAccepted> {
        let bytes = letter.body.len() as u64;
        let (id, function, cause) = (letter.id.clone(), letter.function.clone(), letter.cause);
        let key = {
            let mut state = self.state.lock();
            if state.is_stopping {
                return Err(NotAccepted::Stopping);
            }
            state.deliveries.admit(function.clone(), bytes).map_err(NotAccepted::Full)?
        };
        let now = self.clock.now();
        let status = Status { accepted: now, failures: 0, due: now, error: None, dead: None };
        if let Err(why) = self.journal.write(Change::Add(key, Box::new(letter), status.clone())).await {
            self.state.lock().deliveries.abandon(key);
            return Err(NotAccepted::Journal(why));
        }
        self.tell(&id, &function, What::Accepted { cause, bytes });
        {
            let mut state = self.state.lock();
            state.listed.insert(key, Listed { key, id, function, cause, bytes, status });
            state.deliveries.kept(self.clock.now(), key);
        }
        self.wake.notify_one();
        Ok(())
    }

    pub(super) async fn put_back(&self, event: Listed) -> Result<(), NotAccepted> {
        let Listed { key, id, function, bytes, status: dead, .. } = event;
        let now = self.clock.now();
        let written = {
            let mut state = self.state.lock();
            if state.is_stopping {
                return Err(NotAccepted::Stopping);
            }
            // another one may have done so meanwhile
            if !state.dead.contains(&key) {
                return Ok(());
            }
            state.deliveries.readmit(key, function.clone(), bytes).map_err(NotAccepted::Full)?;
            state.dead.remove(&key);
            let status = Status { accepted: now, failures: 0, due: now, error: None, dead: None };
            if let Some(event) = state.listed.get_mut(&key) {
                event.status = status.clone();
            }
            self.journal.write(Change::Update(key, status))
        };
        if let Err(why) = written.await {
            let mut state = self.state.lock();
            state.deliveries.abandon(key);
            state.dead.insert(key);
            if let Some(event) = state.listed.get_mut(&key) {
                event.status = dead;
            }
            return Err(NotAccepted::Journal(why));
        }
        self.tell(&id, &function, What::PutBack);
        self.state.lock().deliveries.kept(self.clock.now(), key);
        self.wake.notify_one();
        Ok(())
    }

    /// Delivers an event, and says how that went.
    pub(super) async fn attempt(&self, key: Key, attempt: u32) -> (Outcome, Option<String>) {
        let letter = match self.journal.read(key).await {
            Ok(Some(letter)) => letter,
            Ok(None) => return (Outcome::Refused, Some("its contents are not in the journal".into())),
            Err(why) => return (Outcome::Unserved, Some(format!("it cannot be read: {why}"))),
        };
        let end = deliver(letter, attempt, self.stack.clone(), &self.clock, &self.observer).await;
        (Outcome::of(&end), because(&end))
    }

    pub(super) async fn settle(&self, key: Key, attempt: u32, outcome: Outcome, because: Option<String>) {
        let now = self.clock.now();
        let told = {
            let mut state = self.state.lock();
            let outcome = match outcome {
                // who breaks attempts off while this courier goes on (a scheduler that was shut down before it, a reply without
                // an end) would be asked again at once, and again
                Outcome::Interrupted if !state.is_stopping => Outcome::Unserved,
                outcome => outcome,
            };
            match state.deliveries.settle(now, key, outcome) {
                Verdict::Done => {
                    let event = state.listed.remove(&key);
                    let follows = "it is delivered, and will be once more after a restart";
                    let told = |event| {
                        self.written(event, What::Delivered { attempt }, Change::Remove(key), follows)
                    };
                    event.map(told).into_iter().collect()
                }
                Verdict::Retry { at, failures } => {
                    let because = because.unwrap_or_default();
                    let error = Some(because.clone());
                    let event = state.changed(key, |status| {
                        (status.failures, status.due, status.error) = (failures, at, error);
                    });
                    let told = |event: Listed| {
                        let change = Change::Update(key, event.status.clone());
                        let what = What::Retry { attempt, wait: at.since(now), because };
                        self.written(event, what, change, "after a restart it is delivered at once")
                    };
                    event.map(told).into_iter().collect()
                }
                Verdict::GivenUp(why) => {
                    state.changed(key, |status| status.failures += u32::from(outcome == Outcome::Failed));
                    self.give_up(&mut state, key, why, because)
                }
                Verdict::Stays => Vec::new(),
            }
        };
        self.told(told).await;
    }

    /// Makes an event a dead letter, and throws the oldest away if there are too many.
    pub(super) fn give_up(&self, state: &mut State, key: Key, why: Dead, last: Option<String>) -> Vec<Told> {
        let because = given_up(why, last);
        let (now, error) = (self.clock.now(), Some(because.clone()));
        let event = state.changed(key, |status| (status.dead, status.error) = (Some(now), error));
        let Some(event) = event else { return Vec::new() };
        let change = Change::Update(key, event.status.clone());
        let follows = "after a restart it is delivered once more";
        let mut told = vec![self.written(event, What::Dead { because }, change, follows)];
        state.dead.insert(key);
        if state.dead.len() > MAX_DEAD
            && let Some(oldest) = state.dead.pop_first()
            && let Some(event) = state.listed.remove(&oldest)
        {
            let follows = "it comes back after a restart";
            told.push(self.written(event, What::ThrownAway, Change::Remove(oldest), follows));
        }
        told
    }

    /// Hands a change over to the journal. Under the lock, so that changes are written in the order in which they happen.
    fn written(&self, event: Listed, what: What, change: Change, follows: &'static str) -> Told {
        Told { event, what, written: self.journal.write(change), follows }
    }

    /// Tells of steps, and waits until they are written down.
    pub(super) async fn told(&self, steps: Vec<Told>) {
        for Told { event: Listed { id, function, .. }, what, written, follows } in steps {
            self.tell(&id, &function, what);
            self.wake.notify_one();
            if let Err(why) = written.await {
                let because = format!("{why}: {follows}");
                self.tell(&id, &function, What::JournalFailed { because });
            }
        }
        self.wake.notify_one();
    }

    fn tell(&self, id: &Arc<str>, function: &Arc<str>, what: What) {
        let progress = Progress { id: id.clone(), function: function.clone(), what };
        self.observer.observe(&Transition::Event(&progress));
    }
}
