//! Keeps the console calm: the first invocations of a second get a line each, the rest of that second share one.
//!
//! Pure. [`super::Console`] asks it on the path of each invocation, so it does little: a count, and for the rest a
//! sum and a histogram.

use std::{collections::HashMap, sync::Arc, time::Duration};

use faas_core::{
    clock::Time,
    invocation::{End, Record, Start},
};
use rust_decimal::Decimal;

use super::event::Many;

/// Invocations of one function that get a line of their own, each second.
pub const LINES_PER_SECOND: u32 = 20;
/// Log lines of one function that are shown, each second.
pub const LOGS_PER_SECOND: u32 = 200;

/// What has been shown and held back, by function.
#[derive(Debug, Default)]
pub struct Floods(HashMap<Arc<str>, Flood>);

#[derive(Debug, Default)]
struct Flood {
    second: u64,
    lines: u32,
    logs: u32,
    logs_held: u64,
    held: Option<Box<Held>>,
}

#[derive(Debug)]
struct Held {
    count: u64,
    cold: u64,
    failed: u64,
    total_usd: Decimal,
    durations: Durations,
}

/// What was held back in a second that is over.
#[derive(Debug, PartialEq)]
pub enum Due {
    /// Invocations.
    Many(Many),
    /// So many log lines of this function.
    Logs(Arc<str>, u64),
}

impl Floods {
    fn of(&mut self, now: Time, function: &Arc<str>, due: &mut Vec<Due>) -> &mut Flood {
        let second = now.unix_millis() / 1000;
        if !self.0.contains_key(function) {
            self.0.insert(function.clone(), Flood { second, ..Flood::default() });
        }
        let flood = self.0.get_mut(function).expect("it was just put there if it was not");
        flood.turn(second, function, due);
        flood
    }

    /// Whether this invocation gets a line of its own. What a second that is over has held back is put on `due`.
    pub fn admit(&mut self, now: Time, record: &Record, total_usd: Decimal, due: &mut Vec<Due>) -> bool {
        let flood = self.of(now, &record.function, due);
        flood.lines += 1;
        if flood.lines <= LINES_PER_SECOND {
            return true;
        }
        let held = flood.held.get_or_insert_with(Box::default);
        held.count += 1;
        held.cold += u64::from(record.start == Some(Start::Cold));
        held.failed += u64::from(matches!(record.end, End::Failed(_)));
        held.durations.add(record.ended.since(record.arrived));
        held.total_usd = total_usd;
        false
    }

    /// Whether a log line of `function` is shown.
    pub fn admit_log(&mut self, now: Time, function: &Arc<str>, due: &mut Vec<Due>) -> bool {
        let flood = self.of(now, function, due);
        flood.logs += 1;
        let shown = flood.logs <= LOGS_PER_SECOND;
        flood.logs_held += u64::from(!shown);
        shown
    }

    /// What has been held back in seconds that are over at `now`.
    pub fn due(&mut self, now: Time) -> Vec<Due> {
        let mut due = Vec::new();
        for (function, flood) in &mut self.0 {
            flood.turn(now.unix_millis() / 1000, function, &mut due);
        }
        due
    }
}

impl Flood {
    fn turn(&mut self, second: u64, function: &Arc<str>, due: &mut Vec<Due>) {
        if self.second == second {
            return;
        }
        if let Some(held) = self.held.take() {
            due.push(Due::Many(Many {
                function: function.to_string(),
                count: held.count,
                cold: held.cold,
                failed: held.failed,
                p50: held.durations.quantile(50),
                p99: held.durations.quantile(99),
                total_usd: held.total_usd,
            }));
        }
        if self.logs_held > 0 {
            due.push(Due::Logs(function.clone(), self.logs_held));
        }
        *self = Flood { second, ..Flood::default() };
    }
}

impl Default for Held {
    fn default() -> Self {
        Held { count: 0, cold: 0, failed: 0, total_usd: Decimal::ZERO, durations: Durations::default() }
    }
}

/// Sixteen buckets to each doubling: a quantile is right within six per cent.
const STEPS: u32 = 16;

/// A histogram of durations from 1 µs to an hour and more.
#[derive(Debug)]
struct Durations {
    buckets: [u32; 40 * STEPS as usize],
}

impl Default for Durations {
    fn default() -> Self {
        Durations { buckets: [0; 40 * STEPS as usize] }
    }
}

impl Durations {
    fn add(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).max(1);
        let doublings = micros.ilog2();
        // the four bits below the highest one
        let step = if doublings >= 4 { micros >> (doublings - 4) } else { micros << (4 - doublings) };
        let bucket = (doublings * STEPS) as usize + (step as usize & (STEPS as usize - 1));
        self.buckets[bucket.min(self.buckets.len() - 1)] += 1;
    }

    /// The lower bound of the bucket that holds the quantile.
    fn quantile(&self, percent: u64) -> Duration {
        let total: u64 = self.buckets.iter().map(|&n| u64::from(n)).sum();
        let mut left = (total * percent).div_ceil(100);
        for (bucket, &n) in (0u32..).zip(&self.buckets) {
            left = left.saturating_sub(u64::from(n));
            if left == 0 && n > 0 {
                let (doublings, step) = (bucket / STEPS, u64::from(bucket % STEPS));
                return Duration::from_micros(
                    ((1 << doublings) * (u64::from(STEPS) + step)) / u64::from(STEPS),
                );
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(function: &str, took: Duration) -> Record {
        let function: Arc<str> = function.into();
        Record {
            id: "id".into(),
            function,
            spec: None,
            start: Some(Start::Warm),
            instance: None,
            arrived: Time::EPOCH,
            ended: Time::EPOCH + took,
            queue: Duration::ZERO,
            usage: faas_core::invocation::Usage::default(),
            end: End::Replied { status: http::StatusCode::OK, is_fault: false },
        }
    }

    fn at_ms(ms: u64) -> Time {
        Time::EPOCH + Duration::from_millis(ms)
    }

    #[test]
    fn a_few_get_a_line_each_and_many_share_one() {
        let (mut floods, mut due) = (Floods::default(), Vec::new());
        let mut lines = 0;
        for ms in 0..1000 {
            let record = record("a", Duration::from_millis(ms));
            lines += u32::from(floods.admit(at_ms(ms), &record, Decimal::from(ms), &mut due));
        }
        assert_eq!((lines, due.len()), (LINES_PER_SECOND, 0));
        assert!(
            floods.admit(at_ms(999), &record("b", Duration::ZERO), Decimal::ZERO, &mut due),
            "another function"
        );
        assert!(floods.due(at_ms(999)).is_empty());
        let due = floods.due(at_ms(1000));
        let [Due::Many(many)] = &due[..] else { panic!("{due:?}") };
        assert_eq!((many.count, many.cold, many.failed, many.total_usd), (980, 0, 0, Decimal::from(999)));
        assert!(
            many.p50 >= Duration::from_millis(480) && many.p50 <= Duration::from_millis(510),
            "{:?}",
            many.p50
        );
        assert!(
            many.p99 >= Duration::from_millis(930) && many.p99 <= Duration::from_millis(990),
            "{:?}",
            many.p99
        );
        assert!(floods.due(at_ms(5000)).is_empty(), "told once");
    }

    #[test]
    fn the_next_invocation_tells_too() {
        let (mut floods, mut due) = (Floods::default(), Vec::new());
        for _ in 0..=LINES_PER_SECOND {
            floods.admit(at_ms(0), &record("a", Duration::ZERO), Decimal::ZERO, &mut due);
        }
        assert!(floods.admit(at_ms(1000), &record("a", Duration::ZERO), Decimal::ZERO, &mut due));
        assert!(matches!(&due[..], [Due::Many(Many { count: 1, .. })]));
    }

    #[test]
    fn logs_beyond_their_share_are_counted() {
        let (mut floods, mut due) = (Floods::default(), Vec::new());
        let function = "a".into();
        let shown = (0..1000).filter(|_| floods.admit_log(at_ms(0), &function, &mut due)).count();
        assert_eq!(shown, LOGS_PER_SECOND as usize);
        assert_eq!(floods.due(at_ms(1000)), [Due::Logs(function, 800)]);
    }

    #[test]
    fn durations_of_any_size_have_a_place() {
        let mut durations = Durations::default();
        for duration in [Duration::ZERO, Duration::MAX] {
            durations.add(duration);
        }
        assert_eq!(durations.quantile(50), Duration::from_micros(1));
        assert!(durations.quantile(99) > Duration::from_secs(3600));
    }
}
