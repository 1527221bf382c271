//! Which list an instance belongs in: one function of its state decides, before and after every change.

use super::{
    FunctionId, InstanceId, Pool, TicketId,
    apps::subject,
    list::Links,
    state::{Shelf, Slot, Stage},
    timers::Timer,
};
use crate::clock::Time;

impl Pool {
    pub(super) fn shelf(&self, index: u32) -> Shelf {
        let slot = self.instances.peek(index);
        let f = self.functions.peek(slot.function.0.index); // a function outlives its instances
        match slot.stage {
            Stage::Starting { .. } => Shelf::Starting,
            _ if slot.epoch != f.epoch => Shelf::None,
            Stage::Ready { is_condemned: true, .. } => Shelf::None,
            Stage::Ready { serving: 0, .. } => Shelf::Idle,
            Stage::Ready { serving, .. } if serving < f.instance_concurrency() => Shelf::Partly,
            Stage::Ready { .. } => Shelf::None,
        }
    }

    /// Takes an instance out of the list it is in, before its state changes.
    pub(super) fn unshelve(&mut self, index: u32) -> Shelf {
        let shelf = self.shelf(index);
        let f = self.functions.at(self.instances.at(index).function.0.index);
        match shelf {
            Shelf::None => {}
            Shelf::Starting => f.starting.remove(&mut self.instances, index),
            Shelf::Partly => f.partly.remove(&mut self.instances, index),
            Shelf::Idle => {
                f.idle.remove(&mut self.instances, index);
                self.idle.remove(&mut self.instances, index);
            }
        }
        shelf
    }

    /// Puts an instance into the list where it belongs, after its state has changed.
    pub(super) fn shelve(&mut self, now: Time, index: u32) {
        let shelf = self.shelf(index);
        let function = self.instances.at(index).function;
        let f = self.functions.at(function.0.index);
        match shelf {
            Shelf::None => {}
            Shelf::Starting => f.starting.push_front(&mut self.instances, index),
            Shelf::Partly => f.partly.push_front(&mut self.instances, index),
            Shelf::Idle => {
                f.idle.push_front(&mut self.instances, index);
                self.idle.push_front(&mut self.instances, index);
                let expires = self.policy.keep(now, subject(&self.apps, function, f)).map(|keep| now + keep);
                let slot = self.instances.at(index);
                (slot.idle_since, slot.expires) = (now, expires);
                if let Some(expires) = expires
                    && slot.timer.is_none_or(|armed| armed > expires)
                {
                    slot.timer = Some(expires);
                    self.arm(expires, Timer::Instance(InstanceId(self.instances.key_at(index))));
                }
            }
        }
    }

    /// A new instance, being started.
    pub(super) fn begin_start(
        &mut self,
        now: Time,
        function: FunctionId,
        bound: Option<TicketId>,
    ) -> InstanceId {
        let f = self.functions.at(function.0.index);
        f.alive += 1;
        let epoch = f.epoch;
        let key = self.instances.insert(Slot {
            function,
            epoch,
            stage: Stage::Starting { bound },
            links: Links::NONE,
            served: 0,
            idle_since: now,
            expires: None,
            timer: None,
        });
        self.shelve(now, key.index);
        InstanceId(key)
    }
}
