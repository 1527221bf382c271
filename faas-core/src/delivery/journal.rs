//! [`Journal`]: where accepted events are written down, so that they outlive who accepted them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use parking_lot::Mutex;

use super::{
    letter::{Letter, Listed, Status},
    state::Key,
};
use crate::clock::BoxFuture;

/// Why a journal cannot do what it should, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalError(pub String);

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JournalError {}

/// A change that is written down.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new event.
    Add(Key, Box<Letter>, Status),
    /// How its delivery stands now.
    Update(Key, Status),
    /// It is settled.
    Remove(Key),
}

/// Where accepted events are written down. Knows nothing of deliveries.
pub trait Journal: Send + Sync + fmt::Debug + 'static {
    /// Takes a change over to write it; the future completes when it is there to stay. Changes are written in the order in
    /// which they are taken over. Called under a lock, so it hands on and returns at once; the future may be dropped.
    fn write(&self, change: Change) -> BoxFuture<'static, Result<(), JournalError>>;

    /// An event, if it is there.
    fn read(&self, key: Key) -> BoxFuture<'static, Result<Option<Letter>, JournalError>>;

    /// All events, in order.
    fn list(&self) -> BoxFuture<'static, Result<Vec<Listed>, JournalError>>;
}

/// A journal that is gone with its process: for tests, and hosts that promise no more.
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal(Arc<Mutex<BTreeMap<Key, (Letter, Status)>>>);

impl Journal for MemoryJournal {
    fn write(&self, change: Change) -> BoxFuture<'static, Result<(), JournalError>> {
        let mut events = self.0.lock();
        match change {
            Change::Add(key, letter, status) => _ = events.insert(key, (*letter, status)),
            Change::Update(key, status) => {
                if let Some(event) = events.get_mut(&key) {
                    event.1 = status;
                }
            }
            Change::Remove(key) => _ = events.remove(&key),
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn read(&self, key: Key) -> BoxFuture<'static, Result<Option<Letter>, JournalError>> {
        let letter = self.0.lock().get(&key).map(|(letter, _)| letter.clone());
        Box::pin(std::future::ready(Ok(letter)))
    }

    fn list(&self) -> BoxFuture<'static, Result<Vec<Listed>, JournalError>> {
        let listed = |(key, (letter, status)): (&Key, &(Letter, Status))| Listed {
            key: *key,
            id: letter.id.clone(),
            function: letter.function.clone(),
            cause: letter.cause,
            bytes: letter.body.len() as u64,
            status: status.clone(),
        };
        let events = self.0.lock().iter().map(listed).collect();
        Box::pin(std::future::ready(Ok(events)))
    }
}
