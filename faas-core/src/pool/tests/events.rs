//! What can happen to a pool, what it is like, and how likely each is.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{KEEP_ALIVE, LIMITS};
use crate::{
    abi::manifest::Isolation,
    clock::Time,
    invocation::FunctionSpec,
    policy::{FixedTtl, GreedyDual, Policy, Rest, Subject, UntilEvicted},
    pool::*,
};

/// One thing that can happen. Numbers choose among what is there, modulo.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Acquire { function: usize, force_cold: bool },
    Started(usize),
    StartFailed(usize),
    Release { lease: usize, is_healthy: bool },
    Cancel(usize),
    Pass(u64),
    Deploy { function: usize, spec: FunctionSpec },
    Retire(usize),
    Prewarm { function: usize, unused: Option<Duration> },
    Shutdown,
}

/// What a world is like from its beginning to its end.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) limits: Limits,
    pub(super) keeper: Keeper,
}

/// The policies, as far as the rules differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeper {
    Fixed,
    Restless,
    UntilEvicted,
    GreedyDual,
}

/// Unloads whatever rests and warms it again and again: as hybrid histograms do, but at once.
#[derive(Debug)]
struct Restless;

impl Policy for Restless {
    fn keep(&mut self, _: Time, _: Subject<'_>) -> Option<Duration> {
        Some(Duration::from_millis(20))
    }

    fn rest(&mut self, now: Time, _: Subject<'_>) -> Rest {
        Rest { unload: true, warm_at: Some(now + Duration::from_millis(10)), ..Rest::STAY }
    }
}

impl Keeper {
    pub(super) fn policy(self) -> Box<dyn Policy> {
        match self {
            Keeper::Fixed => Box::new(FixedTtl(KEEP_ALIVE)),
            Keeper::Restless => Box::new(Restless),
            Keeper::UntilEvicted => Box::new(UntilEvicted),
            Keeper::GreedyDual => Box::new(GreedyDual::new()),
        }
    }
}

pub(super) fn setup() -> impl Strategy<Value = Setup> {
    let choice = prop_oneof![
        Just(Choice::MostRecent),
        Just(Choice::LeastRecent),
        any::<u64>().prop_map(|seed| Choice::Random { seed })
    ];
    let keeper = prop_oneof![
        3 => Just(Keeper::Fixed),
        1 => Just(Keeper::Restless),
        1 => Just(Keeper::UntilEvicted),
        1 => Just(Keeper::GreedyDual),
    ];
    let rate = (1..4_u32, 20..60_u64)
        .prop_map(|(burst, per_ms)| StartRate { burst, per: Duration::from_millis(per_ms) });
    let speed = (prop::option::weighted(0.4, 1..6_u32), prop::option::weighted(0.4, rate));
    (prop::option::of(3..10_u64), 0..3_u32, choice, keeper, speed).prop_map(
        |(memory_mib, max_prewarmed, choice, keeper, (max_running, start_rate))| Setup {
            limits: Limits { memory_mib, max_prewarmed, choice, max_running, start_rate, ..LIMITS },
            keeper,
        },
    )
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let any = 0..64_usize;
    prop_oneof![
        12 => (0..3_usize, prop::bool::weighted(0.15))
            .prop_map(|(function, force_cold)| Event::Acquire { function, force_cold }),
        8 => any.clone().prop_map(Event::Started),
        1 => any.clone().prop_map(Event::StartFailed),
        8 => (any.clone(), prop::bool::weighted(0.9))
            .prop_map(|(lease, is_healthy)| Event::Release { lease, is_healthy }),
        2 => any.prop_map(Event::Cancel),
        4 => (0..40_u64).prop_map(Event::Pass),
        2 => (0..3_usize, spec()).prop_map(|(function, spec)| Event::Deploy { function, spec }),
        2 => (0..3_usize, prop::option::of((5..80_u64).prop_map(Duration::from_millis)))
            .prop_map(|(function, unused)| Event::Prewarm { function, unused }),
        1 => (0..3_usize).prop_map(Event::Retire),
    ]
}

/// Settings; the name and the generation are the world's.
fn spec() -> impl Strategy<Value = FunctionSpec> {
    let counts = (1..4_u32, prop::option::of(0..4_u32), prop_oneof![3 => Just(0), 1 => 1..3_u32], 1..4_u32);
    let running = (prop::option::weighted(0.2, 0..3_u32), prop::option::weighted(0.2, 20..100_u8));
    (counts, prop::bool::weighted(0.3), running).prop_map(
        |((instance_concurrency, max_instances, min_instances, memory_mib), is_isolated, running)| {
            FunctionSpec {
                reserved_concurrency: running.0,
                target_utilization_percent: running.1,
                instance_concurrency,
                max_instances,
                min_instances,
                memory_mib,
                isolation: if is_isolated { Isolation::Request } else { Isolation::Instance },
                ..FunctionSpec::new("")
            }
        },
    )
}
