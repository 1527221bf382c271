//! Where the authority lies: two files in a folder of the user's, made once.
//!
//! A lock makes one of several that start at once the maker, and the others wait for it. Each file appears whole or not at
//! all; a crash between the two leaves what the next start mends.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use faas_core::clock::Time;

use super::authority::Authority;
use crate::{error::Error, paths};

/// The folder.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

/// How an authority was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was there.
    Found,
    /// There was none.
    Made,
    /// The one that was there had ended, or nearly: clients must be told to trust the new one.
    Renewed,
}

impl Store {
    /// The user's own.
    ///
    /// # Errors
    /// When the user has no home.
    pub fn of_user() -> Result<Self, Error> {
        let dir = paths::authority_dir().ok_or_else(|| {
            Error::bad_input(
                "there is no home folder to keep a certificate authority in\nSet FAAS_DATA_DIR to a folder of your own.",
            )
        })?;
        Ok(Store { dir })
    }

    /// One in this folder.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        Store { dir: dir.into() }
    }

    /// The certificate's file, which clients are told to trust.
    pub fn certificate_file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    fn key_file(&self) -> PathBuf {
        self.dir.join("ca.key.pem")
    }

    /// The authority that is there, or a new one. Blocks: there is a lock, and files.
    ///
    /// # Errors
    /// When the files cannot be read or written, or are not what was written.
    pub fn open(&self, now: Time) -> Result<(Authority, Origin), Error> {
        let failed = |why: io::Error| {
            Error::failed(format!(
                "the certificate authority cannot be kept in {}: {why}",
                self.dir.display()
            ))
        };
        make_dir(&self.dir).map_err(failed)?;
        let lock = File::create(self.dir.join("lock")).map_err(failed)?;
        // until the file is closed
        lock.lock().map_err(failed)?;
        let origin = match self.read(now).map_err(failed)? {
            None => Origin::Made,
            Some(Err(why)) => {
                return Err(Error::failed(format!(
                    "the certificate authority in {} is broken: {why}\nDelete that folder: another is made, which \
                     clients have to be told to trust (`faas trust`).",
                    self.dir.display()
                )));
            }
            Some(Ok(authority)) if authority.is_ending(now) => Origin::Renewed,
            Some(Ok(authority)) => return Ok((authority, Origin::Found)),
        };
        let authority = Authority::create(now)
            .map_err(|why| Error::failed(format!("a certificate authority cannot be made: {why}")))?;
        // the key first: a certificate says that both are there
        replace(&self.key_file(), &authority.key_pem(), 0o600).map_err(failed)?;
        replace(&self.certificate_file(), authority.certificate_pem(), 0o644).map_err(failed)?;
        Ok((authority, origin))
    }

    fn read(&self, now: Time) -> io::Result<Option<Result<Authority, super::authority::Refused>>> {
        let text = |file: &Path| match fs::read_to_string(file) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            text => text.map(Some),
        };
        let (Some(certificate), Some(key)) = (text(&self.certificate_file())?, text(&self.key_file())?)
        else {
            return Ok(None);
        };
        Ok(Some(Authority::load(&certificate, &key, now)))
    }
}

/// Puts a file in its place, whole.
fn replace(file: &Path, text: &str, mode: u32) -> io::Result<()> {
    let new = file.with_extension("new");
    // of who was interrupted; one that is there keeps its mode
    match fs::remove_file(&new) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut out = options.open(&new)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(&new, file)
}

/// The folder, for its owner alone.
fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Time = Time::from_unix_nanos(1_800_000_000_000_000_000);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn open(store: &Store, now: Time) -> (String, Origin) {
        let (authority, origin) = store.open(now).expect("an authority");
        (authority.fingerprint(), origin)
    }

    #[test]
    fn it_is_made_once_and_found_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::in_dir(dir.path().join("faas/ca"));
        let (first, origin) = open(&store, NOW);
        assert_eq!(origin, Origin::Made);
        assert_eq!(open(&store, NOW + 365 * DAY), (first, Origin::Found));
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::in_dir(dir.path().join("ca"));
        // what an interrupted start has left, for everybody to read
        fs::create_dir(dir.path().join("ca")).expect("a folder");
        fs::write(store.key_file().with_extension("new"), "half a k").expect("written");
        open(&store, NOW);
        let mode = |file: &Path| fs::metadata(file).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(&store.key_file()), 0o600);
    }

    #[test]
    fn those_that_start_at_once_have_the_same() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::in_dir(dir.path());
        let all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| open(&store, NOW))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(all.iter().filter(|(_, origin)| *origin == Origin::Made).count(), 1);
        assert!(all.iter().all(|(fingerprint, _)| *fingerprint == all[0].0));
    }

    #[test]
    fn one_that_ends_is_replaced_and_half_of_one_too() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::in_dir(dir.path());
        let (first, _) = open(&store, NOW);
        let late = NOW + 5 * 365 * DAY;
        let (second, origin) = open(&store, late);
        assert_eq!(origin, Origin::Renewed);
        assert_ne!(first, second);
        assert_eq!(open(&store, late), (second.clone(), Origin::Found));
        fs::remove_file(store.key_file()).expect("it was there");
        let (third, origin) = open(&store, late);
        assert_eq!(origin, Origin::Made);
        assert_ne!(second, third);
    }

    #[test]
    fn a_broken_one_is_told_and_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::in_dir(dir.path());
        open(&store, NOW);
        fs::write(store.certificate_file(), "no certificate").expect("written");
        let why = store.open(NOW).expect_err("broken").to_string();
        assert!(why.contains("is broken: the certificate cannot be read") && why.contains("Delete"), "{why}");
        assert_eq!(fs::read_to_string(store.certificate_file()).expect("there"), "no certificate");
    }
}
