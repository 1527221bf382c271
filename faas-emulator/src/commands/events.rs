//! `faas events`: asynchronous events that are not delivered, and dead letters back into delivery.
//!
//! Asks the `faas dev` that serves the project, if one runs; otherwise reads the journal itself.

use std::{io::Write as _, path::PathBuf};

use faas_core::{
    clock::{SharedClock, SystemClock, Time},
    delivery::{Change, Journal as _, Listed, Status},
    printable::on_lines,
};
use http::{Method, StatusCode};

use crate::{
    console,
    error::Error,
    events::{
        journal::{BREATH, Closed, FileJournal, PATIENCE},
        list::{Line, text},
    },
    gateway::EVENTS_PATH,
    paths::{self, Running},
    reload::project::{self, Project},
};

/// Options of `faas events`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// A crate, a workspace, a folder of .wasm files or one .wasm file; the crate around here when absent
    path: Option<PathBuf>,
    /// Put dead letters back, to be delivered as if they had just been accepted: all, or the one of this id
    #[arg(long, value_name = "ID", num_args = 0..=1, require_equals = true)]
    redrive: Option<Option<String>>,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

/// Lists, or puts back and lists.
///
/// # Errors
/// When the journal cannot be read or written, or there is no dead letter of that id.
pub async fn run(options: Options) -> Result<(), Error> {
    let path = options.path.clone();
    let project = super::blocking(move || project::find(path.as_deref())).await?;
    let clock = SystemClock::shared();
    let source = Source::open(&project, &clock).await?;
    let now = clock.now();
    if let Some(id) = &options.redrive {
        let count = source.redrive(id.as_deref(), now).await?;
        if let (Some(id), 0) = (id, count) {
            return Err(Error::bad_input(format!(
                "there is no dead letter `{id}`\n`faas events` lists those there are."
            )));
        }
        // for the person; the list is what programs read
        let _ = writeln!(anstream::stderr(), "{count} put back");
    }
    let lines = source.lines().await?;
    source.close().await;
    let text = if options.json {
        // plain data of strings and numbers is JSON
        let mut json = console::json::safe(&serde_json::to_string(&lines).unwrap_or_default());
        json.push('\n');
        json
    } else {
        on_lines(&text(&lines, now)).into_owned()
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|why| Error::failed(format!("standard output cannot be written: {why}")))
}

/// Who has the events.
enum Source {
    Server(Running),
    File(FileJournal),
}

impl Source {
    /// The server, or else the file. Who has neither looks again: a server that starts has the file before it says so.
    async fn open(project: &Project, clock: &SharedClock) -> Result<Self, Error> {
        let none = || Error::failed("there is no folder where events would be: set FAAS_CACHE_DIR to one");
        let file = paths::journal(project).ok_or_else(none)?;
        let mut tries = 0;
        loop {
            if let Some(running) = Running::find(project)
                && running.ask(Method::GET, EVENTS_PATH).await.is_some()
            {
                return Ok(Source::Server(running));
            }
            tries += 1;
            match FileJournal::try_open(file.clone()).await {
                Ok(journal) => return Ok(Source::File(journal)),
                Err(Closed::Taken(_)) if tries <= PATIENCE => {
                    clock.sleep_until(clock.now() + BREATH).await;
                }
                Err(why) => return Err(Error::failed(why.told().to_string())),
            }
        }
    }

    async fn lines(&self) -> Result<Vec<Line>, Error> {
        match self {
            Source::Server(running) => {
                let body = asked(running, Method::GET, EVENTS_PATH).await?;
                serde_json::from_slice(&body).map_err(|why| strange(running, &why))
            }
            Source::File(journal) => Ok(listed(journal).await?.into_iter().map(Line::from).collect()),
        }
    }

    async fn redrive(&self, id: Option<&str>, now: Time) -> Result<usize, Error> {
        match self {
            Source::Server(running) => {
                let query = id.map_or_else(String::new, |id| format!("?id={id}"));
                let body = asked(running, Method::POST, &format!("{EVENTS_PATH}{query}")).await?;
                serde_json::from_slice(&body).map_err(|why| strange(running, &why))
            }
            Source::File(journal) => {
                let mut count = 0;
                for event in listed(journal).await? {
                    if event.status.dead.is_none() || id.is_some_and(|id| *id != *event.id) {
                        continue;
                    }
                    let status = Status { accepted: now, failures: 0, due: now, error: None, dead: None };
                    let written = journal.write(Change::Update(event.key, status)).await;
                    written.map_err(|why| Error::failed(why.to_string()))?;
                    count += 1;
                }
                Ok(count)
            }
        }
    }

    async fn close(&self) {
        if let Source::File(journal) = self {
            journal.close().await;
        }
    }
}

async fn listed(journal: &FileJournal) -> Result<Vec<Listed>, Error> {
    journal.list().await.map_err(|why| Error::failed(why.to_string()))
}

async fn asked(running: &Running, method: Method, path: &str) -> Result<bytes::Bytes, Error> {
    match running.ask(method, path).await {
        Some((StatusCode::OK, body)) => Ok(body),
        Some((_, body)) => Err(Error::failed(String::from_utf8_lossy(&body).trim_end().to_owned())),
        None => Err(Error::failed(format!("the server at {} broke off", running.url))),
    }
}

fn strange(running: &Running, why: &serde_json::Error) -> Error {
    Error::failed(format!(
        "the server at {} answers in another way: {why}\nIs it of another version?",
        running.url
    ))
}
