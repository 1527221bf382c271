//! Traces: files to windows of arrivals, in order of time, one window in memory at a time.
//!
//! [`Trace::open`] tells the format by what lies at the path. What is wrong with a file is an error that names file,
//! line and what belongs there; what can be done without is noted, counted and told with the results.
//!
//! Memory grows with the number of functions, and with the invocations of one window (2019: the counts above zero
//! of one day; 2021: what is out of order), never with the trace's length.

mod azure2019;
mod azure2021;
mod error;
mod folder;
mod table;

pub use error::{Notes, TraceError};

use std::{fs::File, io::BufReader, path::Path};

use self::{azure2019::Azure2019, azure2021::Azure2021, folder::Found};

pub(super) const MINUTE_NS: u64 = 60_000_000_000;

/// What to do where a row of one file lacks its counterpart in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    /// Do with the median of the others, and say so. The published data sets need it.
    #[default]
    Lenient,
    /// Refuse the trace.
    Strict,
}

/// How long a function's invocations take: the durations in nanoseconds at the percentiles 0, 1, 25, 50, 75, 99 and
/// 100, without cold starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durations(pub [u64; 7]);

/// What is kept alive: the functions of one app share its memory and its instances.
#[derive(Debug)]
pub(super) struct App {
    pub(super) memory_mib: u32,
}

/// A function of the trace.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) app: u32,
    pub(super) durations: Durations,
}

/// What the trace has named so far. Only grows.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    pub(super) apps: Vec<App>,
    pub(super) functions: Vec<Function>,
}

/// How often a function was invoked, by the minute: those minutes in which it was.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) function: u32,
    /// Minutes since the window began, rising.
    pub(super) minutes: Box<[u16]>,
    pub(super) counts: Box<[u32]>,
}

/// An invocation whose moment and duration are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exact {
    /// Nanoseconds since the trace began.
    pub(super) at: u64,
    pub(super) duration_ns: u64,
    pub(super) function: u32,
}

/// A stretch of the trace.
#[derive(Debug)]
pub(super) struct Window {
    /// Nanoseconds since the trace began.
    pub(super) from: u64,
    /// Where the trace ends, if nothing follows.
    pub(super) until: u64,
    pub(super) arrivals: Arrivals,
}

#[derive(Debug)]
pub(super) enum Arrivals {
    /// One row a function, in no particular order.
    Counts(Vec<Counts>),
    /// In order of time.
    Exact(Vec<Exact>),
}

/// A trace, being read.
#[derive(Debug)]
pub struct Trace {
    source: Source,
    pub(super) catalog: Catalog,
    pub(super) notes: Notes,
}

#[derive(Debug)]
enum Source {
    Azure2019(Box<Azure2019>),
    Azure2021(Box<Azure2021>),
}

impl Trace {
    /// Opens the trace at `path`: a folder of the Azure 2019 data set's form, or a file of the 2021 one's, or a folder with nothing
    /// else in it.
    ///
    /// # Errors
    /// When there is none, or its first rows show that it is none.
    pub fn open(path: &Path, strictness: Strictness) -> Result<Self, TraceError> {
        let (mut catalog, notes) = (Catalog::default(), Notes::default());
        let found = if path.is_dir() { folder::find(path)? } else { Found::File(path.to_owned()) };
        let source = match found {
            Found::Days(days) => Source::Azure2019(Box::new(Azure2019::of(days, strictness))),
            Found::File(file) => Source::Azure2021(Box::new(Azure2021::open(&file, &mut catalog)?)),
        };
        Ok(Trace { source, catalog, notes })
    }

    /// The format's name.
    pub fn format(&self) -> &'static str {
        match self.source {
            Source::Azure2019(_) => "azure-2019",
            Source::Azure2021(_) => "azure-2021",
        }
    }

    /// Whether the trace has counts for minutes, so that moments have to be drawn.
    pub fn is_counted(&self) -> bool {
        matches!(self.source, Source::Azure2019(_))
    }

    pub(super) fn next_window(&mut self) -> Result<Option<Window>, TraceError> {
        match &mut self.source {
            Source::Azure2019(days) => days.next_window(&mut self.catalog, &mut self.notes),
            Source::Azure2021(rows) => rows.next_window(),
        }
    }
}

fn open(path: &Path) -> Result<BufReader<File>, TraceError> {
    match File::open(path) {
        Ok(file) => Ok(BufReader::with_capacity(1 << 18, file)),
        Err(why) => Err(TraceError::of_file(path, format!("cannot be read: {why}"))),
    }
}
