//! What `faas events` shows: events that wait and dead letters, as JSON for programs and lines for people. Pure.

use std::fmt::Write as _;

use faas_core::{
    clock::Time,
    delivery::{Listed, Span},
    schedule::rfc3339,
};
use serde::{Deserialize, Serialize};

/// An event that is not delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its id, the `faas-request-id` of the reply that accepted it.
    pub id: String,
    /// For whom.
    pub function: String,
    /// `async`, or `schedule` when the clock asked.
    pub cause: String,
    /// `waiting` or `dead`.
    pub state: String,
    /// Of its body.
    pub bytes: u64,
    /// When it was accepted, or put back: milliseconds since the Unix epoch.
    pub accepted_unix_ms: u64,
    /// How often its function has failed with it since.
    pub failures: u32,
    /// When it is delivered next; absent for dead letters.
    pub due_unix_ms: Option<u64>,
    /// When it was given up; absent for those that wait.
    pub dead_unix_ms: Option<u64>,
    /// Why it was not delivered the last time, or was given up.
    pub error: Option<String>,
}

impl From<Listed> for Line {
    fn from(event: Listed) -> Self {
        let Listed { id, function, cause, bytes, status, .. } = event;
        Line {
            id: id.to_string(),
            function: function.to_string(),
            cause: cause.as_str().to_owned(),
            state: if status.dead.is_some() { "dead" } else { "waiting" }.to_owned(),
            bytes,
            accepted_unix_ms: status.accepted.unix_millis(),
            failures: status.failures,
            due_unix_ms: status.dead.is_none().then(|| status.due.unix_millis()),
            dead_unix_ms: status.dead.map(Time::unix_millis),
            error: status.error,
        }
    }
}

/// The lines as a person reads them at `now`, with ANSI colours.
pub fn text(lines: &[Line], now: Time) -> String {
    let (dead, waiting): (Vec<&Line>, Vec<&Line>) = lines.iter().partition(|line| line.state == "dead");
    if lines.is_empty() {
        return "no event waits, and there are no dead letters\n".into();
    }
    let width = lines.iter().map(|line| line.function.len()).max().unwrap_or_default();
    let mut out = String::new();
    let mut section = |title: String, lines: &[&Line], last: &dyn Fn(&Line) -> String| {
        if lines.is_empty() {
            return;
        }
        // writing to a String cannot fail
        let _ = writeln!(out, "{title}");
        for line in lines {
            let accepted = at(line.accepted_unix_ms);
            let _ =
                writeln!(out, "  {}  {:width$}  accepted {accepted}  {}", line.id, line.function, last(line));
            if let Some(error) = &line.error {
                let _ = writeln!(out, "      {}", error.replace(char::is_control, " "));
            }
        }
    };
    section(format!("{} waiting", waiting.len()), &waiting, &|line| {
        let wait_ms = line.due_unix_ms.unwrap_or_default().saturating_sub(now.unix_millis());
        let wait = Span(std::time::Duration::from_secs(wait_ms.div_ceil(1000)));
        let attempt = line.failures + 1;
        if wait_ms == 0 { format!("attempt {attempt}, now") } else { format!("attempt {attempt}, in {wait}") }
    });
    section(format!("{} dead, `faas events --redrive` puts them back", dead.len()), &dead, &|line| {
        format!("given up {}", at(line.dead_unix_ms.unwrap_or_default()))
    });
    out
}

fn at(unix_ms: u64) -> String {
    rfc3339(Time::EPOCH + std::time::Duration::from_millis(unix_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_and_dead_are_told_apart() {
        let line = |id: &str, dead: Option<u64>| Line {
            id: id.into(),
            function: "hello".into(),
            cause: "async".into(),
            state: if dead.is_some() { "dead" } else { "waiting" }.into(),
            bytes: 7,
            accepted_unix_ms: 1_767_225_600_000,
            failures: 1,
            due_unix_ms: dead.is_none().then_some(1_767_225_660_000),
            dead_unix_ms: dead,
            error: Some("the function\nreturned an error".into()),
        };
        let now = Time::from_unix_nanos(1_767_225_630_500_000_000);
        let lines = [line("a1", None), line("b2", Some(1_767_225_610_000))];
        insta::assert_snapshot!(text(&lines, now), @r"
        1 waiting
          a1  hello  accepted 2026-01-01T00:00:00Z  attempt 2, in 30 s
              the function returned an error
        1 dead, `faas events --redrive` puts them back
          b2  hello  accepted 2026-01-01T00:00:00Z  given up 2026-01-01T00:00:10Z
              the function returned an error
        ");
        assert_eq!(text(&[], now), "no event waits, and there are no dead letters\n");
    }
}
