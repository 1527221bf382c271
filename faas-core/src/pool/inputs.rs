//! What the pool is told, and how it answers: an invocation comes or goes, an instance has started or failed, time
//! has passed, a function is deployed or retired, all is to end.

use std::sync::Arc;

use super::{
    Decision, Effect, FunctionId, InstanceId, Limits, Pool, Refusal, TicketId,
    apps::subject,
    queue::Place,
    state::{Function, Slot, Stage, Waiter},
    table::Key,
    timers::Timer,
};
use crate::{
    abi::manifest::Isolation,
    clock::Time,
    invocation::{FunctionSpec, Start},
    policy::Event,
    transition::StopReason,
};

impl Pool {
    /// An invocation wants an instance; with `force_cold` a fresh one.
    pub fn acquire(
        &mut self,
        now: Time,
        function: FunctionId,
        force_cold: bool,
        effects: &mut Vec<Effect>,
    ) -> Decision {
        if self.is_closing {
            return Decision::Refuse(Refusal::ShuttingDown);
        }
        let Some(f) = self.functions.get(function.0).filter(|f| !f.is_retired) else {
            return Decision::Refuse(Refusal::NoSuchFunction);
        };
        self.policy.learn(now, subject(&self.apps, function, f), Event::Arrived);
        let may_run = self.limit_on_running(f).is_none();
        if !force_cold
            && may_run
            && let Some(index) = self.choose(function)
        {
            self.unshelve(index);
            self.lend(now, index);
            self.shelve(now, index);
            self.scale_ahead(now, function, effects);
            if !self.hungry.is_empty() {
                // this may have been the last that may run, and who is first in line for room now waits for that instead
                self.give_room(now, effects);
            }
            return Decision::Run(InstanceId(self.instances.key_at(index)));
        }

        let ticket = TicketId(self.next_ticket);
        self.next_ticket += 1;
        let f = self.functions.at(function.0.index);
        let place = if force_cold {
            f.queue.forced.insert(ticket);
            Place::Forced
        } else {
            f.queue.queued.insert(ticket);
            Place::Queued
        };
        self.waiting.insert(ticket, Waiter { function, place, arrived: now, deadline: None });
        self.count_in(function);
        self.cover(now, function);
        self.ask_for_room(function);
        self.give_room(now, effects);
        if matches!(self.waiting[&ticket].place, Place::Pending | Place::Bound(_)) {
            return Decision::Wait { ticket, depth: None };
        }

        let depth = self.functions.at(function.0.index).queue.depth();
        let limit = self.limit_in_the_way(now, function);
        if Limits::is_hopeless(limit) || depth > self.limits.max_queued {
            self.forget(ticket);
            return Decision::Refuse(Refusal::QueueFull { queued: depth - 1, limit });
        }
        self.arm_ticket(ticket, now + self.limits.max_wait);
        Decision::Wait { ticket, depth: Some(depth) }
    }

    /// An instance that was to be started is ready. False when it is no longer wanted: drop it.
    pub fn started(&mut self, now: Time, instance: InstanceId, effects: &mut Vec<Effect>) -> bool {
        let Some(Slot { stage: Stage::Starting { bound }, function, .. }) = self.instances.get(instance.0)
        else {
            return false;
        };
        let (bound, function, index) = (*bound, *function, instance.0.index);
        self.unshelve(index);
        let f = self.functions.at(function.0.index);
        (f.failures, f.retry_at) = (0, None);
        let took = now.since(self.instances.at(index).idle_since);
        self.learn(now, function, Event::Started { instance: index as usize, took });
        self.instances.at(index).stage = Stage::Ready { serving: 0, is_condemned: false };
        let start = if let Some(ticket) = bound {
            self.run(now, ticket, index, Start::Cold, effects);
            Start::Warm
        } else {
            self.functions.at(function.0.index).open_starts -= 1;
            Start::Cold
        };
        self.serve(now, index, start, effects);
        self.after(now, function, effects);
        true
    }

    /// An instance could not be started: whoever waited for it is refused. False when it was not wanted any more.
    pub fn start_failed(&mut self, now: Time, instance: InstanceId, effects: &mut Vec<Effect>) -> bool {
        let Some(Slot { stage: Stage::Starting { bound }, function, .. }) = self.instances.get(instance.0)
        else {
            return false;
        };
        let (bound, function) = (*bound, *function);
        if self.instances.at(instance.0.index).is_provisioned {
            self.retry_later(now, function);
        }
        self.stop(now, instance.0.index, StopReason::Failed, effects);
        let f = self.functions.at(function.0.index);
        let failed: Vec<TicketId> = match bound {
            Some(ticket) => vec![ticket],
            None => f.queue.pending.iter().take(f.instance_concurrency()).copied().collect(),
        };
        for ticket in failed {
            self.forget(ticket);
            effects.push(Effect::Refuse { ticket, why: Refusal::StartFailed });
        }
        self.after(now, function, effects);
        true
    }

    /// An invocation in `instance` has ended; unless `is_healthy`, the instance must not serve again.
    pub fn release(&mut self, now: Time, instance: InstanceId, is_healthy: bool, effects: &mut Vec<Effect>) {
        let Some(slot) = self.instances.get_mut(instance.0) else {
            debug_assert!(false, "released more often than lent");
            return;
        };
        let (index, function) = (instance.0.index, slot.function);
        self.unshelve(index);
        let is_used_up = self.functions.at(function.0.index).spec.isolation == Isolation::Request;
        let slot = self.instances.at(index);
        let Stage::Ready { serving, is_condemned } = &mut slot.stage else {
            unreachable!("only a ready instance is lent");
        };
        let has_failed = *is_condemned || !is_healthy;
        *serving -= 1;
        *is_condemned = has_failed || is_used_up;
        self.running -= 1;
        let (serving, is_condemned, epoch) = (*serving, *is_condemned, slot.epoch);
        self.count_out(function);
        self.dismiss(function);
        self.learn(now, function, Event::Ended { instance: index as usize });
        let is_current = {
            let f = self.functions.at(function.0.index);
            epoch == f.epoch && !f.is_retired
        };
        if is_current && !is_condemned {
            self.serve(now, index, Start::Warm, effects);
        } else if serving == 0 {
            let reason = match () {
                () if has_failed => StopReason::Failed,
                () if is_current => StopReason::Used,
                () => StopReason::Replaced,
            };
            self.stop(now, index, reason, effects);
        }
        if self.functions.get(function.0).is_some_and(|f| self.apps.at(f.app).active == 0) {
            self.rest(now, function, effects);
        }
        self.after(now, function, effects);
    }

    /// Nobody waits for this ticket any more. False when it has ended already.
    pub fn cancel(&mut self, now: Time, ticket: TicketId, effects: &mut Vec<Effect>) -> bool {
        let Some(waiter) = self.forget(ticket) else {
            return false;
        };
        if let Place::Bound(instance) = waiter.place {
            // its start goes on, for whoever comes
            self.instances.at(instance.0.index).stage = Stage::Starting { bound: None };
            self.functions.at(waiter.function.0.index).open_starts += 1;
        }
        self.after(now, waiter.function, effects); // it may have been first in line, or about to run
        true
    }

    /// Does what is due: stops instances whose keep-alive is over, refuses who has waited too long, warms what is to be
    /// warmed.
    pub fn expire(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while let Some((at, timer)) = self.timers.pop_due(now) {
            match timer {
                Timer::Instance(instance) => self.expire_instance(now, instance, at, effects),
                Timer::Ticket(ticket) => self.expire_ticket(now, ticket, at, effects),
                Timer::Function(function) => self.wake_function(now, function, at, effects),
            }
        }
        self.give_room(now, effects);
    }

    /// When [`Pool::expire`] has something to do next: never late, perhaps early.
    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// A new function, or a new generation of one: from here on it alone starts and serves. Idle instances of
    /// the old one stop, starts are abandoned, busy ones stop as their invocations end; who waits, waits on.
    pub fn deploy(&mut self, now: Time, spec: Arc<FunctionSpec>, effects: &mut Vec<Effect>) -> FunctionId {
        let Some(function) = self.find(&spec.name) else {
            let name = spec.name.clone();
            let app = self.apps.named(spec.app());
            let function = FunctionId(self.functions.insert(Function::new(spec, app)));
            self.names.insert(name, function);
            self.apps.enter(app, function);
            self.update_guarantee(function);
            self.plan_warming(now, function);
            self.after(now, function, effects);
            return function;
        };
        self.supersede(now, function, effects);
        self.functions.at(function.0.index).spec = spec;
        self.change_app(now, function);
        self.update_guarantee(function);
        self.plan_warming(now, function);
        self.after(now, function, effects);
        let late: Vec<TicketId> = {
            let queue = &self.functions.at(function.0.index).queue;
            queue.queued.iter().chain(&queue.forced).copied().collect()
        };
        for ticket in late {
            if self.waiting[&ticket].deadline.is_none() {
                self.arm_ticket(ticket, now + self.limits.max_wait);
            }
        }
        function
    }

    /// The function is gone: who waits is refused, who runs runs to the end. False when there is none.
    pub fn retire(&mut self, now: Time, function: FunctionId, effects: &mut Vec<Effect>) -> bool {
        let Some(f) = self.functions.get_mut(function.0).filter(|f| !f.is_retired) else {
            return false;
        };
        f.is_retired = true;
        let name = f.spec.name.clone();
        f.alive += 1; // holds the row until the end of this call, though its last instance may stop in it
        self.names.remove(&name);
        self.update_guarantee(function);
        self.supersede(now, function, effects);
        let queue = std::mem::take(&mut self.functions.at(function.0.index).queue);
        for ticket in queue.queued.into_iter().chain(queue.forced) {
            self.forget(ticket);
            effects.push(Effect::Refuse { ticket, why: Refusal::NoSuchFunction });
        }
        self.functions.at(function.0.index).alive -= 1;
        self.reclaim(now, function);
        self.give_room(now, effects);
        true
    }

    /// Takes no more invocations. Idle instances stop now, busy ones when nobody needs them any more; whoever
    /// was let in is served.
    pub fn shutdown(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.is_closing = true;
        while let Some(index) = self.idle.back() {
            self.stop(now, index, StopReason::Shutdown, effects);
        }
        for key in self.functions_with_instances() {
            while let Some(index) = self.functions.get(key).and_then(|f| f.kept.back()) {
                self.stop(now, index, StopReason::Shutdown, effects);
            }
        }
        self.give_room(now, effects);
    }

    /// Abandons the starts that are under way though nobody waits: the last act of a drained pool.
    pub fn abandon_starts(&mut self, now: Time, effects: &mut Vec<Effect>) {
        for key in self.functions_with_instances() {
            while let Some(index) = self.functions.get(key).and_then(|f| f.starting.back()) {
                self.stop(now, index, StopReason::Shutdown, effects);
            }
        }
    }

    fn functions_with_instances(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.instances.iter().map(|slot| slot.function.0).collect();
        keys.dedup();
        keys
    }
}
