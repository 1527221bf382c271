//! Compiled modules on disk, so that a restart compiles nothing.
//!
//! A cached module is native code, and loading it runs it in effect. So no file is trusted for being there: each
//! carries a MAC under a key that only this user can read (`key`, mode 0600, in the same folder), over the file's
//! content and the name it was stored under. A torn, foreign, renamed or altered file fails the check and is
//! compiled anew. Who can read the key can already run code as this user.
//!
//! The name is a hash of the module and of all that its compiled form depends on. Files are written aside and
//! renamed, so readers never see half of one. The folder is kept to [`MAX_FILES`] and [`MAX_BYTES`] by dropping the oldest, and what
//! somebody wrote aside and was killed over goes with them.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

const MAX_FILES: usize = 64;
/// The newest is kept, however large.
const MAX_BYTES: u64 = 512 << 20;
/// Nobody writes a file for so long.
const ABANDONED: Duration = Duration::from_secs(3600);
const MAC_BYTES: usize = blake3::OUT_LEN;
const KEY_FILE: &str = "key";
const EXTENSION: &str = "module";
const ASIDE_EXTENSION: &str = "tmp";

/// A folder of compiled modules.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    key: [u8; blake3::KEY_LEN],
}

/// What a compiled module is stored under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    /// Names `wasm` as compiled by what `fingerprint` identifies.
    pub(super) fn of(wasm: &[u8], fingerprint: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("faas compiled module name v1");
        hasher.update(&(fingerprint.len() as u64).to_le_bytes());
        hasher.update(fingerprint.as_bytes());
        hasher.update(wasm);
        Name(hasher.finalize().to_hex().to_string())
    }
}

impl Cache {
    /// Opens the folder, made if it is missing, with its key.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        private(dir, 0o700)?;
        Ok(Cache { dir: dir.to_owned(), key: key(dir)? })
    }

    /// The compiled module of that name, if it is there and authentic.
    pub(super) fn get(&self, name: &Name) -> Option<Vec<u8>> {
        let mut bytes = fs::read(self.path(name)).ok()?;
        let (mac, code) = bytes.split_first_chunk::<MAC_BYTES>()?;
        // `Hash` compares in constant time
        if self.mac(name, code) != blake3::Hash::from_bytes(*mac) {
            return None;
        }
        bytes.drain(..MAC_BYTES);
        Some(bytes)
    }

    /// Stores a compiled module. Failure costs a compilation later, so it is the caller's to report or ignore.
    pub(super) fn put(&self, name: &Name, code: &[u8]) -> io::Result<()> {
        write_new(&self.dir, &self.path(name), &[self.mac(name, code).as_bytes(), code])?;
        self.prune()
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.dir.join(&name.0).with_extension(EXTENSION)
    }

    fn mac(&self, name: &Name, code: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        // names are of one length, so that no two pairs of name and code are the same bytes
        hasher.update(name.0.as_bytes());
        hasher.update(code);
        hasher.finalize()
    }

    fn prune(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if let Ok(meta) = fs::metadata(&path)
                && let Ok(modified) = meta.modified()
            {
                files.push(Kept { modified, bytes: meta.len(), path });
            }
        }
        for path in superfluous(files, MAX_FILES, MAX_BYTES) {
            // another process may have pruned it
            let _ = fs::remove_file(path);
        }
        Ok(())
    }
}

struct Kept {
    modified: SystemTime,
    bytes: u64,
    path: PathBuf,
}

/// Which of these to drop: modules beyond the limits, the oldest, and what was left aside. What is neither is nobody's.
fn superfluous(mut files: Vec<Kept>, max_files: usize, max_bytes: u64) -> Vec<PathBuf> {
    files.sort_by(|a, b| (b.modified, &b.path).cmp(&(a.modified, &a.path)));
    // the files' own clock: the newest has just been written
    let now = files.first().map(|newest| newest.modified);
    let (mut kept, mut bytes) = (0, 0_u64);
    files.retain(|file| match file.path.extension().and_then(|extension| extension.to_str()) {
        Some(EXTENSION) => {
            bytes = bytes.saturating_add(file.bytes);
            let is_kept = kept == 0 || (kept < max_files && bytes <= max_bytes);
            kept += usize::from(is_kept);
            !is_kept
        }
        Some(ASIDE_EXTENSION) => {
            now.and_then(|now| now.duration_since(file.modified).ok()).is_some_and(|age| age > ABANDONED)
        }
        _ => false,
    });
    files.into_iter().map(|file| file.path).collect()
}

fn key(dir: &Path) -> io::Result<[u8; blake3::KEY_LEN]> {
    let path = dir.join(KEY_FILE);
    let read = || fs::read(&path).ok().and_then(|bytes| <[u8; blake3::KEY_LEN]>::try_from(bytes).ok());
    if let Some(key) = read() {
        private(&path, 0o600)?;
        return Ok(key);
    }
    let mut key = [0; blake3::KEY_LEN];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    write_new(dir, &path, &[&key])?;
    // of two processes that make a key at once, both take the one that stayed
    Ok(read().unwrap_or(key))
}

/// Writes a file that nobody else may read, aside, and moves it into place.
fn write_new(dir: &Path, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(io::Error::other)?;
    let aside = dir.join(format!(".{:016x}.{ASIDE_EXTENSION}", u64::from_le_bytes(suffix)));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&aside).and_then(|mut file| {
        parts.iter().try_for_each(|part| file.write_all(part))?;
        fs::rename(&aside, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written
}

#[cfg(unix)]
fn private(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
fn private(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let cache = Cache::open(dir.path()).expect("opens");
        (dir, cache)
    }

    #[test]
    fn what_is_stored_is_found_by_the_next_process() {
        let (dir, cache) = cache();
        let name = Name::of(b"wasm", "engine");
        cache.put(&name, b"code").expect("stored");
        assert_eq!(cache.get(&name).as_deref(), Some(&b"code"[..]));
        assert_eq!(Cache::open(dir.path()).expect("opens").get(&name).as_deref(), Some(&b"code"[..]));
        assert_eq!(cache.get(&Name::of(b"wasm", "newer engine")), None);
    }

    #[test]
    fn torn_altered_renamed_and_foreign_files_are_not_used() {
        let (_dir, cache) = cache();
        let (name, other) = (Name::of(b"a", "e"), Name::of(b"b", "e"));
        cache.put(&name, b"code").expect("stored");
        let good = fs::read(cache.path(&name)).expect("readable");

        for torn in 0..good.len() {
            fs::write(cache.path(&name), &good[..torn]).expect("writable");
            assert_eq!(cache.get(&name), None, "torn at {torn}");
        }
        for i in 0..good.len() {
            let mut altered = good.clone();
            altered[i] ^= 1;
            fs::write(cache.path(&name), altered).expect("writable");
            assert_eq!(cache.get(&name), None, "altered at {i}");
        }
        fs::write(cache.path(&other), &good).expect("writable");
        assert_eq!(cache.get(&other), None, "renamed");

        let (_elsewhere, foreign) = super::tests::cache();
        foreign.put(&name, b"code").expect("stored");
        fs::copy(foreign.path(&name), cache.path(&name)).expect("copied");
        assert_eq!(cache.get(&name), None, "made under another key");
    }

    #[test]
    fn the_folder_is_bounded_and_keeps_the_newest() {
        let (dir, cache) = cache();
        for i in 0..MAX_FILES + 5 {
            cache.put(&Name::of(&i.to_le_bytes(), "e"), b"code").expect("stored");
        }
        let files = fs::read_dir(dir.path()).expect("readable").count();
        assert_eq!(files, MAX_FILES + 1, "the modules and the key");
    }

    #[test]
    fn what_is_too_much_or_left_behind_is_dropped() {
        let dropped = |files: &[(&str, u64, u64)]| {
            let file = |(name, hours, bytes): &(&str, u64, u64)| Kept {
                modified: SystemTime::UNIX_EPOCH + Duration::from_secs(hours * 3600),
                bytes: *bytes,
                path: name.into(),
            };
            let mut dropped = superfluous(files.iter().map(file).collect(), 3, 100);
            dropped.sort();
            dropped.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(dropped(&[("a.module", 1, 30), ("b.module", 2, 30), ("c.module", 3, 30)]), "");
        assert_eq!(
            dropped(&[("a.module", 1, 5), ("b.module", 2, 5), ("c.module", 3, 5), ("d.module", 4, 5)]),
            "a.module"
        );
        assert_eq!(
            dropped(&[("a.module", 1, 1), ("b.module", 2, 60), ("c.module", 3, 60)]),
            "a.module b.module"
        );
        assert_eq!(dropped(&[("a.module", 1, 1), ("b.module", 2, 500)]), "a.module");
        assert_eq!(
            dropped(&[(".1.tmp", 1, 9), (".2.tmp", 4, 9), ("a.module", 5, 1), ("key", 0, 32)]),
            ".1.tmp"
        );
    }

    #[test]
    #[cfg(unix)]
    fn nobody_else_can_read_the_key() {
        use std::os::unix::fs::PermissionsExt as _;
        let (dir, _cache) = cache();
        let mode = |path: &Path| fs::metadata(path).expect("exists").permissions().mode() & 0o777;
        assert_eq!(mode(&dir.path().join(KEY_FILE)), 0o600);
        assert_eq!(mode(dir.path()), 0o700);
    }
}
