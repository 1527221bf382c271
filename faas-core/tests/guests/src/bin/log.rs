//! Writes to every log there is.

use faas_core::function;

#[function]
async fn log() {
    println!("to standard output");
    eprintln!("to standard error");
    tracing::error!(code = 7, "an error");
    tracing::warn!("a warning");
    tracing::info!(user = "ada", "some information");
    tracing::debug!("a detail");
    tracing::trace!("a trifle");
    print!("an unfinished line");
    // std keeps what has no newline until it is told
    use std::io::Write as _;
    let _ = std::io::stdout().flush();
}

faas_core::main!();
