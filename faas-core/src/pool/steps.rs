//! Steps that the inputs share. Each leaves the instance and the tickets it touches where they belong.

use super::{
    Effect, FunctionId, InstanceId, Limit, Pool, TicketId,
    queue::Place,
    state::{Function, Shelf, Stage, Waiter},
};
use crate::{clock::Time, invocation::Start, policy::Event, transition::StopReason};

impl Pool {
    /// Every input that may have freed something ends here.
    #[inline]
    pub(super) fn after(&mut self, now: Time, function: FunctionId, effects: &mut Vec<Effect>) {
        let wants_nothing = |f: &Function| f.queue.depth() == 0 && !self.is_below_minimum(f);
        if self.hungry.is_empty()
            && self.admitted.nobody_waits()
            && self.functions.get(function.0).is_none_or(wants_nothing)
        {
            return; // nearly always
        }
        self.fill(now, function, effects);
        self.cover(now, function);
        self.ask_for_room(function);
        self.give_room(now, effects);
    }

    /// Lets a ready, unshelved instance serve whoever waits, then puts it where it belongs.
    pub(super) fn serve(&mut self, now: Time, index: u32, start: Start, effects: &mut Vec<Effect>) {
        let function = self.instances.at(index).function;
        loop {
            let Stage::Ready { serving, .. } = self.instances.at(index).stage else {
                unreachable!("the caller passes a ready instance");
            };
            let f = self.functions.peek(function.0.index);
            if serving == 0 && start == Start::Warm && self.is_swapped(now, function) {
                break; // it makes room for the instance that the oldest insists on
            }
            if serving == f.instance_concurrency() {
                break;
            }
            let Some(ticket) = f.queue.next() else { break };
            let f = self.functions.peek(function.0.index);
            if f.queue.pending.is_empty() && self.limit_on_running(f).is_some() {
                break; // those that are pending are admitted already
            }
            self.run(now, ticket, index, start, effects);
        }
        self.shelve(now, index);
        if self.is_closing && matches!(self.shelf(index), Shelf::Idle | Shelf::Kept) {
            self.stop(now, index, StopReason::Shutdown, effects);
        }
    }

    /// Lends an unshelved instance to a ticket.
    pub(super) fn run(
        &mut self,
        now: Time,
        ticket: TicketId,
        index: u32,
        start: Start,
        effects: &mut Vec<Effect>,
    ) {
        let waiter = self.forget(ticket).expect("a ticket in a queue waits");
        self.lend(now, index);
        let instance = InstanceId(self.instances.key_at(index));
        effects.push(Effect::Run { ticket, instance, start, waited: now.since(waiter.arrived) });
    }

    /// Lends an unshelved instance.
    #[inline]
    pub(super) fn lend(&mut self, now: Time, index: u32) {
        let slot = self.instances.at(index);
        let Stage::Ready { serving, .. } = &mut slot.stage else {
            unreachable!("only a ready instance is lent");
        };
        *serving += 1;
        slot.served += 1;
        let function = slot.function;
        if std::mem::take(&mut slot.is_prewarmed) {
            self.prewarmed -= 1;
        }
        self.running += 1;
        self.count_in(function);
        self.admit(function);
        self.learn(now, function, Event::Began { instance: index as usize });
    }

    /// Takes a ticket out of wherever it waits.
    pub(super) fn forget(&mut self, ticket: TicketId) -> Option<Waiter> {
        let waiter = self.waiting.remove(&ticket)?;
        self.functions.at(waiter.function.0.index).queue.remove(ticket, waiter.place);
        self.count_out(waiter.function);
        if matches!(waiter.place, Place::Pending | Place::Bound(_)) {
            self.dismiss(waiter.function);
        }
        Some(waiter)
    }

    /// Forgets an instance, in whatever stage.
    pub(super) fn stop(&mut self, now: Time, index: u32, reason: StopReason, effects: &mut Vec<Effect>) {
        let was_idle = matches!(self.unshelve(index), Shelf::Idle | Shelf::Kept);
        let key = self.instances.key_at(index);
        let slot = self.instances.remove(key).expect("the caller holds the index of an instance that exists");
        let f = self.functions.at(slot.function.0.index);
        f.alive -= 1;
        if slot.epoch == f.epoch {
            f.provisioned -= u32::from(slot.is_provisioned);
        }
        self.memory_mib -= u64::from(slot.memory_mib);
        self.prewarmed -= u32::from(slot.is_prewarmed);
        if slot.stage == (Stage::Starting { bound: None }) {
            f.open_starts -= 1;
        }
        let stopped = Event::Stopped { instance: index as usize, reason, served: slot.served };
        self.learn(now, slot.function, stopped);
        self.rank(slot.function);
        self.ask_for_room(slot.function); // to be replaced, should it be one that the function must have
        self.reclaim(now, slot.function);
        let idle_since = was_idle.then_some(slot.idle_since);
        effects.push(Effect::Stop { instance: InstanceId(key), reason, idle_since });
    }

    /// Forgets a retired function once its last instance has stopped.
    pub(super) fn reclaim(&mut self, now: Time, function: FunctionId) {
        if self.functions.get(function.0).is_some_and(|f| f.is_retired && f.alive == 0) {
            let is_last_of_app = self.apps.is_last(self.functions.peek(function.0.index).app);
            self.learn(now, function, Event::Retired { is_last_of_app });
            self.leave_app(function);
            self.functions.remove(function.0);
        }
    }

    /// Takes everything of the current epoch out of service.
    pub(super) fn supersede(&mut self, now: Time, function: FunctionId, effects: &mut Vec<Effect>) {
        let at = function.0.index;
        while let Some(index) = self.functions.at(at).idle.back().or(self.functions.at(at).kept.back()) {
            self.stop(now, index, StopReason::Replaced, effects);
        }
        while let Some(index) = self.functions.at(at).starting.back() {
            if let Stage::Starting { bound: Some(ticket) } = self.instances.at(index).stage {
                self.waiting.get_mut(&ticket).expect("a bound ticket waits").place = Place::Forced;
                self.functions.at(at).queue.forced.insert(ticket);
                self.dismiss(function);
            }
            self.stop(now, index, StopReason::Replaced, effects);
        }
        while let Some(index) = self.functions.at(at).partly.back() {
            self.unshelve(index);
        }
        let f = self.functions.at(at);
        f.epoch += 1;
        (f.provisioned, f.failures, f.retry_at, f.is_unloaded) = (0, 0, None, false);
        for ticket in std::mem::take(&mut f.queue.pending) {
            self.functions.at(at).queue.queued.insert(ticket);
            self.dismiss(function);
            self.waiting.get_mut(&ticket).expect("a pending ticket waits").place = Place::Queued;
        }
    }

    pub(super) fn limit_in_the_way(&self, now: Time, function: FunctionId) -> Limit {
        let f = self.functions.peek(function.0.index);
        if let Some(limit) = self.limit_on_running(f) {
            return limit;
        }
        let (budget, instance_mib) = (self.limits.memory_mib, f.spec.memory_mib);
        match (f.spec.max_instances, budget) {
            (Some(max), _) if f.alive >= max as usize => Limit::Function(max),
            _ if f.bucket_is_empty(self.limits.start_rate, now) => {
                Limit::StartRate(self.limits.start_rate.expect("without one no bucket is empty"))
            }
            (_, Some(budget_mib)) if self.memory_mib + u64::from(instance_mib) > budget_mib => {
                Limit::Memory { budget_mib, instance_mib }
            }
            _ => Limit::Host(self.limits.max_instances),
        }
    }
}
