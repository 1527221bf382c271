//! Where a guest's next poll runs: inline on the async worker that asks for it, or on a thread of its own.
//!
//! Inline costs nothing, but a guest that computes for long holds a worker that others wait for. So a function
//! has to earn it: polls run on threads until several in a row were short, and one long poll sends it back. And
//! however short their polls, only so many guests run inline at a time, so that a worker is always left.
//!
//! The same history says how a poll is timed, see [`super::cpu`].
//!
//! Pure: knows no threads and reads no clock.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A poll shorter than this leaves the worker free soon enough.
const SHORT: Duration = Duration::from_micros(500);
/// A poll shorter than this may be timed by the wall.
const BRIEF: Duration = Duration::from_micros(20);
/// So many short polls in a row make a function trusted.
const TRUST_AFTER: u32 = 8;
/// A long poll costs so many short ones before the function is trusted again.
const DISTRUST: u32 = 64;
/// Looks at a slot that is taken before another way is gone: some microseconds, as long as a brief poll, and a fraction of
/// what it costs to hand the guest to another thread.
const LOOKS: u32 = 64;

/// What is known of one function's polls.
#[derive(Debug)]
pub(super) struct Habit {
    // short polls still to be seen before the function is trusted
    to_prove: AtomicU32,
    // brief ones, likewise
    brief_to_prove: AtomicU32,
}

impl Default for Habit {
    fn default() -> Self {
        Habit { to_prove: AtomicU32::new(TRUST_AFTER), brief_to_prove: AtomicU32::new(TRUST_AFTER) }
    }
}

impl Habit {
    /// Learns from a poll that used `cpu`.
    pub(super) fn observe(&self, cpu: Duration) {
        let learn = |to_prove: &AtomicU32, is_good: bool| {
            if !is_good {
                to_prove.store(DISTRUST, Ordering::Relaxed);
            } else if to_prove.load(Ordering::Relaxed) > 0 {
                // two polls at once may both count: the exact number does not matter, going below zero would
                let _ = to_prove.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
            }
        };
        learn(&self.to_prove, cpu < SHORT);
        learn(&self.brief_to_prove, cpu < BRIEF);
    }

    /// Whether the next poll may run inline.
    pub(super) fn is_trusted(&self) -> bool {
        self.to_prove.load(Ordering::Relaxed) == 0
    }

    /// Whether the next poll is expected to be over at once.
    pub(super) fn is_brief(&self) -> bool {
        self.brief_to_prove.load(Ordering::Relaxed) == 0
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
            .then_some(InlineSlot(self))
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
        let habit = Habit::default();
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
    fn brief_is_less_than_short() {
        let habit = Habit::default();
        observe_times(&habit, TRUST_AFTER, BRIEF);
        assert!(habit.is_trusted() && !habit.is_brief());
        observe_times(&habit, DISTRUST, Duration::from_micros(3));
        assert!(habit.is_brief());
    }

    #[test]
    fn a_worker_is_always_left() {
        let slots = InlineSlots::for_workers(3);
        let (a, b) = (slots.try_take(), slots.try_take());
        assert!(a.is_some() && b.is_some() && slots.try_take().is_none());
        drop(a);
        assert!(slots.try_take().is_some());
        assert!(InlineSlots::for_workers(1).try_take().is_none());
    }
}
