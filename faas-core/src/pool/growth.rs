//! Who gets room for one more instance.
//!
//! A function that wants an instance stands in line for the host's room, and gets one start a turn. Room is
//! what the host's limit leaves; when it leaves none, the least recently used idle instance makes some. An
//! instance that becomes free serves its own function's queue before others may evict it: a warm start is
//! cheaper than fairness. A function at its own limit is not in line; its own instances let it back in.

use super::{Effect, FunctionId, Pool, queue::Place};
use crate::{clock::Time, transition::StopReason};

impl Pool {
    /// Promises waiting invocations the instances that are being started and not yet promised.
    pub(super) fn cover(&mut self, function: FunctionId) {
        let Some(f) = self.functions.get_mut(function.0) else { return };
        let capacity = f.open_starts * f.instance_concurrency();
        while f.queue.pending.len() < capacity
            && let Some(ticket) = f.queue.queued.pop_first()
        {
            f.queue.pending.insert(ticket);
            self.waiting.get_mut(&ticket).expect("a queued ticket waits").place = Place::Pending;
        }
    }

    /// Puts a function in line if somebody waits for an instance of it.
    pub(super) fn ask_for_room(&mut self, function: FunctionId) {
        let Some(f) = self.functions.get_mut(function.0) else { return };
        if !f.is_hungry && f.queue.depth() > 0 {
            f.is_hungry = true;
            self.hungry.push_back(function);
        }
    }

    /// Starts instances for those in line, as far as there is room.
    pub(super) fn give_room(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while self.has_room()
            && let Some(function) = self.hungry.pop_front()
        {
            let Some(f) = self.functions.get_mut(function.0) else { continue };
            f.is_hungry = false;
            if self.grow(now, function, effects) {
                self.ask_for_room(function);
            }
        }
    }

    fn has_room(&self) -> bool {
        self.is_below_limit() || self.idle.len() > 0
    }

    fn is_below_limit(&self) -> bool {
        self.instances.len() < self.limits.max_instances as usize
    }

    /// Starts one instance of a function if somebody waits for it and its own limit allows; the host has room.
    fn grow(&mut self, now: Time, function: FunctionId, effects: &mut Vec<Effect>) -> bool {
        let f = self.functions.at(function.0.index);
        let Some((ticket, is_forced)) = f.queue.next_start() else {
            return false;
        };
        let is_full = f.spec.max_instances.is_some_and(|max| f.alive >= max as usize);
        let own = f.idle.back();
        if is_full {
            let Some(index) = own else { return false };
            self.stop(now, index, StopReason::Evicted, effects);
        }
        if !self.is_below_limit() {
            let index = own.or(self.idle.back()).expect("has_room() says that one is idle");
            self.stop(now, index, StopReason::Evicted, effects);
        }
        let instance = self.begin_start(now, function, is_forced.then_some(ticket));
        effects.push(Effect::Start { instance, function });
        if is_forced {
            self.functions.at(function.0.index).queue.forced.remove(&ticket);
            self.waiting.get_mut(&ticket).expect("a forced ticket waits").place = Place::Bound(instance);
        } else {
            self.functions.at(function.0.index).open_starts += 1;
            self.cover(function);
        }
        true
    }
}
