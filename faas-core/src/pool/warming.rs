//! Ahead of demand: apps that rest are unloaded and warmed again as the policy says, and functions are looked at again
//! when something of theirs is due.

use super::{Effect, FunctionId, Pool, apps::subject, timers::Timer};
use crate::{clock::Time, policy::Rest, transition::StopReason};

/// How long a function waits after a failed start of an instance that it must have: 1 s, twice as long after each
/// further failure, a minute at most.
const RETRY_AFTER_SECS: [u64; 7] = [1, 2, 4, 8, 16, 32, 60];

impl Pool {
    /// The last invocation of an app, one of `function`, has ended.
    pub(super) fn rest(&mut self, now: Time, function: FunctionId, effects: &mut Vec<Effect>) {
        let f = self.functions.peek(function.0.index);
        let app = f.app;
        let rest = self.policy.rest(now, subject(&self.apps, function, f));
        self.plan(now, function, rest);
        if !rest.unload {
            return;
        }
        for n in 0..self.apps.at(app).functions.len() {
            let other = self.apps.at(app).functions[n];
            let rest = if other == function {
                rest
            } else {
                let f = self.functions.peek(other.0.index);
                self.policy.rest(now, subject(&self.apps, other, f))
            };
            if !rest.unload {
                continue;
            }
            while let Some(index) = self.functions.at(other.0.index).idle.back() {
                self.functions.at(other.0.index).is_unloaded = true;
                self.stop(now, index, StopReason::Expired, effects);
            }
            if self.functions.at(other.0.index).is_unloaded {
                self.plan(now, other, rest);
            }
        }
    }

    /// Asks when a function is to be warmed next.
    pub(super) fn plan_warming(&mut self, now: Time, function: FunctionId) {
        let f = self.functions.peek(function.0.index);
        let rest = self.policy.rest(now, subject(&self.apps, function, f));
        self.plan(now, function, rest);
    }

    fn plan(&mut self, now: Time, function: FunctionId, rest: Rest) {
        let at = rest.warm_at.filter(|at| *at > now);
        let f = self.functions.at(function.0.index);
        (f.warm_at, f.warms_anyway) = (at, rest.even_if_active);
        if at.is_some() {
            self.set_alarm(function);
        }
    }

    /// An instance that the function must have could not be started.
    pub(super) fn retry_later(&mut self, now: Time, function: FunctionId) {
        let f = self.functions.at(function.0.index);
        let secs = RETRY_AFTER_SECS[f.failures.min(RETRY_AFTER_SECS.len() - 1)];
        f.failures += 1;
        f.retry_at = Some(now + std::time::Duration::from_secs(secs));
        self.set_alarm(function);
    }

    /// The function has started as many as it may for now.
    pub(super) fn wait_for_tokens(&mut self, function: FunctionId, until: Option<Time>) {
        self.functions.at(function.0.index).tokens_at = until;
        self.set_alarm(function);
    }

    /// Sees to it that the function is looked at when the next of what it waits for is due.
    pub(super) fn set_alarm(&mut self, function: FunctionId) {
        let f = self.functions.at(function.0.index);
        if let Some(at) = f.next_due()
            && f.alarm.is_none_or(|armed| armed > at)
        {
            f.alarm = Some(at);
            self.arm(at, Timer::Function(function));
        }
    }

    /// Does what is due for a function.
    pub(super) fn wake_function(
        &mut self,
        now: Time,
        function: FunctionId,
        at: Time,
        effects: &mut Vec<Effect>,
    ) {
        let Some(f) = self.functions.get_mut(function.0).filter(|f| f.alarm == Some(at)) else { return };
        f.alarm = None;
        if f.is_retired {
            return;
        }
        let is_due = |at: &mut Option<Time>| at.take_if(|at| *at <= now).is_some();
        let warms = is_due(&mut f.warm_at);
        if is_due(&mut f.retry_at) | is_due(&mut f.tokens_at) {
            self.ask_for_room(function);
        }
        if warms {
            let f = self.functions.peek(function.0.index);
            // an invocation that has come meanwhile has had what it needs, and its end brings another rest
            if f.warms_anyway || self.apps.at(f.app).active == 0 {
                self.prewarm(now, function, effects);
            }
            self.plan_warming(now, function);
        }
        self.set_alarm(function);
    }
}
