//! What is wrong with a trace: for the person who has to mend the file.

use std::{fmt, path::Path};

/// A trace that cannot be replayed: where, what is there, and what belongs there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceError {
    file: String,
    line: Option<u64>,
    what: String,
    expected: Option<String>,
}

impl TraceError {
    pub(super) fn of_file(file: &Path, what: impl Into<String>) -> Self {
        TraceError { file: file.display().to_string(), line: None, what: what.into(), expected: None }
    }

    pub(super) fn at(file: &Path, line: u64, what: impl Into<String>) -> Self {
        TraceError { line: Some(line), ..TraceError::of_file(file, what) }
    }

    pub(super) fn expected(self, what: impl Into<String>) -> Self {
        TraceError { expected: Some(what.into()), ..self }
    }
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.what)?;
        match &self.expected {
            Some(expected) => write!(f, "\nExpected {expected}."),
            None => Ok(()),
        }
    }
}

impl std::error::Error for TraceError {}

/// What a trace lacks and was done without, each kind with a count and its first place. Nothing is left out silently.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes(Vec<Note>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Note {
    what: &'static str,
    count: u64,
    first: String,
}

impl Notes {
    pub(super) fn add(&mut self, what: &'static str, place: impl FnOnce() -> String) {
        match self.0.iter_mut().find(|note| note.what == what) {
            Some(note) => note.count += 1,
            None => self.0.push(Note { what, count: 1, first: place() }),
        }
    }

    /// One line for each kind.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|note| {
            let rows = if note.count == 1 { "row" } else { "rows" };
            format!("{} {rows} {} (first: {})", note.count, note.what, note.first)
        })
    }
}
