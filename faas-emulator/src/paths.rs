//! Where the emulator keeps things: compiled modules, and a note of the server that runs.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use serde::{Deserialize, Serialize};

use crate::reload::project::{ModuleFiles, Project};

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

/// The server that serves a project, as it says of itself for `faas invoke`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its base address.
    pub url: String,
    /// Its process.
    pub pid: u32,
}

/// Where that note is. A project's own lies in its target folder; modules have no such place, so theirs is in the
/// cache, by the hash of their path.
fn running_file(project: &Project) -> Option<PathBuf> {
    match project {
        Project::Cargo(project) => Some(project.target_dir.join("dev.json")),
        Project::Modules(ModuleFiles::One(path) | ModuleFiles::Folder(path)) => {
            let hash = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
            Some(cache_dir()?.join("dev").join(format!("{}.json", &hash[..16])))
        }
    }
}

impl Running {
    /// Writes the note; takes it away when the guard is dropped. A note that cannot be written costs `faas invoke` the
    /// shortcut, no more.
    pub fn announce(&self, project: &Project) -> Option<Announced> {
        let file = running_file(project)?;
        std::fs::create_dir_all(file.parent()?).ok()?;
        std::fs::write(&file, serde_json::to_string(self).ok()?).ok()?;
        Some(Announced { file, running: self.clone() })
    }

    /// The note of the server that serves the project, if there is one. The server may be gone without having taken
    /// it away.
    pub fn find(project: &Project) -> Option<Running> {
        read(&running_file(project)?)
    }
}

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
