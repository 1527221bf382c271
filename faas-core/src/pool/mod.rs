//! The warm pool.

mod lease;

pub use lease::Lease;
