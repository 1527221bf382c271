//! Where a guest's next poll runs: inline on the async worker that asks for it, or on a thread of its own.
//!
//! Inline costs nothing, but a guest that computes for long holds a worker that others wait for. So a function
//! has to earn it: polls run on threads until several in a row were short, and one long poll sends it back. And
//! however short their polls, only so many guests run inline at a time, so that a worker is always left: see [`super::workers`].
//!
//! Pure: knows no threads and reads no clock.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::Pace;

/// A poll shorter than this leaves the worker free soon enough.
const SHORT: Duration = Duration::from_micros(500);
/// So many short polls in a row make a function trusted.
const TRUST_AFTER: u32 = 8;
/// A long poll costs so many short ones before the function is trusted again.
const DISTRUST: u32 = 64;
/// Looks at a slot that is taken before another way is gone: some microseconds, as long as a brief poll, and a fraction of
/// what it costs to hand the guest to another thread.
const LOOKS: u32 = 64;

/// What is known of one function's polls: how many short ones are still to be seen before it is trusted.
#[derive(Debug)]
pub(super) struct Habit(AtomicU32);

impl Habit {
    /// That of a function of which nothing is known yet. Where computing takes no time, it is quick.
    pub(super) fn new(pace: Pace) -> Self {
        Habit(AtomicU32::new(match pace {
            Pace::Real => TRUST_AFTER,
            Pace::Virtual => 0,
        }))
    }

    /// That of what is quick unless it is found not to be.
    pub(super) fn quick() -> Self {
        Habit(AtomicU32::new(0))
    }

    /// Learns from a poll that used `cpu`.
    pub(super) fn observe(&self, cpu: Duration) {
        if cpu >= SHORT {
            self.0.store(DISTRUST, Ordering::Relaxed);
        } else if !self.is_trusted() {
            // two polls at once may both count: the exact number does not matter, going below zero would
            let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        }
    }

    /// Whether the next poll may run inline.
    pub(super) fn is_trusted(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// How many guests may run inline at once.
#[derive(Debug)]
pub(super) struct InlineSlots {
    free: AtomicU32,
}

impl InlineSlots {
    /// Leaves at least one of `workers` to those who wait for no guest.
    pub(super) fn for_workers(workers: usize) -> Self {
        InlineSlots { free: AtomicU32::new(u32::try_from(workers.saturating_sub(1)).unwrap_or(u32::MAX)) }
    }

    /// As many as are asked for.
    pub(super) fn unlimited() -> Self {
        InlineSlots { free: AtomicU32::new(u32::MAX) }
    }

    /// A slot, if there is one or whoever has it is as quick as most are.
    pub(super) fn take_soon(&self) -> Option<InlineSlot<'_>> {
        (0..LOOKS).find_map(|_| {
            let slot = self.try_take();
            if slot.is_none() {
                std::hint::spin_loop();
            }
            slot
        })
    }

    /// A slot, if there is one.
    fn try_take(&self) -> Option<InlineSlot<'_>> {
        self.free
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |n| n.checked_sub(1))
            .is_ok()
            // made only if there is one: to drop it gives one back
            .then(|| InlineSlot(self))
    }
}

/// Given back on drop.
#[derive(Debug)]
pub(super) struct InlineSlot<'a>(&'a InlineSlots);

impl Drop for InlineSlot<'_> {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observe_times(habit: &Habit, n: u32, cpu: Duration) {
        for _ in 0..n {
            habit.observe(cpu);
        }
    }

    #[test]
    fn trust_is_earned_by_short_polls_and_lost_by_a_long_one() {
        let habit = Habit::new(Pace::Real);
        assert!(!habit.is_trusted(), "an unknown function is not trusted");
        observe_times(&habit, TRUST_AFTER, Duration::from_micros(3));
        assert!(habit.is_trusted());
        habit.observe(SHORT);
        observe_times(&habit, DISTRUST - 1, Duration::ZERO);
        assert!(!habit.is_trusted());
        observe_times(&habit, 10, Duration::ZERO);
        assert!(habit.is_trusted());
    }

    #[test]
    fn in_virtual_time_all_run_inline() {
        let (habit, slots) = (Habit::new(Pace::Virtual), InlineSlots::unlimited());
        let taken: Vec<_> = (0..1000).map(|_| slots.try_take()).collect();
        assert!(habit.is_trusted() && taken.iter().all(Option::is_some));
    }

    #[test]
    fn a_worker_is_always_left() {
        let slots = InlineSlots::for_workers(3);
        let (a, b) = (slots.try_take(), slots.try_take());
        assert!(a.is_some() && b.is_some());
        assert!((0..10).all(|_| slots.try_take().is_none()), "who looks in vain gives nothing back");
        drop(a);
        let c = slots.try_take();
        assert!(c.is_some() && slots.try_take().is_none());
        assert!(InlineSlots::for_workers(1).try_take().is_none());
    }
}
