//! Compiled modules on disk, so that a restart compiles nothing.
//!
//! A cached module is native code, and loading it runs it in effect. So no file is trusted for being there: each
//! carries a MAC under a key that only this user can read (`key`, mode 0600, in the same folder), over the file's
//! content and the name it was stored under. A torn, foreign, renamed or altered file fails the check and is
//! compiled anew. Who can read the key can already run code as this user: so a key that others made, could read or
//! could have put there is replaced, and nothing that was stored under it counts any more.
//!
//! The name is a hash of the module and of all that its compiled form depends on. Files are written aside and
//! renamed, so readers never see half of one. The folder is kept to [`MAX_FILES`] and [`MAX_BYTES`] by dropping the oldest, and what
//! somebody wrote aside and was killed over goes with them.

mod files;

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use files::{ASIDE_EXTENSION, access, open_regular, set_mode, write_new};

const MAX_FILES: usize = 64;
/// The newest is kept, however large.
const MAX_BYTES: u64 = 512 << 20;
/// Nobody writes a file for so long.
const ABANDONED: Duration = Duration::from_secs(3600);
const MAC_BYTES: usize = blake3::OUT_LEN;
const KEY_FILE: &str = "key";
const EXTENSION: &str = "module";

/// A folder of compiled modules.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    key: Key,
    remark: Option<String>,
}

type Key = [u8; blake3::KEY_LEN];

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
        let seen = access(&fs::metadata(dir)?);
        if seen.is_ours && seen.mode != 0o700 {
            // where it cannot be changed, key and modules vouch for themselves all the same
            let _ = set_mode(dir, 0o700);
        }
        let found = match seen.why_not_trusted(0o022) {
            Some(why) if is_there(&dir.join(KEY_FILE)) => Err(format!("{why} its folder")),
            _ => read_key(&dir.join(KEY_FILE)),
        };
        let (key, remark) = match found {
            Ok(Some(key)) => (key, None),
            Ok(None) => (new_key(dir)?, None),
            Err(why) => {
                let why = format!("the cache of compiled modules, {}, begins anew: {why}", dir.display());
                (new_key(dir)?, Some(why))
            }
        };
        Ok(Cache { dir: dir.to_owned(), key, remark })
    }

    /// What the person who started this should know: that what was there is not used, and why.
    pub(super) fn remark(&self) -> Option<&str> {
        self.remark.as_deref()
    }

    /// The compiled module of that name, if it is there and authentic.
    pub(super) fn get(&self, name: &Name) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        open_regular(&self.path(name)).ok()?.read_to_end(&mut bytes).ok()?;
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
            if is_named_as_ours(&path)
                && let Ok(meta) = fs::symlink_metadata(&path)
                && meta.is_file()
                && access(&meta).is_ours
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

/// Whether a file may be one that was stored or written aside here: all else in the folder is somebody's who put it there.
fn is_named_as_ours(path: &Path) -> bool {
    let is_hex = |text: &str, len| {
        text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
    };
    let name = path.file_name().and_then(|name| name.to_str());
    match name.and_then(|name| name.rsplit_once('.')) {
        Some((stem, EXTENSION)) => is_hex(stem, 2 * blake3::OUT_LEN),
        Some((stem, ASIDE_EXTENSION)) => stem.strip_prefix('.').is_some_and(|stem| is_hex(stem, 16)),
        _ => false,
    }
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// The key that lies there, if one does.
///
/// # Errors
/// Why it is not to be used: who else may know it.
fn read_key(path: &Path) -> Result<Option<Key>, String> {
    let mut file = match open_regular(path) {
        Ok(file) => file,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(format!("its key cannot be read: {why}")),
    };
    // of the file that is open: what the name leads to may change at any time
    let meta = file.metadata().map_err(|why| format!("its key cannot be read: {why}"))?;
    if let Some(why) = access(&meta).why_not_trusted(0o077) {
        return Err(format!("{why} its key"));
    }
    let mut key = Key::default();
    match file.read_exact(&mut key) {
        Ok(()) if meta.len() == key.len() as u64 => Ok(Some(key)),
        _ => Err("its key is damaged".to_owned()),
    }
}

fn new_key(dir: &Path) -> io::Result<Key> {
    let path = dir.join(KEY_FILE);
    let mut key = Key::default();
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    write_new(dir, &path, &[&key])?;
    // of two processes that make a key at once, both take the one that stayed
    Ok(read_key(&path).ok().flatten().unwrap_or(key))
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
    fn what_others_put_into_the_folder_stays() {
        let (dir, cache) = cache();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let put = |name: &str| {
            let file = fs::File::create(dir.path().join(name)).expect("writable");
            file.set_modified(long_ago).expect("ours");
        };
        let abandoned = ".0123456789abcdef.tmp";
        let others = ["important.tmp", "mine.module", ".0123456789abcdeg.tmp", "key.tmp"];
        others.into_iter().chain([abandoned]).for_each(put);
        for i in 0..=MAX_FILES {
            cache.put(&Name::of(&i.to_le_bytes(), "e"), b"code").expect("stored");
        }
        assert!(others.iter().all(|name| dir.path().join(name).exists()));
        assert!(!dir.path().join(abandoned).exists());
    }

    #[test]
    #[cfg(unix)]
    fn what_is_no_file_is_not_waited_for() {
        let (dir, cache) = cache();
        let name = Name::of(b"a", "e");
        let made = std::process::Command::new("mkfifo").arg(cache.path(&name)).status().expect("runs");
        assert!(made.success());
        assert_eq!(cache.get(&name), None);
        cache.put(&name, b"code").expect("takes its place");
        assert_eq!(cache.get(&name).as_deref(), Some(&b"code"[..]));
        let real = dir.path().join("elsewhere");
        fs::rename(cache.path(&name), &real).expect("moved");
        std::os::unix::fs::symlink(&real, cache.path(&name)).expect("a link");
        assert_eq!(cache.get(&name), None, "a link");
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

    #[test]
    #[cfg(unix)]
    fn a_key_that_others_may_know_is_replaced_with_all_that_it_vouched_for() {
        use std::os::unix::fs::{PermissionsExt, chown, symlink};
        type Spoil = fn(dir: &Path, key: &Path);
        fn mode(path: &Path, mode: u32) {
            fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("it is ours");
        }
        fn elsewhere(key: &Path) {
            fs::rename(key, key.with_extension("real")).expect("moved");
        }
        let mut cases: Vec<(&str, Spoil)> = vec![
            ("other users had access to its key", |_, key| mode(key, 0o640)),
            ("other users had access to its key", |_, key| mode(key, 0o606)),
            ("other users had access to its folder", |dir, _| mode(dir, 0o770)),
            ("its key is damaged", |_, key| fs::write(key, [0; 33]).expect("writable")),
            ("its key cannot be read", |_, key| {
                elsewhere(key);
                symlink(key.with_extension("real"), key).expect("a link");
            }),
            ("its key cannot be read: it is not an ordinary file", |_, key| {
                elsewhere(key);
                let made = std::process::Command::new("mkfifo").arg(key).status().expect("runs");
                assert!(made.success());
            }),
        ];
        let (probe, _) = cache();
        if chown(probe.path(), Some(1000), None).is_ok() {
            // only root gives files away
            cases.push(("another user owns its key", |_, key| chown(key, Some(1000), None).expect("root")));
            cases
                .push(("another user owns its folder", |dir, _| chown(dir, Some(1000), None).expect("root")));
        }
        for (why, spoil) in cases {
            let (dir, cache) = cache();
            let name = Name::of(b"wasm", "engine");
            cache.put(&name, b"code").expect("stored");
            spoil(dir.path(), &dir.path().join(KEY_FILE));

            let next = Cache::open(dir.path()).expect("opens");
            assert_eq!(next.get(&name), None, "{why}");
            let remark = next.remark().expect("it is told");
            assert!(remark.contains(why), "{why}: {remark}");
            next.put(&name, b"code").expect("stored");
            assert_eq!(next.get(&name).as_deref(), Some(&b"code"[..]), "{why}");
            let meta = fs::symlink_metadata(dir.path().join(KEY_FILE)).expect("a key");
            assert!(meta.is_file() && meta.permissions().mode() & 0o777 == 0o600, "{why}");
            if !why.contains("owns its folder") {
                assert_eq!(Cache::open(dir.path()).expect("opens").remark(), None, "{why}: told once");
            }
        }
    }
}
