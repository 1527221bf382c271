//! Where invocations come from: the outside world, turned into requests for the [`Gateway`](crate::gateway::Gateway).
//!
//! - [`http`]: clients on a socket; [`tls`]: the same by TLS.
//! - [`cron`]: the clock.

pub mod cron;
pub mod http;
mod owner;
pub mod tls;
