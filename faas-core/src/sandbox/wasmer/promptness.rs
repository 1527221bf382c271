//! How soon the kernel lets a thread run that has just woken, when guests take all cores.
//!
//! A thread that wakes waits for the slice of whoever runs, some milliseconds, and for those of others before it. From
//! version 6.12 on Linux lets a thread ask for slices of its own length, without privileges: it gets no larger share, but
//! one with shorter slices goes before one with longer ones when it wakes. So whoever answers clients and stops guests
//! asks for short ones, and the threads that are kept for guests who compute do not. Elsewhere, and before, nothing
//! changes.

#[cfg(target_os = "linux")]
use std::{cell::Cell, time::Duration};

/// For those who answer. Shorter than the kernel's own on any machine (0.7 ms on one core, more on several), and no shorter
/// than that takes: with 100 µs, the shortest that it grants, they take turns with their clients so often that a third
/// of the throughput is gone.
#[cfg(target_os = "linux")]
const ANSWERING: Duration = Duration::from_micros(500);
/// For the watchdog, which wakes for a moment only.
#[cfg(target_os = "linux")]
const WATCHING: Duration = Duration::from_micros(100);

#[cfg(target_os = "linux")]
thread_local! {
    static IS_PROMPT: Cell<bool> = const { Cell::new(false) };
}

/// Asks that the calling thread may run soon after it wakes, for whoever makes the threads that a
/// [`Runtime`](super::Runtime) is used from: pass it to `on_thread_start` of tokio's builder. Threads on which guests
/// compute for long ask for the contrary by themselves.
///
/// ```
/// let runtime = tokio::runtime::Builder::new_multi_thread()
///     .on_thread_start(faas_core::sandbox::wasmer::run_promptly)
///     .build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn run_promptly() {
    #[cfg(target_os = "linux")]
    if !IS_PROMPT.get() {
        // where it is refused everything runs as it did before
        IS_PROMPT.set(ask_for_slices_of(ANSWERING));
    }
}

/// The same for the calling thread if it is the watchdog's.
pub(super) fn watch_promptly() {
    #[cfg(target_os = "linux")]
    IS_PROMPT.set(ask_for_slices_of(WATCHING));
}

/// Takes that back: the calling thread is about to run a guest for as long as it wants.
pub(super) fn run_as_usual() {
    #[cfg(target_os = "linux")]
    if IS_PROMPT.replace(false) {
        // none of its own: the kernel's
        ask_for_slices_of(Duration::ZERO);
    }
}

#[cfg(target_os = "linux")]
fn ask_for_slices_of(slice: Duration) -> bool {
    let Some(mut attr) = attributes() else { return false };
    attr.sched_runtime = u64::try_from(slice.as_nanos()).unwrap_or(0);
    // SAFETY: `attr` is a valid structure of the size that it states; 0 is the calling thread, and there are no flags.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
    result == 0
}

/// How the calling thread is scheduled; absent where the kernel does not tell, or a real-time policy knows no slices.
#[cfg(target_os = "linux")]
fn attributes() -> Option<libc::sched_attr> {
    // the fields that every kernel with this call knows
    let mut attr = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: `attr` has room for the size that is passed; 0 is the calling thread, and there are no flags.
    let result = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attr, attr.size, 0) };
    (result == 0 && attr.sched_policy == libc::SCHED_OTHER as u32).then_some(attr)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn slice() -> Duration {
        Duration::from_nanos(
            attributes().expect("the kernel tells, and tests run under its usual policy").sched_runtime,
        )
    }

    #[test]
    fn a_thread_asks_for_short_slices_and_gives_them_up() {
        let nice = || attributes().expect("as above").sched_nice;
        let (usual, nice_before) = (slice(), nice());
        run_promptly();
        let prompt = slice();
        run_as_usual();
        assert_eq!(slice(), usual);
        // older kernels tell of none, and keep none
        assert!(prompt == ANSWERING || prompt == usual, "{prompt:?}");
        assert_eq!(nice(), nice_before, "nothing else has changed");
    }
}
