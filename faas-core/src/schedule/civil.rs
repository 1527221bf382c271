//! The calendar, proleptic Gregorian, UTC: no leap seconds, as Unix time has none.

use crate::clock::Time;

const DAY_SECS: u64 = 24 * 60 * 60;

/// A day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Date {
    /// Since 1970-01-01.
    pub(super) days: u64,
    pub(super) year: u64,
    /// From 1.
    pub(super) month: u32,
    /// From 1.
    pub(super) day: u32,
}

impl Date {
    pub(super) fn of_days(days: u64) -> Self {
        // as in Howard Hinnant's `civil_from_days`: years begin in March, so that the leap day is their last
        let z = days + 719_468;
        let (era, day_of_era) = (z / 146_097, z % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        // a month has 31 days at most, a year 12 months
        Date { days, year, month: month as u32, day: day as u32 }
    }

    /// From 0, a Sunday.
    pub(super) fn weekday(self) -> u32 {
        // 1970-01-01 was a Thursday
        ((self.days + 4) % 7) as u32
    }

    pub(super) fn midnight(self) -> u64 {
        self.days * DAY_SECS
    }
}

/// Whole seconds since the Unix epoch, as day and second of it.
pub(super) fn split(unix_secs: u64) -> (u64, u64) {
    (unix_secs / DAY_SECS, unix_secs % DAY_SECS)
}

/// A time to the second, as RFC 3339 and ISO 8601 write it: `2026-01-01T00:05:00Z`.
///
/// ```
/// use faas_core::{clock::Time, schedule::rfc3339};
///
/// assert_eq!(rfc3339(Time::from_unix_nanos(1_767_225_905_999_999_999)), "2026-01-01T00:05:05Z");
/// ```
pub fn rfc3339(time: Time) -> String {
    let (days, second) = split(time.unix_millis() / 1000);
    let Date { year, month, day, .. } = Date::of_days(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_one_another_through_leap_years() {
        let mut expected = (1970, 1, 1);
        for days in 0..60_000 {
            let date = Date::of_days(days);
            assert_eq!((date.year, date.month, date.day), expected);
            let (year, month, day) = expected;
            let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
            let last = match month {
                2 => 28 + u32::from(is_leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (month, day) if day == last => (year, month + 1, 1),
                (month, day) => (year, month, day + 1),
            };
        }
    }

    #[test]
    fn weekdays_are_those_of_the_almanac() {
        assert_eq!(Date::of_days(0).weekday(), 4, "1970-01-01, a Thursday");
        assert_eq!(Date::of_days(20_454).weekday(), 4, "2026-01-01, a Thursday");
        assert_eq!(Date::of_days(11_016).weekday(), 2, "2000-02-29, a Tuesday");
    }
}
