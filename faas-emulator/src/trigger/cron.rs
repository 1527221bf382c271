//! The clock: calls functions that have a `schedule`. A firing is an event like those that clients hand over: written
//! down, delivered, retried.
//!
//! When is decided by [`Firings`]; this waits, and hands over.

use std::{collections::BTreeMap, sync::Arc};

use faas_core::{
    clock::{SharedClock, Time, within},
    delivery::Courier,
    invocation::FunctionSpec,
    schedule::{Firings, rfc3339},
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    console::{
        Console,
        event::{Event, Upcoming},
    },
    gateway::Gateway,
};

/// Whom the clock calls, and when. Follows what is served.
#[derive(Debug, Default)]
pub struct Crontab {
    firings: Mutex<Firings>,
    changed: Notify,
}

impl Crontab {
    /// These functions are served from now on, by the wall clock, and no others.
    pub fn follow<'a>(&self, now: Time, functions: impl Iterator<Item = &'a Arc<FunctionSpec>>) {
        let scheduled = functions.filter_map(|spec| Some((spec.name.clone(), spec.schedule.clone()?)));
        self.firings.lock().replace(now, scheduled);
        self.changed.notify_one();
    }

    /// Each function that the clock calls, and when next.
    fn upcoming(&self) -> Vec<Upcoming> {
        let firings = self.firings.lock();
        let upcoming = firings.upcoming().filter_map(|(function, schedule, at)| {
            Some(Upcoming { function: function.to_string(), schedule: schedule.to_string(), at: at? })
        });
        upcoming.collect()
    }

    /// Calls functions when it is time, until it is dropped. Says when they are called next: at first, and when that is by
    /// another schedule.
    pub async fn run(&self, gateway: &Gateway, courier: &Courier, clock: &SharedClock, console: &Console) {
        let mut told = BTreeMap::new();
        loop {
            let upcoming = self.upcoming();
            let schedules: BTreeMap<String, String> = upcoming
                .iter()
                .map(|upcoming| (upcoming.function.clone(), upcoming.schedule.clone()))
                .collect();
            if schedules != told {
                told = schedules;
                console.say(Event::Schedules { now: clock.wall(), upcoming });
            }
            let wait = self.firings.lock().wait(clock.wall());
            match wait {
                Some(wait) => _ = within(&**clock, clock.now() + wait, self.changed.notified()).await,
                None => self.changed.notified().await,
            }
            let due = self.firings.lock().due(clock.wall());
            for firing in due {
                let (function, at) = (&firing.function, rfc3339(firing.at));
                if firing.is_late {
                    let notice = format!(
                        "`{function}` was not called by its schedule while this machine slept or was busy; what was missed is \
                         not made up for"
                    );
                    console.say(Event::Notice(notice));
                }
                if let Err(why) = courier.accept(firing.letter(gateway.next_id())).await {
                    console.say(Event::Notice(format!("`{function}` is not called for {at}: {why}")));
                }
            }
        }
    }
}
