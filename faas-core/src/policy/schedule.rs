//! Warm before the clock strikes: functions whose next firings are known, such as those of a cron trigger, are
//! warmed a little ahead. All else is another policy's.
//!
//! In Huawei's traces (EuroSys '25) timers make the worst use of instances. A function fires as its
//! [schedule](crate::invocation::FunctionSpec::schedule) says; other firings are passed in as a question, "when next after
//! this?", so nothing here parses cron.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use super::{Event, Policy, Rest, Subject};
use crate::clock::Time;

type Next = Box<dyn FnMut(Time) -> Option<Time> + Send>;

/// Another policy, and firings that are known.
pub struct Scheduled {
    inner: Box<dyn Policy>,
    lead: Duration,
    next: HashMap<Arc<str>, Next>,
}

impl Scheduled {
    /// Warms `lead` before a firing, and keeps what is warm until `lead` after it; apart from that, as `inner` says.
    pub fn new(inner: impl Policy, lead: Duration) -> Self {
        Scheduled { inner: Box::new(inner), lead, next: HashMap::new() }
    }

    /// The function of this name fires when `next` says, whatever its settings do: asked with a time, it answers the first
    /// firing after it.
    pub fn fires(
        mut self,
        function: impl Into<Arc<str>>,
        next: impl FnMut(Time) -> Option<Time> + Send + 'static,
    ) -> Self {
        self.next.insert(function.into(), Box::new(next));
        self
    }

    /// When a function fires next after this: as was said of it here, or else as its
    /// [schedule](crate::invocation::FunctionSpec::schedule) does.
    fn after(&mut self, time: Time, function: Subject<'_>) -> Option<Time> {
        match self.next.get_mut(&function.spec.name) {
            Some(next) => next(time),
            None => function.spec.schedule.as_ref()?.next_after(time),
        }
    }

    /// The function of this name fires at these times.
    pub fn fires_at(self, function: impl Into<Arc<str>>, mut times: Vec<Time>) -> Self {
        times.sort_unstable();
        self.fires(function, move |after| times.get(times.partition_point(|at| *at <= after)).copied())
    }
}

impl Policy for Scheduled {
    fn learn(&mut self, now: Time, function: Subject<'_>, event: Event) {
        self.inner.learn(now, function, event);
    }

    fn keep(&mut self, now: Time, function: Subject<'_>) -> Option<Duration> {
        let keep = self.inner.keep(now, function)?;
        match self.after(now, function) {
            // warmed for it, or so near that it is not worth going
            Some(at) if at.since(now) <= self.lead => Some(keep.max(at.since(now) + self.lead)),
            _ => Some(keep),
        }
    }

    fn rest(&mut self, now: Time, function: Subject<'_>) -> Rest {
        let mut rest = self.inner.rest(now, function);
        // what is warm stays for a firing that is near: it would not be warmed for it again
        rest.unload &= self.after(now, function).is_none_or(|at| at.since(now) > self.lead);
        // the first for which there still is time to warm
        if let Some(at) = self.after(now + self.lead, function) {
            let warm_at = now + at.since(now + self.lead);
            if rest.warm_at.is_none_or(|inner| inner <= now || warm_at <= inner) {
                // whoever runs then may run still when it fires
                (rest.warm_at, rest.even_if_active) = (Some(warm_at), true);
            }
        }
        rest
    }

    fn priority(&self, function: Subject<'_>, instance: usize) -> Option<f64> {
        self.inner.priority(function, instance)
    }

    fn may_warm(&mut self, now: Time, function: Subject<'_>) -> bool {
        self.inner.may_warm(now, function)
    }
}

impl fmt::Debug for Scheduled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduled")
            .field("inner", &self.inner)
            .field("lead", &self.lead)
            .field("functions", &self.next.keys())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{invocation::FunctionSpec, policy::FixedTtl};

    const fn at(secs: u64) -> Time {
        Time::from_unix_nanos(secs * 1_000_000_000)
    }

    #[test]
    fn a_function_is_warmed_before_each_firing_and_kept_past_it() {
        let secs = Duration::from_secs;
        let mut policy =
            Scheduled::new(FixedTtl(secs(30)), secs(10)).fires_at("report", vec![at(200), at(100)]);
        let report = FunctionSpec::new("report");
        let report = Subject { spec: &report, index: 0, app: 0, active: 0 };
        let warm = |s| Rest { unload: false, warm_at: Some(at(s)), even_if_active: true };

        assert_eq!(policy.rest(at(0), report), warm(90), "asked at deployment");
        assert_eq!(policy.rest(at(90), report), warm(190), "asked when it has been warmed for the first");
        assert_eq!(policy.keep(at(91), report), Some(secs(30)), "which is past the firing");
        assert_eq!(policy.keep(at(50), report), Some(secs(30)), "too far away: as the other policy says");
        assert_eq!(policy.rest(at(195), report), Rest::STAY, "no more firings");

        let mut strict = Scheduled::new(FixedTtl(secs(0)), secs(10)).fires_at("report", vec![at(100)]);
        assert_eq!(strict.keep(at(91), report), Some(secs(19)), "9 s to the firing, 10 s of grace");

        let cron = "*/5 * * * *".parse().expect("a schedule");
        let cron = FunctionSpec { schedule: Some(std::sync::Arc::new(cron)), ..FunctionSpec::new("cron") };
        let cron = Subject { spec: &cron, index: 2, app: 2, active: 0 };
        assert_eq!(policy.rest(at(0), cron), warm(290), "as its own settings say");

        let other = FunctionSpec::new("other");
        let other = Subject { spec: &other, index: 1, app: 1, active: 0 };
        assert_eq!(policy.rest(at(0), other), Rest::STAY);
        assert_eq!(policy.keep(at(91), other), Some(secs(30)));
    }
}
