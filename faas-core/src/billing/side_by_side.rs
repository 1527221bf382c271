//! The same invocations under several profiles, for who wants to compare them: cheap enough to be done at the end of each.
//!
//! Counting in full means a dozen quantities for each profile. But invocations of one size (memory, and whatever else is
//! no time) count in proportion to their number and times, so only those are added up, by size, and multiplied when
//! somebody asks. The sums are exactly those of [`Instances`](super::Instances), invocation by invocation.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Quantities, Tally, Tariff, Use, instances::Spans};
use crate::{invocation::Record, profile::Profile};

/// So many sizes of one function are added up apart; memory that grows makes new ones.
const SIZES_KEPT: usize = 8;

/// What the same invocations count for under each of several profiles.
#[derive(Debug)]
pub struct SideBySide {
    profiles: Vec<Profile>,
    /// Which spans the times of instances are counted by under each profile, if they are.
    by: Vec<Option<Init>>,
    /// The spans in which instances were active, their starts left out, and with them.
    spans: Spans<2>,
    functions: BTreeMap<Arc<str>, Function>,
}

/// Whether the start of an instance belongs to the time in which it is active.
#[derive(Debug, Clone, Copy)]
enum Init {
    Left,
    Counted,
}

#[derive(Debug)]
struct Function {
    /// The one that was added to last comes first.
    sizes: Vec<Size>,
    /// By profile, what is multiplied already.
    settled: Vec<Quantities>,
}

/// Invocations that differ in nothing but their times.
#[derive(Debug)]
struct Size {
    of: Use,
    /// By profile.
    sums: Vec<(Tariff, Tally)>,
}

impl SideBySide {
    /// Counts for these profiles.
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use faas_core::{billing::SideBySide, clock::Time, invocation::*, profile::Profile};
    ///
    /// let record = Record {
    ///     id: "1".into(), function: "hello".into(), spec: Some(Arc::new(FunctionSpec::new("hello"))),
    ///     start: Some(Start::Warm), instance: Some(1), arrived: Time::EPOCH, ended: Time::EPOCH, queue: Duration::ZERO,
    ///     usage: Usage { handler_wall: Duration::from_micros(2_400), ..Usage::default() },
    ///     end: End::Replied { status: http::StatusCode::OK, is_fault: false },
    /// };
    /// let profiles = ["aws-lambda", "google-cloud-run-functions-gen1"];
    /// let mut books = SideBySide::new(profiles.iter().filter_map(|name| Profile::named(name).ok()));
    /// books.add(&record);
    /// books.add(&record);
    /// // twice 3 ms and twice 100 ms of 128 MiB
    /// let gb_seconds = books.profiles().map(|(_, mut of)| of.next().expect("hello").1.gb_seconds().to_string());
    /// assert_eq!(gb_seconds.collect::<Vec<_>>(), ["0.00075", "0.025"]);
    /// ```
    pub fn new(profiles: impl IntoIterator<Item = Profile>) -> Self {
        let profiles: Vec<_> = profiles.into_iter().collect();
        let by = |profile: &Profile| {
            let init = if profile.bills_init() { Init::Counted } else { Init::Left };
            profile.bills_instances().then_some(init)
        };
        let by = profiles.iter().map(by).collect();
        SideBySide { profiles, by, spans: Spans::default(), functions: BTreeMap::new() }
    }

    /// Counts an invocation that has ended.
    pub fn add(&mut self, record: &Record) {
        let Some(used) = Use::of(record) else { return };
        let profiles = &self.profiles;
        let function = match self.functions.get_mut(&record.function) {
            Some(function) => function,
            None => {
                let settled = vec![Quantities::default(); profiles.len()];
                let new = Function { sizes: Vec::new(), settled };
                self.functions.entry(record.function.clone()).or_insert(new)
            }
        };
        function.turn_to(&used, profiles);
        let touched = self.spans.add(record, &used, [false, true]);
        let mut refunds = Vec::new();
        for (place, (by, (tariff, tally))) in self.by.iter().zip(&mut function.sizes[0].sums).enumerate() {
            let Some(touched) = by.and_then(|init| touched.as_ref().map(|touched| &touched[init as usize]))
            else {
                tariff.add(tally, &used);
                continue;
            };
            let (was, is) = touched.billed(|time| tariff.rounded(time));
            tariff.add_rounded(tally, &used, is.saturating_sub(was));
            if was > is {
                refunds.push((place, profiles[place].refund(&used, was - is)));
            }
        }
        for (place, refund) in refunds {
            // of what was counted before, in whatever size
            function.settle();
            function.settled[place] = function.settled[place].less(refund);
        }
    }

    /// The profiles, and what each function counts for under them, by name.
    pub fn profiles(
        &self,
    ) -> impl Iterator<Item = (&Profile, impl Iterator<Item = (&Arc<str>, Quantities)>)> {
        self.profiles.iter().enumerate().map(|(place, profile)| {
            let of = move |(name, function)| (name, Function::quantities(function, place));
            (profile, self.functions.iter().map(of))
        })
    }
}

impl Function {
    /// Brings the size of this use to the front.
    fn turn_to(&mut self, used: &Use, profiles: &[Profile]) {
        let of = Use {
            init_wall: Duration::ZERO,
            handler_wall: Duration::ZERO,
            handler_cpu: Duration::ZERO,
            ..*used
        };
        match self.sizes.iter().position(|size| size.of == of) {
            Some(0) => {}
            Some(place) => self.sizes.swap(0, place),
            None => {
                if self.sizes.len() >= SIZES_KEPT {
                    self.settle();
                }
                let sums = profiles
                    .iter()
                    .map(|profile| (Tariff::of(profile, &of, Duration::ZERO), Tally::default()))
                    .collect();
                self.sizes.push(Size { of, sums });
                let last = self.sizes.len() - 1;
                self.sizes.swap(0, last);
            }
        }
    }

    fn settle(&mut self) {
        for place in 0..self.settled.len() {
            self.settled[place] = self.quantities(place);
        }
        for (_, tally) in self.sizes.iter_mut().flat_map(|size| &mut size.sums) {
            *tally = Tally::default();
        }
        self.sizes.truncate(SIZES_KEPT / 2);
    }

    fn quantities(&self, place: usize) -> Quantities {
        let of = |size: &Size| {
            let (tariff, tally) = &size.sums[place];
            tariff.quantities(tally)
        };
        self.sizes.iter().map(of).fold(self.settled[place], |sum, more| sum + more)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::{super::Instances, *};
    use crate::{
        clock::Time,
        invocation::{End, FunctionSpec, Start, Usage},
    };

    #[derive(Debug, Clone)]
    struct Call {
        function: usize,
        instance: Option<u64>,
        is_cold: bool,
        memory_used_mib: u64,
        ended_ms: u64,
        took: Duration,
    }

    fn call() -> impl Strategy<Value = Call> {
        (
            0_usize..2,
            proptest::option::of(0_u64..3),
            any::<bool>(),
            0_u64..20,
            0_u64..5_000,
            0_u64..2_000_000_000,
        )
            .prop_map(|(function, instance, is_cold, memory_used_mib, ended_ms, took_ns)| Call {
                function,
                instance,
                is_cold,
                memory_used_mib,
                ended_ms,
                took: Duration::from_nanos(took_ns),
            })
    }

    proptest! {
        /// In whatever order, overlapping or not, of however many sizes.
        #[test]
        fn it_counts_what_counting_one_by_one_does(calls in proptest::collection::vec(call(), 0..60)) {
            let profiles = || Profile::names().filter_map(|name| Profile::named(name).ok());
            let specs = [("a", 128), ("b", 1024)].map(|(name, memory_mib)| {
                Arc::new(FunctionSpec { memory_mib, instance_concurrency: 8, ..FunctionSpec::new(name) })
            });
            let mut books = SideBySide::new(profiles());
            let mut one_by_one: Vec<(Profile, Instances, HashMap<Arc<str>, Quantities>)> =
                profiles().map(|profile| (profile, Instances::default(), HashMap::new())).collect();
            for call in &calls {
                let spec = &specs[call.function];
                let record = Record {
                    id: "".into(),
                    function: spec.name.clone(),
                    spec: Some(spec.clone()),
                    start: Some(if call.is_cold { Start::Cold } else { Start::Warm }),
                    instance: call.instance,
                    arrived: Time::EPOCH,
                    ended: Time::EPOCH + Duration::from_millis(call.ended_ms),
                    queue: Duration::ZERO,
                    usage: Usage {
                        init_wall: if call.is_cold { Duration::from_millis(3) } else { Duration::ZERO },
                        handler_wall: call.took,
                        handler_cpu: call.took / 3,
                        memory_peak_bytes: call.memory_used_mib << 20,
                        // an instance is so or not for as long as it lives
                        is_provisioned: call.instance == Some(1),
                        ..Usage::default()
                    },
                    end: End::Replied { status: http::StatusCode::OK, is_fault: false },
                };
                books.add(&record);
                for (profile, instances, sums) in &mut one_by_one {
                    let billed = instances.bill(profile, &record);
                    let sum = sums.entry(record.function.clone()).or_default();
                    *sum = (*sum + billed.charge.quantities).less(billed.refund);
                }
            }
            for ((profile, functions), (same, _, sums)) in books.profiles().zip(&one_by_one) {
                prop_assert_eq!(&profile.name, &same.name);
                let functions: HashMap<_, _> = functions.map(|(name, used)| (name.clone(), used)).collect();
                prop_assert_eq!(&functions, sums, "{}", profile.name);
            }
        }
    }
}
