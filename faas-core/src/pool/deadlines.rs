//! What time does: instances whose keep-alive is over stop, tickets that have waited too long are refused.

use super::{Effect, InstanceId, Pool, Refusal, TicketId, queue::Place, state::Shelf, timers::Timer};
use crate::{clock::Time, transition::StopReason};

impl Pool {
    pub(super) fn expire_instance(
        &mut self,
        now: Time,
        instance: InstanceId,
        at: Time,
        effects: &mut Vec<Effect>,
    ) {
        let Some(slot) = self.instances.get_mut(instance.0).filter(|slot| slot.timer == Some(at)) else {
            return;
        };
        slot.timer = None;
        let expires = slot.expires;
        if self.shelf(instance.0.index) != Shelf::Idle {
            return; // armed again when it is idle
        }
        match expires {
            Some(expires) if expires <= now => {
                self.stop(now, instance.0.index, StopReason::Expired, effects);
            }
            Some(expires) => {
                self.instances.at(instance.0.index).timer = Some(expires);
                self.arm(expires, Timer::Instance(instance));
            }
            None => {}
        }
    }

    pub(super) fn expire_ticket(&mut self, now: Time, ticket: TicketId, at: Time, effects: &mut Vec<Effect>) {
        let Some(waiter) = self.waiting.get_mut(&ticket).filter(|waiter| waiter.deadline == Some(at)) else {
            return;
        };
        if matches!(waiter.place, Place::Pending | Place::Bound(_)) {
            waiter.deadline = None; // what it waits for is on its way; should a deploy undo that, it gets a new one
            return;
        }
        let (function, waited) = (waiter.function, now.since(waiter.arrived));
        let limit = self.limit_in_the_way(now, function);
        self.forget(ticket);
        effects.push(Effect::Refuse { ticket, why: Refusal::WaitedTooLong { waited, limit } });
    }

    pub(super) fn arm_ticket(&mut self, ticket: TicketId, deadline: Time) {
        self.waiting.get_mut(&ticket).expect("the caller has just queued it").deadline = Some(deadline);
        self.arm(deadline, Timer::Ticket(ticket));
    }

    pub(super) fn arm(&mut self, at: Time, timer: Timer) {
        self.timers.arm(at, timer);
        let (instances, waiting, functions) = (&self.instances, &self.waiting, &self.functions);
        let live = instances.len() + waiting.len() + functions.len();
        self.timers.compact(live, |at, timer| match timer {
            Timer::Instance(id) => instances.get(id.0).is_some_and(|slot| slot.timer == Some(at)),
            Timer::Ticket(id) => waiting.get(&id).is_some_and(|waiter| waiter.deadline == Some(at)),
            Timer::Function(id) => functions.get(id.0).is_some_and(|f| f.alarm == Some(at)),
        });
    }
}
