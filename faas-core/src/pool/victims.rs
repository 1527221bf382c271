//! Which idle instance goes when room is needed: the one with the lowest priority, if the policy gives any; else the one
//! least recently used. Of a function's idle instances the least recently used has the lowest.
//!
//! Functions with idle instances stand in a heap by the priority that this one had when they entered. A priority that has
//! risen since is noticed when its function comes up, and the function goes back in; one that has sunk enters anew. So a
//! use costs no more than asking the policy, and an eviction O(log n), amortised over the uses that raised priorities.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use super::{FunctionId, Pool, apps::subject};

/// A priority, in the order of numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rank(f64);

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Rank {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Rank {}

/// Functions that may have idle instances, the lowest priority on top. An entry counts while it is its function's `rank`.
#[derive(Debug, Default)]
pub(super) struct Ranks(BinaryHeap<Reverse<(Rank, FunctionId)>>);

impl Pool {
    /// An instance of this function has become idle, or has stopped: its priority may have sunk.
    #[inline]
    pub(super) fn rank(&mut self, function: FunctionId) {
        let f = self.functions.at(function.0.index);
        let Some(first) = f.idle.back() else { return };
        let Some(priority) = self.policy.priority(subject(&self.apps, function, f), first as usize) else {
            return;
        };
        let rank = Rank(priority);
        if f.rank.is_some_and(|entered| entered <= rank) {
            return;
        }
        f.rank = Some(rank);
        self.ranks.0.push(Reverse((rank, function)));
        if self.ranks.0.len() > 2 * self.functions.len() + 64 {
            let functions = &self.functions;
            self.ranks
                .0
                .retain(|Reverse((rank, id))| functions.get(id.0).is_some_and(|f| f.rank == Some(*rank)));
        }
    }

    /// The idle instance that goes first; the caller stops it.
    pub(super) fn next_victim(&mut self) -> Option<u32> {
        while let Some(Reverse((rank, function))) = self.ranks.0.pop() {
            let Some(f) = self.functions.get_mut(function.0).filter(|f| f.rank == Some(rank)) else {
                continue;
            };
            f.rank = None;
            let Some(index) = f.idle.back() else { continue };
            let is_still_lowest = {
                let f = self.functions.peek(function.0.index);
                let now = self.policy.priority(subject(&self.apps, function, f), index as usize);
                now.is_none_or(|now| Rank(now) <= rank)
            };
            self.rank(function); // for its other idle instances, or because its priority has risen
            if is_still_lowest {
                return Some(index);
            }
        }
        self.idle.back()
    }
}
