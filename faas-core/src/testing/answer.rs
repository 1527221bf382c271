//! What a test gets of an invocation: reply, record, cost.

use bytes::Bytes;
use http::HeaderMap;
use rust_decimal::Decimal;
use serde::de::DeserializeOwned;

use crate::{
    StatusCode,
    invocation::{End, InvocationError, Record, Start},
};

/// What became of an invocation.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Everything that was measured. CPU time and memory of native functions are not.
    pub record: Record,
    /// The reply's headers; none when it failed.
    pub headers: HeaderMap,
    /// The reply's body, or what had come of it.
    pub body: Bytes,
    /// Dollars by the profile, exact, before allowances.
    pub cost_usd: Decimal,
}

impl Answer {
    /// Whether an instance was started for it.
    pub fn is_cold(&self) -> bool {
        self.record.start == Some(Start::Cold)
    }

    /// Whether an instance was ready.
    pub fn is_warm(&self) -> bool {
        self.record.start == Some(Start::Warm)
    }

    /// The reply's status; absent when it failed.
    pub fn status(&self) -> Option<StatusCode> {
        match self.record.end {
            End::Replied { status, .. } => Some(status),
            End::Failed(_) | End::Cancelled => None,
        }
    }

    /// Why there is no reply: throttled, timed out, a panic. An error that the function returned is a reply.
    pub fn error(&self) -> Option<&InvocationError> {
        match &self.record.end {
            End::Failed(error) => Some(error),
            End::Replied { .. } | End::Cancelled => None,
        }
    }

    /// How long it took, queue and start included.
    pub fn took(&self) -> std::time::Duration {
        self.record.ended.since(self.record.arrived)
    }

    /// The reply's text.
    ///
    /// # Panics
    /// When there is no reply, or it is no text.
    #[track_caller]
    pub fn text(&self) -> &str {
        if let Some(error) = self.error() {
            panic!("`{}` has not replied: {error}", self.record.function);
        }
        std::str::from_utf8(&self.body).expect("the reply is text")
    }

    /// The reply as JSON.
    ///
    /// # Panics
    /// When there is no reply, or it is not JSON of that shape.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        let text = self.text();
        match serde_json::from_str(text) {
            Ok(value) => value,
            Err(why) => {
                panic!("the reply of `{}` is not what is wanted: {why}\n{text}", self.record.function)
            }
        }
    }
}
