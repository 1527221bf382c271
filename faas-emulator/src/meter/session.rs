//! What a session used, in a form that outlives it: `faas bill` prices it later, under its own profile and under others.
//!
//! Plain data. Quantities are whole numbers and kept as such: rounding was done invocation by invocation, under each profile.

use std::collections::BTreeMap;

use faas_core::billing::Quantities;
use serde::{Deserialize, Serialize};

/// A session, ended or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Under whose rules it ran: a name, or the path of a file.
    pub profile: String,
    /// How long it was observed, in milliseconds.
    pub observed_ms: u64,
    /// The most requests that came in one second.
    pub peak_rps: u64,
    /// What each function did.
    pub functions: BTreeMap<String, Load>,
    /// By profile and function, what is billed; its own profile among them.
    pub billed: BTreeMap<String, BTreeMap<String, Quantities>>,
}

/// What one function did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Invocations that an instance served.
    pub served: u64,
    /// Those of them that waited for a start.
    pub cold: u64,
    /// Invocations that were turned away.
    pub refused: u64,
    /// Memory that was configured last.
    pub memory_mib: u32,
    /// Wall time of starts and inits, together.
    pub init_ns: u64,
    /// Wall time of handlers, together.
    pub handler_ns: u64,
    /// CPU time of handlers, together.
    pub cpu_ns: u64,
}

impl Session {
    /// What is billed under this profile, by function.
    pub fn under(&self, profile: &str) -> impl Iterator<Item = (&str, &Quantities)> {
        self.billed.get(profile).into_iter().flatten().map(|(name, used)| (name.as_str(), used))
    }

    /// What all functions did, together.
    pub fn load(&self) -> Load {
        self.functions.values().fold(Load::default(), |sum, one| Load {
            served: sum.served + one.served,
            cold: sum.cold + one.cold,
            refused: sum.refused + one.refused,
            memory_mib: sum.memory_mib.max(one.memory_mib),
            init_ns: sum.init_ns.saturating_add(one.init_ns),
            handler_ns: sum.handler_ns.saturating_add(one.handler_ns),
            cpu_ns: sum.cpu_ns.saturating_add(one.cpu_ns),
        })
    }
}
