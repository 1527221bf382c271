//! The simplest policy, and what most open-source platforms do: every instance is kept for the same time.

use std::time::Duration;

use super::KeepAlive;
use crate::{clock::Time, invocation::FunctionSpec};

/// Keeps every idle instance for a fixed time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedTtl(pub Duration);

impl KeepAlive for FixedTtl {
    fn keep_alive(&mut self, _: Time, _: &FunctionSpec) -> Option<Duration> {
        Some(self.0)
    }
}
