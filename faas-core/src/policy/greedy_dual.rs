//! Greedy-Dual-Size-Frequency: keep-alive as caching. Nothing expires; when room is needed, what is cheapest to
//! lose goes first.
//!
//! Fuerst and Sharma, "FaasCache: Keeping Serverless Computing Alive with Greedy-Dual Caching", ASPLOS '21. At each use,
//!
//! ```text
//! priority = clock + frequency × cost / size
//! ```
//!
//! where cost is what a cold start takes longer than a warm one (here: the mean of the function's observed starts, in
//! seconds), size is its memory in MiB, and frequency counts the invocations that its living instances have served. All
//! instances of a function share it. The clock is the priority of the last victim, so that what was once popular
//! ages.

use std::time::Duration;

use super::{Event, Policy, Subject, table::Rows};
use crate::{clock::Time, transition::StopReason};

/// Evicts by priority.
#[derive(Debug)]
pub struct GreedyDual {
    clock: f64,
    functions: Rows<Known>,
}

#[derive(Debug, Default)]
struct Known {
    priority: f64,
    /// Invocations that its living instances have served.
    frequency: u64,
    starts: u64,
    starts_took: Duration,
}

impl GreedyDual {
    /// Knows nothing yet.
    pub const fn new() -> Self {
        GreedyDual { clock: 0.0, functions: Rows::new() }
    }
}

impl Default for GreedyDual {
    fn default() -> Self {
        GreedyDual::new()
    }
}

impl Known {
    fn value(&self, memory_mib: u32) -> f64 {
        let cost = self.starts_took.as_secs_f64() / self.starts.max(1) as f64;
        self.frequency as f64 * cost / f64::from(memory_mib.max(1))
    }
}

impl Policy for GreedyDual {
    fn learn(&mut self, _: Time, function: Subject<'_>, event: Event) {
        let known = self.functions.at(function.index);
        match event {
            Event::Began => {
                known.frequency += 1;
                known.priority = self.clock + known.value(function.spec.memory_mib);
            }
            Event::Started { took } => {
                known.starts += 1;
                known.starts_took += took;
                known.priority = self.clock + known.value(function.spec.memory_mib);
            }
            Event::Stopped { reason, served } => {
                known.frequency = known.frequency.saturating_sub(served);
                if reason == StopReason::Evicted {
                    self.clock = self.clock.max(known.priority);
                }
            }
            Event::Retired { .. } => self.functions.clear(function.index),
            Event::Arrived | Event::Ended => {}
        }
    }

    fn keep(&mut self, _: Time, _: Subject<'_>) -> Option<Duration> {
        None
    }

    fn priority(&self, function: Subject<'_>) -> Option<f64> {
        Some(self.functions.get(function.index).map_or(self.clock, |known| known.priority))
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
        fn new() -> Self {
            let spec = |memory_mib| FunctionSpec { memory_mib, ..FunctionSpec::new("f") };
            Bench { policy: GreedyDual::new(), specs: [spec(128), spec(256)] }
        }

        fn tell(&mut self, index: usize, events: impl IntoIterator<Item = Event>) {
            let subject = Subject { spec: &self.specs[index], index, app: index, active: 0 };
            events.into_iter().for_each(|event| self.policy.learn(Time::EPOCH, subject, event));
        }

        fn priorities(&self) -> [f64; 2] {
            [0, 1].map(|index| {
                let subject = Subject { spec: &self.specs[index], index, app: index, active: 0 };
                self.policy.priority(subject).expect("all have one")
            })
        }
    }

    fn started(secs: u64) -> Event {
        Event::Started { took: Duration::from_secs(secs) }
    }

    fn evicted(served: u64) -> Event {
        Event::Stopped { reason: StopReason::Evicted, served }
    }

    #[test]
    fn frequency_times_cost_over_size_above_the_clock() {
        let mut bench = Bench::new();
        bench.tell(0, [started(2), Event::Began, Event::Began]);
        bench.tell(1, [started(8), Event::Began]);
        assert_eq!(bench.priorities(), [2.0 * 2.0 / 128.0, 8.0 / 256.0]); // 1/32 both

        bench.tell(1, [Event::Began]);
        assert_eq!(bench.priorities(), [1.0 / 32.0, 2.0 / 32.0]);

        // the first is evicted: the clock is its priority, its frequency ends with it
        bench.tell(0, [evicted(2)]);
        bench.tell(1, [Event::Began]);
        assert_eq!(bench.priorities()[1], 1.0 / 32.0 + 3.0 / 32.0);
        // it comes back: costs average (2 + 4) / 2 = 3 s
        bench.tell(0, [started(4), Event::Began]);
        assert_eq!(bench.priorities()[0], 1.0 / 32.0 + 3.0 / 128.0);
    }

    #[test]
    fn a_use_that_is_long_ago_loses_its_worth() {
        let mut bench = Bench::new();
        bench.tell(0, [started(128), Event::Began]); // priority 1, never used again
        for _ in 0..3 {
            bench.tell(1, [started(128), Event::Began, evicted(1)]); // clock 0.5, 1, 1.5
        }
        bench.tell(1, [started(128), Event::Began]);
        assert_eq!(bench.priorities(), [1.0, 2.0]);
    }

    #[test]
    fn only_the_uses_of_the_living_count() {
        let mut bench = Bench::new();
        bench.tell(0, [started(128), started(128), Event::Began, Event::Began, Event::Began]);
        let stopped = Event::Stopped { reason: StopReason::Failed, served: 2 };
        bench.tell(0, [stopped, Event::Began]);
        assert_eq!(bench.priorities()[0], 2.0, "one of before and one new, and the clock still 0");
    }
}
