//! Rate limits: how often functions may be invoked, and how often in a day.
//!
//! ```text
//! daily   a cap by the day
//! state   tokens, when the next one comes, who is refused: a state machine
//! layer   puts it around a service                    service   refuses invocations that come too soon
//! ```
//!
//! A refused invocation ends as [`RateLimited`](crate::invocation::ErrorKind::RateLimited) or
//! [`DailyCap`](crate::invocation::ErrorKind::DailyCap), is never scheduled, and costs
//! nothing. What it would have cost knows who bills.

mod daily;
mod layer;
mod service;
mod state;

pub use daily::{DailyCap, DailyNotice, Ran};
pub use layer::RateLayer;
pub use service::RateLimited;
pub use state::{Rate, Rates, Refused};

pub use crate::guard::ResponseFuture;

/// Rates that several services keep to together. The lock is held for some arithmetic.
pub type SharedRates = std::sync::Arc<parking_lot::Mutex<Rates>>;
