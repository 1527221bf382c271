//! Which list an instance belongs in: one function of its state decides, before and after every change.

use super::{
    Choice, FunctionId, InstanceId, Pool, TicketId,
    apps::subject,
    list::Links,
    state::{Purpose, Shelf, Slot, Stage},
    timers::Timer,
};
use crate::clock::Time;

impl Pool {
    #[inline]
    pub(super) fn shelf(&self, index: u32) -> Shelf {
        let slot = self.instances.peek(index);
        let f = self.functions.peek(slot.function.0.index); // a function outlives its instances
        match slot.stage {
            Stage::Starting { .. } => Shelf::Starting,
            _ if slot.epoch != f.epoch => Shelf::None,
            Stage::Ready { is_condemned: true, .. } => Shelf::None,
            Stage::Ready { serving: 0, .. } if slot.is_provisioned => Shelf::Kept,
            Stage::Ready { serving: 0, .. } => Shelf::Idle,
            Stage::Ready { serving, .. } if serving < f.instance_concurrency() => Shelf::Partly,
            Stage::Ready { .. } => Shelf::None,
        }
    }

    /// Takes an instance out of the list it is in, before its state changes.
    #[inline]
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
                self.idle_mib -= u64::from(self.instances.at(index).memory_mib);
                if !f.bag.is_empty() {
                    let at = self.instances.at(index).bag_at as usize;
                    f.bag.swap_remove(at);
                    if let Some(moved) = f.bag.get(at) {
                        self.instances.at(*moved).bag_at = at as u32;
                    }
                }
            }
            Shelf::Kept => f.kept.remove(&mut self.instances, index),
        }
        shelf
    }

    /// Puts an instance into the list where it belongs, after its state has changed.
    #[inline]
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
                let keep = self.policy.keep(now, subject(&self.apps, function, f));
                let slot = self.instances.at(index);
                let unused = if slot.is_prewarmed { slot.unused } else { None };
                let expires = unused.into_iter().chain(keep).min().map(|keep| now + keep);
                (slot.idle_since, slot.expires) = (now, expires);
                self.idle_mib += u64::from(slot.memory_mib);
                if matches!(self.limits.choice, Choice::Random { .. }) {
                    slot.bag_at = f.bag.len() as u32;
                    f.bag.push(index);
                }
                if let Some(expires) = expires
                    && slot.timer.is_none_or(|armed| armed > expires)
                {
                    slot.timer = Some(expires);
                    self.arm(expires, Timer::Instance(InstanceId(self.instances.key_at(index))));
                }
                self.rank(function);
            }
            Shelf::Kept => {
                f.kept.push_front(&mut self.instances, index);
                self.instances.at(index).idle_since = now;
            }
        }
    }

    /// The instance that serves the next invocation, if one can.
    #[inline]
    pub(super) fn choose(&mut self, function: FunctionId) -> Option<u32> {
        let f = self.functions.at(function.0.index);
        f.partly.front().or(f.kept.front()).or_else(|| match self.limits.choice {
            Choice::MostRecent => f.idle.front(),
            Choice::LeastRecent => f.idle.back(),
            Choice::Random { .. } if f.bag.is_empty() => None,
            Choice::Random { .. } => Some(f.bag[self.rng.usize(..f.bag.len())]),
        })
    }

    /// A new instance, being started.
    pub(super) fn begin_start(
        &mut self,
        now: Time,
        function: FunctionId,
        bound: Option<TicketId>,
        purpose: Purpose,
    ) -> InstanceId {
        let unused = if let Purpose::Ahead { unused } = purpose { unused } else { None };
        let is_provisioned = self.is_below_minimum(self.functions.peek(function.0.index));
        let f = self.functions.at(function.0.index);
        let (epoch, memory_mib) = (f.epoch, f.spec.memory_mib);
        f.alive += 1;
        f.provisioned += u32::from(is_provisioned);
        f.is_unloaded = false;
        self.memory_mib += u64::from(memory_mib);
        let key = self.instances.insert(Slot {
            function,
            epoch,
            stage: Stage::Starting { bound },
            links: Links::NONE,
            memory_mib,
            is_provisioned,
            is_prewarmed: purpose != Purpose::Demand,
            unused,
            bag_at: 0,
            served: 0,
            idle_since: now,
            expires: None,
            timer: None,
        });
        self.shelve(now, key.index);
        InstanceId(key)
    }
}
