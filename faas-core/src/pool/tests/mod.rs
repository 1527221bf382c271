//! Random histories against the pool, and the cases that deserve a name of their own.
//!
//! Each rule is named in the assertion that guards it. The model (`world`) believes nothing that the pool says of itself:
//! it keeps its own books from the effects.

mod ahead;
mod bucket;
mod events;
mod model;
mod scale;
mod world;

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{clock::Time, invocation::FunctionSpec, policy::FixedTtl};
use events::{Event, event, setup};
use world::{KEEP_ALIVE, LIMITS, World};

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_the_rules_and_leaves_nothing(
        setup in setup(),
        history in prop::collection::vec(event(), 1..120),
    ) {
        let mut world = World::new(setup);
        for event in history {
            world.happen(event);
        }
        world.wind_down();
    }

    #[test]
    fn shutdown_at_any_moment_serves_who_was_let_in(
        setup in setup(),
        before in prop::collection::vec(event(), 1..60),
        after in prop::collection::vec(event(), 1..30),
    ) {
        let mut world = World::new(setup);
        before.into_iter().for_each(|event| world.happen(event));
        world.happen(Event::Shutdown);
        after.into_iter().for_each(|event| world.happen(event));
        world.wind_down();
        prop_assert!(world.pool.is_drained());
    }
}

#[test]
fn the_most_recently_used_instance_serves_first() {
    let mut pool = Pool::new(Limits { max_instances: 9, ..LIMITS }, FixedTtl(KEEP_ALIVE));
    let mut effects = Vec::new();
    let function = pool.deploy(Time::EPOCH, Arc::new(FunctionSpec::new("a")), &mut effects);
    for _ in 0..3 {
        pool.acquire(Time::EPOCH, function, false, &mut effects);
    }
    let started: Vec<_> = effects
        .drain(..)
        .filter_map(|effect| if let Effect::Start { instance, .. } = effect { Some(instance) } else { None })
        .collect();
    for id in &started {
        pool.started(Time::EPOCH, *id, &mut effects);
    }
    for i in [1, 0, 2] {
        pool.release(Time::EPOCH, started[i], true, &mut effects);
    }
    for i in [2, 0, 1] {
        assert_eq!(pool.acquire(Time::EPOCH, function, false, &mut effects), Decision::Run(started[i]));
    }
}

#[test]
fn timers_of_stopped_instances_do_not_pile_up() {
    let mut pool = Pool::new(LIMITS, FixedTtl(Duration::from_secs(3600)));
    let mut effects = Vec::new();
    let function = pool.deploy(Time::EPOCH, Arc::new(FunctionSpec::new("a")), &mut effects);
    for _ in 0..10_000 {
        effects.clear();
        pool.acquire(Time::EPOCH, function, true, &mut effects);
        let start = effects.iter().find_map(|effect| match effect {
            Effect::Start { instance, .. } => Some(*instance),
            _ => None,
        });
        let instance = start.expect("there always is an idle one to evict");
        pool.started(Time::EPOCH, instance, &mut effects);
        pool.release(Time::EPOCH, instance, true, &mut effects);
    }
    assert!(pool.armed_timers() < 100, "{}", pool.armed_timers());
}

#[test]
fn a_deploy_gives_who_loses_their_start_another_deadline() {
    let mut pool = Pool::new(LIMITS, FixedTtl(KEEP_ALIVE));
    let (mut effects, ms) = (Vec::new(), |n| Time::EPOCH + Duration::from_millis(n));
    let spec = FunctionSpec { max_instances: Some(1), ..FunctionSpec::new("a") };
    let function = pool.deploy(ms(0), Arc::new(spec.clone()), &mut effects);
    pool.acquire(ms(0), function, false, &mut effects);
    let Decision::Wait { ticket, depth: Some(1) } = pool.acquire(ms(0), function, false, &mut effects) else {
        panic!("the one instance is being started for another");
    };
    // room for both: the second is promised a place, and its deadline passes without consequence
    let wide = FunctionSpec { instance_concurrency: 2, generation: 2, ..spec.clone() };
    pool.deploy(ms(1), Arc::new(wide), &mut effects);
    effects.clear();
    pool.expire(ms(100), &mut effects);
    assert_eq!(effects, []);
    // and back: it waits for capacity again
    pool.deploy(ms(100), Arc::new(FunctionSpec { generation: 3, ..spec }), &mut effects);
    effects.clear();
    pool.expire(ms(130), &mut effects);
    let why = Refusal::WaitedTooLong { waited: Duration::from_millis(130), limit: Limit::Function(1) };
    assert_eq!(effects, [Effect::Refuse { ticket, why }]);
}
