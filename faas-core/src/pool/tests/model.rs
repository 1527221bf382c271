//! What the model believes of an instance and of who waits.

use std::time::Duration;

use crate::{clock::Time, pool::FunctionId};

#[derive(Debug)]
pub(super) struct InstanceModel {
    pub(super) memory_mib: u32,
    /// Its function must have it.
    pub(super) is_provisioned: bool,
    /// Somebody asked for it ahead of demand, and it has not served.
    pub(super) is_prewarmed: bool,
    /// How long it stays at most without having served.
    pub(super) unused: Option<Duration>,
    pub(super) function: FunctionId,
    pub(super) generation: u64,
    pub(super) is_started: bool,
    pub(super) is_condemned: bool,
    pub(super) serving: u32,
    pub(super) has_served: bool,
    pub(super) idle_since: Time,
}

#[derive(Debug)]
pub(super) struct TicketModel {
    pub(super) function: FunctionId,
    pub(super) is_forced: bool,
    pub(super) arrived: Time,
}
