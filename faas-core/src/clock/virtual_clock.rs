//! A clock that stands still until told: an hour of keep-alive is one line of a test.
//!
//! Sleepers are woken in the order of their deadlines, those with equal deadlines in the order in which they went
//! to sleep. With a single-threaded runtime that makes whole systems deterministic.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;

use super::{BoxFuture, Clock, Time};

/// A clock that only [`VirtualClock::advance`] and [`VirtualClock::run`] move, and [`VirtualClock::suspend`] its wall. Clones
/// show the same time.
#[derive(Debug, Clone)]
pub struct VirtualClock {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    now: Time,
    /// How much more the wall clock has moved.
    suspended: Duration,
    /// By deadline, then by when they went to sleep.
    sleepers: BTreeMap<(Time, u64), Waker>,
    next_id: u64,
}

impl VirtualClock {
    /// A clock that shows `start`.
    pub fn starting_at(start: Time) -> Self {
        let state = State { now: start, suspended: Duration::ZERO, sleepers: BTreeMap::new(), next_id: 0 };
        VirtualClock { state: Arc::new(Mutex::new(state)) }
    }

    /// When the next sleeper wants to wake; absent when nobody sleeps.
    pub fn next_wake(&self) -> Option<Time> {
        self.state.lock().sleepers.keys().next().map(|(at, _)| *at)
    }

    /// Moves time on and wakes whoever slept until then. They run when their runtime gets to them, and all see
    /// the same, final time; [`VirtualClock::run`] is the finer tool.
    pub fn advance(&self, by: Duration) {
        let to = self.now() + by;
        while self.wake_next(to) {}
        self.state.lock().now = to;
    }

    /// Moves time on from deadline to deadline, and after each lets the runtime's tasks do what they woke for.
    ///
    /// For tests on tokio's single-threaded runtime: tasks on other threads are not waited for.
    pub async fn run(&self, by: Duration) {
        let to = self.now() + by;
        Self::settle().await;
        while self.wake_next(to) {
            Self::settle().await;
        }
        self.state.lock().now = to;
        Self::settle().await;
    }

    /// The machine sleeps for so long, as a closed laptop does: only the [wall clock](Clock::wall) goes on, and nobody wakes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use faas_core::clock::{Clock as _, Time, VirtualClock};
    ///
    /// let clock = VirtualClock::default();
    /// clock.suspend(Duration::from_secs(86_400));
    /// assert_eq!((clock.now(), clock.wall()), (Time::EPOCH, Time::of_utc_day(1)));
    /// ```
    pub fn suspend(&self, time: Duration) {
        self.state.lock().suspended += time;
    }

    /// Lets the single-threaded runtime's tasks run until they wait: each yield gives every ready task a turn,
    /// and no chain of wake-ups in this crate is nearly as long.
    pub async fn settle() {
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
    }

    /// Moves time on to the next deadline and wakes its sleeper, one of those with the same deadline; false when nobody
    /// sleeps.
    pub fn step(&self) -> bool {
        self.wake_next(Time::from_unix_nanos(u64::MAX))
    }

    /// Moves time to the first deadline that is not after `to` and wakes its sleeper.
    fn wake_next(&self, to: Time) -> bool {
        let waker = {
            let mut state = self.state.lock();
            match state.sleepers.first_entry() {
                Some(first) if first.key().0 <= to => {
                    let ((at, _), waker) = first.remove_entry();
                    state.now = state.now.max(at);
                    waker
                }
                _ => return false,
            }
        };
        waker.wake(); // outside the lock: it may run the sleeper, and that may ask for the time
        true
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        VirtualClock::starting_at(Time::EPOCH)
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Time {
        self.state.lock().now
    }

    fn wall(&self) -> Time {
        let state = self.state.lock();
        state.now + state.suspended
    }

    fn sleep_until(&self, until: Time) -> BoxFuture<'static, ()> {
        Box::pin(Sleep { state: self.state.clone(), until, key: None })
    }
}

struct Sleep {
    state: Arc<Mutex<State>>,
    until: Time,
    key: Option<(Time, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut state = this.state.lock();
        if state.now >= this.until {
            return Poll::Ready(());
        }
        let key = *this.key.get_or_insert_with(|| {
            state.next_id += 1;
            (this.until, state.next_id)
        });
        state.sleepers.insert(key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            // the waker may be the last of its task, and dropping it outside the lock lets that task drop sleepers
            let waker = self.state.lock().sleepers.remove(&key);
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn sleepers_wake_in_order_and_each_at_its_own_time() {
        let clock = VirtualClock::default();
        let woken = Arc::new(Mutex::new(Vec::new()));
        for seconds in [3, 1, 2, 5] {
            let (clock, woken) = (clock.clone(), woken.clone());
            tokio::spawn(async move {
                clock.sleep_until(Time::EPOCH + SECOND * seconds).await;
                woken.lock().push((seconds, clock.now()));
            });
        }
        clock.run(SECOND * 4).await;
        assert_eq!(*woken.lock(), [1, 2, 3].map(|s| (s, Time::EPOCH + SECOND * s)));
        assert_eq!(clock.now(), Time::EPOCH + SECOND * 4);
        assert_eq!(clock.next_wake(), Some(Time::EPOCH + SECOND * 5));
    }

    #[tokio::test]
    async fn a_dropped_sleeper_is_forgotten() {
        let clock = VirtualClock::default();
        let task = tokio::spawn(clock.sleep_until(Time::EPOCH + SECOND));
        VirtualClock::settle().await;
        assert!(clock.next_wake().is_some());
        task.abort();
        VirtualClock::settle().await;
        assert_eq!(clock.next_wake(), None);
    }

    #[tokio::test]
    async fn within_is_the_result_or_the_deadline() {
        let clock = VirtualClock::default();
        let until = Time::EPOCH + SECOND;
        assert_eq!(super::super::within(&clock, until, async { 7 }).await, Some(7));
        assert_eq!(clock.next_wake(), None, "a ready future needs no timer");
        let timer = clock.clone();
        tokio::spawn(async move { timer.run(SECOND).await });
        assert_eq!(super::super::within(&clock, until, std::future::pending::<()>()).await, None);
    }
}
