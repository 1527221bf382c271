//! The threads on which guests may compute for long.
//!
//! They are this runtime's own, apart from those of the tokio runtime around it, because they stay what they are made:
//! behind others for a processor ([`promptness`]), which a thread cannot take back. One function's guests are near behind on as many
//! as there are processors, far behind on some more, and the others wait for a [`Place`]: else a hundred requests for a function that
//! spins would weigh a hundred times as much as whoever answers others. Used by [`super::drive`] and for starts; knows nothing of guests.

use std::{cell::Cell, num::NonZeroUsize, sync::Arc};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};

use super::promptness::{self, Behind};

/// What some dozens of functions need that spin in all of their places. Each takes a stack's address space, and some pages.
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

/// One function's guests compute on so many threads for each processor: enough that some that take long do not hold up all others, and
/// few enough that the kernel, with which all threads of a process share some locks, comes to them soon.
const PLACES_PER_PROCESSOR: usize = 8;

/// One function's places on the threads.
#[derive(Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    near: Arc<Semaphore>,
}

/// Leave to use a thread, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    near: Option<OwnedSemaphorePermit>,
    _any: Option<OwnedSemaphorePermit>,
}

impl Places {
    /// One near behind for each processor, and some far.
    pub(super) fn for_processors() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Places {
            all: Arc::new(Semaphore::new(PLACES_PER_PROCESSOR * processors)),
            near: Arc::new(Semaphore::new(processors)),
        }
    }

    /// The next that is free; whoever asks first has it first.
    pub(super) async fn take(&self) -> Place {
        // it is never closed
        let any = self.all.clone().acquire_owned().await.ok();
        Place { _any: any, ..self.take_now() }
    }

    /// One whether or not there is one, for what is brief.
    pub(super) fn take_now(&self) -> Place {
        Place { near: self.near.clone().try_acquire_owned().ok(), _any: None }
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

    /// Runs `f` on one of the threads. It runs to its end, also when nobody waits for it.
    pub(super) fn spawn<R: Send + 'static>(
        &self,
        place: Place,
        f: impl FnOnce() -> R + Send + 'static,
    ) -> JoinHandle<R> {
        let around = self.around.clone();
        let threads = self.threads.as_ref().expect("taken only by drop");
        let on = if place.near.is_some() { &threads.near } else { &threads.far };
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
        let sleep = compute.spawn(places.take().await, move || clock.sleep_until(clock.now())).await;
        sleep.expect("does not panic").await;
    }

    #[tokio::test]
    async fn its_threads_know_that_they_are() {
        let (compute, places) = threads();
        assert!(!is_here());
        assert!(compute.spawn(places.take().await, is_here).await.expect("does not panic"));
    }

    #[tokio::test]
    async fn it_may_be_dropped_on_its_own_threads() {
        let (compute, places) = threads();
        let (sender, receiver) = std::sync::mpsc::channel::<Compute>();
        let last = compute.spawn(places.take().await, move || drop(receiver.recv()));
        sender.send(compute).expect("it is waited for");
        last.await.expect("ends");
    }

    /// Niceness of the thread that a function's next guest would compute on.
    #[cfg(target_os = "linux")]
    async fn nice(compute: &Compute, places: &Places) -> libc::c_int {
        // SAFETY: asks for a number, of the calling thread.
        let ask = || unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        compute.spawn(places.take().await, ask).await.expect("does not panic")
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_function_is_near_behind_on_all_processors_far_behind_on_some_more_and_waits_for_others() {
        let (compute, places) = threads();
        let near = nice(&compute, &places).await;
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let mut held: Vec<_> = (0..processors).map(|_| places.take_now()).collect();
        let far = nice(&compute, &places).await;
        assert!(far > near, "{far} {near}");
        assert_eq!(nice(&compute, &Places::for_processors()).await, near, "another function has its own");
        held.clear();
        assert_eq!(nice(&compute, &places).await, near);
        // and it waits for its next when it has all
        for _ in 0..PLACES_PER_PROCESSOR * processors {
            held.push(places.take().await);
        }
        let mut waits = std::pin::pin!(places.take());
        let once = &mut std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waits.as_mut().poll(once).is_pending());
        held.pop();
        assert!(waits.as_mut().poll(once).is_ready());
    }
}
