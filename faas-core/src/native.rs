//! A function crate outside the sandbox: what `cargo run` and `cargo test` need, with nothing but std.
//!
//! Functions ask for time here. A host that has a clock of its own polls them under [`with_timer`]; without one it is
//! the system's.

use std::{
    cell::RefCell,
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
    time::{Duration, SystemTime},
};

/// Runs a future to its end on this thread. For tests of functions; a server has a runtime.
///
/// ```
/// assert_eq!(faas_core::block_on(async { 6 * 7 }), 42);
/// ```
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            // a wake that came before this is not lost: it makes park return at once
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Waits without holding the instance: others are served meanwhile. By the host's clock: in a test under virtual
/// time an hour passes at once.
pub async fn sleep(duration: Duration) {
    match TIMER.with_borrow(Clone::clone) {
        Some(timer) => timer.sleep_for(duration).await,
        None => Sleep { duration, state: None }.await,
    }
}

/// The time by the host's clock: where that is the system's, [`SystemTime::now`]; virtual in a test under virtual time.
#[allow(clippy::disallowed_methods)] // nobody has injected another
pub fn now() -> SystemTime {
    TIMER.with_borrow(|timer| timer.as_ref().map(|timer| timer.wall_time())).unwrap_or_else(SystemTime::now)
}

/// The clock of a host, as functions see it.
#[doc(hidden)]
pub trait Timer: Send + Sync {
    /// The time now.
    fn wall_time(&self) -> SystemTime;
    /// Completes when `duration` has passed.
    fn sleep_for(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

thread_local! {
    /// That of the host whose function this thread polls now.
    static TIMER: RefCell<Option<Arc<dyn Timer>>> = const { RefCell::new(None) };
}

/// Does `poll`, which is code of a function, on the clock of its host.
#[doc(hidden)]
pub fn with_timer<T>(timer: &Arc<dyn Timer>, poll: impl FnOnce() -> T) -> T {
    /// What was before comes back, also when `poll` panics.
    struct Before(Option<Arc<dyn Timer>>);
    impl Drop for Before {
        fn drop(&mut self) {
            TIMER.set(self.0.take());
        }
    }
    let _before = Before(TIMER.replace(Some(timer.clone())));
    poll()
}

/// A thread for each sleep: without a runtime there is no timer to ask, and tests sleep seldom.
struct Sleep {
    duration: Duration,
    state: Option<Arc<Mutex<State>>>,
}

#[derive(Default)]
struct State {
    is_over: bool,
    waker: Option<Waker>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let duration = self.duration;
        let state = self.state.get_or_insert_with(|| {
            let state = Arc::new(Mutex::new(State::default()));
            let sleeping = state.clone();
            std::thread::spawn(move || {
                #[allow(clippy::disallowed_methods)] // this thread is here to sleep
                std::thread::sleep(duration);
                let mut state = sleeping.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                state.is_over = true;
                if let Some(waker) = state.waker.take() {
                    waker.wake();
                }
            });
            state
        });
        let mut state = state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if state.is_over {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// What `cargo run` of a function crate does: tells what there is, and how to run it.
#[doc(hidden)]
pub fn main() {
    let mut text = String::from("This program is a set of serverless functions:\n");
    for definition in crate::function::definitions() {
        text.push_str(&format!("  {}\n", definition.name));
    }
    text.push_str("Run `faas dev` in its folder to serve them, `cargo test` to test them.\n");
    use std::io::Write as _;
    // whoever closed standard output does not want to know
    let _ = std::io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_ends() {
        block_on(sleep(Duration::from_millis(1)));
        block_on(sleep(Duration::ZERO));
    }
}
