//! The threads on which guests may compute for long.
//!
//! They are this runtime's own, apart from those of the tokio runtime around it, because they stay what they are made:
//! behind others for a processor ([`promptness`]), which a thread cannot take back. One function's guests are near behind on as many
//! as there are processors, and far behind on any more: else a hundred requests for a function that spins would weigh a hundred times
//! as much as whoever answers others. Used by [`super::drive`] and for starts; knows nothing of guests.

use std::{cell::Cell, num::NonZeroUsize, sync::Arc};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::Semaphore,
    task::JoinHandle,
};

use super::promptness::{self, Behind};

/// More than the account limit of any profile lets compute at once. Each takes a stack's address space, and some pages.
const MAX_THREADS: NonZeroUsize = NonZeroUsize::new(2048).expect("not zero");

thread_local! {
    static IS_FOR_GUESTS: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is one of these, so that nobody but a guest waits for it.
pub(super) fn is_here() -> bool {
    IS_FOR_GUESTS.get()
}

/// Threads as they are needed; idle ones end after some seconds.
pub(super) struct Compute {
    // none of their tasks are ever run, only what blocks. Absent once this is dropped
    threads: Option<Threads>,
    around: Handle,
}

struct Threads {
    near: Runtime,
    far: Runtime,
}

/// One function's places near behind.
#[derive(Debug)]
pub(super) struct Places(Arc<Semaphore>);

impl Places {
    /// As many as there are processors.
    pub(super) fn for_processors() -> Self {
        Places(Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(1, NonZeroUsize::get))))
    }
}

impl Compute {
    /// What runs on the threads finds itself in the runtime of `around`, whose timers it uses. There are `max_threads` near behind, and as
    /// many far.
    pub(super) fn within(around: Handle, max_threads: Option<NonZeroUsize>) -> std::io::Result<Self> {
        let threads = |how| {
            Builder::new_current_thread()
                .thread_name("faas-compute")
                .max_blocking_threads(max_threads.unwrap_or(MAX_THREADS).get())
                .on_thread_start(move || {
                    IS_FOR_GUESTS.set(true);
                    promptness::go_behind(how);
                })
                .build()
        };
        let threads = Threads { near: threads(Behind::Near)?, far: threads(Behind::Far)? };
        Ok(Compute { threads: Some(threads), around })
    }

    /// Runs `f` on one of the threads, in one of these `places` if one is free. It runs to its end, also when nobody waits for it.
    pub(super) fn spawn<R: Send + 'static>(
        &self,
        places: &Places,
        f: impl FnOnce() -> R + Send + 'static,
    ) -> JoinHandle<R> {
        let around = self.around.clone();
        let threads = self.threads.as_ref().expect("taken only by drop");
        let place = places.0.clone().try_acquire_owned().ok();
        let on = if place.is_some() { &threads.near } else { &threads.far };
        on.spawn_blocking(move || {
            let _place = place;
            let _context = around.enter();
            f()
        })
    }
}

/// Waits for nobody: whoever drops it may be a task, or one of the threads.
impl Drop for Compute {
    fn drop(&mut self) {
        if let Some(Threads { near, far }) = self.threads.take() {
            near.shutdown_background();
            far.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn threads() -> (Compute, Places) {
        (Compute::within(Handle::current(), None).expect("threads"), Places::for_processors())
    }

    #[tokio::test]
    async fn what_runs_there_has_the_timers_of_the_runtime_around() {
        let (compute, places) = threads();
        let clock = SystemClock::shared();
        let sleep = compute.spawn(&places, move || clock.sleep_until(clock.now())).await;
        sleep.expect("does not panic").await;
    }

    #[tokio::test]
    async fn its_threads_know_that_they_are() {
        let (compute, places) = threads();
        assert!(!is_here());
        assert!(compute.spawn(&places, is_here).await.expect("does not panic"));
    }

    #[tokio::test]
    async fn it_may_be_dropped_on_its_own_threads() {
        let (compute, places) = threads();
        let (sender, receiver) = std::sync::mpsc::channel::<Compute>();
        let last = compute.spawn(&places, move || drop(receiver.recv()));
        sender.send(compute).expect("it is waited for");
        last.await.expect("ends");
    }

    /// Niceness of the thread that a function's next guest would compute on.
    #[cfg(target_os = "linux")]
    async fn nice(compute: &Compute, places: &Places) -> libc::c_int {
        // SAFETY: asks for a number, of the calling thread.
        let ask = || unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        compute.spawn(places, ask).await.expect("does not panic")
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_function_is_near_behind_on_all_processors_and_far_behind_on_more() {
        let (compute, places) = threads();
        let near = nice(&compute, &places).await;
        let held: Vec<_> = std::iter::from_fn(|| places.0.clone().try_acquire_owned().ok()).collect();
        assert_eq!(held.len(), std::thread::available_parallelism().map_or(1, NonZeroUsize::get));
        let far = nice(&compute, &places).await;
        assert!(far > near, "{far} {near}");
        assert_eq!(nice(&compute, &Places::for_processors()).await, near, "another function has its own");
        drop(held);
        assert_eq!(nice(&compute, &places).await, near);
    }
}
