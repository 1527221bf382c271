//! Events as they are written down: heads and statuses as JSON, bodies as they are. Pure.
//!
//! Fields are added, never renamed; a file that another version wrote in another form has another number.

use std::time::Duration;

use bytes::Bytes;
use faas_core::{
    clock::Time,
    delivery::{Cause, Key, Letter, Listed, Status},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

/// The form that is written and read.
pub(super) const FORMAT: u64 = 1;

/// An event but for its body and how it stands.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Head {
    id: String,
    function: String,
    cause: Why,
    method: String,
    uri: String,
    /// Values byte by byte, as the characters with these numbers: most are ASCII, and all can be read back.
    headers: Vec<(String, String)>,
    bytes: u64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Why {
    Request,
    Schedule,
}

/// How an event stands; times in milliseconds since the Unix epoch.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stand {
    accepted_unix_ms: u64,
    failures: u32,
    due_unix_ms: u64,
    error: Option<String>,
    dead_unix_ms: Option<u64>,
}

impl Head {
    pub(super) fn of(letter: &Letter) -> Self {
        let text = |value: &HeaderValue| value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
        Head {
            id: letter.id.to_string(),
            function: letter.function.to_string(),
            cause: match letter.cause {
                Cause::Request => Why::Request,
                Cause::Schedule => Why::Schedule,
            },
            method: letter.method.to_string(),
            uri: letter.uri.to_string(),
            headers: letter.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            bytes: letter.body.len() as u64,
        }
    }

    fn cause(&self) -> Cause {
        match self.cause {
            Why::Request => Cause::Request,
            Why::Schedule => Cause::Schedule,
        }
    }

    /// The event, with its body; nothing if it is not what was written.
    pub(super) fn into_letter(self, body: Bytes) -> Option<Letter> {
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            let bytes: Option<Vec<u8>> = value.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            headers.append(name, HeaderValue::from_bytes(&bytes?).ok()?);
        }
        Some(Letter {
            cause: self.cause(),
            id: self.id.into(),
            function: self.function.into(),
            method: self.method.parse().ok()?,
            uri: self.uri.parse().ok()?,
            headers,
            body,
        })
    }

    pub(super) fn listed(self, key: Key, stand: Stand) -> Listed {
        Listed {
            key,
            cause: self.cause(),
            id: self.id.into(),
            function: self.function.into(),
            bytes: self.bytes,
            status: stand.into_status(),
        }
    }
}

impl Stand {
    pub(super) fn of(status: &Status) -> Self {
        Stand {
            accepted_unix_ms: status.accepted.unix_millis(),
            failures: status.failures,
            due_unix_ms: status.due.unix_millis(),
            error: status.error.clone(),
            dead_unix_ms: status.dead.map(Time::unix_millis),
        }
    }

    fn into_status(self) -> Status {
        let at = |ms| Time::EPOCH + Duration::from_millis(ms);
        Status {
            accepted: at(self.accepted_unix_ms),
            failures: self.failures,
            due: at(self.due_unix_ms),
            error: self.error,
            dead: self.dead_unix_ms.map(at),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn letter(id: &str) -> Letter {
        let mut headers = HeaderMap::new();
        headers.append("x-twice", HeaderValue::from_static("a"));
        headers.append("x-twice", HeaderValue::from_bytes(b"\xff b").expect("opaque"));
        Letter {
            id: id.into(),
            function: "hello".into(),
            cause: Cause::Request,
            method: http::Method::PUT,
            uri: "/a?b=%C3%A4".parse().expect("a target"),
            headers,
            body: Bytes::from_static(b"\x00\xff body"),
        }
    }

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let letter = letter("id");
        let json = serde_json::to_string(&Head::of(&letter)).expect("plain data");
        insta::assert_snapshot!(json, @r#"{"id":"id","function":"hello","cause":"request","method":"PUT","uri":"/a?b=%C3%A4","headers":[["x-twice","a"],["x-twice","ÿ b"]],"bytes":7}"#);
        let head: Head = serde_json::from_str(&json).expect("it was just written");
        assert_eq!(head.into_letter(letter.body.clone()), Some(letter));
    }

    #[test]
    fn what_was_not_written_so_is_none() {
        let json = serde_json::to_string(&Head::of(&letter("id"))).expect("plain data");
        for (from, to) in [("PUT", "P T"), ("x-twice", "x twice"), ("ÿ", "Ω"), ("/a", "a b")] {
            let head: Head = serde_json::from_str(&json.replace(from, to)).expect("still JSON");
            assert_eq!(head.into_letter(Bytes::new()), None, "{to}");
        }
    }
}
