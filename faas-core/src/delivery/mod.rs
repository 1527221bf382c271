//! Asynchronous invocation: events that are accepted now and delivered later, again and again if need be, to a function
//! that nobody waits for.
//!
//! ```text
//! rules     retries, age, backoff; whose fault an error is: pure        (filled in by a profile)
//! state     Deliveries: what is delivered next, what waits, what is given up: pure
//! letter    an event, and how its delivery stands                        journal   where it is written down
//! courier   the shell: accepts, drives, stops                              attempt   one event, one invocation
//! shared    the lock, and how what is decided is carried out
//! ```
//!
//! **What is promised.** An event is accepted when it is written down. From then on it is delivered at least once, also by
//! another process after this one was killed, or it ends as a dead letter, which can be put back. First attempts of a
//! function are made in the order in which its events were accepted. How much may wait is bounded: beyond, events are refused.
//!
//! **What is not.** An attempt that a killed process was at is made again, so a function may see an event twice. Retries
//! come when they come, out of order. An event's age does not count while no host is there to deliver it.
//!
//! It knows no sockets, no files and no provider.

mod attempt;
mod courier;
mod journal;
mod letter;
mod rules;
mod shared;
mod state;
mod words;

pub use courier::{Config, Courier, MAX_DEAD, NotAccepted};
pub use journal::{Change, Journal, JournalError, MemoryJournal};
pub use letter::{ATTEMPT, Cause, INVOCATION, Letter, Listed, Progress, Status, What};
pub use rules::{Backoff, Outcome, Rules};
pub use state::{Dead, Deliveries, Full, Key, Limits, Step, Verdict};
pub use words::Span;
