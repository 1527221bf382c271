//! [`Courier`]: delivers accepted events through a [`Stack`], as [`Deliveries`] decides and with a [`Journal`] behind it.

use std::{
    fmt,
    pin::pin,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    journal::{Journal, JournalError},
    letter::{Letter, Listed},
    rules::{Outcome, Rules},
    shared::{Shared, State},
    state::{Deliveries, Full, Key, Limits, Step},
};
use crate::{
    clock::{SharedClock, within},
    stack::Stack,
    transition::SharedObserver,
};

/// So many dead letters are kept; then the oldest go.
pub const MAX_DEAD: usize = 1_000;

/// What a courier goes by.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// When and how often.
    pub rules: Rules,
    /// How much may wait.
    pub limits: Limits,
    /// For jitter.
    pub seed: u64,
}

/// An event that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAccepted {
    /// As much waits as may.
    Full(Full),
    /// It could not be written down.
    Journal(JournalError),
    /// The host stops.
    Stopping,
}

impl fmt::Display for NotAccepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotAccepted::Full(full) => full.fmt(f),
            NotAccepted::Journal(why) => write!(f, "the event cannot be written down: {why}"),
            NotAccepted::Stopping => f.write_str("the host is shutting down and takes no more events"),
        }
    }
}

impl std::error::Error for NotAccepted {}

/// Accepts events and sees to it that they are delivered. Clones are the same one; when the last is gone, it stops.
#[derive(Debug, Clone)]
pub struct Courier {
    shared: Arc<Shared>,
    _alive: Arc<Alive>,
}

#[derive(Debug)]
struct Alive(Weak<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.state.lock().is_stopping = true;
            shared.wake.notify_one();
        }
    }
}

impl Courier {
    /// A courier that takes over what the journal has, and begins to deliver it.
    ///
    /// # Errors
    /// When the journal cannot be read.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn start(
        config: Config,
        stack: Stack,
        journal: Arc<dyn Journal>,
        clock: SharedClock,
        observer: SharedObserver,
    ) -> Result<Self, JournalError> {
        let listed = journal.list().await?;
        Ok(Self::with(config, stack, journal, clock, observer, listed))
    }

    /// A courier over a journal that has nothing yet, or what is `listed`.
    pub(crate) fn with(
        config: Config,
        stack: Stack,
        journal: Arc<dyn Journal>,
        clock: SharedClock,
        observer: SharedObserver,
        listed: Vec<Listed>,
    ) -> Self {
        let mut deliveries = Deliveries::new(config.rules, config.limits, config.seed);
        let now = clock.now();
        for event in &listed {
            let Listed { key, function, bytes, status, .. } = event;
            match status.dead {
                None => deliveries.restore(now, *key, function.clone(), *bytes, status.failures, status.due),
                Some(_) => deliveries.reserve(*key),
            }
        }
        let is_dead = |event: &&Listed| event.status.dead.is_some();
        let dead = listed.iter().filter(is_dead).map(|event| event.key).collect();
        let listed = listed.into_iter().map(|event| (event.key, event)).collect();
        let state = Mutex::new(State { deliveries, listed, dead, busy: 0, is_stopping: false });
        let (wake, ended) = (Notify::new(), Notify::new());
        let shared = Arc::new(Shared { state, stack, journal, clock, observer, wake, ended });
        tokio::spawn(drive(shared.clone()));
        Courier { _alive: Arc::new(Alive(Arc::downgrade(&shared))), shared }
    }

    /// Accepts an event: when this returns, it is written down, and will be delivered. Whoever drops the future does not
    /// know whether it was accepted.
    ///
    /// # Errors
    /// When it is not accepted.
    pub async fn accept(&self, letter: Letter) -> Result<(), NotAccepted> {
        let shared = self.shared.clone();
        // not undone half-way when the client leaves
        match tokio::spawn(async move { shared.accept(letter).await }).await {
            Ok(accepted) => accepted,
            Err(why) => Err(NotAccepted::Journal(JournalError(why.to_string()))),
        }
    }

    /// All events that wait, are being delivered, or are dead letters, in the order in which they were accepted.
    pub fn list(&self) -> Vec<Listed> {
        self.shared.state.lock().listed.values().cloned().collect()
    }

    /// Puts dead letters back, to be delivered as if they had just been accepted: all, or that of this id. Returns how
    /// many.
    ///
    /// # Errors
    /// When one cannot be taken back. It stays a dead letter, as do those after it.
    pub async fn redrive(&self, id: Option<&str>) -> Result<usize, NotAccepted> {
        let dead: Vec<Listed> = self
            .list()
            .into_iter()
            .filter(|event| event.status.dead.is_some() && id.is_none_or(|id| *event.id == *id))
            .collect();
        let count = dead.len();
        for event in dead {
            self.shared.put_back(event).await?;
        }
        Ok(count)
    }

    /// Begins no more attempts and accepts no more events; returns when the attempts that run have ended, and what became
    /// of their events is written down. What waits stays in the journal.
    pub async fn stop(&self) {
        let shared = &self.shared;
        shared.state.lock().is_stopping = true;
        shared.wake.notify_one();
        loop {
            let ended = shared.ended.notified();
            let mut ended = pin!(ended);
            ended.as_mut().enable();
            if shared.state.lock().busy == 0 {
                return;
            }
            ended.await;
        }
    }
}

/// Carries out what is due, until the courier stops.
async fn drive(shared: Arc<Shared>) {
    loop {
        let deadline = {
            let mut state = shared.state.lock();
            loop {
                if state.is_stopping {
                    return;
                }
                match state.deliveries.next(shared.clock.now()) {
                    Some(step) => {
                        state.busy += 1;
                        tokio::spawn(carry_out(shared.clone(), step));
                    }
                    None => break state.deliveries.next_deadline(),
                }
            }
        };
        match deadline {
            Some(at) => _ = within(&*shared.clock, at, shared.wake.notified()).await,
            None => shared.wake.notified().await,
        }
    }
}

async fn carry_out(shared: Arc<Shared>, step: Step) {
    let _busy = Busy(&shared);
    match step {
        Step::Deliver { key, attempt } => {
            let mut pending = Pending { shared: &shared, key: Some(key) };
            let (outcome, because) = shared.attempt(key, attempt).await;
            pending.key = None;
            shared.settle(key, attempt, outcome, because).await;
        }
        Step::GiveUp { key, why } => {
            let told = {
                let mut state = shared.state.lock();
                let last = state.listed.get(&key).and_then(|event| event.status.error.clone());
                shared.give_up(&mut state, key, why, last)
            };
            shared.told(told).await;
        }
    }
}

/// Counts an errand as one that runs.
struct Busy<'a>(&'a Shared);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.state.lock().busy -= 1;
        self.0.ended.notify_waiters();
    }
}

/// An attempt whose end nobody has told yet: if a layer of the stack panics, the event is not lost.
struct Pending<'a> {
    shared: &'a Shared,
    key: Option<Key>,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.state.lock().deliveries.settle(self.shared.clock.now(), key, Outcome::Unserved);
            self.shared.wake.notify_one();
        }
    }
}

#[cfg(test)]
#[path = "courier_tests.rs"]
mod tests;
