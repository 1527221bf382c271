//! Which pages of a memory are there at all: who has never touched a page has zeros there, and none is taken for it.
//!
//! Asked of `/proc/self/pagemap`, which every Linux has, by eight bytes a page, so that gigabytes that a guest has and does
//! not use cost nothing to look through. Where it cannot be read, all pages are looked at.

use std::{io, ops::Range, os::unix::fs::FileExt as _};

use super::written::pagemap;

const ENTRY_BYTES: usize = 8;
/// Entries that are read at once: of 32 MiB of memory.
const ENTRIES: usize = 8192;
// from Documentation/admin-guide/mm/pagemap.rst of the kernel
const IS_PRESENT: u64 = 1 << 63;
const IS_SWAPPED: u64 = 1 << 62;

/// The runs of bytes in `memory` that may be other than zeros. To be asked of anonymous memory alone: what is mapped from a
/// file has content where nobody has looked yet.
pub(super) fn runs(memory: &[u8]) -> Vec<Range<usize>> {
    // SAFETY: asks for a number.
    let page_bytes = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(0);
    let told = ask(memory, page_bytes);
    told.unwrap_or_else(|_| std::iter::once(0..memory.len()).filter(|all| !all.is_empty()).collect())
}

fn ask(memory: &[u8], page_bytes: usize) -> io::Result<Vec<Range<usize>>> {
    let base = memory.as_ptr().addr();
    if page_bytes == 0 || !base.is_multiple_of(page_bytes) || !memory.len().is_multiple_of(page_bytes) {
        return Err(io::Error::other("not in whole pages"));
    }
    let pagemap = pagemap().ok_or_else(|| io::Error::other("no pagemap"))?;
    let (first, pages) = (base / page_bytes, memory.len() / page_bytes);
    let mut buffer = vec![0; ENTRY_BYTES * pages.min(ENTRIES)];
    let mut runs: Vec<Range<usize>> = Vec::new();
    for begin in (0..pages).step_by(ENTRIES) {
        let entries = &mut buffer[..ENTRY_BYTES * (pages - begin).min(ENTRIES)];
        pagemap.read_exact_at(entries, (ENTRY_BYTES * (first + begin)) as u64)?;
        let (entries, _) = entries.as_chunks::<ENTRY_BYTES>();
        for (i, entry) in entries.iter().enumerate() {
            if u64::from_ne_bytes(*entry) & (IS_PRESENT | IS_SWAPPED) == 0 {
                continue;
            }
            let at = (begin + i) * page_bytes;
            match runs.last_mut() {
                Some(run) if run.end == at => run.end += page_bytes,
                _ => runs.push(at..at + page_bytes),
            }
        }
    }
    Ok(runs)
}
