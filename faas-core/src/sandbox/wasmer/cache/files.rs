//! Files that nobody else may read or change: how they are written, and how one that lies there is looked at.
//!
//! Used by the cache, for its key and its modules. Knows neither.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

/// What a file is called while it is written aside: a dot, 16 hexadecimal digits, and this.
pub(super) const ASIDE_EXTENSION: &str = "tmp";

/// Opens an ordinary file to read it: no link, and nothing that one waits for, such as a pipe.
pub(super) fn open_regular(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not an ordinary file"));
    }
    Ok(file)
}

/// Writes a file that nobody else may read, aside, and moves it into place.
pub(super) fn write_new(dir: &Path, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
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

/// Who may do what with a file or a folder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Access {
    pub(super) is_ours: bool,
    /// The permission bits; 0 where there are none.
    pub(super) mode: u32,
}

impl Access {
    /// What others had to do with it, if it is not ours or has any of these permissions.
    pub(super) fn why_not_trusted(self, forbidden: u32) -> Option<&'static str> {
        if !self.is_ours {
            return Some("another user owns");
        }
        (self.mode & forbidden != 0).then_some("other users had access to")
    }
}

/// Of what was looked at; better of a file that is open, because a name may lead elsewhere at any time.
#[cfg(unix)]
pub(super) fn access(meta: &fs::Metadata) -> Access {
    use std::os::unix::fs::MetadataExt as _;
    // SAFETY: takes nothing, and cannot fail.
    let us = unsafe { libc::geteuid() };
    Access { is_ours: meta.uid() == us, mode: meta.mode() & 0o777 }
}

/// Sets permissions, where there are some.
#[cfg(unix)]
pub(super) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
pub(super) fn access(_: &fs::Metadata) -> Access {
    Access { is_ours: true, mode: 0o700 }
}

#[cfg(not(unix))]
pub(super) fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}
