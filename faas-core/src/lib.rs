//! Serverless functions in Rust: write once, run in a metered sandbox on the laptop, ship anywhere.
//!
//! ```
//! use faas_core::{Request, function};
//!
//! #[function]
//! async fn hello(request: Request) -> String {
//!     format!("Hello, {}!\n", request.uri().query().unwrap_or("world"))
//! }
//!
//! faas_core::main!();
//! ```
//!
//! That is a whole crate: `faas dev` serves it, and in `cargo test` the function is an `async fn` like any other.
//! [`function`](macro@function) says what can be one.
//!
//! # Map
//!
//! ```text
//! guest half (default, small)                host half (feature `host`, never on wasm)
//!   function   what a function is              invocation  what flows: Invocation, Reply, Record
//!   event      arguments and replies           scheduler   admission, queue     pool    who is warm
//!   body context error                         policy      how long             clock   injected time
//!   guest      executor, exports (wasm)        sandbox     where code runs: native, wasmer
//!   native     block_on, sleep (elsewhere)     profile     a provider's rules   billing dollars
//!                                              recursion   loops of calls       sim     replays traces
//!                                              budget      caps in dollars     rate    how often
//!                                              limits      who comes near one  knock   who may come
//!                                              delivery    events, retried     schedule  cron
//!                                              printable   text of strangers
//!                                              testing     functions in virtual time (feature `testing`)
//!                            abi: the contract between the halves
//! ```
//!
//! This is the only file with feature `cfg`s for modules.

pub mod abi;
mod body;
mod context;
mod error;
#[doc(hidden)]
pub mod event;
pub mod function;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod guest;
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
pub mod native;

#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod billing;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod budget;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod clock;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod delivery;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
mod guard;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod invocation;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod knock;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod limits;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod policy;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod pool;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod printable;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod profile;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod rate;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod recursion;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod sandbox;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod schedule;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod scheduler;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod sim;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod stack;
#[cfg(all(feature = "testing", not(target_family = "wasm")))]
pub mod testing;
#[cfg(all(feature = "testing", feature = "wasmer", not(target_family = "wasm")))]
#[path = "testing/modules.rs"]
mod testing_modules;
#[cfg(all(feature = "host", not(target_family = "wasm")))]
pub mod transition;

pub use body::Body;
pub use bytes::Bytes;
pub use context::Context;
pub use error::{Error, Result};
pub use event::{IntoResponse, Json};
pub use faas_macros::function;
#[cfg(all(feature = "testing", not(target_family = "wasm")))]
pub use faas_macros::test;
pub use function::{Function, ReplyFuture};
pub use http::{self, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
#[cfg(not(target_family = "wasm"))]
pub use native::block_on;

#[cfg(target_family = "wasm")]
pub use guest::{now, sleep};
#[cfg(not(target_family = "wasm"))]
pub use native::{now, sleep};

/// What a function is asked.
pub type Request = http::Request<Body>;

/// What a function replies.
pub type Response = http::Response<Body>;

/// Makes a crate of `#[function]`s a program: `faas_core::main!();`, once, in `src/main.rs`.
///
/// Compiled to wasm, the program exports what a host of [`abi`] calls. Elsewhere it tells which functions it has.
#[cfg(target_family = "wasm")]
#[macro_export]
macro_rules! main {
    () => {
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        pub extern "C" fn faas_v1_init() -> i32 {
            $crate::guest::init()
        }

        #[doc(hidden)]
        #[unsafe(no_mangle)]
        pub extern "C" fn faas_v1_poll(call: u32) -> i32 {
            $crate::guest::poll(call)
        }

        #[doc(hidden)]
        #[unsafe(no_mangle)]
        pub extern "C" fn faas_v1_cancel(call: u32) {
            $crate::guest::cancel(call)
        }

        fn main() {}
    };
}

/// Makes a crate of `#[function]`s a program: `faas_core::main!();`, once, in `src/main.rs`.
///
/// Compiled to wasm, the program exports what a host of [`abi`] calls. Elsewhere it tells which functions it has.
#[cfg(not(target_family = "wasm"))]
#[macro_export]
macro_rules! main {
    () => {
        fn main() {
            $crate::native::main()
        }
    };
}
