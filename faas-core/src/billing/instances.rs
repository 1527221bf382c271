//! Bills invocations as they end, where a provider bills the time in which an instance is active: each for what it adds
//! to the union. Pure: whoever observes invocations feeds it.

use std::{collections::HashMap, time::Duration};

use rust_decimal::Decimal;

use super::{
    Active, Charge, Quantities, Use,
    active::Touched,
    usage::{ns, rounded},
};
use crate::{
    clock::Time,
    invocation::{Record, Start},
    profile::{Of, Profile},
};

/// How often all instances are looked through for what no invocation can reach any more.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// So late an invocation may be reported after the next one in its instance has begun, where that serves one at a time:
/// an instance is given back a moment before its invocation is closed.
const REPORT_LAG: Duration = Duration::from_secs(1);

/// When each instance was active, as far as invocations may still overlap with it.
#[derive(Debug, Clone, Default)]
pub struct Instances(Spans<1>);

/// The same in `N` versions, by what counts as being active.
#[derive(Debug, Clone, Default)]
pub(super) struct Spans<const N: usize> {
    active: HashMap<u64, Kept<N>>,
    swept: Option<Time>,
}

#[derive(Debug, Clone)]
struct Kept<const N: usize> {
    active: [Active; N],
    /// How far before now an invocation that has not been reported may have begun.
    reach: Duration,
}

impl<const N: usize> Default for Kept<N> {
    fn default() -> Self {
        Kept { active: std::array::from_fn(|_| Active::default()), reach: Duration::ZERO }
    }
}

/// What an invocation adds to the bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marginal {
    /// What is billed for it.
    pub charge: Charge,
    /// What was billed before and is not any more: an invocation that ends between two others may join what was
    /// rounded up apart.
    pub refund: Quantities,
}

impl Profile {
    /// Whether overlapping invocations of an instance share its time.
    pub fn bills_instances(&self) -> bool {
        self.billing.time.as_ref().is_some_and(|time| time.of.value == Of::Instance)
    }

    /// Whether the start of an instance is part of the wall time that is billed.
    pub(super) fn bills_init(&self) -> bool {
        self.billing.time.as_ref().is_none_or(|time| time.init.as_ref().is_some_and(|init| init.value))
    }
}

impl Profile {
    /// What is given back when so much wall time is billed less. Requests and CPU time are given back by nothing.
    pub(super) fn refund(&self, used: &Use, less: Duration) -> Quantities {
        self.count_for(used, less).1.less(self.count_for(used, Duration::ZERO).1)
    }
}

impl Instances {
    /// Bills an invocation that has ended, in whatever order. Where invocations are billed one by one, that is
    /// [`Profile::charge`].
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use faas_core::{billing::Instances, clock::Time, invocation::*, profile::Profile};
    ///
    /// let at = |ms| Time::EPOCH + Duration::from_millis(ms);
    /// let record = |from, to| Record {
    ///     id: "1".into(), function: "f".into(), spec: Some(Arc::new(FunctionSpec::new("f"))),
    ///     start: Some(Start::Warm), instance: Some(7), arrived: at(from), ended: at(to), queue: Duration::ZERO,
    ///     usage: Usage { handler_wall: at(to).since(at(from)), ..Usage::default() },
    ///     end: End::Replied { status: http::StatusCode::OK, is_fault: false },
    /// };
    /// let run = Profile::named("google-cloud-run-functions")?;
    /// let mut instances = Instances::default();
    /// // 230 ms are billed as 300; what runs meanwhile in the same instance adds nothing, what outlasts it 100
    /// let mut billed = |from, to| instances.bill(&run, &record(from, to)).charge.billed.as_millis();
    /// assert_eq!([billed(0, 230), billed(10, 200), billed(150, 390)], [300, 0, 100]);
    /// # Ok::<(), faas_core::profile::UnknownProfile>(())
    /// ```
    pub fn bill(&mut self, profile: &Profile, record: &Record) -> Marginal {
        self.bill_at(profile, record, |quantities| profile.billing.amount_usd(quantities))
    }

    /// The same for who knows by itself what quantities cost.
    pub fn bill_at(
        &mut self,
        profile: &Profile,
        record: &Record,
        price: impl FnOnce(&Quantities) -> Decimal,
    ) -> Marginal {
        let (billed, quantities, refund) = self.add(profile, record);
        let charge = Charge { billed, quantities, cost_usd: price(&quantities) };
        Marginal { charge, refund }
    }

    fn add(&mut self, profile: &Profile, record: &Record) -> (Duration, Quantities, Quantities) {
        let Some(used) = Use::of(record) else {
            return (Duration::ZERO, Quantities::default(), Quantities::default());
        };
        let Some((was, is)) = self.spans(profile, record, &used) else {
            let (billed, quantities) = profile.count(&used);
            return (billed, quantities, Quantities::default());
        };
        let (_, quantities) = profile.count_for(&used, is.saturating_sub(was));
        let refund = match was.saturating_sub(is) {
            Duration::ZERO => Quantities::default(),
            less => profile.refund(&used, less),
        };
        (is.saturating_sub(was), quantities, refund)
    }

    /// What was billed for the spans that an invocation touches, and what is billed for the one that they are now. Nothing
    /// where the profile bills invocations one by one, or nobody knows which instance it ran on.
    fn spans(&mut self, profile: &Profile, record: &Record, used: &Use) -> Option<(Duration, Duration)> {
        let rule = profile.billing.time.as_ref().filter(|_| profile.bills_instances())?;
        let [touched] = self.0.add(record, used, [profile.bills_init()])?;
        Some(touched.billed(|time| rounded(time, rule)))
    }
}

impl<const N: usize> Spans<N> {
    /// Adds an invocation that has ended, with its init or without. Nothing if nobody knows which instance it ran on.
    pub(super) fn add(&mut self, record: &Record, used: &Use, with_init: [bool; N]) -> Option<[Touched; N]> {
        let instance = record.instance?;
        let init = if record.start == Some(Start::Cold) { used.init_wall } else { Duration::ZERO };
        let [from, from_init] =
            [Duration::ZERO, init].map(|init| before(record.ended, used.handler_wall + init));
        let kept = self.active.entry(instance).or_default();
        if let Some(spec) = &record.spec {
            let is_shared = spec.instance_concurrency > 1;
            kept.reach = if is_shared { spec.timeout + spec.init_timeout } else { REPORT_LAG };
        }
        let touched = std::array::from_fn(|n| {
            kept.active[n].touch(if with_init[n] { from_init } else { from }, record.ended)
        });
        self.sweep(record.ended);
        Some(touched)
    }

    /// Forgets what no invocation can reach any more, so that a long session does not fill the memory.
    fn sweep(&mut self, now: Time) {
        if self.swept.is_some_and(|swept| now < swept + SWEEP_EVERY) {
            return;
        }
        self.swept = Some(now);
        self.active.retain(|_, kept| {
            for active in &mut kept.active {
                active.forget_before(before(now, kept.reach));
            }
            kept.active.iter().any(|active| active.spans() > 0)
        });
    }
}

fn before(time: Time, by: Duration) -> Time {
    Time::from_unix_nanos(time.unix_nanos().saturating_sub(ns(by)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::invocation::{End, FunctionSpec, Usage};

    #[test]
    fn a_long_session_leaves_behind_no_more_than_a_short_one() {
        let run = Profile::named("google-cloud-run-functions").expect("built in");
        let one_at_a_time = Arc::new(FunctionSpec::new("f"));
        let shared = Arc::new(FunctionSpec {
            instance_concurrency: 80,
            timeout: Duration::from_secs(3),
            init_timeout: Duration::ZERO,
            ..FunctionSpec::new("f")
        });
        for (spec, reach_ms) in [(one_at_a_time, 1_000), (shared, 3_000)] {
            let mut instances = Instances::default();
            for n in 1..10_000 {
                let took = Duration::from_millis(1);
                let record = Record {
                    id: "1".into(),
                    function: "f".into(),
                    spec: Some(spec.clone()),
                    start: Some(Start::Warm),
                    instance: Some(7),
                    arrived: Time::EPOCH,
                    ended: Time::EPOCH + 100 * took * n,
                    queue: Duration::ZERO,
                    usage: Usage { handler_wall: took, ..Usage::default() },
                    end: End::Replied { status: http::StatusCode::OK, is_fault: false },
                };
                instances.bill(&run, &record);
            }
            let spans = instances.0.active[&7].active[0].spans();
            // ten a second, as far as somebody may reach, and until the next sweep
            assert!(spans <= (reach_ms + 1_000) / 100 + 2, "{spans}");
        }
    }
}
