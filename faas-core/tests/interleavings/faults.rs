//! These tests can fail: with something broken on purpose, whose harm depends on the order, they do.

use shuttle::{
    FailurePersistence, Runner,
    future::block_on,
    scheduler::{PctScheduler, RandomScheduler},
};

use crate::{
    bench::{Bench, config, one_instance},
    calls, generations,
    stand_ins::FAULT,
    time,
};

/// What can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An answer that reaches a caller who has just gone is not dropped, with the lease in it.
    AnswersLeak,
    /// Who waits for a notice begins to listen when it is polled, not before it looks.
    NoticesAreAwaitedLate,
    /// A notice that finds nobody waiting is forgotten.
    NoticesAreNotKept,
    /// An instance gives its lease back, and then runs the call.
    LeasesEndEarly,
}

/// Far more than it takes: chance must not let this test fail.
const SCHEDULES: usize = 20_000;

fn is_found(fault: Fault, scenario: impl AsyncFn(Bench) + Send + Sync + Copy + 'static) {
    let scenario = move || block_on(async move { scenario(Bench::new(one_instance())).await });
    let run = move || {
        FAULT.set(Some(fault));
        let mut config = config();
        config.failure_persistence = FailurePersistence::None;
        // first by priorities: a task that is slow for long is not what chance makes
        Runner::new(PctScheduler::new(3, SCHEDULES), config.clone()).run(scenario);
        Runner::new(RandomScheduler::new(SCHEDULES), config).run(scenario);
    };
    // on a thread of its own: what a failed execution leaves behind stays there
    let end = std::thread::spawn(run).join();
    assert!(end.is_err(), "{fault:?} was not noticed");
}

#[test]
fn an_answer_that_leaks_is_found() {
    is_found(Fault::AnswersLeak, calls::dropped_anywhere);
}

#[test]
fn a_shutdown_that_listens_too_late_is_found() {
    is_found(Fault::NoticesAreAwaitedLate, generations::shutdown);
}

#[test]
fn a_deadline_that_nobody_notices_is_found() {
    is_found(Fault::NoticesAreNotKept, time::expires);
}

#[test]
fn an_instance_that_is_lent_twice_is_found() {
    is_found(Fault::LeasesEndEarly, calls::dropped_anywhere);
}
