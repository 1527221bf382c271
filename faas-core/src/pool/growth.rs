//! Who gets room for one more instance.
//!
//! A function that wants an instance stands in line for the host's room, and gets one start a turn. Room is
//! what the host's limits leave; when they leave none, idle instances make some ([`super::victims`]). Who is first in line and
//! needs more memory than can be had is waited for, so that the small ones do not starve the large. An instance that
//! becomes free serves its own function's queue before others may evict it: a warm start is cheaper than fairness. A
//! function that only its own limits stop is not in line; what lifts them lets it back in.

use std::time::Duration;

use super::{
    Effect, FunctionId, Pool, TicketId,
    apps::subject,
    queue::Place,
    state::{Function, Purpose},
};
use crate::{clock::Time, transition::StopReason};

impl Pool {
    /// Promises waiting invocations the instances that are being started and not yet promised. Not while an idle one is about
    /// to make room for the oldest: a promise might take their leave to run, and then neither has the idle one.
    pub(super) fn cover(&mut self, now: Time, function: FunctionId) {
        let Some(f) = self.functions.get(function.0) else { return };
        let capacity = f.open_starts * f.instance_concurrency();
        if f.queue.pending.len() >= capacity {
            return;
        }
        if f.idle.len() + f.kept.len() > 0 && self.is_swapped(now, function) {
            return;
        }
        while let Some(f) = self.functions.get(function.0)
            && f.queue.pending.len() < capacity
            && self.limit_on_running(f).is_none()
            && let Some(ticket) = f.queue.queued.first().copied()
        {
            let queue = &mut self.functions.at(function.0.index).queue;
            queue.queued.remove(&ticket);
            queue.pending.insert(ticket);
            self.admit(function);
            self.waiting.get_mut(&ticket).expect("a queued ticket waits").place = Place::Pending;
        }
    }

    /// Puts a function in line if it wants an instance.
    pub(super) fn ask_for_room(&mut self, function: FunctionId) {
        let Some(f) = self.functions.get(function.0) else { return };
        if f.queue.depth() > 0 {
            self.ask_to_run(function);
        }
        let f = self.functions.peek(function.0.index);
        if !f.is_hungry && self.wants_start(f) {
            self.functions.at(function.0.index).is_hungry = true;
            self.hungry.push_back(function);
        }
    }

    /// Starts instances for those in line, as far as there is room.
    pub(super) fn give_room(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.let_run(now, effects);
        while let Some(function) = self.hungry.front().copied() {
            let next = self.functions.get(function.0).and_then(|f| self.next_start(f));
            let next = next.filter(|_| self.has_token(now, function));
            if let Some(next) = next
                && next.swaps.is_none()
                && !self.could_fit(self.functions.peek(function.0.index).spec.memory_mib)
            {
                return;
            }
            self.hungry.pop_front();
            if let Some(f) = self.functions.get_mut(function.0) {
                f.is_hungry = false;
            }
            match next {
                Some(next) => {
                    self.grow(now, function, next, effects);
                    self.ask_for_room(function);
                }
                None => {
                    self.ask_to_run(function);
                    self.fill(now, function, effects); // with what was to make room for one who may not run any more
                    self.cover(now, function);
                }
            }
        }
    }

    /// Starts an instance of a function, ahead of any invocation, in room that is free: nothing is evicted for it, and
    /// nobody who waits for room is overtaken. False when there is no need (one is free or on its way), no room,
    /// [`Limits::max_prewarmed`](super::Limits::max_prewarmed) instances that were started so have not served yet, or the
    /// policy is against it ([`Policy::may_warm`](crate::policy::Policy::may_warm)).
    pub fn prewarm(&mut self, now: Time, function: FunctionId, effects: &mut Vec<Effect>) -> bool {
        self.start_ahead(now, function, None, effects)
    }

    /// As [`Pool::prewarm`], for a guess that is soon proved or not: an instance that has served nobody `unused` after it
    /// became ready is let go, should the policy keep it longer. Once it has served, the policy alone says.
    pub fn prewarm_for(
        &mut self,
        now: Time,
        function: FunctionId,
        unused: Duration,
        effects: &mut Vec<Effect>,
    ) -> bool {
        self.start_ahead(now, function, Some(unused), effects)
    }

    fn start_ahead(
        &mut self,
        now: Time,
        function: FunctionId,
        unused: Option<Duration>,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some(f) = self.functions.get(function.0).filter(|f| !f.is_retired) else { return false };
        let has_free = f.partly.len() + f.idle.len() + f.kept.len() > 0
            || f.open_starts * f.instance_concurrency() > f.queue.pending.len();
        let may = !has_free
            && self.prewarmed < self.limits.max_prewarmed
            && self.may_grow_ahead(now, f)
            && self.policy.may_warm(now, subject(&self.apps, function, f));
        if may {
            self.prewarmed += 1;
            self.start(now, function, None, Purpose::Ahead { unused }, effects);
        }
        may
    }

    /// Starts another instance of a function of which more places are taken than it wants to.
    #[inline]
    pub(super) fn scale_ahead(&mut self, now: Time, function: FunctionId, effects: &mut Vec<Effect>) {
        let f = self.functions.peek(function.0.index);
        let Some(percent) = f.spec.target_utilization_percent else { return };
        let places = f.alive * f.instance_concurrency();
        if f.active * 100 > places * usize::from(percent) && self.may_grow_ahead(now, f) {
            self.start(now, function, None, Purpose::Demand, effects);
        }
    }

    /// Whether an instance that becomes free goes at once, because the oldest in its function's queue insists on a
    /// fresh one, may have it, and there is no other room.
    pub(super) fn is_swapped(&self, now: Time, function: FunctionId) -> bool {
        let f = self.functions.peek(function.0.index);
        f.queue.is_forced_next()
            && (f.is_full() || !self.fits(f.spec.memory_mib))
            && self.hungry.front().is_none_or(|first| *first == function)
            && self.limit_on_running(f).is_none()
            && self.tokens_at(f).is_none_or(|at| at.is_some_and(|at| at <= now))
    }

    /// Whether there is free room for an instance that nobody waits for.
    fn may_grow_ahead(&self, now: Time, f: &Function) -> bool {
        !self.is_closing
            && f.queue.depth() == 0
            && self.hungry.is_empty()
            && !f.is_full()
            && self.fits(f.spec.memory_mib)
            && self.tokens_at(f).is_none_or(|at| at.is_some_and(|at| at <= now))
    }

    /// When a function has a token to start an instance, if it needs one; the inner `None` is never.
    fn tokens_at(&self, f: &Function) -> Option<Option<Time>> {
        let rate = self.limits.start_rate.filter(|_| !self.is_below_minimum(f))?;
        Some(f.bucket.ready_at(rate))
    }

    /// Whether a function in line has a token; if not, it is looked at again when it has.
    fn has_token(&mut self, now: Time, function: FunctionId) -> bool {
        match self.tokens_at(self.functions.peek(function.0.index)) {
            Some(at) if at.is_none_or(|at| at > now) => {
                self.wait_for_tokens(function, at);
                false
            }
            _ => true,
        }
    }

    /// Whether somebody waits for an instance of it, or it has fewer than it must.
    fn wants_start(&self, f: &Function) -> bool {
        f.queue.depth() > 0 || self.lacks_minimum(f)
    }

    fn lacks_minimum(&self, f: &Function) -> bool {
        f.retry_at.is_none() && self.is_below_minimum(f)
    }

    /// Whether it has fewer than it must. In a shutdown none must be there: what starts then is for who waits, and takes a
    /// token like any other.
    pub(super) fn is_below_minimum(&self, f: &Function) -> bool {
        !self.is_closing && !f.is_retired && f.provisioned < f.spec.min_instances
    }

    /// What a function in line would start; nothing if its own limits stop it.
    fn next_start(&self, f: &Function) -> Option<Next> {
        let may_run = f.queue.depth() > 0 && self.limit_on_running(f).is_none();
        let forced = match f.queue.next_start().filter(|_| may_run) {
            Some((ticket, is_forced)) => is_forced.then_some(ticket),
            None if self.lacks_minimum(f) => None,
            None => return None,
        };
        // who waits though an instance is idle insists on another, and may have its place
        let swaps = forced.and(f.idle.back().or(f.kept.back()));
        let is_hopeless = self.limits.memory_mib.is_some_and(|budget| u64::from(f.spec.memory_mib) > budget);
        if is_hopeless || (f.is_full() && swaps.is_none()) {
            return None;
        }
        Some(Next { forced, swaps })
    }

    /// Whether one more instance of this size fits as things are.
    pub(super) fn fits(&self, memory_mib: u32) -> bool {
        let after = self.memory_mib + u64::from(memory_mib);
        self.instances.len() < self.limits.max_instances as usize
            && self.limits.memory_mib.is_none_or(|budget| after <= budget)
    }

    /// Whether it would, were everything evicted that may be.
    fn could_fit(&self, memory_mib: u32) -> bool {
        let after = self.memory_mib - self.idle_mib + u64::from(memory_mib);
        self.instances.len() - self.idle.len() < self.limits.max_instances as usize
            && self.limits.memory_mib.is_none_or(|budget| after <= budget)
    }

    /// Starts one instance of a function whose own limits allow it; the host has or can make room.
    fn grow(&mut self, now: Time, function: FunctionId, next: Next, effects: &mut Vec<Effect>) {
        let f = self.functions.at(function.0.index);
        let (memory_mib, is_full) = (f.spec.memory_mib, f.is_full());
        if let Some(index) = next.swaps
            && (is_full || !self.fits(memory_mib))
        {
            self.stop(now, index, StopReason::Evicted, effects);
        }
        while !self.fits(memory_mib) {
            let index = self.next_victim().expect("could_fit() says that there is one");
            self.stop(now, index, StopReason::Evicted, effects);
        }
        self.start(now, function, next.forced, Purpose::Demand, effects);
    }

    /// Starts an instance, for a forced invocation or for whoever comes.
    fn start(
        &mut self,
        now: Time,
        function: FunctionId,
        forced: Option<TicketId>,
        purpose: Purpose,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(rate) = self.limits.start_rate
            && !self.is_below_minimum(self.functions.peek(function.0.index))
        {
            self.functions.at(function.0.index).bucket.take(now, rate);
        }
        let instance = self.begin_start(now, function, forced, purpose);
        effects.push(Effect::Start { instance, function, is_ahead: purpose != Purpose::Demand });
        let f = self.functions.at(function.0.index);
        if let Some(ticket) = forced {
            f.queue.forced.remove(&ticket);
            self.admit(function);
            self.waiting.get_mut(&ticket).expect("a forced ticket waits").place = Place::Bound(instance);
        } else {
            f.open_starts += 1;
        }
        self.cover(now, function);
    }
}

/// A start that a function's own limits allow.
#[derive(Clone, Copy)]
struct Next {
    /// The invocation that insists on it.
    forced: Option<TicketId>,
    /// An idle instance of the same function, which goes if there is no room otherwise.
    swaps: Option<u32>,
}
