//! The threads on which guests may compute for long.
//!
//! They are this runtime's own, apart from those of the tokio runtime around it, because they stay what they are made:
//! behind others for a processor ([`promptness`]), which a thread cannot take back. Used by [`super::drive`] and for plain starts;
//! knows nothing of guests.

use std::{cell::Cell, num::NonZeroUsize};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};

use super::promptness;

thread_local! {
    static IS_FOR_GUESTS: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is one of these, so that nobody but a guest waits for it.
pub(super) fn is_here() -> bool {
    IS_FOR_GUESTS.get()
}

/// Threads as they are needed; idle ones end after some seconds.
pub(super) struct Compute {
    // none of its tasks are ever run, only what blocks. Absent once this is dropped
    threads: Option<Runtime>,
    around: Handle,
}

impl Compute {
    /// What runs on the threads finds itself in the runtime of `around`, whose timers it uses.
    pub(super) fn within(around: Handle, max_threads: Option<NonZeroUsize>) -> std::io::Result<Self> {
        let mut threads = Builder::new_current_thread();
        threads.thread_name("faas-compute").on_thread_start(|| {
            IS_FOR_GUESTS.set(true);
            promptness::go_behind();
        });
        if let Some(max) = max_threads {
            threads.max_blocking_threads(max.get());
        }
        Ok(Compute { threads: Some(threads.build()?), around })
    }

    /// Runs `f` on one of the threads. It runs to its end, also when nobody waits for it.
    pub(super) fn spawn<R: Send + 'static>(&self, f: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
        let around = self.around.clone();
        let threads = self.threads.as_ref().expect("taken only by drop");
        threads.spawn_blocking(move || {
            let _context = around.enter();
            f()
        })
    }
}

/// Waits for nobody: whoever drops it may be a task, or one of the threads.
impl Drop for Compute {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn what_runs_there_has_the_timers_of_the_runtime_around() {
        let compute = Compute::within(Handle::current(), None).expect("threads");
        let clock = SystemClock::shared();
        let sleep = compute.spawn(move || clock.sleep_until(clock.now())).await.expect("does not panic");
        sleep.await;
    }

    #[tokio::test]
    async fn its_threads_know_that_they_are() {
        let compute = Compute::within(Handle::current(), None).expect("threads");
        assert!(!is_here());
        assert!(compute.spawn(is_here).await.expect("does not panic"));
    }

    #[tokio::test]
    async fn it_may_be_dropped_on_its_own_threads() {
        let compute = Compute::within(Handle::current(), None).expect("threads");
        let (sender, receiver) = std::sync::mpsc::channel::<Compute>();
        let last = compute.spawn(move || drop(receiver.recv()));
        sender.send(compute).expect("it is waited for");
        last.await.expect("ends");
    }
}
