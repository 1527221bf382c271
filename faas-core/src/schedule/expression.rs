//! [`Schedule`]: five fields of cron.

use std::{fmt, str::FromStr};

use super::civil::{Date, split};
use crate::clock::Time;

/// A cron expression: minute, hour, day of the month, month, day of the week; in UTC.
///
/// A field is `*`, a value, a range `a-b`, or either with a step `/n`, and lists of these with commas. Months and days of the
/// week have names (`jan`, `mon`), Sunday is 0 and 7. Where days of the month and of the week are both restricted, either
/// does, as in crontab(5). A field that begins with `*` counts as not restricted there, as in Vixie's cron: `*/2` in one of the
/// two and days in the other have to fit both.
///
/// ```
/// use faas_core::{clock::Time, schedule::{Schedule, rfc3339}};
///
/// let weekdays: Schedule = "30 6 * * mon-fri".parse()?;
/// let friday = Time::from_unix_nanos(1_767_335_400_000_000_000); // 2026-01-02T06:30:00Z
/// assert_eq!(weekdays.next_after(friday).map(rfc3339).as_deref(), Some("2026-01-05T06:30:00Z"));
/// # Ok::<(), faas_core::schedule::ScheduleError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    /// A bit for each value, in each field.
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether a day must fit both its fields, because one of them begins with `*`.
    needs_both: bool,
}

/// What is no schedule, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleError {
    text: String,
    why: String,
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ScheduleError { text, why } = self;
        write!(f, "`{text}` is no schedule: {why}")
    }
}

impl std::error::Error for ScheduleError {}

struct Field {
    what: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Field; 5] = [
    Field { what: "minute", min: 0, max: 59, names: &[] },
    Field { what: "hour", min: 0, max: 23, names: &[] },
    Field { what: "day of the month", min: 1, max: 31, names: &[] },
    Field { what: "month", min: 1, max: 12, names: &MONTHS },
    Field { what: "day of the week", min: 0, max: 7, names: &WEEKDAYS },
];

/// After so many days without a firing there will be none: the calendar with its weekdays repeats itself after 400 years,
/// and the rarest day, a 29th of February on a certain weekday, comes within 40.
const DAYS_SEARCHED: u64 = 41 * 366;

impl Field {
    fn value(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().position(|name| text.eq_ignore_ascii_case(name));
        match named {
            // few names
            Some(n) => Some(n as u32 + self.min),
            None => text.parse().ok().filter(|n| (self.min..=self.max).contains(n)),
        }
    }

    /// The values that the field allows, a bit for each.
    fn parse(&self, text: &str) -> Result<u64, String> {
        let mut bits = 0;
        for part in text.split(',') {
            bits |= self.part(part).ok_or_else(|| {
                let Field { what, min, max, .. } = self;
                format!("`{part}` is not a {what}: from {min} to {max}, `*`, ranges a-b and steps */n")
            })?;
        }
        Ok(bits)
    }

    fn part(&self, part: &str) -> Option<u64> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<usize>().ok().filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (self.min, self.max),
            Some((from, to)) => (self.value(from)?, self.value(to)?),
            None => {
                let from = self.value(range)?;
                // with a step it has no other end than the field's
                (from, if step.is_some() { self.max } else { from })
            }
        };
        // `fri-mon`, `22-3`: around the end
        let values: Vec<u32> = if from <= to {
            (from..=to).collect()
        } else {
            // Sunday is there twice
            let last = if self.names.len() == 7 { 6 } else { self.max };
            (from..=last).chain(self.min..=to).collect()
        };
        Some(values.into_iter().step_by(step.unwrap_or(1)).fold(0, |bits, n| bits | 1 << n))
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let error = |why: String| ScheduleError { text: text.to_owned(), why };
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts[..] else {
            return Err(error(format!(
                "it has five fields (minute, hour, day of the month, month, day of the week), this has {}",
                parts.len()
            )));
        };
        let field = |n: usize, text| FIELDS[n].parse(text).map_err(&error);
        let weekdays = field(4, weekday)?;
        let schedule = Schedule {
            text: parts.join(" "),
            minutes: field(0, minute)?,
            hours: field(1, hour)?,
            days: field(2, day)?,
            months: field(3, month)?,
            weekdays: weekdays | weekdays >> 7 & 1,
            needs_both: day.starts_with('*') || weekday.starts_with('*'),
        };
        match schedule.next_after(Time::EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(error("there is no such day".into())),
        }
    }
}

/// As it was written, with single spaces.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Schedule {
    /// The first firing after this moment. There always is one, as long as the time can be told.
    pub fn next_after(&self, time: Time) -> Option<Time> {
        let (days, second) = split(time.unix_millis() / 1000);
        // the next whole minute
        let mut minute = second / 60 + 1;
        for days in days..days + DAYS_SEARCHED {
            if self.is_day(Date::of_days(days))
                && let Some(minute) = (minute..24 * 60).find(|minute| self.is_minute(*minute))
            {
                let unix_secs = Date::of_days(days).midnight() + minute * 60;
                return unix_secs.checked_mul(1_000_000_000).map(Time::from_unix_nanos);
            }
            minute = 0;
        }
        None
    }

    fn is_day(&self, date: Date) -> bool {
        let by_date = self.days >> date.day & 1 == 1;
        let by_weekday = self.weekdays >> date.weekday() & 1 == 1;
        let is_day = if self.needs_both { by_date && by_weekday } else { by_date || by_weekday };
        is_day && self.months >> date.month & 1 == 1
    }

    fn is_minute(&self, of_day: u64) -> bool {
        self.hours >> (of_day / 60) & 1 == 1 && self.minutes >> (of_day % 60) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::schedule::rfc3339;

    fn schedule(text: &str) -> Schedule {
        text.parse().unwrap_or_else(|why| panic!("{why}"))
    }

    /// 2026-01-01, a Thursday.
    const NEW_YEAR: Time = Time::from_unix_nanos(1_767_225_600_000_000_000);

    fn firings(text: &str, from: Time, count: usize) -> Vec<String> {
        let (schedule, mut now) = (schedule(text), from);
        (0..count)
            .map(|_| {
                now = schedule.next_after(now).expect("there is a next");
                rfc3339(now)
            })
            .collect()
    }

    #[test]
    fn each_field_restricts() {
        let first = |text| firings(text, NEW_YEAR, 1).remove(0);
        assert_eq!(first("* * * * *"), "2026-01-01T00:01:00Z", "after, not at");
        assert_eq!(first("*/5 * * * *"), "2026-01-01T00:05:00Z");
        assert_eq!(first("7/20 * * * *"), "2026-01-01T00:07:00Z");
        assert_eq!(first("0 0 * * *"), "2026-01-02T00:00:00Z");
        assert_eq!(first("0 12 31 * *"), "2026-01-31T12:00:00Z");
        assert_eq!(first("0 0 1 mar *"), "2026-03-01T00:00:00Z");
        assert_eq!(first("0 0 29 2 *"), "2028-02-29T00:00:00Z", "a leap year");
        assert_eq!(first("0 0 * * 0"), "2026-01-04T00:00:00Z");
        assert_eq!(first("0 0 * * 7"), "2026-01-04T00:00:00Z", "Sunday twice");
        assert_eq!(first("0 0 * * SUN"), "2026-01-04T00:00:00Z");
        assert_eq!(
            firings("0 0 13 * fri", NEW_YEAR, 4),
            ["2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z", "2026-01-16T00:00:00Z"],
            "either, where both are restricted"
        );
        assert_eq!(
            firings("0 22-2/2 * * fri-mon", NEW_YEAR, 4),
            ["2026-01-02T00:00:00Z", "2026-01-02T02:00:00Z", "2026-01-02T22:00:00Z", "2026-01-03T00:00:00Z"],
            "around the end"
        );
    }

    #[test]
    fn what_is_none_is_told() {
        let why = |text: &str| text.parse::<Schedule>().expect_err(text).to_string();
        insta::assert_snapshot!(why("* * * *"), @"`* * * *` is no schedule: it has five fields (minute, hour, day of the month, month, day of the week), this has 4");
        insta::assert_snapshot!(why("60 * * * *"), @"`60 * * * *` is no schedule: `60` is not a minute: from 0 to 59, `*`, ranges a-b and steps */n");
        insta::assert_snapshot!(why("* * * * xyz"), @"`* * * * xyz` is no schedule: `xyz` is not a day of the week: from 0 to 7, `*`, ranges a-b and steps */n");
        insta::assert_snapshot!(why("*/0 * * * *"), @"`*/0 * * * *` is no schedule: `*/0` is not a minute: from 0 to 59, `*`, ranges a-b and steps */n");
        insta::assert_snapshot!(why("0 0 30 2 *"), @"`0 0 30 2 *` is no schedule: there is no such day");
    }

    prop_compose! {
        fn field(min: u32, max: u32)(
            from in min..=max, length in 0..=max, step in prop::option::of(1u32..20), kind in 0u8..4,
        ) -> String {
            let step = step.map_or_else(String::new, |step| format!("/{step}"));
            match kind {
                0 => format!("*{step}"),
                1 => from.to_string(),
                2 => format!("{from}-{}{step}", (from + length).min(max)),
                _ => format!("{from},{}", (from + length).min(max)),
            }
        }
    }

    /// Whether a field, read by hand, has this value.
    fn has(field: &str, min: u32, max: u32, value: u32) -> bool {
        field.split(',').any(|part| {
            let (range, step) = part.split_once('/').unwrap_or((part, "1"));
            let number = |text: &str| text.parse::<u32>().expect("a number");
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => (min, max),
                Some((from, to)) => (number(from), number(to)),
                None => (number(range), number(range)),
            };
            (from..=to).contains(&value) && (value - from).is_multiple_of(number(step))
        })
    }

    proptest! {
        /// The next firing is the first minute that fits, tried one by one.
        #[test]
        fn the_next_is_the_first_that_fits(
            (minute, hour) in (field(0, 59), field(0, 23)),
            (day, month, weekday) in (field(1, 31), field(1, 12), field(0, 6)),
            start_min in 0u64..60 * 24 * 366 * 40,
        ) {
            let text = format!("{minute} {hour} {day} {month} {weekday}");
            let Ok(schedule) = text.parse::<Schedule>() else { return Ok(()) };
            let start = NEW_YEAR + Duration::from_secs(start_min * 60);
            let next = schedule.next_after(start).expect("there is a next");
            let both = day.starts_with('*') || weekday.starts_with('*');
            let fits = |at: Time| {
                let (days, second) = split(at.unix_millis() / 1000);
                let date = Date::of_days(days);
                let (of_month, of_week) = (has(&day, 1, 31, date.day), has(&weekday, 0, 6, date.weekday()));
                // of the day of the month and that of the week, one that is not `*` is enough if neither is
                let is_day = if both { of_month && of_week } else { of_month || of_week };
                is_day
                    && has(&month, 1, 12, date.month)
                    && has(&hour, 0, 23, (second / 3600) as u32)
                    && has(&minute, 0, 59, (second / 60 % 60) as u32)
            };
            prop_assert!(next > start && fits(next), "{} does not fit {}", rfc3339(next), text);
            // far ones are not tried minute by minute
            let mut at = next;
            for _ in 0..3000 {
                at = Time::from_unix_nanos(at.unix_nanos() - 60_000_000_000);
                if at <= start {
                    break;
                }
                prop_assert!(!fits(at), "{} comes before {}", rfc3339(at), rfc3339(next));
            }
        }
    }
}
