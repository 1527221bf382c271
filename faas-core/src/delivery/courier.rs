//! [`Courier`]: delivers accepted events through a [`Stack`], as [`Deliveries`] decides and with a [`Journal`] behind it.

use std::{
    collections::BTreeMap,
    fmt,
    pin::pin,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    attempt::{because, deliver},
    journal::{Change, Journal, JournalError},
    letter::{Letter, Listed, Progress, Status, What},
    rules::{Outcome, Rules},
    state::{Dead, Deliveries, Full, Key, Limits, Step, Verdict},
    words::given_up,
};
use crate::{
    clock::{SharedClock, within},
    stack::Stack,
    transition::{SharedObserver, Transition},
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

struct Shared {
    state: Mutex<State>,
    stack: Stack,
    journal: Arc<dyn Journal>,
    clock: SharedClock,
    observer: SharedObserver,
    /// Something may be due that was not.
    wake: Notify,
    /// An attempt has ended.
    ended: Notify,
}

struct State {
    deliveries: Deliveries,
    /// All that is in the journal.
    listed: BTreeMap<Key, Listed>,
    /// Attempts that run, and writes of what became of them.
    busy: usize,
    is_stopping: bool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Courier").field("events", &state.listed.len()).field("busy", &state.busy).finish()
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
        let listed = listed.into_iter().map(|event| (event.key, event)).collect();
        let state = Mutex::new(State { deliveries, listed, busy: 0, is_stopping: false });
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
            let last = shared.state.lock().listed.get(&key).and_then(|event| event.status.error.clone());
            shared.give_up(key, why, last).await;
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

impl Shared {
    async fn accept(&self, letter: Letter) -> Result<(), NotAccepted> {
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

    async fn put_back(&self, event: Listed) -> Result<(), NotAccepted> {
        let Listed { key, id, function, bytes, .. } = event;
        {
            let mut state = self.state.lock();
            if state.is_stopping {
                return Err(NotAccepted::Stopping);
            }
            // another one may have done so meanwhile
            if state.listed.get(&key).is_none_or(|event| event.status.dead.is_none()) {
                return Ok(());
            }
            state.deliveries.readmit(key, function.clone(), bytes).map_err(NotAccepted::Full)?;
        }
        let now = self.clock.now();
        let status = Status { accepted: now, failures: 0, due: now, error: None, dead: None };
        if let Err(why) = self.journal.write(Change::Update(key, status.clone())).await {
            self.state.lock().deliveries.abandon(key);
            return Err(NotAccepted::Journal(why));
        }
        self.tell(&id, &function, What::PutBack);
        {
            let mut state = self.state.lock();
            if let Some(event) = state.listed.get_mut(&key) {
                event.status = status;
            }
            state.deliveries.kept(self.clock.now(), key);
        }
        self.wake.notify_one();
        Ok(())
    }

    /// Delivers an event, and says how that went.
    async fn attempt(&self, key: Key, attempt: u32) -> (Outcome, Option<String>) {
        let letter = match self.journal.read(key).await {
            Ok(Some(letter)) => letter,
            Ok(None) => return (Outcome::Refused, Some("its contents are not in the journal".into())),
            Err(why) => return (Outcome::Unserved, Some(format!("it cannot be read: {why}"))),
        };
        let end = deliver(letter, attempt, self.stack.clone(), &self.clock, &self.observer).await;
        (Outcome::of(&end), because(&end))
    }

    async fn settle(&self, key: Key, attempt: u32, outcome: Outcome, because: Option<String>) {
        let now = self.clock.now();
        let verdict = self.state.lock().deliveries.settle(now, key, outcome);
        self.wake.notify_one();
        match verdict {
            Verdict::Done => {
                let Some(event) = self.state.lock().listed.remove(&key) else { return };
                self.tell(&event.id, &event.function, What::Delivered { attempt });
                self.written(
                    &event,
                    Change::Remove(key),
                    "it is delivered, and will be once more after a restart",
                )
                .await;
            }
            Verdict::Retry { at, failures } => {
                let because = because.unwrap_or_default();
                let Some(event) = self.changed(key, |status| {
                    (status.failures, status.due) = (failures, at);
                    status.error = Some(because.clone());
                }) else {
                    return;
                };
                let wait = at.since(now);
                self.tell(&event.id, &event.function, What::Retry { attempt, wait, because });
                let change = Change::Update(key, event.status.clone());
                self.written(&event, change, "after a restart it is delivered at once").await;
            }
            Verdict::GivenUp(why) => {
                self.changed(key, |status| status.failures += u32::from(outcome == Outcome::Failed));
                self.give_up(key, why, because).await;
            }
            Verdict::Stays => {}
        }
    }

    async fn give_up(&self, key: Key, why: Dead, last: Option<String>) {
        let because = given_up(why, last);
        let now = self.clock.now();
        let Some(event) = self.changed(key, |status| {
            status.dead = Some(now);
            status.error = Some(because.clone());
        }) else {
            return;
        };
        self.tell(&event.id, &event.function, What::Dead { because });
        let change = Change::Update(key, event.status.clone());
        self.written(&event, change, "after a restart it is delivered once more").await;
        let over = {
            let mut state = self.state.lock();
            let mut dead = state.listed.values().filter(|event| event.status.dead.is_some());
            let oldest = dead.next().map(|event| event.key);
            let oldest = oldest.filter(|_| dead.count() >= MAX_DEAD);
            oldest.and_then(|key| state.listed.remove(&key))
        };
        if let Some(event) = over {
            self.tell(&event.id, &event.function, What::ThrownAway);
            self.written(&event, Change::Remove(event.key), "it comes back after a restart").await;
        }
    }

    /// Changes how an event stands; the event, if it is there.
    fn changed(&self, key: Key, change: impl FnOnce(&mut Status)) -> Option<Listed> {
        let mut state = self.state.lock();
        let event = state.listed.get_mut(&key)?;
        change(&mut event.status);
        Some(event.clone())
    }

    /// Writes a change down; if that fails, says what follows.
    async fn written(&self, event: &Listed, change: Change, follows: &str) {
        if let Err(why) = self.journal.write(change).await {
            let because = format!("{why}: {follows}");
            self.tell(&event.id, &event.function, What::JournalFailed { because });
        }
    }

    fn tell(&self, id: &Arc<str>, function: &Arc<str>, what: What) {
        let progress = Progress { id: id.clone(), function: function.clone(), what };
        self.observer.observe(&Transition::Event(&progress));
    }
}
