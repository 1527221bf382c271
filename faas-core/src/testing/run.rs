//! Drives a test: lets everything run that does not need time, then moves the virtual clock to the next deadline, one
//! sleeper at a time. One thread, no real clock.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use parking_lot::Mutex;

use crate::{
    clock::{SharedClock, Time, VirtualClock},
    native::{Timer, with_timer},
};

/// When every test begins: 2026-01-01, midnight UTC.
pub const START: Time = Time::from_unix_nanos(1_767_225_600_000_000_000);

/// So many turns of every ready task without a sign of life are rest.
const TURNS: usize = 64;
/// After so many times that, somebody is awake for ever, and time moves on all the same: limits of time will stop them.
const ROUNDS: usize = 1000;

/// What a test and its clouds share.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) clock: VirtualClock,
    /// Counts signs of life.
    pub(super) activity: AtomicU64,
    /// How often those who wait for rest have been told of it.
    rests: AtomicU64,
    waiting: Mutex<Vec<Waker>>,
}

thread_local! {
    static RUN: RefCell<Option<Arc<Run>>> = const { RefCell::new(None) };
}

impl Run {
    /// That of the test which is polled now.
    pub(super) fn current() -> Arc<Run> {
        RUN.with_borrow(Clone::clone)
            .expect("a Cloud lives in a test under #[faas_core::test], or in faas_core::testing::run(…)")
    }

    /// Returns when all that is due has run.
    pub(super) async fn rest(&self) {
        let seen = self.rests.load(SeqCst);
        poll_fn(|cx| {
            if self.rests.load(SeqCst) != seen {
                return Poll::Ready(());
            }
            self.waiting.lock().push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Tells those who wait for rest; false when nobody does.
    fn tell(&self) -> bool {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        self.rests.fetch_add(1, SeqCst);
        let is_any = !waiting.is_empty();
        waiting.into_iter().for_each(Waker::wake);
        is_any
    }
}

/// Runs a test under virtual time, which begins at [`START`]: `#[faas_core::test]` calls this. In it,
/// [`sleep`](crate::sleep) and [`now`](crate::now) are virtual, and there may be [`Cloud`](super::Cloud)s.
///
/// # Panics
/// When the test waits for something that no passing of time will bring, and as the test does.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without sockets and timers takes nothing that could be refused");
    let run = Arc::new(Run {
        clock: VirtualClock::starting_at(START),
        activity: AtomicU64::new(0),
        rests: AtomicU64::new(0),
        waiting: Mutex::default(),
    });
    runtime.block_on(drive(&run, test))
}

/// Remembers that the test has been woken; whoever drives it looks.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

async fn drive<T>(run: &Arc<Run>, test: impl Future<Output = T>) -> T {
    let shared: SharedClock = Arc::new(run.clock.clone());
    let timer: Arc<dyn Timer> = Arc::new(shared);
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(woken.clone());
    let mut test = pin!(test);
    loop {
        for _ in 0..ROUNDS {
            let before = run.activity.load(SeqCst);
            for _ in 0..TURNS {
                if woken.0.swap(false, SeqCst) {
                    run.activity.fetch_add(1, SeqCst);
                    let poll = || with_timer(&timer, || test.as_mut().poll(&mut Context::from_waker(&waker)));
                    if let Poll::Ready(value) = entered(run, poll) {
                        return value;
                    }
                }
                tokio::task::yield_now().await;
            }
            if run.activity.load(SeqCst) == before {
                break;
            }
        }
        let is_due = run.clock.next_wake().is_some_and(|at| at <= crate::clock::Clock::now(&run.clock));
        if (is_due || !run.tell()) && !run.clock.step() {
            panic!(
                "the test waits for ever: nobody sleeps, so no passing of virtual time will bring what it waits for \
                 (real IO and other threads are not waited for)"
            );
        }
    }
}

/// Does `poll` as the run's test.
fn entered<T>(run: &Arc<Run>, poll: impl FnOnce() -> T) -> T {
    struct Before(Option<Arc<Run>>);
    impl Drop for Before {
        fn drop(&mut self) {
            RUN.set(self.0.take());
        }
    }
    let _before = Before(RUN.replace(Some(run.clone())));
    poll()
}
