//! The async workers around this runtime, of which guests may hold some for long: what keeps the others at work.
//!
//! Quick guests run on the workers, which is what makes them quick, and any of them may turn out not to be. [`super::watchdog`] tells
//! here how many workers are held for longer than a tick.
//!
//! - A worker that comes back from waiting for sockets and timers runs what is ready, while the others sleep until that is more than
//!   it can do. If it does not come back nobody waits for sockets: so another is woken, and does.
//! - Where there are more workers than processors, one is taken out of service: a task of ours sleeps on it, as if at work. It lets go
//!   of the worker while guests hold all others. [`super::placement`] lets no guest run on the last.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::Notify,
};

/// After so long the kept worker looks whether its runtime ends, which nobody else can tell it.
const LOOK_AFTER: Duration = Duration::from_millis(50);

pub(super) struct Workers {
    handle: Handle,
    kept: Option<Kept>,
}

impl Workers {
    /// Those of `handle`. One is kept back if there are more than `processors`, and than two.
    pub(super) fn of(handle: Handle, processors: usize) -> Self {
        let count = handle.metrics().num_workers();
        let has_spare = handle.runtime_flavor() == RuntimeFlavor::MultiThread && count > processors.max(2);
        let kept = has_spare.then(|| Kept::of(&handle));
        Workers { handle, kept }
    }

    pub(super) fn count(&self) -> usize {
        self.handle.metrics().num_workers()
    }

    /// Another worker has just been found to be held.
    pub(super) fn one_is_held(&self) {
        // a task is what wakes a worker
        self.handle.spawn(async {});
    }

    /// So many of them are held now.
    pub(super) fn are_held(&self, count: usize) {
        if let Some(kept) = &self.kept {
            kept.need(count + 1 >= self.count());
        }
    }
}

/// A worker out of service. Dropping this gives it back.
struct Kept(Arc<Shared>);

#[derive(Default)]
struct Shared {
    is_needed: Mutex<bool>,
    needed: Condvar,
    spared: Notify,
}

impl Kept {
    fn of(handle: &Handle) -> Self {
        let shared = Arc::<Shared>::default();
        handle.spawn(keep(Arc::downgrade(&shared)));
        Kept(shared)
    }

    fn need(&self, is_needed: bool) {
        let was_needed = std::mem::replace(&mut *self.0.is_needed.lock(), is_needed);
        match (was_needed, is_needed) {
            (false, true) => _ = self.0.needed.notify_all(),
            (true, false) => self.0.spared.notify_one(),
            _ => {}
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // wakes it where it sleeps, and where it waits
        self.need(true);
        self.need(false);
    }
}

/// Sleeps on a worker, but for when it is needed.
async fn keep(shared: Weak<Shared>) {
    while let Some(shared) = shared.upgrade() {
        if shared.sleeps() {
            shared.spared.notified().await;
        }
        drop(shared);
        // here the task ends when its runtime does
        tokio::task::yield_now().await;
    }
}

impl Shared {
    /// Blocks for as long as nobody needs the worker, or a while of that. Whether it is needed.
    fn sleeps(&self) -> bool {
        let mut is_needed = self.is_needed.lock();
        if !*is_needed {
            self.needed.wait_for(&mut is_needed, LOOK_AFTER);
        }
        *is_needed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn runtime(workers: usize) -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build().expect("threads")
    }

    /// Holds a worker until the sender is dropped; returns when it does.
    fn hold(runtime: &tokio::runtime::Runtime) -> mpsc::Sender<()> {
        let ((end, until), (began, begins)) = (mpsc::channel::<()>(), mpsc::channel());
        runtime.spawn(async move {
            began.send(()).expect("it is waited for");
            _ = until.recv();
        });
        begins.recv().expect("it runs");
        end
    }

    #[test]
    fn the_kept_worker_serves_while_all_others_are_held() {
        let runtime = runtime(3);
        let workers = Workers::of(runtime.handle().clone(), 2);
        for _ in 0..3 {
            let (first, second) = (hold(&runtime), hold(&runtime));
            let (done, is_done) = mpsc::channel();
            runtime.spawn(async move { done.send(()) });
            workers.are_held(1);
            workers.are_held(2);
            is_done.recv().expect("it is served");
            drop((first, second));
            workers.are_held(0);
        }
    }

    #[test]
    fn where_there_is_no_worker_to_spare_none_is_kept() {
        let runtime = runtime(2);
        let workers = Workers::of(runtime.handle().clone(), 1);
        assert!(workers.kept.is_none());
        drop((hold(&runtime), hold(&runtime)));
    }

    #[test]
    fn its_runtime_can_end_while_it_is_kept() {
        let runtime = runtime(3);
        let workers = Workers::of(runtime.handle().clone(), 2);
        drop(runtime);
        drop(workers);
    }
}
