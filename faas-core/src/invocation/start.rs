//! How an invocation got its instance, and what that took: plain data.

use std::time::Duration;

/// How an invocation got its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    /// An instance was started for it.
    Cold,
    /// An instance was ready.
    Warm,
}

impl Start {
    /// `cold` or `warm`.
    pub fn as_str(self) -> &'static str {
        match self {
            Start::Cold => "cold",
            Start::Warm => "warm",
        }
    }
}

/// What a cold instance was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Nothing: it was made anew and ran its init.
    Plain,
    /// A copy of what the init of its function's first instance has left.
    Snapshot,
    /// An instance that was retired, and put back to that snapshot.
    Recycled,
}

impl Origin {
    /// `plain`, `snapshot` or `recycled`.
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Plain => "plain",
            Origin::Snapshot => "snapshot",
            Origin::Recycled => "recycled",
        }
    }
}

/// What making an instance took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Init {
    /// What it was made from.
    pub origin: Origin,
    /// Wall time of start and init.
    pub wall: Duration,
    /// CPU time of the guest's init; zero when it did not run.
    pub cpu: Duration,
    /// What was added to it, to be as slow as a provider.
    pub injected: Injected,
}

impl Init {
    /// All that whoever waited for it has waited, what was injected included.
    pub fn took(&self) -> Duration {
        self.wall + self.injected.start()
    }
}

/// Time in which nothing ran: waited, or only counted, to be as slow as a provider. Zero unless mimicry was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Injected {
    /// Of a cold start, the provider's own part: a place is found, code is fetched, a machine boots. Nobody bills it.
    pub platform: Duration,
    /// Of a cold start, what counts as init: billed where init is.
    pub init: Duration,
    /// How much longer the handler took with its memory's share of a CPU. It is part of
    /// [`handler_wall`](super::Usage::handler_wall), and billed as that is.
    pub throttled: Duration,
}

impl Injected {
    /// Of a cold start, all of it.
    pub fn start(&self) -> Duration {
        self.platform + self.init
    }

    /// Whether there is any.
    pub fn is_some(&self) -> bool {
        *self != Injected::default()
    }
}
