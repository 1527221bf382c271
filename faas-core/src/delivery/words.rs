//! Why an event is given up, and for how long one waits, in words.

use std::{fmt, time::Duration};

use super::state::Dead;

/// Why an event is given up; `last` is why it was not delivered the last time.
pub(super) fn given_up(why: Dead, last: Option<String>) -> String {
    match (why, last) {
        (Dead::Failed { attempts: 1 }, last) => format!("the one attempt failed{}", after(last)),
        (Dead::Failed { attempts }, last) => format!("all {attempts} attempts failed{}", after(last)),
        (Dead::Expired { max_age }, last) => {
            format!("it would be older than {}{}", Span(max_age), after(last))
        }
        (Dead::Refused, last) => last.unwrap_or_else(|| "it was refused".into()),
    }
}

fn after(last: Option<String>) -> String {
    last.map_or_else(String::new, |last| format!("; the last time: {last}"))
}

/// A time as one says it: `6 h`, `90 s`, `250 ms`.
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        match ms {
            _ if ms > 0 && ms.is_multiple_of(3_600_000) => write!(f, "{} h", ms / 3_600_000),
            _ if ms > 0 && ms.is_multiple_of(60_000) => write!(f, "{} min", ms / 60_000),
            _ if ms > 0 && ms.is_multiple_of(1000) => write!(f, "{} s", ms / 1000),
            _ => write!(f, "{ms} ms"),
        }
    }
}
