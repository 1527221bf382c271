//! The `faas` command as its users have it: real processes, real sockets, real cargo, real compiled guests.

mod agreement;
mod aws;
mod bad_input;
mod billing;
mod browser;
mod clients;
mod commands;
mod daily;
mod events;
mod hosts;
mod mimicry;
mod misbehaving;
mod profiles;
mod recording;
mod reloading;
mod serving;
mod standby;
mod stopping;
mod support;
mod tls;
mod tls_client;
mod tune;
mod warming;
