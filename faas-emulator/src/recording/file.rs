//! How a recording is written down: a line of JSON that says what it is, and one for each request, so that a person can read
//! and mend it. Pure.
//!
//! Fields are added, never renamed; another form has another number.

use std::time::Duration;

use bytes::Bytes;
use faas_core::clock::Time;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::{Recorded, Recording};

/// The form that is written and read.
const FORMAT: u64 = 1;

#[derive(Serialize, Deserialize)]
struct Head {
    format: u64,
    function: String,
    seen: u64,
    too_large: u64,
}

/// A request. Bytes that are no text stand for themselves one by one, as the characters with these numbers.
#[derive(Serialize, Deserialize)]
struct Line {
    at_unix_ms: u64,
    method: String,
    uri: String,
    headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
}

/// The file's text.
pub fn render(function: &str, recording: &Recording) -> String {
    let Recording { events, seen, too_large } = recording;
    let head = Head { format: FORMAT, function: function.to_owned(), seen: *seen, too_large: *too_large };
    // plain data of strings and numbers is JSON
    let mut text = serde_json::to_string(&head).unwrap_or_default() + "\n";
    for event in events {
        let (text_of_body, bytes) = match std::str::from_utf8(&event.body) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(chars(&event.body))),
        };
        let headers = event.headers.iter();
        let line = Line {
            at_unix_ms: event.at.unix_millis(),
            method: event.method.to_string(),
            uri: event.uri.to_string(),
            headers: headers.map(|(name, value)| (name.to_string(), chars(value.as_bytes()))).collect(),
            text: text_of_body,
            bytes,
        };
        text += &serde_json::to_string(&line).unwrap_or_default();
        text.push('\n');
    }
    text
}

/// The recording of a function that a file's text says.
///
/// # Errors
/// What is wrong with it, with its line.
pub fn parse(function: &str, text: &str) -> Result<Recording, String> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let (_, head) = lines.next().ok_or("it is empty")?;
    let head: Head = serde_json::from_str(head).map_err(|why| format!("line 1: {why}"))?;
    if head.format != FORMAT {
        return Err(format!("line 1: it has form {}, and this version reads form {FORMAT}", head.format));
    }
    if head.function != function {
        return Err(format!("line 1: it is of `{}`", head.function));
    }
    let events = lines.map(|(n, line)| event(line).map_err(|why| format!("line {}: {why}", n + 1)));
    Ok(Recording { events: events.collect::<Result<_, _>>()?, seen: head.seen, too_large: head.too_large })
}

fn event(line: &str) -> Result<Recorded, String> {
    let line: Line = serde_json::from_str(line).map_err(|why| why.to_string())?;
    let mut headers = HeaderMap::with_capacity(line.headers.len());
    for (name, value) in &line.headers {
        let wrong = || format!("`{name}: {value}` is no header");
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let value = HeaderValue::from_bytes(&bytes(value).ok_or_else(wrong)?).map_err(|_| wrong())?;
        headers.append(parsed, value);
    }
    let body = match (line.text, line.bytes) {
        (Some(text), None) => text.into(),
        (None, Some(chars)) => Bytes::from(bytes(&chars).ok_or("`bytes` has a character that is no byte")?),
        (None, None) => Bytes::new(),
        (Some(_), Some(_)) => return Err("a body is `text` or `bytes`".into()),
    };
    Ok(Recorded {
        at: Time::EPOCH + Duration::from_millis(line.at_unix_ms),
        method: line.method.parse().map_err(|_| format!("`{}` is no method", line.method))?,
        uri: line.uri.parse().map_err(|_| format!("`{}` is no path", line.uri))?,
        headers,
        body,
    })
}

fn chars(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn bytes(chars: &str) -> Option<Vec<u8>> {
    chars.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::sample::tests::event as request, *};

    #[test]
    fn a_person_can_read_it() {
        let mut get = request(1_000, "");
        (get.method, get.uri) = (http::Method::GET, "/orders?page=2".parse().expect("a path"));
        get.headers.insert("accept", HeaderValue::from_static("text/html"));
        let events = vec![get, request(2_500, "{\"n\":1}"), request(3_000, &b"\xff\x00"[..])];
        let text = render("orders", &Recording { events, seen: 7, too_large: 1 });
        insta::assert_snapshot!(text, @r#"
        {"format":1,"function":"orders","seen":7,"too_large":1}
        {"at_unix_ms":1000,"method":"GET","uri":"/orders?page=2","headers":[["accept","text/html"]],"text":""}
        {"at_unix_ms":2500,"method":"POST","uri":"/","headers":[],"text":"{\"n\":1}"}
        {"at_unix_ms":3000,"method":"POST","uri":"/","headers":[],"bytes":"ÿ\u0000"}
        "#);
    }

    #[test]
    fn what_is_wrong_with_it_is_told_with_its_line() {
        let head = r#"{"format":1,"function":"f","seen":1,"too_large":0}"#;
        let wrong = |lines: &[&str]| parse("f", &lines.join("\n")).expect_err("it is wrong");
        insta::assert_snapshot!(wrong(&[]), @"it is empty");
        insta::assert_snapshot!(wrong(&["{}"]), @"line 1: missing field `format` at line 1 column 2");
        insta::assert_snapshot!(wrong(&[&head.replace(":1,\"f", ":2,\"f")]), @"line 1: it has form 2, and this version reads form 1");
        insta::assert_snapshot!(wrong(&[&head.replace("\"f\"", "\"g\"")]), @"line 1: it is of `g`");
        let line = r#"{"at_unix_ms":1,"method":"GET","uri":"/","headers":[],"text":""}"#;
        assert!(
            parse("f", &[head, line, "", line].join("\n")).is_ok_and(|recording| recording.events.len() == 2)
        );
        insta::assert_snapshot!(wrong(&[head, line, &line.replace("GET", "G T")]), @"line 3: `G T` is no method");
        insta::assert_snapshot!(wrong(&[head, &line.replace("[]", r#"[["a b","c"]]"#)]), @"line 2: `a b: c` is no header");
        insta::assert_snapshot!(wrong(&[head, &line.replace("text", "bytes").replace("\"\"", "\"€\"")]), @"line 2: `bytes` has a character that is no byte");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..5),
            value in prop::collection::vec(32_u8..=126, 0..20),
        ) {
            let events = bodies.into_iter().enumerate().map(|(ms, body)| {
                let mut event = request(ms as u64, body);
                event.headers.insert("accept", HeaderValue::from_bytes(&value).expect("it is visible"));
                event
            });
            let recording = Recording { events: events.collect(), seen: 9, too_large: 2 };
            prop_assert_eq!(parse("f", &render("f", &recording)), Ok(recording));
        }
    }
}
