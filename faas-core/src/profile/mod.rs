//! Provider profiles: limits, scaling and prices that belong together, switched together.
//!
//! A profile is data: one TOML file a provider, in which every number names its source. `schema` is what such a file
//! may say, `load` reads one and tells what is wrong with it, `resolve` makes a function's settings of what the
//! function asks for and what the provider gives. Prices are applied by [`billing`](crate::billing).

mod load;
mod resolve;
mod schema;

pub use load::{ProfileError, UnknownProfile};
pub use resolve::Unsupported;
pub use schema::{
    BilledTime, Billing, CpuTime, Limits, Plan, Range, Requests, Scaling, Source, Sourced, Usd, WallByMemory,
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
    /// What is billed, and for how much.
    pub billing: Billing,
}
