//! The scheduler as its users see it: a tower service over sandboxes, in virtual time.

mod ahead;
mod bench_top;
mod guards;
mod lifecycle;
mod limits;
mod native;
mod shares;
mod storm;
