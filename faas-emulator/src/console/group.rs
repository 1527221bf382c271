//! Puts an invocation's log lines under its own line, though they were written before it ended.
//!
//! Lines wait for their invocation to end, but not for long: whoever waits for a slow function wants to see what it
//! says meanwhile. Pure.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use faas_core::{clock::Time, transition::LogLine};

/// A line waits this long at most for its invocation to end.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// Lines whose invocations still run.
#[derive(Debug, Default)]
pub struct Grouping {
    waiting: HashMap<Arc<str>, Vec<LogLine>>,
    /// In order of arrival; ids whose invocations have ended meanwhile are passed over.
    due: VecDeque<(Time, Arc<str>)>,
}

impl Grouping {
    /// Keeps the line for its invocation; gives it back if it belongs to none.
    pub fn keep(&mut self, now: Time, line: LogLine) -> Option<LogLine> {
        let Some(id) = &line.id else { return Some(line) };
        if !self.waiting.contains_key(id) {
            self.due.push_back((now + PATIENCE, id.clone()));
        }
        self.waiting.entry(id.clone()).or_default().push(line);
        None
    }

    /// The lines of an invocation that has ended.
    pub fn ended(&mut self, id: &str) -> Vec<LogLine> {
        self.waiting.remove(id).unwrap_or_default()
    }

    /// The lines that have waited long enough.
    pub fn overdue(&mut self, now: Time) -> Vec<LogLine> {
        let mut lines = Vec::new();
        while let Some((_, id)) = self.due.pop_front_if(|(due, _)| *due <= now) {
            lines.extend(self.ended(&id));
        }
        lines
    }

    /// When [`Grouping::overdue`] next has something, if nothing ends before.
    pub fn next_deadline(&self) -> Option<Time> {
        self.due.front().map(|(due, _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faas_core::transition::LogLevel;

    fn line(id: Option<&str>, text: &str) -> LogLine {
        LogLine { id: id.map(Into::into), function: "f".into(), level: LogLevel::Stdout, text: text.into() }
    }

    fn at_ms(ms: u64) -> Time {
        Time::EPOCH + Duration::from_millis(ms)
    }

    fn texts(lines: Vec<LogLine>) -> Vec<String> {
        lines.into_iter().map(|l| l.text).collect()
    }

    #[test]
    fn lines_wait_for_their_invocation() {
        let mut group = Grouping::default();
        assert_eq!(group.keep(at_ms(0), line(Some("a"), "a1")), None);
        assert_eq!(group.keep(at_ms(1), line(Some("b"), "b1")), None);
        assert_eq!(group.keep(at_ms(2), line(Some("a"), "a2")), None);
        assert_eq!(texts(group.ended("a")), ["a1", "a2"]);
        assert!(group.ended("a").is_empty());
        assert_eq!(texts(group.overdue(at_ms(501))), ["b1"]);
        assert_eq!(group.next_deadline(), None);
    }

    #[test]
    fn lines_of_a_slow_invocation_are_shown_meanwhile() {
        let mut group = Grouping::default();
        group.keep(at_ms(0), line(Some("a"), "a1"));
        assert!(group.overdue(at_ms(499)).is_empty());
        assert_eq!(texts(group.overdue(at_ms(500))), ["a1"]);
        group.keep(at_ms(600), line(Some("a"), "a2"));
        assert_eq!(group.next_deadline(), Some(at_ms(1100)));
        assert_eq!(texts(group.ended("a")), ["a2"]);
    }

    #[test]
    fn lines_of_no_invocation_do_not_wait() {
        let init = line(None, "init");
        assert_eq!(Grouping::default().keep(at_ms(0), init.clone()), Some(init));
    }
}
