//! How events look to a program: one JSON object a line. Pure.
//!
//! Names and units are part of the interface: fields are added, never renamed. Durations are milliseconds, dollars
//! are strings, because they are exact.

use std::{fmt::Write as _, time::Duration};

use faas_core::{
    delivery::{Progress, What},
    invocation::{End, Origin, Start},
    printable::is_harmless,
    schedule::rfc3339,
    transition::StopReason,
};
use serde_json::{Value, json};

use super::event::{Event, Served};

/// The event as one line with its newline.
pub fn render(event: &Event) -> String {
    let mut line = safe(&value(event).to_string());
    line.push('\n');
    line
}

/// JSON that may be shown by a terminal: strings hold nothing that drives one. (JSON escapes only controls below U+0020.)
pub(crate) fn safe(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        // beyond U+FFFF there is none
        if is_harmless(c) { out.push(c) } else { _ = write!(out, "\\u{:04x}", u32::from(c)) }
    }
    out
}

fn value(event: &Event) -> Value {
    match event {
        Event::Listening { addr, profile, tls } => json!({
            "event": "listening",
            "url": format!("{}://{addr}", super::text::scheme(*tls)),
            "addr": addr.ip().to_string(),
            "port": addr.port(),
            "profile": profile,
            "pid": std::process::id(),
        }),
        Event::Provider(lines) => json!({ "event": "provider_log", "lines": lines }),
        Event::Progress(text) => json!({ "event": "progress", "text": text }),
        Event::Notice(text) => json!({ "event": "notice", "text": text }),
        Event::Built { functions, cargo, ours } => json!({
            "event": "built",
            "functions": functions.iter().map(served).collect::<Vec<_>>(),
            "cargo_ms": cargo.map(ms),
            "ours_ms": ms(*ours),
        }),
        Event::BuildFailed { message, still_serving } => json!({
            "event": "build_failed",
            "message": message,
            "still_serving": still_serving,
        }),
        Event::Reloaded { changed, functions, retired, since_save, cargo } => json!({
            "event": "reloaded",
            "functions": functions.iter().map(served).collect::<Vec<_>>(),
            "retired": retired,
            "changed": changed.iter().map(|p| p.to_string_lossy()).collect::<Vec<_>>(),
            "since_save_ms": ms(*since_save),
            "cargo_ms": cargo.map(ms),
            "ours_ms": ms(since_save.saturating_sub(cargo.unwrap_or_default())),
        }),
        Event::StartingAhead { function, generation } => json!({
            "event": "starting_ahead",
            "function": function,
            "generation": generation,
        }),
        Event::KnockIgnored { function } => json!({ "event": "knock_ignored", "function": function }),
        Event::Started { function, generation, took } => json!({
            "event": "started",
            "function": function,
            "generation": generation,
            "took_ms": ms(*took),
        }),
        Event::Stopped { function, generation, reason } => json!({
            "event": "stopped",
            "function": function,
            "generation": generation,
            "reason": stop_reason(*reason),
        }),
        Event::Invocation(invoked) => {
            let record = &invoked.record;
            let usage = &record.usage;
            let (status, error, message, backtrace) = match &record.end {
                End::Replied { status, is_fault } => {
                    (Some(status.as_u16()), is_fault.then_some("fault"), None, None)
                }
                End::Failed(error) => {
                    (None, Some(error.kind.as_str()), Some(&error.message), Some(&error.backtrace))
                }
                End::Cancelled => (None, Some("cancelled"), None, None),
            };
            let provider_log = [&invoked.lines.before[..], &invoked.lines.after[..]].concat();
            json!({
                "event": "invocation",
                "id": &*record.id,
                "function": &*record.function,
                "generation": record.spec.as_ref().map(|spec| spec.generation),
                "start": record.start.map(Start::as_str),
                "origin": usage.origin.map(Origin::as_str),
                "status": status,
                "error": error,
                "message": message,
                "backtrace": backtrace,
                "duration_ms": ms(record.ended.since(record.arrived)),
                "queue_ms": ms(record.queue),
                "start_ms": ms(usage.init_wall),
                "handler_ms": ms(usage.handler_wall),
                "injected_platform_ms": ms(usage.injected.platform),
                "injected_init_ms": ms(usage.injected.init),
                "throttled_ms": ms(usage.injected.throttled),
                "cpu_ms": ms(usage.init_cpu + usage.handler_cpu),
                "memory_peak_bytes": usage.memory_peak_bytes,
                "bytes_in": usage.bytes_in,
                "bytes_out": usage.bytes_out,
                "billed_ms": billed_ms(invoked.charge.billed),
                "cost_usd": invoked.charge.cost_usd.normalize().to_string(),
                "total_usd": invoked.total_usd.normalize().to_string(),
                "provider_log": provider_log,
            })
        }
        Event::Many(many) => json!({
            "event": "invocations",
            "function": many.function,
            "count": many.count,
            "cold": many.cold,
            "failed": many.failed,
            "p50_ms": ms(many.p50),
            "p99_ms": ms(many.p99),
            "total_usd": many.total_usd.normalize().to_string(),
        }),
        Event::Log(line) => json!({
            "event": "log",
            "function": &*line.function,
            "id": line.id.as_deref(),
            "level": line.level.as_str(),
            "text": line.text,
        }),
        Event::Delivery(progress) => delivery(progress),
        Event::Schedules { now: _, upcoming } => json!({
            "event": "schedules",
            "functions": upcoming.iter().map(|next| json!({
                "function": next.function,
                "schedule": next.schedule,
                "next": rfc3339(next.at),
            })).collect::<Vec<_>>(),
        }),
        Event::Dropped(count) => json!({ "event": "dropped", "count": count }),
        Event::Draining(connections) => json!({ "event": "draining", "connections": connections }),
        Event::Bill(bill) => json!({
            "event": "bill",
            "profile": bill.profile,
            "functions": bill.lines.iter().map(|line| json!({
                "function": line.function,
                "requests": line.requests,
                "gb_seconds": line.gb_seconds.normalize().to_string(),
                "cpu_ms": line.cpu_ms.normalize().to_string(),
                "usd": line.usd.normalize().to_string(),
                "kept_usd": line.kept_usd.normalize().to_string(),
            })).collect::<Vec<_>>(),
            "total_usd": bill.total_usd.normalize().to_string(),
        }),
    }
}

fn delivery(progress: &Progress) -> Value {
    let Progress { id, function, what } = progress;
    let (step, more) = match what {
        What::Accepted { cause, bytes } => ("accepted", json!({ "cause": cause.as_str(), "bytes": bytes })),
        What::Delivered { attempt } => ("delivered", json!({ "attempt": attempt })),
        What::Retry { attempt, wait, because } => {
            ("retry", json!({ "attempt": attempt, "wait_ms": ms(*wait), "because": because }))
        }
        What::Dead { because } => ("dead", json!({ "because": because })),
        What::PutBack => ("put_back", json!({})),
        What::JournalFailed { because } => ("journal_failed", json!({ "because": because })),
        What::ThrownAway => ("thrown_away", json!({})),
    };
    let mut value = json!({ "event": "delivery", "step": step, "id": &**id, "function": &**function });
    if let (Value::Object(all), Value::Object(more)) = (&mut value, more) {
        all.extend(more);
    }
    value
}

fn served(served: &Served) -> Value {
    json!({
        "function": served.function,
        "generation": served.generation,
        "method": served.method,
        "route": served.route,
    })
}

fn stop_reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Expired => "expired",
        StopReason::Replaced => "replaced",
        StopReason::Used => "used",
        StopReason::Evicted => "evicted",
        StopReason::Failed => "failed",
        StopReason::Shutdown => "shutdown",
    }
}

/// Milliseconds that are billed: whole ones as they are, parts to the nanosecond.
fn billed_ms(duration: Duration) -> Value {
    match duration.subsec_nanos() % 1_000_000 {
        0 => json!(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        _ => json!(duration.as_secs_f64() * 1e3),
    }
}

/// Milliseconds, to the microsecond.
fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bill, deliveries, failed, invoked, log, served};
    use super::*;

    #[test]
    fn every_event_is_one_object_on_one_line() {
        let millis = Duration::from_millis;
        let events = [
            Event::Listening {
                addr: ([127, 0, 0, 1], 3000).into(),
                profile: "aws-lambda".into(),
                tls: false,
            },
            Event::StartingAhead { function: "hello".into(), generation: 1 },
            Event::KnockIgnored { function: "hello".into() },
            Event::Built { functions: served(), cargo: None, ours: millis(21) },
            Event::BuildFailed { message: "error: expected `;`\n".into(), still_serving: false },
            Event::Reloaded {
                changed: vec!["/p/src/main.rs".into()],
                functions: served(),
                retired: vec!["old".into()],
                since_save: millis(212),
                cargo: Some(millis(198)),
            },
            Event::Started { function: "hello".into(), generation: 1, took: millis(2) },
            Event::Stopped { function: "hello".into(), generation: 1, reason: StopReason::Replaced },
            Event::Invocation(Box::new(invoked())),
            Event::Invocation(Box::new(failed())),
            log("id", "two\nlines"),
            Event::Dropped(7),
            Event::Bill(bill()),
        ];
        let lines: String = events.iter().map(render).collect();
        assert_eq!(lines.lines().count(), events.len());
        let own_pid = format!("\"pid\":{}", std::process::id());
        insta::assert_snapshot!(lines.replace(&own_pid, "\"pid\":1"));
    }

    #[test]
    fn strings_of_strangers_come_through_and_drive_no_terminal() {
        let text = "\u{1b}[2J\u{7f}\u{9b}1m\u{202e}\r\n é";
        let line = render(&log("id", text));
        assert!(line.trim_end().chars().all(is_harmless), "{line:?}");
        let read: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(read["text"], text);
    }

    #[test]
    fn how_far_an_event_is_is_one_object_too() {
        insta::assert_snapshot!(deliveries().iter().map(render).collect::<String>());
    }
}
