//! Between those who serve requests and the one thread that prints: bounded, never waited for.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::event::Event;

/// Events that wait to be printed, at most.
const CAPACITY: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<Event>,
    dropped: u64,
    closed: bool,
}

#[derive(Debug)]
pub(super) enum Popped {
    /// What has come, perhaps nothing, and how much did not fit.
    Events { events: Vec<Event>, dropped: u64 },
    /// Nothing comes any more.
    Closed,
}

impl Queue {
    /// Puts an event if there is room, and counts it if there is not.
    pub(super) fn push(&self, event: impl FnOnce() -> Event) {
        let mut state = self.state.lock();
        if state.events.len() < CAPACITY {
            state.events.push(event());
            self.filled.notify_one();
        } else {
            state.dropped += 1;
        }
    }

    /// Puts an event even if there is no room.
    pub(super) fn push_always(&self, event: Event) {
        self.state.lock().events.push(event);
        self.filled.notify_one();
    }

    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_one();
    }

    /// Takes all there is; waits for some, but not longer than `patience`.
    pub(super) fn pop(&self, patience: Duration) -> Popped {
        let mut state = self.state.lock();
        if state.events.is_empty() && !state.closed {
            self.filled.wait_for(&mut state, patience);
        }
        if state.events.is_empty() && state.dropped == 0 && state.closed {
            return Popped::Closed;
        }
        Popped::Events {
            events: std::mem::take(&mut state.events),
            dropped: std::mem::take(&mut state.dropped),
        }
    }
}
