//! The `faas` command as its users have it: real processes, real sockets, real cargo, real compiled guests.

mod bad_input;
mod billing;
mod clients;
mod commands;
mod events;
mod misbehaving;
mod profiles;
mod reloading;
mod serving;
mod stopping;
mod support;
