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
        const PAGES: usize = 64;
        let before = count().expect("Linux counts");
        let mut fresh = vec![0_u8; PAGES * 4096];
        for page in 0..PAGES {
            fresh[page * 4096] = std::hint::black_box(1);
        }
        std::hint::black_box(&fresh);
        assert!(count().expect("Linux counts") > before);
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
