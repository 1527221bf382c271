//! The scheduler's shell under a scheduler that chooses: every order of its locks, messages, tasks and cancellations is
//! possible here, and thousands are tried, by shuttle at random and by priorities (PCT).
//!
//! What runs is the shell itself, the very files of `src/scheduler/`, compiled a second time in this crate. They name
//! `parking_lot` and `tokio`; here these names mean [`stand_ins`], whose lock and tasks are shuttle's. Nothing in the
//! library knows of it, and no build but this one has shuttle in it. Pool, policies and lease hold no lock and start no
//! task: they are the library's own.
//!
//! A failure prints the schedule that led to it, for [`shuttle::replay`]. `FAAS_SCHEDULES` says how many each test tries.

// the stand-ins are made of the real ones
extern crate tokio as real_tokio;
// in the shell's files these names stand for this crate
extern crate self as parking_lot;
extern crate self as tokio;

mod bench;
mod calls;
mod faults;
mod generations;
mod stand_ins;
mod storm;
mod time;

pub(crate) use faas_core::{clock, invocation, policy, pool, sandbox, transition};
pub(crate) use stand_ins::{Mutex, runtime, sync, task};

#[allow(dead_code, unreachable_pub)]
#[path = "../../src/scheduler/mod.rs"]
mod scheduler;
