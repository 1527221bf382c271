//! [`Firings`]: which functions fire now, and when next. A state machine.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, Uri, header};

use super::{Schedule, rfc3339};
use crate::{
    clock::Time,
    delivery::{Cause, Letter},
};

/// A firing that comes later than this is missed: the machine slept, or was busy. It is not made up for.
pub const LATE: Duration = Duration::from_secs(60);

/// So long a wall clock is trusted to go on evenly: then one looks again. A machine that has slept shows another time.
const LOOK: Duration = Duration::from_secs(15);

/// A function that fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// The function.
    pub function: Arc<str>,
    /// By which schedule.
    pub schedule: Arc<Schedule>,
    /// For when: a whole minute, a little ago.
    pub at: Time,
    /// Whether firings before it were missed.
    pub is_late: bool,
}

impl Firing {
    /// The event that it is for its function: a POST of `/` with `{"schedule": "…", "time": "…Z"}`.
    pub fn letter(&self, id: Arc<str>) -> Letter {
        let body = serde_json::json!({ "schedule": self.schedule.to_string(), "time": rfc3339(self.at) });
        let json = HeaderValue::from_static("application/json");
        Letter {
            id,
            function: self.function.clone(),
            cause: Cause::Schedule,
            method: Method::POST,
            uri: Uri::from_static("/"),
            headers: HeaderMap::from_iter([(header::CONTENT_TYPE, json)]),
            body: body.to_string().into(),
        }
    }
}

/// All functions with a schedule.
#[derive(Debug, Default)]
pub struct Firings {
    functions: BTreeMap<Arc<str>, Next>,
}

#[derive(Debug)]
struct Next {
    schedule: Arc<Schedule>,
    at: Option<Time>,
    is_missed: bool,
}

impl Firings {
    /// These functions fire from now on, and no others. One that did before by the same schedule goes on with it, so that a
    /// reload neither doubles nor skips a firing; for another it begins after now.
    pub fn replace(&mut self, now: Time, functions: impl IntoIterator<Item = (Arc<str>, Arc<Schedule>)>) {
        let mut before = std::mem::take(&mut self.functions);
        for (function, schedule) in functions {
            let next = match before.remove(&function) {
                Some(next) if next.schedule == schedule => next,
                _ => Next { at: schedule.next_after(now), schedule, is_missed: false },
            };
            self.functions.insert(function, next);
        }
    }

    /// What fires now, in the order of time. Of several firings of a function that are due, the last alone fires, and only
    /// if it is not [`LATE`].
    pub fn due(&mut self, now: Time) -> Vec<Firing> {
        let mut due = Vec::new();
        for (function, next) in &mut self.functions {
            let mut last = None;
            while let Some(at) = next.at.filter(|at| *at <= now) {
                if now.since(at) > LATE {
                    next.is_missed = true;
                    // years may have passed: no need to visit each minute
                    next.at = next.schedule.next_after(at.max(before(now)));
                } else {
                    next.is_missed |= last.is_some();
                    last = Some(at);
                    next.at = next.schedule.next_after(at);
                }
            }
            if let Some(at) = last {
                due.push(Firing {
                    function: function.clone(),
                    schedule: next.schedule.clone(),
                    at,
                    is_late: std::mem::take(&mut next.is_missed),
                });
            }
        }
        due.sort_by_key(|firing| firing.at);
        due
    }

    /// When something fires next.
    pub fn next_deadline(&self) -> Option<Time> {
        self.functions.values().filter_map(|next| next.at).min()
    }

    /// How long to wait before asking what is [`due`](Self::due): until the next firing, but no longer than a wall clock that
    /// shows `now` can be trusted. Absent when nothing fires.
    pub fn wait(&self, now: Time) -> Option<Duration> {
        self.next_deadline().map(|at| at.since(now).min(LOOK))
    }

    /// Each function, its schedule, and when it fires next.
    pub fn upcoming(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Schedule>, Option<Time>)> {
        self.functions.iter().map(|(function, next)| (function, &next.schedule, next.at))
    }
}

/// The last moment whose next firing may still be in time.
fn before(now: Time) -> Time {
    let late = u64::try_from(LATE.as_nanos()).unwrap_or(u64::MAX);
    Time::from_unix_nanos(now.unix_nanos().saturating_sub(late + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(min: u64, secs: u64) -> Time {
        Time::EPOCH + Duration::from_secs(min * 60 + secs)
    }

    fn every(name: &str, text: &str) -> (Arc<str>, Arc<Schedule>) {
        (name.into(), Arc::new(text.parse().expect("a schedule")))
    }

    fn fired(firings: &mut Firings, now: Time) -> Vec<(String, u64)> {
        let due = firings.due(now).into_iter();
        due.map(|firing| (firing.function.to_string(), firing.at.unix_millis() / 60_000)).collect()
    }

    #[test]
    fn each_fires_once_at_its_minute() {
        let mut firings = Firings::default();
        firings.replace(at(0, 30), [every("a", "*/2 * * * *"), every("b", "*/3 * * * *")]);
        assert_eq!(firings.next_deadline(), Some(at(2, 0)));
        assert_eq!(fired(&mut firings, at(1, 59)), []);
        assert_eq!(fired(&mut firings, at(2, 0)), [("a".into(), 2)]);
        assert_eq!(fired(&mut firings, at(2, 0)), [], "once");
        assert_eq!(fired(&mut firings, at(3, 0)), [("b".into(), 3)]);
        assert_eq!(fired(&mut firings, at(4, 10)), [("a".into(), 4)], "a little late");
        assert_eq!(fired(&mut firings, at(6, 0)), [("a".into(), 6), ("b".into(), 6)]);
    }

    #[test]
    fn what_was_missed_is_told_and_not_made_up() {
        let mut firings = Firings::default();
        firings.replace(at(0, 0), [every("a", "*/10 * * * *")]);
        assert_eq!(fired(&mut firings, at(35, 0)), [], "asleep through three");
        assert_eq!(firings.next_deadline(), Some(at(40, 0)));
        let due = firings.due(at(40, 0));
        assert_eq!((due.len(), due[0].at), (1, at(40, 0)));
        assert!(due[0].is_late);
        let letter = due[0].letter("id".into());
        assert_eq!(letter.body, r#"{"schedule":"*/10 * * * *","time":"1970-01-01T00:40:00Z"}"#);
        let mut every_minute = Firings::default();
        every_minute.replace(at(0, 0), [every("a", "* * * * *")]);
        assert_eq!(fired(&mut every_minute, at(10_000_000, 0)), [("a".into(), 10_000_000)], "19 years later");
    }

    #[test]
    fn the_wall_clock_is_looked_at_now_and_then() {
        let mut firings = Firings::default();
        assert_eq!(firings.wait(at(0, 0)), None);
        firings.replace(at(0, 0), [every("a", "*/10 * * * *")]);
        assert_eq!(firings.wait(at(0, 0)), Some(LOOK), "a machine may sleep meanwhile");
        assert!(LOOK < LATE, "and wake in time");
        assert_eq!(firings.wait(at(9, 58)), Some(Duration::from_secs(2)));
        assert_eq!(firings.wait(at(10, 1)), Some(Duration::ZERO));
        // set back, it calls nobody twice
        assert_eq!(fired(&mut firings, at(10, 0)), [("a".into(), 10)]);
        assert_eq!(fired(&mut firings, at(9, 59)), []);
        assert_eq!(fired(&mut firings, at(10, 0)), []);
    }

    #[test]
    fn a_reload_doubles_no_firing() {
        let mut firings = Firings::default();
        let five = || every("a", "*/5 * * * *");
        firings.replace(at(0, 0), [five()]);
        assert_eq!(fired(&mut firings, at(5, 0)), [("a".into(), 5)]);
        firings.replace(at(5, 0), [five()]);
        assert_eq!(fired(&mut firings, at(5, 0)), [], "the same schedule");
        firings.replace(at(5, 1), [every("a", "5 * * * *")]);
        firings.replace(at(5, 2), [five()]);
        assert_eq!(fired(&mut firings, at(5, 2)), [], "another and back");
        // a reload that comes between the minute and the firing skips none
        firings.replace(at(10, 1), [five(), every("new", "*/5 * * * *")]);
        assert_eq!(fired(&mut firings, at(10, 1)), [("a".into(), 10)]);
        firings.replace(at(11, 0), []);
        assert_eq!((firings.next_deadline(), firings.upcoming().count()), (None, 0));
    }
}
