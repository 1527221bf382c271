//! CPU time of threads: what a poll of a guest cost, and what a running one has cost so far.
//!
//! Asking for a thread's CPU time is a system call, which costs more than many a poll. So polls are timed by the wall
//! clock, which the kernel keeps where it can be read, as long as little time has passed. When a poll takes longer, because
//! the guest computes or because others ran meanwhile, the thread's CPU clock has the last word. So no guest is billed for
//! less than it used, nor for more than [`SLACK`] of what others used.

use std::{
    cell::Cell,
    sync::OnceLock,
    time::{Duration, Instant},
};

use super::Pace;

/// How much too much a poll may be found to have used.
pub(super) const SLACK: Duration = Duration::from_micros(100);

/// Measures the CPU time that the calling thread uses from now on; in virtual time, in which computing takes none, nothing.
#[derive(Debug)]
pub(super) struct Stopwatch(Option<Began>);

#[derive(Debug)]
struct Began {
    at: Instant,
    /// CPU time of the thread at some moment in the [`SLACK`] before.
    cpu_before: Duration,
}

/// A reading of the calling thread's CPU clock.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    cpu: Duration,
}

thread_local! {
    static LAST: Cell<Option<Reading>> = const { Cell::new(None) };
}

impl Stopwatch {
    /// Starts.
    #[expect(
        clippy::disallowed_methods,
        reason = "what a poll costs is real time, whatever clock the guest sees"
    )]
    pub(super) fn start(pace: Pace) -> Self {
        if pace == Pace::Virtual {
            return Stopwatch(None);
        }
        let began = Instant::now();
        let last = match LAST.get() {
            Some(last) if began.duration_since(last.at) < SLACK => last,
            _ => {
                let now = Reading { at: began, cpu: thread_time() };
                LAST.set(Some(now));
                now
            }
        };
        Stopwatch(Some(Began { at: began, cpu_before: last.cpu }))
    }

    /// CPU time since the start. To be asked on the same thread.
    pub(super) fn elapsed(&self) -> Duration {
        let Some(Began { at, cpu_before }) = &self.0 else { return Duration::ZERO };
        let wall = at.elapsed();
        if wall < SLACK { wall } else { wall.min(thread_time().saturating_sub(*cpu_before)) }
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

/// The CPU time of a poll on another thread, for who does not wait until it has ended.
#[derive(Debug, Default)]
pub(super) struct Timed(OnceLock<(ThreadCpu, Duration)>);

impl Timed {
    /// Called by the thread that polls.
    pub(super) fn begin(&self) {
        // once, by who has just made it
        let _ = self.0.set((ThreadCpu::current(), thread_time()));
    }

    /// What that thread has used since. Nothing if it has not begun.
    pub(super) fn elapsed(&self) -> Duration {
        let used = |(thread, before): &(ThreadCpu, Duration)| Some(thread.elapsed()?.saturating_sub(*before));
        self.0.get().and_then(used).unwrap_or_default()
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
pub(super) mod tests {
    use super::*;

    /// Computes, for so much of the calling thread's CPU time.
    pub(in super::super) fn work_for(cpu: Duration) {
        let (before, mut x) = (thread_time(), 1u64);
        while thread_time() < before + cpu {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
    }

    #[test]
    fn what_takes_long_is_its_cpu_time_and_not_the_time_of_others() {
        const WORK: Duration = Duration::from_millis(3);
        for _ in 0..20 {
            let before = thread_time();
            let stopwatch = Stopwatch::start(Pace::Real);
            work_for(WORK);
            // this thread waits, while another works
            std::thread::spawn(|| work_for(3 * WORK)).join().expect("no panic");
            let elapsed = stopwatch.elapsed();
            let used = thread_time() - before;
            assert!(elapsed >= WORK, "{elapsed:?}");
            assert!(elapsed <= used + SLACK, "{elapsed:?} of {used:?}");
        }
    }

    #[test]
    fn a_poll_on_another_thread_is_timed_from_its_beginning() {
        let timed = std::sync::Arc::new(Timed::default());
        assert_eq!(timed.elapsed(), Duration::ZERO, "it has not begun");
        let (worked, has_worked) = std::sync::mpsc::channel();
        let (seen, was_seen) = std::sync::mpsc::channel::<()>();
        let timing = timed.clone();
        let thread = std::thread::spawn(move || {
            work_for(Duration::from_millis(2));
            let before = thread_time();
            timing.begin();
            work_for(Duration::from_millis(2));
            worked.send((ThreadCpu::current(), before)).expect("somebody listens");
            // until it has been asked
            let _ = was_seen.recv();
        });
        let (clock, before) = has_worked.recv().expect("it has worked");
        let elapsed = timed.elapsed();
        let all = clock.elapsed().expect("it is alive");
        assert!(elapsed >= Duration::from_millis(2), "{elapsed:?}");
        assert!(elapsed <= all - before, "{elapsed:?} of {all:?}: what was before does not count");
        drop(seen);
        thread.join().expect("no panic");
    }

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
