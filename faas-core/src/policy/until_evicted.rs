//! No time limit: an idle instance stays until its room is needed, the least recently used goes first. What hosts of
//! many small isolates do (Cloudflare's how-workers-works: eviction under memory pressure).

use std::time::Duration;

use super::KeepAlive;
use crate::{clock::Time, invocation::FunctionSpec};

/// Keeps every idle instance until something else needs its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UntilEvicted;

impl KeepAlive for UntilEvicted {
    fn keep_alive(&mut self, _: Time, _: &FunctionSpec) -> Option<Duration> {
        None
    }
}
