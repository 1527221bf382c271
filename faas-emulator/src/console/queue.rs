//! Between those who serve requests and the one thread that prints: bounded, never waited for.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::event::Event;

/// Events that wait to be printed, at most.
const CAPACITY: usize = 4096;
/// Text of functions' own in those events, at most, and the event that exceeds it.
const MAX_TEXT_BYTES: usize = 16 << 20;

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<Event>,
    text_bytes: usize,
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
        if state.events.len() < CAPACITY && state.text_bytes < MAX_TEXT_BYTES {
            let event = event();
            state.text_bytes += event.text_bytes();
            state.events.push(event);
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
        state.text_bytes = 0;
        Popped::Events {
            events: std::mem::take(&mut state.events),
            dropped: std::mem::take(&mut state.dropped),
        }
    }
}

#[cfg(test)]
mod tests {
    use faas_core::transition::{LogLevel, LogLine};

    use super::*;

    fn line(len: usize) -> Event {
        let text = "x".repeat(len);
        Event::Log(LogLine { id: None, function: "f".into(), level: LogLevel::Stdout, text })
    }

    fn popped(queue: &Queue) -> (usize, u64) {
        match queue.pop(Duration::ZERO) {
            Popped::Events { events, dropped } => (events.len(), dropped),
            Popped::Closed => panic!("it is open"),
        }
    }

    #[test]
    fn what_is_too_much_is_counted_and_said_whether_by_number_or_by_length() {
        let queue = Queue::default();
        let long = MAX_TEXT_BYTES / 100;
        for _round in 0..2 {
            (0..CAPACITY + 10).for_each(|_| queue.push(|| line(1)));
            assert_eq!(popped(&queue), (CAPACITY, 10));
            (0..150).for_each(|_| queue.push(|| line(long)));
            queue.push_always(Event::Notice("fits".into()));
            // the hundredth leaves some bytes
            assert_eq!(popped(&queue), (101 + 1, 49));
        }
    }
}
