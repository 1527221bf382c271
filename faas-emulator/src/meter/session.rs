//! What a session used, in a form that outlives it: `faas bill` prices it later, under its own profile and under others.
//!
//! Plain data. Quantities are whole numbers and kept as such: rounding was done invocation by invocation, under each profile.

use std::collections::BTreeMap;

use faas_core::{
    billing::{Quantities, Standby},
    profile::Profile,
};
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
    /// By profile and function, what is billed of invocations; its own profile among them.
    pub billed: BTreeMap<String, BTreeMap<String, Quantities>>,
    /// By function, the instances that were kept ready.
    #[serde(default)]
    pub kept: BTreeMap<String, Vec<Standby>>,
}

/// What one function did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Invocations that an instance served.
    pub served: u64,
    /// Those of them that waited for a start.
    pub cold: u64,
    /// Those of them that an instance served which is kept ready.
    #[serde(default)]
    pub provisioned: u64,
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
    /// What is billed of invocations under this profile, by function.
    pub fn under(&self, profile: &str) -> impl Iterator<Item = (&str, &Quantities)> {
        self.billed.get(profile).into_iter().flatten().map(|(name, used)| (name.as_str(), used))
    }

    /// What is billed under this profile, by function: invocations, and the instances that were kept ready.
    pub fn used(&self, profile: &Profile) -> BTreeMap<&str, Quantities> {
        self.scaled(profile, |used| *used, |time_ns| time_ns)
    }

    /// The same of a longer or shorter session like this one: `scale` says how much is used in it, and `lasts` how long what
    /// was kept ready so many nanoseconds is kept ready in it. Time is rounded then, and not before.
    pub fn scaled(
        &self,
        profile: &Profile,
        scale: impl Fn(&Quantities) -> Quantities,
        lasts: impl Fn(u64) -> u64,
    ) -> BTreeMap<&str, Quantities> {
        let mut all: BTreeMap<&str, Quantities> =
            self.under(&profile.name).map(|(name, used)| (name, scale(used))).collect();
        for (name, kept) in &self.kept {
            let kept: Vec<Standby> =
                kept.iter().map(|one| Standby { time_ns: lasts(one.time_ns), ..*one }).collect();
            let used = all.entry(name).or_default();
            *used += profile.standby(&kept, used);
        }
        all
    }

    /// What all functions did, together.
    pub fn load(&self) -> Load {
        self.functions.values().fold(Load::default(), |sum, one| Load {
            served: sum.served + one.served,
            cold: sum.cold + one.cold,
            provisioned: sum.provisioned + one.provisioned,
            refused: sum.refused + one.refused,
            memory_mib: sum.memory_mib.max(one.memory_mib),
            init_ns: sum.init_ns.saturating_add(one.init_ns),
            handler_ns: sum.handler_ns.saturating_add(one.handler_ns),
            cpu_ns: sum.cpu_ns.saturating_add(one.cpu_ns),
        })
    }
}
