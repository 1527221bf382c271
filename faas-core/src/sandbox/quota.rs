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
    /// How far ahead of the clock we are: pauses that were computed and not waited for.
    ahead: Duration,
}

impl Quota {
    pub(super) fn new(share: CpuShare) -> Self {
        Quota { share, began: Time::EPOCH, used: Duration::ZERO, ahead: Duration::ZERO }
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
    pub(super) fn spend(&mut self, from: Time, now: Time, cpu: Duration) -> Duration {
        let pause = self.reached(from + self.ahead, cpu).since(now + self.ahead);
        if self.share.is_computed {
            self.ahead += pause;
        }
        pause
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
        cpu + quota.spend(from, from + cpu, cpu)
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
        assert_eq!(quota.spend(at(0), at(6), 6 * MS), Duration::ZERO);
        // 4 are left of the first period's; the fifth ends one into the next
        assert_eq!(quota.spend(at(7), at(12), 5 * MS), 9 * MS);
        // a wait of half a minute gives one quota, not many
        assert_eq!(quota.spend(at(30_000), at(30_011), 11 * MS), 10 * MS);
    }

    #[test]
    fn what_this_machine_takes_longer_is_part_of_the_pause() {
        let at = |ms: u32| Time::EPOCH + 1000 * MS + MS * ms;
        // 11 ms of computing that took 15, and take 21 with half a CPU
        assert_eq!(Quota::new(share(500, false)).spend(at(0), at(15), 11 * MS), 6 * MS);
        assert_eq!(Quota::new(share(500, false)).spend(at(0), at(25), 11 * MS), Duration::ZERO);
    }

    #[test]
    fn pauses_that_are_computed_are_those_that_would_be_waited() {
        let (mut waited, mut computed) = (Quota::new(share(72, false)), Quota::new(share(72, true)));
        let mut now = Time::EPOCH + 1000 * MS;
        let (mut clock, mut sum) = (now, Duration::ZERO);
        for cpu in [3 * MS, MS, 40 * MS, MS / 2] {
            let pause = waited.spend(now, now + cpu, cpu);
            now = now + cpu + pause;
            sum += computed.spend(clock, clock + cpu, cpu);
            clock = clock + cpu;
        }
        assert_eq!(clock + sum, now);
        // the next call of the one that waits finds what this one has left of the quota
        waited.begin();
        computed.begin();
        assert_eq!(computed.spend(clock, clock + MS, MS), Duration::ZERO);
        assert_ne!(waited.spend(now, now + MS, MS), Duration::ZERO);
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
                now = now + quota.spend(from, now, cpu);
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
