//! Records what functions are asked, for `faas tune`: a sample of each function's requests, in its project's state.
//!
//! ```text
//! sample   which of many are kept, within bounds: pure      recorder  one sample a function
//! layer    sees requests pass, bodies as they are read      file      how a sample is written down
//! ```
//!
//! Nothing is recorded unless `faas dev --record` says so: what people send may hold what should not lie on a disk. Of
//! headers only those are kept that say how a request is to be read ([`HEADERS`]), and those that are named; path, query
//! and body are kept as they are. Recording changes no request and delays none.

mod file;
mod layer;
mod recorder;
mod sample;

use bytes::Bytes;
use faas_core::clock::Time;
use http::{HeaderMap, HeaderName, Method, Uri, header};

pub use file::{parse, render};
pub use layer::RecordLayer;
pub use recorder::Recorder;
pub use sample::{MAX_BYTES, MAX_EVENT_BYTES, MAX_EVENTS};

/// The headers that are recorded without being named: none that says who asks.
pub const HEADERS: [HeaderName; 9] = [
    header::ACCEPT,
    header::ACCEPT_CHARSET,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_TYPE,
    header::HOST,
    header::RANGE,
];

/// A request, as its function saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// When it came.
    pub at: Time,
    /// How.
    pub method: Method,
    /// For what: path and query.
    pub uri: Uri,
    /// The headers that are recorded.
    pub headers: HeaderMap,
    /// What the function read of its body.
    pub body: Bytes,
}

impl Recorded {
    /// About how many bytes it takes.
    fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        headers + self.uri.to_string().len() + self.body.len()
    }
}

/// A sample of a function's requests in one session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    /// Those that were kept, in the order in which they came.
    pub events: Vec<Recorded>,
    /// How many there were.
    pub seen: u64,
    /// Those of them that were too large to be kept.
    pub too_large: u64,
}
