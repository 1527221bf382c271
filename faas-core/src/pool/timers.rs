//! When the pool has to be looked at again.
//!
//! Timers are lazy: an instance that is used and idles again does not touch the heap; when its old timer comes
//! up, the pool sees that its deadline has moved and arms it anew. So the warm path costs nothing here, and
//! [`Timers::next`] may be early but is never late.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{FunctionId, InstanceId, TicketId};
use crate::clock::Time;

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// An instance's keep-alive may have run out.
    Instance(InstanceId),
    /// An invocation may have waited too long.
    Ticket(TicketId),
    /// A function may have something to do.
    Function(FunctionId),
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Time, Timer)>>,
}

impl Timers {
    pub(super) fn arm(&mut self, at: Time, timer: Timer) {
        self.heap.push(Reverse((at, timer)));
    }

    #[inline]
    pub(super) fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the first timer that is due.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<(Time, Timer)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(due)| due)
    }

    /// Forgets the timers that are no longer wanted once they are more than the `live` ones: O(1) amortised.
    pub(super) fn compact(&mut self, live: usize, wanted: impl Fn(Time, Timer) -> bool) {
        if self.heap.len() > 2 * live + 64 {
            self.heap.retain(|Reverse((at, timer))| wanted(*at, *timer));
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}
