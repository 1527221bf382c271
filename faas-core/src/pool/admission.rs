//! How much may run at once: the account's concurrency, of which functions may reserve a part, and how fast a
//! function may start instances.
//!
//! An invocation is *admitted* once it runs or an instance that is being started is promised to it, as AWS Lambda counts
//! concurrency (its inits count). So nobody is promised what would not be allowed to run.

use std::{collections::VecDeque, time::Duration};

use super::{
    Effect, FunctionId, Limit, Limits, Pool,
    state::{Function, Stage},
    types::StartRate,
};
use crate::{clock::Time, invocation::Start};

/// What is admitted on the host. All that wait in line wait for the same, a place that nobody has reserved; so if the first
/// must wait, all must.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    /// What is beyond its function's guarantee.
    shared: usize,
    /// The guarantees of all functions.
    guaranteed: usize,
    /// Functions whose queue waits for others' invocations to end, the longest-waiting first.
    line: VecDeque<FunctionId>,
}

impl Admitted {
    /// Whether no queue waits for others' invocations to end.
    #[inline]
    pub(super) fn nobody_waits(&self) -> bool {
        self.line.is_empty()
    }
}

impl Function {
    /// How many of its invocations may run whatever others do: what it has reserved, or else what its minimum of
    /// instances can serve.
    fn guarantee(&self) -> usize {
        match self.spec.reserved_concurrency {
            _ if self.is_retired => 0,
            Some(reserved) => reserved as usize,
            None => self.spec.min_instances as usize * self.instance_concurrency(),
        }
    }

    /// Whether its bucket has no token.
    pub(super) fn bucket_is_empty(&self, rate: Option<StartRate>, now: Time) -> bool {
        rate.is_some_and(|rate| !self.bucket.has_token(now, rate))
    }

    fn beyond(&self) -> usize {
        self.admitted.saturating_sub(self.guarantee)
    }
}

impl Pool {
    /// The limit in the way of one more running invocation of a function.
    #[inline]
    pub(super) fn limit_on_running(&self, f: &Function) -> Option<Limit> {
        if let Some(reserved) = f.spec.reserved_concurrency
            && f.admitted >= reserved as usize
        {
            return Some(Limit::Reserved(reserved));
        }
        let max = self.limits.max_running?;
        let admitted = &self.admitted;
        let is_full = f.admitted >= f.guarantee && admitted.shared + admitted.guaranteed >= max as usize;
        is_full.then_some(Limit::Running { max, reserved: admitted.guaranteed - f.guarantee })
    }

    #[inline]
    pub(super) fn admit(&mut self, function: FunctionId) {
        let f = self.functions.at(function.0.index);
        f.admitted += 1;
        self.admitted.shared += usize::from(f.admitted > f.guarantee);
    }

    #[inline]
    pub(super) fn dismiss(&mut self, function: FunctionId) {
        let f = self.functions.at(function.0.index);
        self.admitted.shared -= usize::from(f.admitted > f.guarantee);
        f.admitted -= 1;
    }

    /// Brings the books in line with what is deployed; nothing that runs is stopped for it.
    pub(super) fn update_guarantee(&mut self, function: FunctionId) {
        let f = self.functions.at(function.0.index);
        self.admitted.shared -= f.beyond();
        self.admitted.guaranteed -= f.guarantee;
        f.guarantee = f.guarantee();
        self.admitted.guaranteed += f.guarantee;
        self.admitted.shared += f.beyond();
    }

    /// Puts a function in line whose queue waits for others' invocations to end.
    pub(super) fn ask_to_run(&mut self, function: FunctionId) {
        let Some(f) = self.functions.get(function.0) else { return };
        if f.queue.depth() > 0
            && !f.is_in_line_to_run
            && matches!(self.limit_on_running(f), Some(Limit::Running { .. }))
        {
            self.functions.at(function.0.index).is_in_line_to_run = true;
            self.admitted.line.push_back(function);
        }
    }

    /// Lets those run who waited for others' invocations to end, as far as may be: a turn each.
    pub(super) fn let_run(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while let Some(function) = self.admitted.line.front().copied() {
            if let Some(f) = self.functions.get(function.0)
                && f.queue.depth() > 0
                && matches!(self.limit_on_running(f), Some(Limit::Running { .. }))
            {
                return;
            }
            self.admitted.line.pop_front();
            if let Some(f) = self.functions.get_mut(function.0) {
                f.is_in_line_to_run = false;
                self.fill(now, function, effects);
                self.cover(now, function);
                self.ask_for_room(function);
            }
        }
    }

    /// Lets a function's free instances serve who waits for nothing but leave to run, or has that and waits for a start that
    /// an instance, kept for another who insists on a fresh one, makes needless now that they do not.
    pub(super) fn fill(&mut self, now: Time, function: FunctionId, effects: &mut Vec<Effect>) {
        while let Some(f) = self.functions.get(function.0)
            && let next = f.queue.next()
            && next.is_some()
            && (!f.queue.pending.is_empty() || self.limit_on_running(f).is_none())
            && let Some(index) = self.choose(function)
        {
            let serves_nobody =
                self.instances.at(index).stage == Stage::Ready { serving: 0, is_condemned: false };
            if serves_nobody && self.is_swapped(now, function) {
                return; // it stays idle, and makes room for one who insists on a fresh instance
            }
            self.unshelve(index);
            self.serve(now, index, Start::Warm, effects);
            if self.functions.get(function.0).is_none_or(|f| f.queue.next() == next) {
                return;
            }
        }
    }
}

/// A token bucket that holds one time: when it will be full again, if no token is taken until then.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    full_at: Time,
}

impl Bucket {
    /// When a start may be made: a time that has passed if now. `None` is never.
    pub(super) fn ready_at(&self, rate: StartRate) -> Option<Time> {
        let all_but_one = rate.interval_ns()?.saturating_mul(u64::from(rate.burst) - 1);
        Some(Time::from_unix_nanos(self.full_at.unix_nanos().saturating_sub(all_but_one)))
    }

    /// Whether there is a token.
    pub(crate) fn has_token(&self, now: Time, rate: StartRate) -> bool {
        self.ready_at(rate).is_some_and(|at| at <= now)
    }

    /// Whether no token is missing.
    pub(crate) fn is_full(&self, now: Time) -> bool {
        self.full_at <= now
    }

    /// Gives back a token that was taken so long ago, but for what has come back of it by itself.
    pub(crate) fn give_back(&mut self, since: Duration, rate: StartRate) {
        let left = Duration::from_nanos(rate.interval_ns().unwrap_or(0)).saturating_sub(since);
        let left_ns = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
        self.full_at = Time::from_unix_nanos(self.full_at.unix_nanos().saturating_sub(left_ns));
    }

    /// Takes a token that is there.
    pub(crate) fn take(&mut self, now: Time, rate: StartRate) {
        let interval = Duration::from_nanos(rate.interval_ns().unwrap_or(0));
        self.full_at = self.full_at.max(now) + interval;
    }
}

impl StartRate {
    /// After how long the next token comes; `None` if none ever does. Rounded up, so that it is never too many.
    fn interval_ns(self) -> Option<u64> {
        let per_ns = u64::try_from(self.per.as_nanos()).unwrap_or(u64::MAX);
        (self.burst > 0).then(|| per_ns.div_ceil(u64::from(self.burst)))
    }
}

impl Limits {
    /// Whether an invocation that this limit stops need not even wait.
    pub(super) fn is_hopeless(limit: Limit) -> bool {
        match limit {
            Limit::Function(max) | Limit::Host(max) | Limit::Reserved(max) => max == 0,
            Limit::Running { max, reserved } => max as usize <= reserved,
            Limit::StartRate(rate) => rate.burst == 0,
            Limit::Memory { budget_mib, instance_mib } => budget_mib < u64::from(instance_mib),
        }
    }
}
