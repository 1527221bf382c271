//! Whether a guest can have written anywhere new: only by a page fault, and threads count theirs.
//!
//! A page of a private mapping becomes the process's own at the first write, by a fault of the thread that writes. So
//! if one thread alone has run a guest since its pages were last asked for, and has had no fault of any kind, then the
//! guest has written to those pages again and to no others, and the kernel need not be asked. Faults of the thread for
//! other reasons only make that so less often. Faults that need no disk and those that do are both counted, also in a
//! system call on the thread's behalf (`mm_account_fault` in the kernel's mm/memory.c).

use std::sync::atomic::{AtomicU64, Ordering};

/// Page faults of the calling thread so far; absent when they are not counted.
pub(super) fn count() -> Option<u64> {
    // SAFETY: all zeros is a valid value of this plain structure, and a valid place for the result.
    let (result, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage), usage)
    };
    let sum = usage.ru_minflt.checked_add(usage.ru_majflt)?;
    (result == 0).then_some(sum.cast_unsigned())
}

/// Which threads have been in a guest.
#[derive(Debug, Default)]
pub(super) struct Visitors(AtomicU64);

/// A thread's number: from 1, and never used again.
type Thread = u64;
const NOBODY: Thread = 0;
const SEVERAL: Thread = u64::MAX;

impl Visitors {
    /// Nobody yet.
    pub(super) fn clear(&self) {
        self.0.store(NOBODY, Ordering::Relaxed);
    }

    /// The calling thread enters. (Only one can at a time, so nothing is lost between load and store.)
    pub(super) fn enter(&self) {
        let (seen, this) = (self.0.load(Ordering::Relaxed), this_thread());
        if seen != this {
            self.0.store(if seen == NOBODY { this } else { SEVERAL }, Ordering::Relaxed);
        }
    }

    /// Whether nobody but `thread` has entered.
    pub(super) fn is_only(&self, thread: Thread) -> bool {
        let seen = self.0.load(Ordering::Relaxed);
        seen == thread || seen == NOBODY
    }
}

/// The calling thread's number.
pub(super) fn this_thread() -> Thread {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static THIS: Thread = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    THIS.with(|this| *this)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_to_a_new_page_is_counted() {
        const PAGE_BYTES: usize = 4096;
        const PAGES: usize = 64;
        // a mapping of its own: what an allocator gives may have been written before
        let (rights, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping: no other is replaced.
        let fresh = unsafe { libc::mmap(std::ptr::null_mut(), PAGES * PAGE_BYTES, rights, flags, -1, 0) };
        assert_ne!(fresh, libc::MAP_FAILED);
        // SAFETY: made above; advice changes no content. (A huge page would come by one fault.)
        unsafe { libc::madvise(fresh, PAGES * PAGE_BYTES, libc::MADV_NOHUGEPAGE) };
        for page in 0..PAGES {
            let before = count().expect("Linux counts");
            // SAFETY: within the mapping, which is this test's alone.
            unsafe { fresh.cast::<u8>().add(page * PAGE_BYTES).write_volatile(1) };
            assert!(count().expect("Linux counts") > before, "page {page} was not there");
        }
        // SAFETY: made above, and nobody uses it any more.
        assert_eq!(unsafe { libc::munmap(fresh, PAGES * PAGE_BYTES) }, 0);
    }

    #[test]
    fn visitors_are_nobody_one_or_several() {
        let visitors = Visitors::default();
        assert!(visitors.is_only(this_thread()));
        visitors.enter();
        visitors.enter();
        assert!(visitors.is_only(this_thread()));
        std::thread::scope(|scope| _ = scope.spawn(|| visitors.enter()));
        assert!(!visitors.is_only(this_thread()), "another has been there");
        visitors.clear();
        assert!(visitors.is_only(this_thread()));
    }
}
