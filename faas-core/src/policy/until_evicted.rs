//! No time limit: an idle instance stays until its room is needed, the least recently used goes first. What hosts of
//! many small isolates do (Cloudflare's how-workers-works: eviction under memory pressure).

use std::time::Duration;

use super::{Policy, Subject};
use crate::clock::Time;

/// Keeps every idle instance until something else needs its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UntilEvicted;

impl Policy for UntilEvicted {
    fn keep(&mut self, _: Time, _: Subject<'_>) -> Option<Duration> {
        None
    }
}
