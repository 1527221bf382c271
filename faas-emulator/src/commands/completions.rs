//! `faas completions`: the shell's completions, on standard output.

use std::io::Write as _;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::error::Error;

/// Options of `faas completions`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The shell that asks.
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(options: &Options) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut super::Cli::command(), "faas", &mut script);
    std::io::stdout()
        .write_all(&script)
        .map_err(|why| Error::failed(format!("the completions cannot be written: {why}")))
}
