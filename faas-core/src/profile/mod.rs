//! Provider profiles: limits, scaling and prices that belong together, switched together.
//!
//! A profile is data: one TOML file a provider, in which every number names its source.
//!
//! ```text
//! schema, prices   what such a file may say           load      reads one, and tells what is wrong with it
//! facts            what it says, entry by entry       check     what contradicts what
//! resolve          a function's settings: what it asks for and what the provider gives
//! scaling          what the scheduler decides by      log       the provider's lines, filled in
//! mimicry          how slow its starts and CPUs are   events    how events are delivered
//! builtin          those that come along
//! ```
//!
//! Prices are applied by [`billing`](crate::billing).

mod builtin;
mod check;
mod events;
mod facts;
mod load;
mod log;
mod mimicry;
mod prices;
mod resolve;
mod scaling;
mod schema;

pub use events::Events;
pub use facts::Fact;
pub use load::{ProfileError, UnknownProfile};
pub use log::LogLines;
pub use prices::{
    Billing, Counts, EventRule, MemoryOf, MemoryRule, Meter, Of, Plan, ProvisionedRule, Quantity, QueueRule,
    ScratchRule, Servers, SnapshotRule, StreamRule, Tier, TimeRule,
};
pub use resolve::Unsupported;
pub use schema::{
    ColdStart, Cpu, ErrorShape, Errors, Limits, Log, LogStatus, Part, Range, Scaling, Source, Sourced, Step,
    Usd,
};

use std::collections::BTreeMap;

/// One provider's rules.
///
/// ```
/// use faas_core::profile::Profile;
///
/// let aws = Profile::named("aws-lambda")?;
/// assert_eq!(aws.limits.timeout_ms.as_ref().map(|t| t.default.value), Some(3_000));
/// # Ok::<(), faas_core::profile::UnknownProfile>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its short name, as on the command line: `aws-lambda`.
    pub name: String,
    /// Provider, product, plan, region: whatever the numbers depend on.
    pub title: String,
    /// Where the numbers are from, by the name that they use.
    pub sources: BTreeMap<String, Source>,
    /// What a function may use.
    pub limits: Limits,
    /// How instances come and go.
    pub scaling: Scaling,
    /// How much CPU an instance has.
    pub cpu: Cpu,
    /// How long starts take.
    pub cold_starts: Vec<ColdStart>,
    /// What clients get when something is wrong.
    pub errors: Errors,
    /// What is written to a function's log.
    pub log: Log,
    /// How events that nobody waits for are delivered.
    pub events: Events,
    /// What is billed, and for how much.
    pub billing: Billing,
    /// All of the above as it was written, each entry with its source.
    pub facts: Vec<Fact>,
}
