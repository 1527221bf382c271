//! Tests of functions under virtual time: real functions, natively or as wasm, behind the real scheduler, warm pool and bill; only
//! time is not real. An hour of keep-alive takes a millisecond, and the same seed gives the same transcript.
//!
//! For `[dev-dependencies]`, with the feature `testing`. It reads no clock, sleeps nowhere and opens no socket.
//!
//! ```
//! use std::time::Duration;
//! use faas_core::{Request, function, testing::Cloud};
//!
//! #[function]
//! async fn hello(_: Request) -> &'static str {
//!     faas_core::sleep(Duration::from_millis(50)).await;
//!     "Hello!"
//! }
//!
//! # faas_core::testing::run(async {
//! // in a test: #[faas_core::test] async fn stays_warm_for_ten_minutes(cloud: Cloud) { … }
//! let cloud = Cloud::new(); // every #[function] of this crate, under `aws-lambda`
//! assert!(cloud.get("hello").await.is_cold());
//! cloud.advance(Duration::from_secs(599)).await;
//! assert!(cloud.get("hello").await.is_warm());
//! cloud.advance(Duration::from_secs(3600)).await;
//! assert!(cloud.get("hello").await.is_cold());
//! # });
//! ```
//!
//! ```text
//! run       drives a test: time moves on when everybody waits for it
//! cloud     functions, invocations, time        builder   profile, policy, seed, chaos
//! events    what nobody waits for: retries, dead letters, schedules
//! served    a #[function] as the scheduler's sandbox, with its start's latency and chaos
//! modules   compiled modules, in the sandbox    answer, bill   what a test asserts on
//! journal   what was reported
//! ```

mod answer;
mod bill;
mod builder;
mod cloud;
mod events;
mod journal;
mod run;
mod served;

pub use answer::Answer;
pub use bill::Bill;
pub use builder::{Builder, Chaos};
pub use cloud::{Call, Cloud};
pub use run::{START, run};
