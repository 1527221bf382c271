//! Which pages of a private mapping have been written: asked of the kernel by `PAGEMAP_SCAN`.
//!
//! A page that has been written since it was mapped is no longer the file's but anonymous, whether it is in memory or
//! swapped out. Kernels before 6.7 cannot be asked, and some containers forbid it: then the caller drops all pages.

use std::{fs::File, os::fd::AsRawFd as _, sync::OnceLock};

use super::checked;

// from linux/fs.h, stable since 6.7
const PAGEMAP_SCAN: libc::c_ulong = 0xc060_6610;
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;

/// A run of pages: addresses, the end excluded.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) start: u64,
    pub(super) end: u64,
    categories: u64,
}

#[repr(C)]
struct ScanArguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// Runs that are asked for at once. A guest that writes in more places is as well dropped as copied back.
const MAX_RUNS: usize = 64;

/// Of this process; absent where it must not be read.
pub(super) fn pagemap() -> Option<&'static File> {
    static PAGEMAP: OnceLock<File> = OnceLock::new();
    if let Some(file) = PAGEMAP.get() {
        return Some(file);
    }
    // who had no descriptor left may have one the next time
    let file = File::open("/proc/self/pagemap").ok()?;
    Some(PAGEMAP.get_or_init(|| file))
}

/// The runs of pages in `start..end` that have been written since they were mapped from a file. Absent when that
/// cannot be told, or in more than a few places.
pub(super) fn runs(start: usize, end: usize) -> Option<Runs> {
    let mut runs = Runs { runs: [Run::default(); MAX_RUNS], len: 0 };
    let mut arguments = ScanArguments {
        size: size_of::<ScanArguments>() as u64,
        flags: 0,
        start: start as u64,
        end: end as u64,
        walk_end: 0,
        vec: runs.runs.as_mut_ptr().expose_provenance() as u64,
        vec_len: MAX_RUNS as u64,
        max_pages: 0,
        category_inverted: PAGE_IS_FILE,
        category_mask: PAGE_IS_FILE,
        category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        return_mask: PAGE_IS_PRESENT,
    };
    // SAFETY: the structure is laid out as the kernel documents it and says its own size; the kernel writes at most
    // `vec_len` runs to `vec`, which points at as many. A kernel that does not know the request changes nothing.
    let len =
        checked(unsafe { libc::ioctl(pagemap()?.as_raw_fd(), PAGEMAP_SCAN, &raw mut arguments) }).ok()?;
    runs.len = usize::try_from(len).ok()?;
    // it stops early when there is no room for more
    (arguments.walk_end == arguments.end).then_some(runs)
}

/// A few runs of pages.
#[derive(Debug)]
pub(super) struct Runs {
    runs: [Run; MAX_RUNS],
    len: usize,
}

impl Runs {
    pub(super) fn iter(&self) -> impl Iterator<Item = Run> {
        self.runs[..self.len].iter().copied()
    }

    pub(super) fn bytes(&self) -> usize {
        self.iter().map(|run| (run.end - run.start) as usize).sum()
    }
}
