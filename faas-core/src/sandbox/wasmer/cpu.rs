//! CPU time of threads: what a poll of a guest cost, and what a running one has cost so far.
//!
//! Asking for a thread's CPU time is a system call, which costs more than many a poll. So a poll that is expected to be
//! over at once is timed by the wall clock instead, which the kernel keeps where it can be read: a poll that is not
//! interrupted uses the processor all the time it takes.

use std::time::{Duration, Instant};

/// Measures the CPU time that the calling thread uses from now on.
#[derive(Debug)]
pub(super) enum Stopwatch {
    /// Exactly.
    Exact(Duration),
    /// By wall time: too much, by what others ran meanwhile.
    Brief(Instant),
}

impl Stopwatch {
    /// Starts; `is_brief` when little time is expected to be measured.
    #[expect(
        clippy::disallowed_methods,
        reason = "what a poll costs is real time, whatever clock the guest sees"
    )]
    pub(super) fn start(is_brief: bool) -> Self {
        if is_brief { Stopwatch::Brief(Instant::now()) } else { Stopwatch::Exact(thread_time()) }
    }

    /// CPU time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        match self {
            Stopwatch::Exact(before) => thread_time().saturating_sub(*before),
            Stopwatch::Brief(before) => before.elapsed(),
        }
    }
}

/// Names a thread's CPU clock. It may be read from any thread, and reads as nothing once its thread is gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct ThreadCpu(libc::clockid_t);

impl ThreadCpu {
    /// The calling thread's clock.
    pub(super) fn current() -> Self {
        let mut id: libc::clockid_t = libc::CLOCK_THREAD_CPUTIME_ID;
        // SAFETY: pthread_self() is the live calling thread, and `id` is a valid place for the result. When the
        // call fails `id` keeps a clock that is valid on the calling thread.
        unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut id) };
        ThreadCpu(id)
    }

    /// CPU time that the thread has used; absent when the thread is gone.
    pub(super) fn elapsed(self) -> Option<Duration> {
        read(self.0)
    }
}

/// CPU time that the calling thread has used.
pub(super) fn thread_time() -> Duration {
    read(libc::CLOCK_THREAD_CPUTIME_ID).unwrap_or_default()
}

fn read(clock: libc::clockid_t) -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the result; an unknown clock is an error, not undefined.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    (result == 0).then(|| {
        Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_grows_with_work_and_can_be_read_from_elsewhere() {
        let before = thread_time();
        let id = ThreadCpu::current();
        let mut x = 1u64;
        while thread_time() < before + Duration::from_millis(2) {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        let seen = std::thread::spawn(move || id.elapsed()).join().expect("no panic");
        assert!(seen.expect("this thread is alive") >= before + Duration::from_millis(2));
    }
}
