//! A serverless cloud on the laptop: the `faas` command, and the parts it is made of.
//!
//! ```text
//! commands ─▶ host: gateway ─▶ scheduler (faas-core) ─▶ sandbox
//!    │          ▲   ▲            └▶ meter ─▶ console
//!    │          │   └ trigger: clients on a socket
//!    └─▶ reload ┘ new generations
//! ```
//!
//! - [`commands`]: one file a command.
//! - [`trigger`]: the outside world. [`gateway`]: HTTP to invocations and back.
//! - [`host`]: what is served: settings, routes, deployments. [`meter`]: what it costs. [`profiles`]: whose rules;
//!   [`mimicry`]: and how slow they are. [`events`]: what nobody waits for: written down, delivered later.
//! - [`keeping`]: what of a session outlives the process. [`recording`]: what functions are asked, for `faas tune`.
//! - [`reload`]: from saved source to served function.
//! - [`console`]: what is said meanwhile.
//!
//! Everything about running, limiting and billing functions is `faas-core`'s; this crate connects it to sockets,
//! files and people.

pub mod commands;
pub mod console;
pub mod error;
pub mod events;
pub mod gateway;
pub mod host;
pub mod keeping;
pub mod meter;
pub mod mimicry;
pub mod paths;
pub mod profiles;
pub mod recording;
pub mod reload;
pub mod trigger;

use std::process::ExitCode;

use clap::Parser as _;

/// The `faas` command, from its arguments to its exit code.
pub fn main() -> ExitCode {
    match commands::run(commands::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            use std::io::Write as _;
            let style = anstyle::AnsiColor::Red.on_default().bold();
            // with standard error closed there is nobody to tell
            let words = error.to_string();
            let words = faas_core::printable::on_lines(&words);
            let _ = writeln!(anstream::stderr(), "{style}error{style:#}: {words}");
            ExitCode::from(error.exit_code())
        }
    }
}
