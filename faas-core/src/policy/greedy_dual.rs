//! Greedy-Dual-Size-Frequency: keep-alive as caching. Nothing expires; when room is needed, what is cheapest to
//! lose goes first.
//!
//! Fuerst and Sharma, "FaasCache: Keeping Serverless Computing Alive with Greedy-Dual Caching", ASPLOS '21. An instance's
//! priority is
//!
//! ```text
//! clock when it was last used + frequency × cost / size
//! ```
//!
//! where cost is what a cold start takes longer than a warm one (here: the mean of the function's observed starts, in
//! seconds), size is its memory in MiB, and frequency counts the invocations that its function's living instances have
//! served; these three the instances of a function share. The clock is the priority of the last victim, so that what was
//! once popular ages. In the paper each instance has the clock of its own last use, so that the surplus of a busy function
//! ages; the authors' simulator gives all instances of a function that of the last use of any. This is the paper's.
//!
//! Without the frequency it is Greedy-Dual-Size: Cao and Irani, "Cost-Aware WWW Proxy Caching Algorithms", USITS '97.

use std::time::Duration;

use super::{Event, Policy, Subject, table::Rows};
use crate::{clock::Time, transition::StopReason};

/// Evicts by priority.
#[derive(Debug)]
pub struct GreedyDual {
    counts: bool,
    clock: f64,
    functions: Rows<Known>,
    /// By instance: the clock when it was last used.
    used: Rows<f64>,
}

#[derive(Debug, Default)]
struct Known {
    /// Invocations that its living instances have served.
    frequency: u64,
    starts: u64,
    starts_took: Duration,
}

impl GreedyDual {
    /// FaasCache's. Knows nothing yet.
    pub const fn new() -> Self {
        GreedyDual::counting(true)
    }

    /// Greedy-Dual-Size: the frequency is 1, however often a function is invoked.
    pub const fn without_frequency() -> Self {
        GreedyDual::counting(false)
    }

    const fn counting(counts: bool) -> Self {
        GreedyDual { counts, clock: 0.0, functions: Rows::new(), used: Rows::new() }
    }

    /// What an instance of the function is worth above its clock.
    fn value(&self, function: Subject<'_>) -> f64 {
        let Some(known) = self.functions.get(function.index) else { return 0.0 };
        let frequency = if self.counts { known.frequency as f64 } else { 1.0 };
        let cost = known.starts_took.as_secs_f64() / known.starts.max(1) as f64;
        frequency * cost / f64::from(function.spec.memory_mib.max(1))
    }

    fn priority_of(&self, function: Subject<'_>, instance: usize) -> f64 {
        self.used.get(instance).copied().unwrap_or_default() + self.value(function)
    }
}

impl Default for GreedyDual {
    fn default() -> Self {
        GreedyDual::new()
    }
}

impl Policy for GreedyDual {
    fn learn(&mut self, _: Time, function: Subject<'_>, event: Event) {
        match event {
            Event::Began { .. } => self.functions.at(function.index).frequency += 1,
            // it may be idle from now on, which is when its priority counts
            Event::Ended { instance } => *self.used.at(instance) = self.clock,
            Event::Started { instance, took } => {
                *self.used.at(instance) = self.clock;
                let known = self.functions.at(function.index);
                known.starts += 1;
                known.starts_took += took;
            }
            Event::Stopped { instance, reason, served } => {
                if reason == StopReason::Evicted {
                    self.clock = self.clock.max(self.priority_of(function, instance));
                }
                let known = self.functions.at(function.index);
                known.frequency = known.frequency.saturating_sub(served);
            }
            Event::Retired { .. } => self.functions.clear(function.index),
            Event::Arrived => {}
        }
    }

    fn keep(&mut self, _: Time, _: Subject<'_>) -> Option<Duration> {
        None
    }

    fn priority(&self, function: Subject<'_>, instance: usize) -> Option<f64> {
        Some(self.priority_of(function, instance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invocation::FunctionSpec;

    struct Bench {
        policy: GreedyDual,
        specs: [FunctionSpec; 2],
    }

    impl Bench {
        /// Function 0 has 128 MiB, function 1 has 256.
        fn new(policy: GreedyDual) -> Self {
            let spec = |memory_mib| FunctionSpec { memory_mib, ..FunctionSpec::new("f") };
            Bench { policy, specs: [spec(128), spec(256)] }
        }

        fn tell(&mut self, index: usize, events: impl IntoIterator<Item = Event>) {
            let subject = Subject { spec: &self.specs[index], index, app: index, active: 0 };
            events.into_iter().for_each(|event| self.policy.learn(Time::EPOCH, subject, event));
        }

        /// One use of an instance, from its beginning to its end.
        fn used(&mut self, index: usize, instance: usize) {
            self.tell(index, [Event::Began { instance }, Event::Ended { instance }]);
        }

        fn priority(&self, index: usize, instance: usize) -> f64 {
            let subject = Subject { spec: &self.specs[index], index, app: index, active: 0 };
            self.policy.priority(subject, instance).expect("all have one")
        }
    }

    fn started(instance: usize, secs: u64) -> Event {
        Event::Started { instance, took: Duration::from_secs(secs) }
    }

    fn evicted(instance: usize, served: u64) -> Event {
        Event::Stopped { instance, reason: StopReason::Evicted, served }
    }

    #[test]
    fn frequency_times_cost_over_size_above_the_clock() {
        let mut bench = Bench::new(GreedyDual::new());
        bench.tell(0, [started(0, 2)]);
        bench.used(0, 0);
        bench.used(0, 0);
        bench.tell(1, [started(1, 8)]);
        bench.used(1, 1);
        assert_eq!([bench.priority(0, 0), bench.priority(1, 1)], [2.0 * 2.0 / 128.0, 8.0 / 256.0]); // 1/32 both

        bench.used(1, 1);
        assert_eq!([bench.priority(0, 0), bench.priority(1, 1)], [1.0 / 32.0, 2.0 / 32.0]);

        // the first is evicted: the clock is its priority, its frequency ends with it
        bench.tell(0, [evicted(0, 2)]);
        bench.used(1, 1);
        assert_eq!(bench.priority(1, 1), 1.0 / 32.0 + 3.0 / 32.0);
        // it comes back, in another's place: costs average (2 + 4) / 2 = 3 s
        bench.tell(0, [started(0, 4)]);
        bench.used(0, 0);
        assert_eq!(bench.priority(0, 0), 1.0 / 32.0 + 3.0 / 128.0);
    }

    #[test]
    fn a_use_that_is_long_ago_loses_its_worth() {
        let mut bench = Bench::new(GreedyDual::new());
        bench.tell(0, [started(0, 128)]);
        bench.used(0, 0); // priority 1, never used again
        for _ in 0..3 {
            bench.tell(1, [started(1, 128)]);
            bench.used(1, 1);
            bench.tell(1, [evicted(1, 1)]); // clock 0.5, 1, 1.5
        }
        bench.tell(1, [started(1, 128)]);
        bench.used(1, 1);
        assert_eq!([bench.priority(0, 0), bench.priority(1, 1)], [1.0, 2.0]);
    }

    #[test]
    fn each_instance_has_the_clock_of_its_own_last_use() {
        let mut bench = Bench::new(GreedyDual::new());
        bench.tell(0, [started(0, 128), started(1, 128)]);
        bench.used(0, 0);
        bench.used(0, 1);
        bench.tell(1, [started(2, 128)]);
        bench.used(1, 2);
        bench.tell(1, [evicted(2, 1)]); // clock 0.5
        bench.used(0, 1);
        assert_eq!([bench.priority(0, 0), bench.priority(0, 1)], [3.0, 3.5], "the surplus ages");
    }

    #[test]
    fn only_the_uses_of_the_living_count() {
        let mut bench = Bench::new(GreedyDual::new());
        bench.tell(0, [started(0, 128), started(1, 128)]);
        [0, 0, 1].into_iter().for_each(|instance| bench.used(0, instance));
        bench.tell(0, [Event::Stopped { instance: 0, reason: StopReason::Failed, served: 2 }]);
        bench.used(0, 1);
        assert_eq!(bench.priority(0, 1), 2.0, "one of before and one new, and the clock still 0");
    }

    #[test]
    fn without_frequency_the_often_used_is_worth_no_more() {
        let mut bench = Bench::new(GreedyDual::without_frequency());
        bench.tell(0, [started(0, 128)]);
        (0..9).for_each(|_| bench.used(0, 0));
        bench.tell(1, [started(1, 128)]);
        bench.used(1, 1);
        assert_eq!([bench.priority(0, 0), bench.priority(1, 1)], [1.0, 0.5]);
    }
}
