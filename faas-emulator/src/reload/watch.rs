//! Hears of changes to exactly the files that count.
//!
//! Folders are watched, not files: editors replace a file by renaming another over it, which a watch on the file
//! itself would lose. [`Inputs`] then says which of the paths matter, and whether their content has changed: a file
//! that was merely touched builds nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

use faas_core::clock::Time;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::error::Error;

/// Watches folders and passes on the paths that changed in them.
#[derive(Debug)]
pub struct Watch {
    watcher: RecommendedWatcher,
    watched: BTreeMap<PathBuf, RecursiveMode>,
}

impl Watch {
    /// A watch on nothing yet, and the paths that it will hear of.
    ///
    /// # Errors
    /// When the operating system offers no watching.
    pub fn new() -> Result<(Self, mpsc::UnboundedReceiver<PathBuf>), Error> {
        // unbounded: its sender is notify's thread, which must not wait, and the paths are few
        let (sender, receiver) = mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if matches!(event.kind, EventKind::Access(_)) {
                return;
            }
            for path in event.paths {
                // the receiver is gone only when the session is over
                let _ = sender.send(path);
            }
        })
        .map_err(|why| unwatchable(Path::new("anything"), &why))?;
        Ok((Watch { watcher, watched: BTreeMap::new() }, receiver))
    }

    /// Watches what `inputs` needs, and no longer what it does not.
    ///
    /// # Errors
    /// When a folder cannot be watched.
    pub fn follow(&mut self, inputs: &Inputs) -> Result<(), Error> {
        let wanted = inputs.folders();
        let gone: Vec<PathBuf> =
            self.watched.keys().filter(|dir| !wanted.contains_key(*dir)).cloned().collect();
        for dir in gone {
            self.watched.remove(&dir);
            // a folder that was removed is not watched any more
            let _ = self.watcher.unwatch(&dir);
        }
        for (dir, mode) in wanted {
            if self.watched.get(&dir) == Some(&mode) || !dir.is_dir() {
                continue;
            }
            self.watcher.watch(&dir, mode).map_err(|why| unwatchable(&dir, &why))?;
            self.watched.insert(dir, mode);
        }
        Ok(())
    }
}

fn unwatchable(what: &Path, why: &notify::Error) -> Error {
    Error::bad_input(format!(
        "{} cannot be watched for changes: {why}\nRaise the limit (fs.inotify.max_user_watches on Linux) or run with \
         --no-watch.",
        what.display()
    ))
}

/// Files by kind, below a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// The folder.
    pub dir: PathBuf,
    /// The extension that counts.
    pub extension: &'static str,
    /// Whether folders below it count too.
    pub recursive: bool,
}

impl Kind {
    /// The files of this kind that there are.
    pub fn present(&self) -> Vec<PathBuf> {
        let (mut files, mut folders) = (Vec::new(), vec![self.dir.clone()]);
        while let Some(folder) = folders.pop() {
            // what cannot be read now may be by its next change
            for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
                if self.has(&path) {
                    files.push(path);
                } else if self.recursive && path.is_dir() {
                    folders.push(path);
                }
            }
        }
        files
    }

    fn has(&self, path: &Path) -> bool {
        path.extension().is_some_and(|e| e == self.extension)
            && if self.recursive { path.starts_with(&self.dir) } else { path.parent() == Some(&self.dir) }
    }
}

/// The files that count, and their content when it was last looked at.
#[derive(Debug, Default)]
pub struct Inputs {
    /// The content's hash; none if the file was not there.
    files: HashMap<PathBuf, Option<blake3::Hash>>,
    kinds: Vec<Kind>,
}

impl Inputs {
    /// Takes these files and kinds from now on. Reads the files that are new.
    ///
    /// Returns those of them that were written after `since`: a build that began then may have read something else.
    /// They count as changed.
    pub fn replace(
        &mut self,
        files: impl IntoIterator<Item = PathBuf>,
        kinds: Vec<Kind>,
        since: Time,
    ) -> Vec<PathBuf> {
        let mut known = std::mem::take(&mut self.files);
        let mut late = Vec::new();
        for path in files {
            // cargo writes it while it builds: what is there at the end is what was built
            let is_lock = path.ends_with("Cargo.lock");
            let content = match known.remove(&path) {
                Some(content) if !is_lock => content,
                None if !is_lock && modified(&path).is_some_and(|at| at > since) => {
                    late.push(path.clone());
                    None
                }
                _ => content(&path),
            };
            self.files.insert(path, content);
        }
        self.kinds = kinds;
        late
    }

    /// Whether a change of `path` matters.
    pub fn concern(&self, path: &Path) -> bool {
        self.files.contains_key(path) || self.kinds.iter().any(|kind| kind.has(path))
    }

    /// Which of `paths` have another content than when they were last looked at. Looks at them.
    pub fn changed(&mut self, paths: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        for path in paths {
            let now = content(path);
            // a file that is new to us counts as changed even when it is gone again
            if self.files.insert(path.clone(), now) != Some(now) {
                changed.push(path.clone());
            }
        }
        changed
    }

    /// Which files have another content than when they were last looked at. Leaves it at that.
    pub fn differing(&self) -> Vec<PathBuf> {
        self.files
            .iter()
            .filter(|(path, known)| content(path) != **known)
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// The files that count by name.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.keys()
    }

    fn folders(&self) -> BTreeMap<PathBuf, RecursiveMode> {
        let mut folders = BTreeMap::new();
        for dir in self.files.keys().filter_map(|file| file.parent()) {
            folders.insert(dir.to_owned(), RecursiveMode::NonRecursive);
        }
        for kind in &self.kinds {
            let mode = if kind.recursive { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
            folders.insert(kind.dir.clone(), mode);
        }
        folders
    }
}

fn content(path: &Path) -> Option<blake3::Hash> {
    fs::read(path).ok().map(|bytes| blake3::hash(&bytes))
}

fn modified(path: &Path) -> Option<Time> {
    let at = fs::metadata(path).ok()?.modified().ok()?;
    let since_epoch = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Time::from_unix_nanos(u64::try_from(since_epoch.as_nanos()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_files_and_kinds_concern_us() {
        let mut inputs = Inputs::default();
        let kinds = vec![
            Kind { dir: "/p/src".into(), extension: "rs", recursive: true },
            Kind { dir: "/modules".into(), extension: "wasm", recursive: false },
        ];
        inputs.replace([PathBuf::from("/p/page.html")], kinds, Time::EPOCH);
        for path in ["/p/page.html", "/p/src/new.rs", "/p/src/deep/new.rs", "/modules/a.wasm"] {
            assert!(inputs.concern(Path::new(path)), "{path}");
        }
        for path in ["/p/other.html", "/p/src/.main.rs.swp", "/p/target/x.rs", "/modules/deep/a.wasm"] {
            assert!(!inputs.concern(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn a_file_has_changed_when_its_content_has() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("a.rs");
        let set: BTreeSet<PathBuf> = [file.clone()].into();
        let mut inputs = Inputs::default();
        fs::write(&file, "one").expect("written");
        inputs.replace([file.clone()], Vec::new(), Time::from_unix_nanos(u64::MAX));

        fs::write(&file, "one").expect("written");
        assert!(inputs.changed(&set).is_empty(), "touched");
        fs::write(&file, "two").expect("written");
        assert_eq!(inputs.changed(&set), std::slice::from_ref(&file));
        assert!(inputs.changed(&set).is_empty(), "looked at already");
        fs::remove_file(&file).expect("removed");
        assert_eq!(inputs.changed(&set), std::slice::from_ref(&file));
    }

    #[test]
    fn a_new_input_written_after_the_build_began_is_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("a.rs");
        fs::write(&file, "one").expect("written");
        let written = modified(&file).expect("it has a date");
        let replace = |since| Inputs::default().replace([file.clone()], Vec::new(), since);
        assert_eq!(replace(Time::from_unix_nanos(written.unix_nanos() - 1)), std::slice::from_ref(&file));
        assert!(replace(written).is_empty());

        let mut inputs = Inputs::default();
        inputs.replace([file.clone()], Vec::new(), Time::EPOCH);
        assert_eq!(inputs.differing(), std::slice::from_ref(&file));
        assert_eq!(inputs.changed(&[file.clone()].into()), [file]);
        assert!(inputs.differing().is_empty());
    }

    #[tokio::test]
    async fn a_file_replaced_by_rename_is_heard_of() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = fs::canonicalize(dir.path()).expect("it exists");
        let file = dir.join("a.rs");
        fs::write(&file, "one").expect("written");
        let mut inputs = Inputs::default();
        inputs.replace([file.clone()], Vec::new(), Time::EPOCH);
        let (mut watch, mut paths) = Watch::new().expect("watching works");
        watch.follow(&inputs).expect("the folder can be watched");

        fs::write(dir.join("a.rs~"), "two").expect("written");
        fs::rename(dir.join("a.rs~"), &file).expect("renamed");
        while let Some(path) = paths.recv().await {
            if inputs.concern(&path) {
                assert_eq!(path, file);
                return;
            }
        }
        panic!("the watch has ended");
    }
}
