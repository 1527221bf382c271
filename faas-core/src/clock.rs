//! Time, injected: the only file that may read a clock or sleep.
//!
//! State machines take `now` as an argument; services take a [`Clock`]. A lint (`clippy.toml`) refuses ambient
//! time anywhere else, which is what makes an hour of keep-alive a matter of milliseconds in a test.

mod virtual_clock;

pub use virtual_clock::VirtualClock;

use std::{
    future::{Future, poll_fn},
    ops::{Add, Sub},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

const NANOS_PER_DAY: u64 = 86_400_000_000_000;

/// A point in time: nanoseconds since the Unix epoch, never going backwards on one clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The Unix epoch, where a virtual clock starts unless told otherwise.
    pub const EPOCH: Time = Time(0);

    /// The point `nanos` nanoseconds after the Unix epoch.
    pub const fn from_unix_nanos(nanos: u64) -> Self {
        Time(nanos)
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn unix_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch.
    pub const fn unix_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The day in UTC that it is in, counted from 1970-01-01.
    pub const fn utc_day(self) -> u64 {
        self.0 / NANOS_PER_DAY
    }

    /// Midnight at the beginning of a day in UTC, counted from 1970-01-01.
    pub const fn of_utc_day(day: u64) -> Self {
        Time(day.saturating_mul(NANOS_PER_DAY))
    }

    /// How long ago `earlier` was; zero if it was not.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    // saturating: a deadline too far to name is never
    fn add(self, d: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Time> for Time {
    type Output = Duration;

    fn sub(self, earlier: Time) -> Duration {
        self.since(earlier)
    }
}

/// A boxed future, as they cross module borders here.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where services take time from.
pub trait Clock: Send + Sync + std::fmt::Debug + 'static {
    /// The time now: what durations and deadlines are reckoned by.
    fn now(&self) -> Time;
    /// What the wall clock shows: for dates, and for whoever compares them with others'. It goes on while the machine sleeps, as
    /// [`Clock::now`] need not, follows corrections, and may go backwards. The same as `now` where there is no wall.
    fn wall(&self) -> Time {
        self.now()
    }
    /// Completes when `now()` has reached `until`.
    fn sleep_until(&self, until: Time) -> BoxFuture<'static, ()>;
}

/// A clock, shared.
pub type SharedClock = Arc<dyn Clock>;

/// What a native function sees of its host's clock.
impl crate::native::Timer for SharedClock {
    fn wall_time(&self) -> std::time::SystemTime {
        std::time::UNIX_EPOCH + Duration::from_nanos(self.wall().unix_nanos())
    }

    fn sleep_for(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.sleep_until(self.now() + duration)
    }
}

/// Real time: the operating system's monotonic clock, set once by its wall clock. It stands still while the machine sleeps, so
/// that a call which a laptop slept through is neither late nor dear; [`Clock::wall`] does not.
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
    started_unix_nanos: u64,
}

impl SystemClock {
    /// A clock that shows real time.
    #[allow(clippy::disallowed_methods)]
    pub fn shared() -> SharedClock {
        Arc::new(SystemClock { started: std::time::Instant::now(), started_unix_nanos: wall_unix_nanos() })
    }
}

#[allow(clippy::disallowed_methods)]
fn wall_unix_nanos() -> u64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

impl Clock for SystemClock {
    fn now(&self) -> Time {
        Time(self.started_unix_nanos) + self.started.elapsed()
    }

    fn wall(&self) -> Time {
        Time(wall_unix_nanos())
    }

    #[allow(clippy::disallowed_methods)]
    fn sleep_until(&self, until: Time) -> BoxFuture<'static, ()> {
        let left = until.since(self.now());
        let at = self.started + (self.started.elapsed() + left);
        Box::pin(tokio::time::sleep_until(at.into()))
    }
}

/// Runs `future` until it ends or `clock` reaches `until`, whichever comes first; `None` if it was the clock.
///
/// No timer is made for a future that is ready at once.
pub async fn within<F: Future>(clock: &dyn Clock, until: Time, future: F) -> Option<F::Output> {
    within_kept(clock, until, &mut None, future).await
}

/// As [`within`], for futures that run one after the other until the same moment: they share one timer, which is kept
/// in `sleep`.
pub(crate) async fn within_kept<F: Future>(
    clock: &dyn Clock,
    until: Time,
    sleep: &mut Option<BoxFuture<'static, ()>>,
    future: F,
) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        sleep.get_or_insert_with(|| clock.sleep_until(until)).as_mut().poll(cx).map(|()| None)
    })
    .await
}
