//! How long an instance must pause to have had no more than its share of a CPU. Pure: time comes in, pauses go out.
//!
//! What is modelled is Linux's bandwidth control as providers use it: in each period an instance may compute for a quota, at
//! full speed; when that is used up it stands still until the next period. So what computes less than a quota is not slowed at
//! all, and what computes for long takes its CPU time divided by its share. What is not: that the kernel notices an
//! overrun only at its next tick, and pays it back later.
//!
//! A guest's poll cannot be held up in its middle, so it computes at full speed and pauses afterwards, until the
//! moment at which it would have come so far.

use std::time::Duration;

use crate::{clock::Time, invocation::CpuShare};

/// One instance's quota.
#[derive(Debug)]
pub(super) struct Quota {
    share: CpuShare,
    /// When the period that is counted began.
    began: Time,
    /// How much of its quota is used.
    used: Duration,
    /// Where pauses are computed and not waited for, what the clock would show had they been.
    virtual_now: Option<Time>,
    /// What the clock showed then.
    real_now: Time,
}

/// How an instance comes to its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Pause {
    /// It stands still for so long after it has computed.
    pub(super) by: Duration,
    /// Of a pause that is computed: how much longer this machine took than the provider would have, pause and all.
    pub(super) excess: Duration,
    /// Of a pause that is computed: all that it did not compute, in the provider's time.
    pub(super) throttled: Duration,
}

impl Quota {
    pub(super) fn new(share: CpuShare) -> Self {
        Quota { share, began: Time::EPOCH, used: Duration::ZERO, virtual_now: None, real_now: Time::EPOCH }
    }

    /// A call begins. Where pauses are not waited for, no time passes in which quotas come back: it finds the instance
    /// idle, whatever ran before.
    pub(super) fn begin(&mut self) {
        if self.share.is_computed {
            *self = Quota::new(self.share);
        }
    }

    /// Counts `cpu` of computing that began at `from` and ends `now`; how long the instance pauses for it. Time in which it
    /// was ready to compute and this machine did not let it is part of the pause.
    pub(super) fn spend(&mut self, from: Time, now: Time, cpu: Duration) -> Pause {
        if !self.share.is_computed {
            let by = self.reached(from, cpu).since(now);
            return Pause { by, ..Pause::default() };
        }
        // what is waited for in between takes as long there as it does here
        let there = self.virtual_now.map_or(from, |then| then + from.since(self.real_now));
        let reached = self.reached(there, cpu);
        (self.virtual_now, self.real_now) = (Some(reached), now);
        let (took, takes) = (now.since(from), reached.since(there));
        Pause {
            by: takes.saturating_sub(took),
            excess: took.saturating_sub(takes),
            throttled: takes.saturating_sub(cpu),
        }
    }

    /// When it would have come so far.
    fn reached(&mut self, from: Time, cpu: Duration) -> Time {
        let CpuShare { milli_vcpus, period, .. } = self.share;
        let quota = (period * milli_vcpus / 1000).max(Duration::from_nanos(1));
        // a period begins with the first use after one that is over
        if from >= self.began + period {
            (self.began, self.used) = (from, Duration::ZERO);
        }
        // others of the instance may have used the time that this one was computing in
        let from = from.max(self.began);
        let to_end = (self.began + period).since(from);
        let now_left = quota.saturating_sub(self.used).min(to_end);
        if cpu <= now_left {
            self.used += cpu;
            return from + cpu;
        }
        let rest = nanos(cpu - now_left);
        let whole = rest.div_ceil(nanos(quota)) - 1;
        let last = Duration::from_nanos(rest - whole * nanos(quota));
        let whole = Duration::from_nanos(nanos(period).saturating_mul(whole));
        (self.began, self.used) = (self.began + period + whole, last);
        self.began + last
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn share(milli_vcpus: u32, is_computed: bool) -> CpuShare {
        CpuShare { milli_vcpus, period: 20 * MS, is_computed }
    }

    /// Wall time of this much computing in one piece, on an instance that has been idle.
    fn wall(milli_vcpus: u32, cpu: Duration) -> Duration {
        let mut quota = Quota::new(share(milli_vcpus, false));
        let from = Time::EPOCH + 1000 * MS;
        cpu + quota.spend(from, from + cpu, cpu).by
    }

    #[test]
    fn what_is_within_a_quota_runs_at_full_speed() {
        // half a CPU: 10 of 20 ms
        assert_eq!(wall(500, 10 * MS), 10 * MS);
        assert_eq!(wall(500, 11 * MS), 21 * MS, "the eleventh waits for the next period");
        assert_eq!(wall(500, 20 * MS), 30 * MS);
        assert_eq!(wall(500, 100 * MS), 190 * MS, "nine periods, and the tenth's quota");
    }

    #[test]
    fn a_quota_comes_back_with_time_and_not_with_calls() {
        let mut quota = Quota::new(share(500, false));
        let at = |ms: u32| Time::EPOCH + 1000 * MS + MS * ms;
        assert_eq!(quota.spend(at(0), at(6), 6 * MS).by, Duration::ZERO);
        // 4 are left of the first period's; the fifth ends one into the next
        assert_eq!(quota.spend(at(7), at(12), 5 * MS).by, 9 * MS);
        // a wait of half a minute gives one quota, not many
        assert_eq!(quota.spend(at(30_000), at(30_011), 11 * MS).by, 10 * MS);
    }

    #[test]
    fn what_this_machine_takes_longer_is_part_of_the_pause() {
        let at = |ms: u32| Time::EPOCH + 1000 * MS + MS * ms;
        // 11 ms of computing that take 21 with half a CPU, and took 15 or 25
        let spent = |is_computed, took| {
            let Pause { by, excess, .. } =
                Quota::new(share(500, is_computed)).spend(at(0), at(took), 11 * MS);
            (by.as_millis(), excess.as_millis())
        };
        assert_eq!([spent(false, 15), spent(false, 25)], [(6, 0), (0, 0)]);
        assert_eq!([spent(true, 15), spent(true, 25)], [(6, 0), (0, 4)], "only what is computed can be less");
        // with a whole CPU all that it did not compute is this machine's
        let Pause { by, excess, throttled } = Quota::new(share(1000, true)).spend(at(0), at(55), 50 * MS);
        assert_eq!((by, excess, throttled), (Duration::ZERO, 5 * MS, Duration::ZERO));
    }

    #[test]
    fn pauses_that_are_computed_are_those_that_would_be_waited() {
        let (mut waited, mut computed) = (Quota::new(share(72, false)), Quota::new(share(72, true)));
        let mut now = Time::EPOCH + 1000 * MS;
        let (mut clock, mut sum, mut throttled) = (now, Duration::ZERO, Duration::ZERO);
        for (cpu, wait) in [(3 * MS, MS), (MS, 30 * MS), (40 * MS, MS / 2), (MS / 2, MS)] {
            let Pause { by, .. } = waited.spend(now, now + cpu, cpu);
            now = now + cpu + by + wait;
            let pause = computed.spend(clock, clock + cpu, cpu);
            sum += pause.by;
            throttled += pause.throttled;
            clock = clock + cpu + wait;
        }
        assert_eq!(clock + sum, now);
        assert_eq!(sum, throttled, "nothing else held it up");
    }

    #[test]
    fn a_call_that_is_computed_finds_an_idle_instance() {
        let at = |ms: u32| Time::EPOCH + 1000 * MS + MS * ms;
        for (is_computed, paused) in [(false, 10 * MS), (true, Duration::ZERO)] {
            let mut quota = Quota::new(share(500, is_computed));
            quota.begin();
            assert_eq!(quota.spend(at(0), at(9), 9 * MS).by, Duration::ZERO);
            quota.begin();
            assert_eq!(quota.spend(at(9), at(14), 5 * MS).by, paused, "one of ten is left in this period");
        }
    }

    proptest! {
        /// Whatever a call computes, and however it waits in between, it has had no more than its share of the time
        /// since it began, and one quota; and it was not held up for longer than that takes.
        #[test]
        fn nobody_gets_more_than_their_share_and_nobody_less(
            milli_vcpus in 1_u32..1000,
            steps in prop::collection::vec((0_u64..50_000, 0_u64..50_000), 1..40),
        ) {
            let mut quota = Quota::new(share(milli_vcpus, false));
            let began = Time::EPOCH + 1000 * MS;
            let (mut now, mut computed, mut waited) = (began, Duration::ZERO, Duration::ZERO);
            for (cpu_us, wait_us) in steps {
                let (cpu, wait) = (Duration::from_micros(cpu_us), Duration::from_micros(wait_us));
                let from = now;
                now = now + cpu;
                now = now + quota.spend(from, now, cpu).by;
                computed += cpu;
                let wall = now.since(began).as_secs_f64();
                let share = f64::from(milli_vcpus) / 1e3;
                let period = 0.020;
                prop_assert!(
                    computed.as_secs_f64() <= wall * share + period * share + 1e-6,
                    "{computed:?} in {wall} s of {share}"
                );
                // each wait may leave a period's rest unused, and each period what is left of its quota
                let fair = computed.as_secs_f64() / share + waited.as_secs_f64() + period * 41.0;
                prop_assert!(wall <= fair, "{computed:?} took {wall} s of {share}");
                now = now + wait;
                waited += wait;
            }
        }
    }
}
