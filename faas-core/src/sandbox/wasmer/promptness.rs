//! How soon the kernel lets a thread run that has just woken, when guests take all cores.
//!
//! A thread that wakes waits for the slice of whoever runs, some milliseconds, and for those of others before it. From
//! version 6.12 on Linux lets a thread ask for slices of its own length, without privileges: it gets no larger share, but
//! one with shorter slices goes before one with longer ones when it wakes. So whoever answers clients and stops guests
//! asks for short ones.
//!
//! Short slices do not help who has used up its share, and among threads of equal weight that of whoever answers is soon used
//! up. So the threads on which guests compute weigh less, by a niceness: they have all of the machine when nobody else wants it.
//! Their slices are short too, because a light thread with long ones waits long for its first. None of this elsewhere than on
//! Linux, where threads have no niceness of their own.

#[cfg(target_os = "linux")]
use std::time::Duration;

/// For those who answer. Shorter than the kernel's own on any machine (0.7 ms on one core, more on several), and no shorter
/// than that takes: with 100 µs, the shortest that it grants, they take turns with their clients so often that a third
/// of the throughput is gone.
#[cfg(target_os = "linux")]
const ANSWERING: Duration = Duration::from_micros(500);
/// For the watchdog, which wakes for a moment only.
#[cfg(target_os = "linux")]
const WATCHING: Duration = Duration::from_micros(100);
/// For guests who compute: what a thread of the usual weight and slices waits for its first, this one waits.
#[cfg(target_os = "linux")]
const COMPUTING: Duration = Duration::from_micros(300);
/// For those of them that are many. The kernel takes a thread from its processor at ticks, of four milliseconds at most, so that who asks for
/// less is owed time after each of them, and goes before whoever wakes: with hundreds that is a wait for half of them. And no longer
/// than a tick: whoever of them holds a lock of the process waits for the others.
#[cfg(target_os = "linux")]
const COMPUTING_FAR: Duration = Duration::from_millis(5);
/// How far guests who compute go behind: a third of the weight. Further, and they would stand still beside the compiler of
/// whoever writes them.
#[cfg(target_os = "linux")]
const BEHIND: i32 = 5;
/// And how far those of a function that has some on all processors: a ninth. Many of them weigh no more than a few others.
#[cfg(target_os = "linux")]
const FAR_BEHIND: i32 = 10;
#[cfg(target_os = "linux")]
const LAST: i32 = 19;

/// Asks that the calling thread may run soon after it wakes, for whoever makes the threads that a
/// [`Runtime`](super::Runtime) is used from: pass it to `on_thread_start` of tokio's builder. Guests that compute for long
/// do so on threads of their own, which are behind.
///
/// ```
/// let runtime = tokio::runtime::Builder::new_multi_thread()
///     .on_thread_start(faas_core::sandbox::wasmer::run_promptly)
///     .build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn run_promptly() {
    #[cfg(target_os = "linux")]
    ask(|attr| attr.sched_runtime = nanos(ANSWERING));
}

/// The same for the calling thread if it is the watchdog's.
pub(super) fn watch_promptly() {
    #[cfg(target_os = "linux")]
    ask(|attr| attr.sched_runtime = nanos(WATCHING));
}

/// How far behind others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// So that there is something left for it beside whoever takes all that there is.
    Near,
    /// So that hundreds of its kind leave something.
    Far,
}

/// Puts the calling thread behind others for good: guests compute on it for as long as they want.
pub(super) fn go_behind(how: Behind) {
    #[cfg(not(target_os = "linux"))]
    let _ = how;
    #[cfg(target_os = "linux")]
    ask(|attr| {
        let (nicer, slice) = match how {
            Behind::Near => (BEHIND, COMPUTING),
            Behind::Far => (FAR_BEHIND, COMPUTING_FAR),
        };
        attr.sched_nice = (attr.sched_nice + nicer).min(LAST);
        attr.sched_runtime = nanos(slice);
    });
}

#[cfg(target_os = "linux")]
fn nanos(slice: Duration) -> u64 {
    u64::try_from(slice.as_nanos()).unwrap_or(0)
}

/// Where it is refused everything runs as it did before.
#[cfg(target_os = "linux")]
fn ask(change: impl FnOnce(&mut libc::sched_attr)) {
    let Some(mut attr) = attributes() else { return };
    change(&mut attr);
    // SAFETY: `attr` is a valid structure of the size that it states; 0 is the calling thread, and there are no flags.
    let _ = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
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

    /// Niceness and slice of a thread that `asks`.
    fn asking(asks: impl FnOnce() + Send + 'static) -> (i32, u64) {
        let thread = std::thread::spawn(move || {
            asks();
            let attr = attributes().expect("the kernel tells, and tests run under its usual policy");
            (attr.sched_nice, attr.sched_runtime)
        });
        thread.join().expect("does not panic")
    }

    #[test]
    fn who_answers_asks_for_short_slices_and_changes_nothing_else() {
        let (nice, usual) = asking(|| ());
        let (nice_of_prompt, slice) = asking(run_promptly);
        // older kernels tell of no slices, and keep none
        assert!(slice == nanos(ANSWERING) || slice == usual, "{slice}");
        assert_eq!(nice_of_prompt, nice);
    }

    #[test]
    fn who_computes_is_behind() {
        let (nice, usual) = asking(|| ());
        for (how, by, long) in [(Behind::Near, BEHIND, COMPUTING), (Behind::Far, FAR_BEHIND, COMPUTING_FAR)] {
            let (nice_of_computing, slice) = asking(move || go_behind(how));
            assert_eq!(nice_of_computing, (nice + by).min(LAST));
            assert!(slice == nanos(long) || slice == usual, "{slice}");
        }
    }
}
