//! Where the emulator keeps things: compiled modules, and a note of the server that runs.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use etcetera::BaseStrategy as _;
use faas_core::{budget::Spent, rate::Ran};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    error::Error,
    meter::session::Session,
    recording::{self, Recording},
    reload::project::{ModuleFiles, Project},
    trigger::tls,
};

/// Where compiled modules are cached for all projects of this user; nowhere without a home. `FAAS_CACHE_DIR` moves it.
pub fn module_cache() -> Option<PathBuf> {
    cache_dir().map(|dir| dir.join("modules"))
}

fn cache_dir() -> Option<PathBuf> {
    match std::env::var_os("FAAS_CACHE_DIR") {
        Some(dir) if !dir.is_empty() => Some(dir.into()),
        _ => Some(etcetera::choose_base_strategy().ok()?.cache_dir().join("faas")),
    }
}

/// Where the certificate authority of this user lies; nowhere without a home. `FAAS_DATA_DIR` moves it.
pub fn authority_dir() -> Option<PathBuf> {
    let dir = match std::env::var_os("FAAS_DATA_DIR") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => etcetera::choose_base_strategy().ok()?.data_dir().join("faas"),
    };
    Some(dir.join("ca"))
}

/// The server that serves a project, as it says of itself for `faas invoke`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its base address.
    pub url: String,
    /// Its process.
    pub pid: u32,
}

/// Where a project's notes are, by the hash of its path. A crate's own lie in its target folder, which others may share;
/// modules have no such place, so theirs are in the cache.
fn note(project: &Project, name: &str) -> Option<PathBuf> {
    file(project, name, "json")
}

/// Where a project's accepted events are written down.
pub fn journal(project: &Project) -> Option<PathBuf> {
    file(project, "events", "redb")
}

fn file(project: &Project, name: &str, extension: &str) -> Option<PathBuf> {
    let (path, dir) = match project {
        Project::Cargo(project) => (&project.root, project.target_dir.join(name)),
        Project::Modules(ModuleFiles::One(path) | ModuleFiles::Folder(path)) => {
            (path, cache_dir()?.join(name))
        }
    };
    let hash = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
    Some(dir.join(format!("{}.{extension}", &hash[..16])))
}

fn running_file(project: &Project) -> Option<PathBuf> {
    note(project, "dev")
}

/// Keeps what a session used, for `faas bill`.
///
/// # Errors
/// When it cannot be written.
pub fn keep_session(project: &Project, session: &Session) -> Result<(), Error> {
    let Some(file) = note(project, "session") else { return Ok(()) };
    write_whole(&file, session).map_err(|why| {
        Error::failed(format!("the session's bill cannot be kept in {}: {why}", file.display()))
    })
}

/// Where the recorded requests of a project's function are.
fn recording_file(project: &Project, function: &str) -> Option<PathBuf> {
    let file = file(project, "recorded", "jsonl")?;
    let stem = file.file_stem()?.to_string_lossy().into_owned();
    Some(file.with_file_name(format!("{stem}-{function}.jsonl")))
}

/// Keeps what was recorded of a function in place of what an earlier session has.
///
/// # Errors
/// When it cannot be written.
pub fn keep_recording(project: &Project, function: &str, recording: &Recording) -> Result<(), Error> {
    let Some(file) = recording_file(project, function) else { return Ok(()) };
    write_text(&file, recording::render(function, recording).as_bytes(), true).map_err(|why| {
        Error::failed(format!(
            "what was recorded of `{function}` cannot be kept in {}: {why}",
            file.display()
        ))
    })
}

/// What was recorded of a function last.
///
/// # Errors
/// When that was written and cannot be read.
pub fn recording(project: &Project, function: &str) -> Result<Option<Recording>, Error> {
    let Some(file) = recording_file(project, function) else { return Ok(None) };
    let wrong = |why: &dyn std::fmt::Display| {
        Error::bad_input(format!(
            "what was recorded of `{function}` cannot be read from {}: {why}\nMend the file, or delete it, and record again.",
            file.display()
        ))
    };
    match std::fs::read_to_string(&file) {
        Ok(text) => recording::parse(function, &text).map(Some).map_err(|why| wrong(&why)),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(wrong(&why)),
    }
}

/// Writes a file so that whoever reads it finds all of it, or what was there before.
fn write_whole(file: &Path, content: &impl Serialize) -> std::io::Result<()> {
    write_text(file, &serde_json::to_vec(content)?, false)
}

/// The same of any text; if it is private, its owner's alone to read, where files have owners.
fn write_text(file: &Path, text: &[u8], is_private: bool) -> std::io::Result<()> {
    file.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    let new = file.with_extension(format!("{}.new", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if is_private { 0o600 } else { 0o666 });
    #[cfg(not(unix))]
    let _ = is_private;
    std::io::Write::write_all(&mut options.open(&new)?, text)?;
    std::fs::rename(&new, file)
}

/// A day's costs are kept so long: as long as any budget may ask for them.
const SPENT_DAYS: u64 = 62;

/// [`Spent`], as it is written.
#[derive(Serialize, Deserialize)]
struct SpentNote {
    day: u64,
    function: String,
    usd: Decimal,
}

/// What the project's functions have cost in earlier sessions, as far as those had a budget.
///
/// # Errors
/// When that was written and cannot be read.
pub fn spent(project: &Project) -> Result<Vec<Spent>, Error> {
    let Some(file) = note(project, "spent") else { return Ok(Vec::new()) };
    let wrong = |why: &dyn std::fmt::Display| {
        Error::bad_input(format!(
            "what was spent before cannot be read from {}: {why}\nMend the file, or delete it to begin at zero.",
            file.display()
        ))
    };
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(wrong(&why)),
    };
    let notes: Vec<SpentNote> = serde_json::from_str(&text).map_err(|why| wrong(&why))?;
    let spent = |SpentNote { day, function, usd }| Spent { day, function: function.into(), usd };
    Ok(notes.into_iter().map(spent).collect())
}

/// Adds to what the project's functions have cost.
///
/// # Errors
/// When it cannot be written.
pub fn keep_spent(project: &Project, more: &[Spent]) -> Result<(), Error> {
    let (Some(file), Some(today)) = (note(project, "spent"), more.iter().map(|spent| spent.day).max()) else {
        return Ok(());
    };
    let mut sums: BTreeMap<(u64, Arc<str>), Decimal> = BTreeMap::new();
    for Spent { day, function, usd } in spent(project)?.into_iter().chain(more.iter().cloned()) {
        if day + SPENT_DAYS > today {
            *sums.entry((day, function)).or_default() += usd;
        }
    }
    let note = |((day, function), usd): ((u64, Arc<str>), Decimal)| SpentNote {
        day,
        function: function.to_string(),
        usd,
    };
    let notes: Vec<SpentNote> = sums.into_iter().map(note).collect();
    write_whole(&file, &notes)
        .map_err(|why| Error::failed(format!("what was spent cannot be kept in {}: {why}", file.display())))
}

/// What ran of the project today under this profile, in earlier sessions, as far as it has a daily cap.
///
/// # Errors
/// When that was written and cannot be read.
pub fn ran(project: &Project, profile: &str) -> Result<Option<Ran>, Error> {
    Ok(all_ran(project)?.get(profile).map(|note| Ran { day: note.day, count: note.count }))
}

/// [`Ran`], as it is written.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct RanNote {
    day: u64,
    count: u64,
}

/// By profile.
fn all_ran(project: &Project) -> Result<BTreeMap<String, RanNote>, Error> {
    let Some(file) = note(project, "ran") else { return Ok(BTreeMap::new()) };
    let wrong = |why: &dyn std::fmt::Display| {
        Error::bad_input(format!(
            "how much ran today cannot be read from {}: {why}\nMend the file, or delete it to begin at zero.",
            file.display()
        ))
    };
    match std::fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text).map_err(|why| wrong(&why)),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(why) => Err(wrong(&why)),
    }
}

/// Adds to what ran of the project under this profile. Of each only the last day is kept.
///
/// # Errors
/// When it cannot be written.
pub fn keep_ran(project: &Project, profile: &str, more: &[Ran]) -> Result<(), Error> {
    let (Some(file), false) = (note(project, "ran"), more.is_empty()) else { return Ok(()) };
    let mut all = all_ran(project)?;
    let sum = all.entry(profile.to_owned()).or_insert(RanNote { day: 0, count: 0 });
    for Ran { day, count } in more {
        if *day > sum.day {
            *sum = RanNote { day: *day, count: 0 };
        }
        if *day == sum.day {
            sum.count = sum.count.saturating_add(*count);
        }
    }
    write_whole(&file, &all).map_err(|why| {
        Error::failed(format!("how much ran today cannot be kept in {}: {why}", file.display()))
    })
}

/// What the last session of the project used.
///
/// # Errors
/// When there is none.
pub fn last_session(project: &Project) -> Result<Session, Error> {
    let none =
        || Error::bad_input("there is no session to bill: run `faas dev`, send requests, and ask again");
    let file = note(project, "session").ok_or_else(none)?;
    let text = std::fs::read_to_string(&file).map_err(|_| none())?;
    serde_json::from_str(&text).map_err(|why| {
        Error::failed(format!("{} is no session: {why}\nRun `faas dev` again.", file.display()))
    })
}

impl Running {
    /// Writes the note; takes it away when the guard is dropped. A note that cannot be written costs `faas invoke` the
    /// shortcut, no more.
    pub fn announce(&self, project: &Project) -> Option<Announced> {
        let file = running_file(project)?;
        write_whole(&file, self).ok()?;
        Some(Announced { file, running: self.clone() })
    }

    /// Reaches the server, by TLS if that is what it speaks. It may be gone without having taken back its note.
    pub async fn connect(&self) -> Option<Box<dyn Connection>> {
        let (scheme, addr) = self.url.split_once("://")?;
        let stream = tokio::net::TcpStream::connect(addr).await.ok()?;
        if scheme == "http" {
            return Some(Box::new(stream));
        }
        let authority = std::fs::read_to_string(tls::Store::of_user().ok()?.certificate_file()).ok()?;
        Some(Box::new(tls::client::connect(stream, &authority).await?))
    }

    /// What the session of this server has used until now; `None` if it is gone.
    pub async fn session(&self) -> Option<Session> {
        let (_, body) = self.ask(http::Method::GET, crate::gateway::BILL_PATH).await?;
        serde_json::from_slice(&body).ok()
    }

    /// What this server says there; `None` if it is gone.
    pub async fn ask(&self, method: http::Method, path: &str) -> Option<(http::StatusCode, bytes::Bytes)> {
        let stream = self.connect().await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.ok()?;
        let connection = tokio::spawn(connection);
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "localhost")
            .body(http_body_util::Empty::<bytes::Bytes>::new())
            .ok()?;
        let response = sender.send_request(request).await.ok()?;
        let status = response.status();
        let bytes = http_body_util::BodyExt::collect(response.into_body()).await.ok()?.to_bytes();
        connection.abort();
        Some((status, bytes))
    }

    /// The note of the server that serves the project, if there is one. The server may be gone without having taken
    /// it away.
    pub fn find(project: &Project) -> Option<Running> {
        read(&running_file(project)?)
    }
}

/// A connection to a server, whatever it speaks below HTTP.
pub trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

fn read(file: &Path) -> Option<Running> {
    serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()
}

/// A note that is taken away on drop.
#[derive(Debug)]
pub struct Announced {
    file: PathBuf,
    running: Running,
}

impl Drop for Announced {
    fn drop(&mut self) {
        // another server of the same project may have written its own since
        if read(&self.file).as_ref() == Some(&self.running) {
            let _ = std::fs::remove_file(&self.file);
        }
    }
}
