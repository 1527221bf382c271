//! What a trace would have cost: replays recorded traffic through the pool, the policies and the billing that serve
//! live traffic, in virtual time.
//!
//! ```text
//! trace     files to windows of arrivals: azure2019 (counts by the minute), azure2021 (exact times)
//! arrivals  where in its minute an invocation falls    draw      how long it takes
//! shard     some apps, their arrivals and engines      engine    one pool under one policy, and its events
//! replay    shards on threads, window after window     measure   what is counted
//! report    what is told: table, CSV, JSON
//! ```
//!
//! [`replay`](replay()) may be called by anybody. It reads the trace's files and nothing else: no clock, no
//! randomness but its seed. The same trace, options and seed give the same report on any number of threads.
//!
//! # What is counted
//!
//! - Time runs from the beginning of the trace's first minute to the end of its last. An invocation that arrives in
//!   that time counts whole, with its start and its bill, even if it ends later; idle memory counts until the
//!   end of the trace.
//! - At one instant, what ends comes before what arrives, and an instance whose keep-alive ends then is gone for who
//!   arrives then.
//! - An app is what has memory and is kept alive; its functions share its instances.

mod arrivals;
mod draw;
mod engine;
mod measure;
mod replay;
mod report;
mod shard;
mod trace;

pub use arrivals::Spread;
pub use draw::ColdStart;
pub use replay::{Options, Progress, replay};
pub use report::{PolicyReport, Report};
pub use trace::{Durations, Notes, Strictness, Trace, TraceError};
