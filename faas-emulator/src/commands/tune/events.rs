//! What a function is asked while it is tuned: what was given, what a session has recorded, or nothing.

use bytes::Bytes;
use faas_core::{
    abi::manifest::{Entry, Kind},
    invocation::RequestBody,
    schedule::rfc3339,
};
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};

use crate::{
    error::Error,
    recording::{Recorded, Recording},
};

/// What is asked, in turn.
#[derive(Debug)]
pub(super) enum Events {
    /// What the command line says.
    Given(Vec<Bytes>),
    /// What `faas dev --record` has seen; at least one.
    Recorded(Recording),
    /// A GET, or `null` of a function of an event.
    Nothing,
}

impl Events {
    /// What was given; what was recorded if nothing was.
    pub(super) fn of(given: Vec<Bytes>, recorded: Option<Recording>) -> Self {
        match recorded {
            _ if !given.is_empty() => Events::Given(given),
            Some(recording) if !recording.events.is_empty() => Events::Recorded(recording),
            _ => Events::Nothing,
        }
    }

    fn len(&self) -> usize {
        match self {
            Events::Given(all) => all.len(),
            Events::Recorded(recording) => recording.events.len(),
            Events::Nothing => 0,
        }
    }

    /// How many requests are enough if nobody says: those that were recorded once each, and twenty in any case.
    pub(super) fn requests(&self) -> u32 {
        let recorded = if matches!(self, Events::Recorded(_)) { self.len() } else { 0 };
        u32::try_from(recorded).unwrap_or(u32::MAX).max(20)
    }

    /// The `n`th request to this function.
    pub(super) fn request(&self, n: usize, entry: &Entry) -> Result<Request<RequestBody>, Error> {
        let turn = n % self.len().max(1);
        match self {
            Events::Recorded(recording) => again(&recording.events[turn]),
            Events::Given(all) => asked(Some(all[turn].clone())),
            Events::Nothing if entry.kind == Kind::Event => asked(Some(Bytes::from_static(b"null"))),
            Events::Nothing => asked(None),
        }
    }

    /// What to look at when the function refuses what it is asked.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Events::Given(_) | Events::Nothing => "is the event (--data) one that it knows?",
            Events::Recorded(_) => {
                "it was recorded, but for headers that say who asks: `faas dev --record-header NAME` records one"
            }
        }
    }

    /// For people; nothing to say of what they have given themselves.
    pub(super) fn told(&self) -> Option<String> {
        match self {
            Events::Given(_) => None,
            Events::Recorded(recording) => {
                let [first, last] = ends(recording);
                let count = recording.events.len();
                let of = if recording.seen == count as u64 {
                    String::new()
                } else {
                    format!(" of {}", recording.seen)
                };
                let requests = if count == 1 && of.is_empty() { "request" } else { "requests" };
                Some(format!("asked what `faas dev --record` has recorded: {count}{of} {requests}, from {first} to {last}"))
            }
            Events::Nothing => Some(
                "asked nothing in particular: --data gives it events, and `faas dev --record` records what it is asked".into(),
            ),
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        match self {
            Events::Given(all) => json!({ "from": "given", "count": all.len() }),
            Events::Recorded(recording) => {
                let [first, last] = ends(recording);
                json!({
                    "from": "recorded",
                    "count": recording.events.len(),
                    "seen": recording.seen,
                    "first": first,
                    "last": last,
                })
            }
            Events::Nothing => json!({ "from": "nothing", "count": 0 }),
        }
    }
}

/// When the first and the last were recorded.
fn ends(recording: &Recording) -> [String; 2] {
    [recording.events.first(), recording.events.last()]
        .map(|event| event.map_or_else(String::new, |event| rfc3339(event.at)))
}

/// As `faas invoke` asks.
fn asked(data: Option<Bytes>) -> Result<Request<RequestBody>, Error> {
    let mut request = Request::builder()
        .method(if data.is_some() { "POST" } else { "GET" })
        .uri("/")
        .header(header::HOST, "localhost");
    if let Some(data) = &data {
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok();
        let kind = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
        request = request.header(header::CONTENT_TYPE, kind);
    }
    request
        .body(whole(data.unwrap_or_default()))
        .map_err(|why| Error::failed(format!("the event cannot be sent: {why}")))
}

/// As it was recorded.
fn again(recorded: &Recorded) -> Result<Request<RequestBody>, Error> {
    let Recorded { method, uri, headers, body, at: _ } = recorded.clone();
    let mut request = Request::new(whole(body));
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
    Ok(request)
}

fn whole(bytes: Bytes) -> RequestBody {
    Full::from(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// What is given, in turn.
pub(super) fn given(data: &[String]) -> Result<Vec<Bytes>, Error> {
    let mut events = Vec::new();
    for data in data {
        let bytes = super::super::invoke::read(data)?;
        let is_lines = data.starts_with('@') && [".jsonl", ".ndjson"].iter().any(|end| data.ends_with(end));
        if !is_lines {
            events.push(bytes);
            continue;
        }
        let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        events.extend(lines.filter(|line| !line.is_empty()).map(|line| bytes.slice_ref(line)));
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_lines_is_an_event_a_line() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("events.jsonl");
        std::fs::write(&file, "{\"n\":1}\n\n  {\"n\":2}\r\n").expect("it can be written");
        let events = given(&["7".into(), format!("@{}", file.display())]).expect("they can be read");
        assert_eq!(events, [&b"7"[..], b"{\"n\":1}", b"{\"n\":2}"]);
    }
}
