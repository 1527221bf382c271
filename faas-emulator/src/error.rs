//! What ends a command early, in words for the person who typed it.
//!
//! Every message says what happened, where, and what to do. Whoever makes one knows all three; nobody above adds
//! to it. Printed once, by [`crate::main`], which also turns it into the exit code.

use std::fmt;

/// Why a command stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// What was asked for cannot be done: a wrong path, name, port or module. Exit code 2.
    BadInput(String),
    /// It could be done and failed: a build, a function. Exit code 1.
    Failed(String),
}

impl Error {
    /// An [`Error::BadInput`].
    pub fn bad_input(message: impl Into<String>) -> Self {
        Error::BadInput(message.into())
    }

    /// An [`Error::Failed`].
    pub fn failed(message: impl Into<String>) -> Self {
        Error::Failed(message.into())
    }

    /// The exit code that tells scripts which of the two it was.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::BadInput(_) => 2,
            Error::Failed(_) => 1,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::BadInput(message) | Error::Failed(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}
