//! The simplest policy, and what most open-source platforms do: every instance is kept for the same time.
//!
//! Ten minutes are OpenWhisk's, and what STeLLAR (IISWC '21) has measured of AWS Lambda.

use std::time::Duration;

use super::{Policy, Subject};
use crate::clock::Time;

/// Keeps every idle instance for a fixed time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedTtl(pub Duration);

impl Policy for FixedTtl {
    fn keep(&mut self, _: Time, _: Subject<'_>) -> Option<Duration> {
        Some(self.0)
    }
}
