//! From saved source to served function.
//!
//! ```text
//! project ──▶ build ──▶ load ──▶ release ──▶ swap (scheduler and routes)
//!    ▲          ▲ cargo                           │
//!    └──────── session ◀── watch ◀── depinfo ◀────┘
//!                 └── coordinator: when to build       (ahead: compiles while cargo finishes)
//! ```
//!
//! [`coordinator`], [`depinfo`] and [`release`] are pure. Nothing here serves requests: [`session`] hands each
//! release to the [`Host`](crate::host::Host), and a release that cannot be made changes nothing.

mod ahead;
pub mod build;
pub mod coordinator;
pub mod depinfo;
mod guard;
pub mod load;
pub mod project;
pub mod release;
pub mod session;
pub mod watch;
