//! Hybrid histogram: learns of each app how long it idles between invocations, unloads it meanwhile, and warms it just
//! before the next is likely.
//!
//! Shahrad et al., "Serverless in the Wild", USENIX ATC '20 (arXiv 2003.03423), section 4.2:
//!
//! - Idle time: from the end of an app's last execution to its next arrival. 240 bins of one minute; longer ones are out of
//!   bounds and only counted.
//! - The histogram is representative when the coefficient of variation of its bin counts is at least 2. Then the app
//!   is unloaded at once and warmed after 0.9 × head, the 5th percentile rounded down to a minute, and kept until 1.1 × tail, the
//!   99th rounded up, both counted from the end of the last execution. With a head of 0 it is not unloaded.
//! - Otherwise, and with fewer than 10 idle times in bounds (the paper gives no number), it is kept for the whole range of
//!   4 hours.
//!
//! **What is absent**: the paper's third tier, which forecasts by ARIMA the apps of which most idle times are out of
//! bounds (0.64 % of invocations there). Here such apps are kept for the whole range like those without a representative histogram, so they start cold as often as
//! under a fixed keep-alive of 4 hours.

use std::time::Duration;

use super::{Event, Policy, Rest, Subject, table::Rows};
use crate::clock::Time;

/// One-minute bins: a range of 4 hours.
const BINS: usize = 240;
const MINUTE: Duration = Duration::from_secs(60);
const RANGE: Duration = Duration::from_secs(240 * 60);
/// With fewer idle times than these a histogram says nothing.
const FEW: u64 = 10;

/// Warms and keeps each app by the histogram of its idle times.
#[derive(Debug)]
pub struct HybridHistogram {
    apps: Rows<App>,
}

#[derive(Debug, Default)]
struct App {
    /// When its last execution ended.
    ended: Option<Time>,
    /// Whether the idle time that began then still runs.
    is_idle: bool,
    histogram: Histogram,
    window: Window,
}

/// When an app is warm, from the end of its last execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    /// Zero when it is not unloaded.
    warm_after: Duration,
    until: Duration,
}

impl Default for Window {
    fn default() -> Self {
        Window { warm_after: Duration::ZERO, until: RANGE }
    }
}

impl HybridHistogram {
    /// With the paper's settings.
    pub const fn new() -> Self {
        HybridHistogram { apps: Rows::new() }
    }
}

impl Default for HybridHistogram {
    fn default() -> Self {
        HybridHistogram::new()
    }
}

impl Policy for HybridHistogram {
    fn learn(&mut self, now: Time, function: Subject<'_>, event: Event) {
        match event {
            Event::Arrived => {
                let app = self.apps.at(function.app);
                if app.is_idle {
                    app.is_idle = false;
                    app.histogram.add(now.since(app.ended.unwrap_or(now)));
                    app.window = app.histogram.window();
                }
            }
            Event::Ended { .. } => {
                let app = self.apps.at(function.app);
                app.ended = Some(now);
                app.is_idle = function.active == 0;
            }
            Event::Retired { is_last_of_app: true } => self.apps.clear(function.app),
            _ => {}
        }
    }

    fn keep(&mut self, now: Time, function: Subject<'_>) -> Option<Duration> {
        let app = self.apps.at(function.app);
        // an instance that is warmed, or idles while others of its app are busy, has less of the window left
        let gone = app.ended.map_or(Duration::ZERO, |ended| now.since(ended));
        Some(app.window.until.saturating_sub(gone))
    }

    fn rest(&mut self, _: Time, function: Subject<'_>) -> Rest {
        let app = self.apps.at(function.app);
        match app.ended {
            Some(ended) if !app.window.warm_after.is_zero() => {
                Rest { unload: true, warm_at: Some(ended + app.window.warm_after), ..Rest::STAY }
            }
            _ => Rest::STAY,
        }
    }
}

/// Counts of idle times by the minute, with the sums that make percentiles and variation cheap.
#[derive(Debug, Default)]
struct Histogram {
    /// Allocated with the first count.
    bins: Option<Box<[u32; BINS]>>,
    in_bounds: u64,
    out_of_bounds: u64,
    sum_of_squares: u64,
}

impl Histogram {
    fn add(&mut self, idle: Duration) {
        let minute = (idle.as_secs() / 60) as usize;
        if minute >= BINS {
            self.out_of_bounds += 1;
            return;
        }
        let bin = &mut self.bins.get_or_insert_with(|| Box::new([0; BINS]))[minute];
        self.sum_of_squares += 2 * u64::from(*bin) + 1;
        *bin += 1;
        self.in_bounds += 1;
    }

    fn window(&self) -> Window {
        // half or more out of bounds: the absent tier
        if self.in_bounds < FEW || self.out_of_bounds >= self.in_bounds || !self.is_representative() {
            return Window::default();
        }
        let head = self.percentile(5) as u32;
        let tail = self.percentile(99) as u32 + 1;
        Window { warm_after: MINUTE * head * 9 / 10, until: MINUTE * tail * 11 / 10 }
    }

    /// Whether the bins' coefficient of variation is 2 or more: variance ≥ 4 mean², in integers.
    fn is_representative(&self) -> bool {
        let n = u128::from(self.in_bounds);
        u128::from(self.sum_of_squares) * BINS as u128 >= 5 * n * n
    }

    /// The bin in which this percentile of the idle times in bounds lies.
    fn percentile(&self, percent: u64) -> usize {
        let bins = self.bins.as_ref().expect("only asked when something has been counted");
        let mut before = 0;
        bins.iter()
            .position(|count| {
                before += u64::from(*count);
                before * 100 >= percent * self.in_bounds
            })
            .expect("the last bin reaches all")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invocation::FunctionSpec;

    fn minutes(n: u64) -> Duration {
        MINUTE * n as u32
    }

    /// An app that has idled for so many minutes each time, its last execution having ended at the time returned.
    fn app(idle_minutes: impl IntoIterator<Item = u64>) -> (HybridHistogram, Time) {
        let mut policy = HybridHistogram::new();
        let mut now = Time::EPOCH;
        with(|f| policy.learn(now, f, Event::Ended { instance: 0 }));
        for idle in idle_minutes {
            now = now + minutes(idle) + Duration::from_secs(30);
            with(|f| policy.learn(now, f, Event::Arrived));
            with(|f| policy.learn(now, f, Event::Ended { instance: 0 }));
        }
        (policy, now)
    }

    fn with<R>(ask: impl FnOnce(Subject<'_>) -> R) -> R {
        ask(Subject { spec: &FunctionSpec::new("f"), index: 0, app: 0, active: 0 })
    }

    #[test]
    fn few_idle_times_keep_the_whole_range() {
        let (mut policy, now) = app([60; 9]);
        assert_eq!(with(|f| policy.rest(now, f)), Rest::STAY);
        assert_eq!(with(|f| policy.keep(now, f)), Some(minutes(240)));
    }

    #[test]
    fn an_hourly_app_is_unloaded_and_warmed_before_the_hour() {
        // all in bin 60: head 60 min, tail 61; 0.9 × 60 = 54, 1.1 × 61 = 67.1
        let (mut policy, now) = app([60; 10]);
        let warm_at = now + minutes(54);
        assert_eq!(
            with(|f| policy.rest(now, f)),
            Rest { unload: true, warm_at: Some(warm_at), even_if_active: false }
        );
        assert_eq!(with(|f| policy.keep(now, f)), Some(Duration::from_secs(67 * 60 + 6)));
        // once warmed, what is left of the window, which counts from the last execution
        assert_eq!(with(|f| policy.keep(warm_at, f)), Some(Duration::from_secs(13 * 60 + 6)));
        assert_eq!(with(|f| policy.keep(now + minutes(90), f)), Some(Duration::ZERO));
    }

    #[test]
    fn percentiles_take_the_edges_of_their_bins() {
        // 100 idle times: 4 of 2 min, 95 of 30, 1 of 50. The 5th in order is a 30, the 99th too.
        let idle = [vec![2; 4], vec![30; 95], vec![50]].concat();
        let (policy, _) = app(idle);
        let histogram = &policy.apps.get(0).expect("it is known").histogram;
        assert_eq!((histogram.percentile(5), histogram.percentile(99)), (30, 30));
        assert_eq!(histogram.percentile(100), 50);
        assert_eq!(
            histogram.window(),
            Window { warm_after: minutes(27), until: Duration::from_secs(34 * 60 + 6) }
        );
    }

    #[test]
    fn a_head_of_zero_does_not_unload() {
        // all within a minute: tail 1 min, 1.1 × 1 = 66 s
        let (mut policy, now) = app([0; 50]);
        assert_eq!(with(|f| policy.rest(now, f)), Rest::STAY);
        assert_eq!(with(|f| policy.keep(now, f)), Some(Duration::from_secs(66)));
    }

    #[test]
    fn a_flat_histogram_is_not_representative() {
        // k bins of one each: CV² = 240/k - 1, which is 4 for k = 48
        let (policy, _) = app(0..48);
        assert_eq!(
            policy.apps.get(0).expect("known").window,
            Window {
                // 5th: the 3rd of 48; 99th: the 48th
                warm_after: minutes(2) * 9 / 10,
                until: minutes(48) * 11 / 10,
            }
        );
        let (policy, _) = app(0..49);
        assert_eq!(policy.apps.get(0).expect("known").window, Window::default());
    }

    #[test]
    fn with_half_out_of_bounds_the_range_is_kept() {
        let (policy, _) = app([vec![60; 20], vec![240; 19]].concat());
        assert_eq!(policy.apps.get(0).expect("known").window.warm_after, minutes(54));
        let (policy, _) = app([vec![60; 20], vec![240; 20]].concat());
        assert_eq!(policy.apps.get(0).expect("known").window, Window::default());
    }

    #[test]
    fn idle_time_begins_when_the_last_of_an_app_ends() {
        let mut policy = HybridHistogram::new();
        let spec = FunctionSpec::new("f");
        let f = |active| Subject { spec: &spec, index: 0, app: 0, active };
        policy.learn(Time::EPOCH, f(1), Event::Ended { instance: 0 }); // another still runs
        policy.learn(Time::EPOCH + minutes(5), f(2), Event::Arrived);
        assert_eq!(policy.apps.at(0).histogram.in_bounds, 0, "the app has not idled");
        policy.learn(Time::EPOCH + minutes(6), f(0), Event::Ended { instance: 0 });
        policy.learn(Time::EPOCH + minutes(16), f(1), Event::Arrived);
        policy.learn(Time::EPOCH + minutes(17), f(2), Event::Arrived);
        let histogram = &policy.apps.at(0).histogram;
        assert_eq!((histogram.in_bounds, histogram.bins.as_ref().expect("counted")[10]), (1, 1));
        policy.learn(Time::EPOCH, f(0), Event::Retired { is_last_of_app: true });
        assert_eq!(policy.apps.at(0).histogram.in_bounds, 0);
    }
}
