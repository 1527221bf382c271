//! What is delivered: a request that nobody waits for, and how its delivery stands. Plain data.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Uri};

use super::state::Key;
use crate::clock::Time;

/// Tells a function that nobody waits for its reply: `async`, or `schedule` when a clock asks. On a request from outside,
/// `async` asks for that.
pub const INVOCATION: HeaderName = HeaderName::from_static("faas-invocation");
/// Tells a function how often it has been asked the same, this time included: 1 the first time. It has failed with the
/// event in each attempt before.
pub const ATTEMPT: HeaderName = HeaderName::from_static("faas-attempt");

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A request.
    Request,
    /// The function's schedule.
    Schedule,
}

impl Cause {
    /// As in the header [`INVOCATION`]: `async` or `schedule`.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Request => "async",
            Cause::Schedule => "schedule",
        }
    }
}

/// An event, whole, as its function will see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its id, the request id of every invocation that delivers it.
    pub id: Arc<str>,
    /// For whom.
    pub function: Arc<str>,
    /// From whom.
    pub cause: Cause,
    /// Of the request.
    pub method: Method,
    /// Of the request.
    pub uri: Uri,
    /// Of the request.
    pub headers: HeaderMap,
    /// Of the request.
    pub body: Bytes,
}

/// How the delivery of an event stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// When it was accepted, or put back.
    pub accepted: Time,
    /// How often its function has failed with it since.
    pub failures: u32,
    /// When it is delivered, if it has been tried.
    pub due: Time,
    /// Why it was not delivered the last time; absent before the first.
    pub error: Option<String>,
    /// When it was given up, if it was.
    pub dead: Option<Time>,
}

/// An event in a list: all but its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its place in the order of acceptance.
    pub key: Key,
    /// Its id.
    pub id: Arc<str>,
    /// For whom.
    pub function: Arc<str>,
    /// From whom.
    pub cause: Cause,
    /// Of its body.
    pub bytes: u64,
    /// How it stands.
    pub status: Status,
}

/// A step of an event on its way, for observers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The event's id.
    pub id: Arc<str>,
    /// For whom.
    pub function: Arc<str>,
    /// What has happened.
    pub what: What,
}

/// What has happened to an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It is written down, and will be delivered.
    Accepted {
        /// From whom it is.
        cause: Cause,
        /// Of its body.
        bytes: u64,
    },
    /// It is delivered.
    Delivered {
        /// In which attempt.
        attempt: u32,
    },
    /// It will be delivered again.
    Retry {
        /// Which attempt has not delivered it.
        attempt: u32,
        /// How long from now.
        wait: std::time::Duration,
        /// Why.
        because: String,
    },
    /// It is given up, and kept as a dead letter.
    Dead {
        /// Why.
        because: String,
    },
    /// It is waiting once more: somebody has put it back.
    PutBack,
    /// The journal could not write or read it.
    JournalFailed {
        /// Why, and what follows.
        because: String,
    },
    /// It was a dead letter, and is thrown away: there are too many.
    ThrownAway,
}
