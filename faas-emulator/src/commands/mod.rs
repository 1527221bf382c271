//! The command line: one file a command, each with its options and a `run`.

pub mod bill;
pub mod completions;
pub mod dev;
pub mod estimate;
pub mod events;
pub mod invoke;
pub mod list;
pub mod new;
mod plot;
pub mod profiles;
pub mod simulate;
pub mod trust;
pub mod tune;

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::{Parser, Subcommand};
use tokio::task::JoinHandle;

use crate::{
    console::Console,
    error::Error,
    host::Host,
    reload::{load::Loader, project::Project},
};

/// A serverless cloud on the laptop: runs Rust functions cold, warm, limited, metered and billed.
#[derive(Debug, Parser)]
#[command(name = "faas", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve functions, and reload them when their sources change
    Dev(dev::Options),
    /// Invoke one function, and say what it cost
    Invoke(invoke::Options),
    /// List asynchronous events that are not delivered, or put dead letters back
    Events(events::Options),
    /// Begin a crate with a function
    New(new::Options),
    /// List functions, their routes and settings
    List(list::Options),
    /// Print the bill of the last or running session, and check it against a baseline
    Bill(bill::Options),
    /// Price use that you state, without running anything
    #[command(allow_negative_numbers = true)]
    // to say of one that it is one, where it would be no option
    Estimate(Box<estimate::Options>),
    /// List providers' profiles, or print one with its sources
    Profiles(profiles::Options),
    /// Try a function with every memory, and find the cheapest that is enough
    Tune(tune::Options),
    /// Replay a trace under several keep-alive policies, and compare what they would have cost
    Simulate(simulate::Options),
    /// Say how browsers and tools come to trust the certificates of `faas dev --tls`
    Trust(trust::Options),
    /// Print completions for a shell
    Completions(completions::Options),
}

/// Runs the command.
///
/// # Errors
/// What it could not do, in words for a person.
pub fn run(cli: Cli) -> Result<ExitCode, Error> {
    match cli.command {
        Command::Dev(options) => block_on(dev::run(options)),
        Command::Invoke(options) => block_on(invoke::run(options)),
        Command::Events(options) => block_on(events::run(options)).map(|()| ExitCode::SUCCESS),
        Command::New(options) => new::run(&options).map(|()| ExitCode::SUCCESS),
        Command::List(options) => block_on(list::run(options)).map(|()| ExitCode::SUCCESS),
        Command::Bill(options) => block_on(bill::run(options)).map(|()| ExitCode::SUCCESS),
        Command::Estimate(options) => estimate::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Profiles(options) => profiles::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Tune(options) => block_on(tune::run(options)),
        Command::Simulate(options) => simulate::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Trust(options) => block_on(trust::run(options)).map(|()| ExitCode::SUCCESS),
        Command::Completions(options) => completions::run(&options).map(|()| ExitCode::SUCCESS),
    }
}

/// How long a process whose command has ended waits for what still compiles. Nearly all modules take less.
const LAST_WORK: Duration = Duration::from_secs(5);

/// Runs a command. One worker a core, two at least, and one that the sandbox keeps for when guests hold all others.
fn block_on<T>(command: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(2) + 1)
        .on_thread_start(faas_core::sandbox::wasmer::run_promptly)
        .enable_all()
        .build()
        .map_err(|why| Error::failed(format!("the operating system refuses threads: {why}")))?;
    let result = runtime.block_on(command);
    // what computes on a thread of its own ends with the process, but a compiler that is not done when the process exits panics
    runtime.shutdown_timeout(LAST_WORK);
    result
}

/// Runs what blocks where blocking is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    joined(tokio::task::spawn_blocking(work)).await
}

/// Waits for a part of the emulator that runs by itself.
pub(crate) async fn joined<T>(part: JoinHandle<Result<T, Error>>) -> Result<T, Error> {
    part.await.unwrap_or_else(|why| Err(Error::failed(format!("a part of the emulator failed: {why}"))))
}

/// What builds and loads a project once, for a command that does not serve it.
fn loader(host: &Host, project: Project) -> Loader {
    Loader {
        project,
        release: false,
        color: stderr_has_color(),
        runtime: host.runtime().clone(),
        clock: host.clock().clone(),
    }
}

/// Lets the console write what it still has to say.
async fn close(console: Arc<Console>) -> Result<(), Error> {
    blocking(move || {
        console.close();
        Ok(())
    })
    .await
}

/// Whether the compiler's words should be coloured.
fn stderr_has_color() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_words_are_told_with_the_right_ones() {
        let told = |args: &[&str]| {
            let error = Cli::try_parse_from(args).expect_err("wrong");
            assert_eq!(error.exit_code(), 2);
            error.to_string()
        };
        insta::assert_snapshot!(told(&["faas", "def"]), @r"
        error: unrecognized subcommand 'def'

          tip: a similar subcommand exists: 'dev'

        Usage: faas <COMMAND>

        For more information, try '--help'.
        ");
        insta::assert_snapshot!(told(&["faas", "dev", "--port", "70000"]), @r"
        error: invalid value '70000' for '--port <PORT>': 70000 is not in 0..=65535

        For more information, try '--help'.
        ");
        insta::assert_snapshot!(told(&["faas", "new", "x", "--template", "grpc"]), @r"
        error: invalid value 'grpc' for '--template <TEMPLATE>'
          [possible values: http, event, axum]

        For more information, try '--help'.
        ");
    }
}
