//! [`FileJournal`]: a project's events in one file, which a thread of its own writes.
//!
//! The file is a redb database: transactions, checksums, a lock against a second process, and recovery after a crash are
//! its business and not ours. Whatever waits to be written is written in one transaction, so many who wait share one sync.
//! The file is made with the first event. One that is damaged or somebody else's is told and left as it is.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use bytes::Bytes;
use faas_core::{
    clock::{BoxFuture, SharedClock},
    delivery::{Change, Journal, JournalError, Key, Letter, Listed},
};
use parking_lot::Mutex;
use redb::{
    Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, StorageError, TableDefinition,
};
use tokio::sync::oneshot;

use super::record::{FORMAT, Head, Stand};

const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
const HEADS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("heads");
const STANDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("stands");
const BODIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("bodies");

/// So many changes share a transaction at most.
const BATCH: usize = 256;
/// So often another process is waited for that has the file,
pub(crate) const PATIENCE: u32 = 20;
/// each time so long.
pub(crate) const BREATH: Duration = Duration::from_millis(100);
/// Pages that are kept in memory.
const CACHE_BYTES: usize = 8 << 20;
/// A file larger than this is worth the time to make it smaller.
const LARGE_BYTES: u64 = 16 << 20;

/// A project's events. Clones are the same journal.
#[derive(Debug, Clone)]
pub struct FileJournal {
    jobs: Arc<Mutex<Option<mpsc::Sender<Job>>>>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// Why a file is not opened.
#[derive(Debug)]
pub(crate) enum Closed {
    /// Another process has it.
    Taken(JournalError),
    /// Whatever else, which waiting does not change.
    Other(JournalError),
}

impl Closed {
    pub(crate) fn told(self) -> JournalError {
        match self {
            Closed::Taken(why) | Closed::Other(why) => why,
        }
    }
}

type Answer<T> = oneshot::Sender<Result<T, JournalError>>;

enum Job {
    Write(Change, Answer<()>),
    Read(Key, Answer<Option<Letter>>),
    List(Answer<Vec<Listed>>),
}

impl FileJournal {
    /// The journal in this file, which need not be there yet. Waits a little for a process that has it: a `faas events` is
    /// soon done.
    ///
    /// # Errors
    /// When the file is damaged, no journal, or another process has it.
    pub async fn open(file: PathBuf, clock: &SharedClock) -> Result<Self, JournalError> {
        for _ in 0..PATIENCE {
            match Self::try_open(file.clone()).await {
                Err(Closed::Taken(_)) => clock.sleep_until(clock.now() + BREATH).await,
                result => return result.map_err(Closed::told),
            }
        }
        Self::try_open(file).await.map_err(Closed::told)
    }

    /// The same at once.
    pub(crate) async fn try_open(file: PathBuf) -> Result<Self, Closed> {
        let (jobs, todo) = mpsc::channel();
        let (opened, is_open) = oneshot::channel();
        let work = move || {
            let mut store = Store { file, database: None };
            let result = if store.file.exists() { store.open() } else { Ok(()) };
            let is_ok = result.is_ok();
            if opened.send(result).is_ok() && is_ok {
                store.work(&todo);
                store.shrink();
            }
        };
        let thread = std::thread::Builder::new().name("events".into()).spawn(work);
        let refused = |why| Closed::Other(JournalError(format!("the system refuses a thread: {why}")));
        let thread = thread.map_err(refused)?;
        is_open.await.map_err(|_| Closed::Other(closed()))??;
        let (jobs, thread) = (Some(jobs), Some(thread));
        Ok(FileJournal { jobs: Arc::new(Mutex::new(jobs)), thread: Arc::new(Mutex::new(thread)) })
    }

    /// Writes what is left, and closes the file.
    pub async fn close(&self) {
        self.jobs.lock().take();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // one that panicked has said so already
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(Answer<T>) -> Job,
    ) -> BoxFuture<'static, Result<T, JournalError>> {
        let (answer, answered) = oneshot::channel();
        let is_sent = self.jobs.lock().as_ref().is_some_and(|jobs| jobs.send(job(answer)).is_ok());
        Box::pin(async move {
            if !is_sent {
                return Err(closed());
            }
            answered.await.unwrap_or_else(|_| Err(closed()))
        })
    }
}

fn closed() -> JournalError {
    JournalError("the journal of events is closed".into())
}

impl Journal for FileJournal {
    fn write(&self, change: Change) -> BoxFuture<'static, Result<(), JournalError>> {
        self.ask(|answer| Job::Write(change, answer))
    }

    fn read(&self, key: Key) -> BoxFuture<'static, Result<Option<Letter>, JournalError>> {
        self.ask(|answer| Job::Read(key, answer))
    }

    fn list(&self) -> BoxFuture<'static, Result<Vec<Listed>, JournalError>> {
        self.ask(Job::List)
    }
}

/// The file, as its thread has it.
struct Store {
    file: PathBuf,
    database: Option<Database>,
}

impl Store {
    fn work(&mut self, jobs: &mpsc::Receiver<Job>) {
        let mut next = None;
        while let Some(job) = next.take().or_else(|| jobs.recv().ok()) {
            // answers that nobody waits for any more go nowhere
            match job {
                Job::Read(key, answer) => _ = answer.send(self.read(key)),
                Job::List(answer) => _ = answer.send(self.list()),
                Job::Write(change, answer) => {
                    let mut batch = vec![(change, answer)];
                    while batch.len() < BATCH {
                        match jobs.try_recv() {
                            Ok(Job::Write(change, answer)) => batch.push((change, answer)),
                            Ok(other) => {
                                next = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    let result = self.write(batch.iter().map(|(change, _)| change));
                    for (_, answer) in batch {
                        let _ = answer.send(result.clone());
                    }
                }
            }
        }
    }

    fn open(&mut self) -> Result<(), Closed> {
        self.database = Some(open(&self.file)?);
        Ok(())
    }

    /// The database; made if it is not there yet.
    fn database(&mut self) -> Result<&Database, JournalError> {
        if self.database.is_none() {
            self.open().map_err(Closed::told)?;
            // nobody here knows of these events, and would give their keys to others
            if !self.list()?.is_empty() {
                self.database = None;
                return Err(JournalError(format!(
                    "another process has written events to {} since this one began: start it again to deliver them",
                    self.file.display()
                )));
            }
        }
        self.database.as_ref().ok_or_else(closed)
    }

    /// Gives room back that many events have left.
    fn shrink(&mut self) {
        let is_large = fs::metadata(&self.file).is_ok_and(|file| file.len() > LARGE_BYTES);
        if let Some(database) = self.database.as_mut().filter(|_| is_large) {
            // it only takes more room than it need
            let _ = database.compact();
        }
    }

    fn failed(&self, why: impl Into<redb::Error>) -> JournalError {
        JournalError(format!("the journal of events {} fails: {}", self.file.display(), why.into()))
    }

    fn write<'a>(&mut self, changes: impl Iterator<Item = &'a Change>) -> Result<(), JournalError> {
        let result = apply(self.database()?, changes);
        result.map_err(|why| self.failed(why))
    }

    fn read(&mut self, key: Key) -> Result<Option<Letter>, JournalError> {
        let result = fetch(self.database()?, key);
        result.map_err(|why| self.failed(why))
    }

    fn list(&mut self) -> Result<Vec<Listed>, JournalError> {
        // a file that is not there is not made to be read
        let Some(database) = &self.database else { return Ok(Vec::new()) };
        all(database).map_err(|why| self.failed(why))
    }
}

fn open(file: &Path) -> Result<Database, Closed> {
    let at = file.display();
    let refused = |why: &dyn std::fmt::Display| {
        Closed::Other(JournalError(format!(
            "{at} is no journal of events, or is damaged: {why}\nIt is left as it is. Move it away to begin with an empty \
             one; what waited in it will not be delivered."
        )))
    };
    let made = file.parent().map_or(Ok(()), fs::create_dir_all);
    let other = |what: &str, why: io::Error| Closed::Other(JournalError(format!("{what}: {why}")));
    made.map_err(|why| other(&format!("the folder of {at} cannot be made"), why))?;
    let database = Database::builder()
        .set_cache_size(CACHE_BYTES)
        // whatever is wrong with the file is told now, and not in the midst of an event
        .set_check_integrity_on_open(true)
        .create(file)
        .map_err(|why| match why {
            DatabaseError::DatabaseAlreadyOpen => Closed::Taken(JournalError(format!(
                "another process has this project's events, in {at}: another `faas dev` of it?\nStop that one, and start \
                 again."
            ))),
            DatabaseError::Storage(StorageError::Io(why)) if why.kind() != io::ErrorKind::InvalidData => {
                other(&format!("{at} cannot be opened"), why)
            }
            why => refused(&why),
        })?;
    let format = prepare(&database).map_err(|why| refused(&why))?;
    if format != FORMAT {
        return Err(refused(&format!(
            "another version of faas has written it (form {format}, this one reads {FORMAT})"
        )));
    }
    Ok(database)
}

/// Makes the tables of a new file; the form of what is in it.
fn prepare(database: &Database) -> Result<u64, redb::Error> {
    let transaction = database.begin_write()?;
    let format = {
        let mut about = transaction.open_table(ABOUT)?;
        let found = about.get("format")?.map(|found| found.value());
        if found.is_none() {
            about.insert("format", FORMAT)?;
        }
        found.unwrap_or(FORMAT)
    };
    if format == FORMAT {
        transaction.open_table(HEADS)?;
        transaction.open_table(STANDS)?;
        transaction.open_table(BODIES)?;
    }
    transaction.commit()?;
    Ok(format)
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    // strings and numbers have no way to fail
    serde_json::to_vec(value).unwrap_or_default()
}

fn apply<'a>(database: &Database, changes: impl Iterator<Item = &'a Change>) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut heads = transaction.open_table(HEADS)?;
        let mut stands = transaction.open_table(STANDS)?;
        let mut bodies = transaction.open_table(BODIES)?;
        for change in changes {
            match change {
                Change::Add(Key(key), letter, status) => {
                    heads.insert(key, json(&Head::of(letter)).as_slice())?;
                    stands.insert(key, json(&Stand::of(status)).as_slice())?;
                    bodies.insert(key, &letter.body[..])?;
                }
                // one that is not there has been removed
                Change::Update(Key(key), _) if heads.get(key)?.is_none() => {}
                Change::Update(Key(key), status) => {
                    stands.insert(key, json(&Stand::of(status)).as_slice())?;
                }
                Change::Remove(Key(key)) => {
                    heads.remove(key)?;
                    stands.remove(key)?;
                    bodies.remove(key)?;
                }
            }
        }
    }
    // redb's default: on the disk when this returns
    transaction.commit()?;
    Ok(())
}

fn fetch(database: &Database, Key(key): Key) -> Result<Option<Letter>, redb::Error> {
    let transaction = database.begin_read()?;
    let Some(head) = transaction.open_table(HEADS)?.get(key)? else { return Ok(None) };
    let Ok(head) = serde_json::from_slice::<Head>(head.value()) else { return Ok(None) };
    let bodies = transaction.open_table(BODIES)?;
    let body = bodies.get(key)?.map(|body| Bytes::copy_from_slice(body.value())).unwrap_or_default();
    Ok(head.into_letter(body))
}

fn all(database: &Database) -> Result<Vec<Listed>, redb::Error> {
    let transaction = database.begin_read()?;
    let (heads, stands) = (transaction.open_table(HEADS)?, transaction.open_table(STANDS)?);
    let mut events = Vec::new();
    for head in heads.iter()? {
        let (key, head) = head?;
        let Some(stand) = stands.get(key.value())? else { continue };
        let read =
            (serde_json::from_slice::<Head>(head.value()), serde_json::from_slice::<Stand>(stand.value()));
        if let (Ok(head), Ok(stand)) = read {
            events.push(head.listed(Key(key.value()), stand));
        }
    }
    Ok(events)
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
