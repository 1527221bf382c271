//! Some seconds of what `fuzz/` runs for longer: arbitrary host calls, arbitrary modules. `PROPTEST_CASES` says how many.

use proptest::{prelude::*, test_runner::TestRunner};

// parts of a library there, so their items are public
#[allow(unreachable_pub)]
#[path = "../../fuzz/src/bench.rs"]
mod bench;
#[allow(unreachable_pub)]
#[path = "../../fuzz/src/calls.rs"]
mod calls;
#[allow(unreachable_pub)]
#[path = "../../fuzz/src/modules.rs"]
mod modules;

use std::collections::HashSet;

use bench::Bench;
use faas_core::invocation::ErrorKind;

fn for_inputs(default_cases: u32, max_bytes: usize, mut test: impl FnMut(&[u8])) {
    let cases =
        std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(default_cases);
    let mut runner =
        TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
    let test = std::cell::RefCell::new(&mut test);
    let ran = runner.run(&prop::collection::vec(any::<u8>(), 0..max_bytes), |input| {
        (test.borrow_mut())(&input);
        Ok(())
    });
    if let Err(why) = ran {
        panic!("{why}");
    }
}

#[test]
fn whatever_a_guest_asks_of_its_host_is_answered() {
    let bench = Bench::new();
    let calls = calls::Calls::new(&bench);
    let mut ends = HashSet::new();
    for_inputs(1000, 300, |input| ends.extend(calls.run(&bench, input)));
    // they come far enough to end in every way that such a guest can
    for end in [
        Ok(()),
        Err(ErrorKind::Trap),
        Err(ErrorKind::Exited),
        Err(ErrorKind::NoReply),
        Err(ErrorKind::BadReply),
        Err(ErrorKind::InstanceLost),
    ] {
        assert!(ends.contains(&end), "{end:?} is missing in {ends:?}");
    }
}

#[test]
fn whatever_bytes_a_module_is_made_of_are_refused_or_run_within_bounds() {
    let bench = Bench::new();
    let whole = modules::whole();
    assert!(modules::run(&bench, &whole), "what is spoilt was good");
    let (mut loaded, mut all) = (0, 0);
    for_inputs(400, 30, |input| {
        loaded += u32::from(modules::run(&bench, &modules::mutant(&whole, input)));
        all += 1;
    });
    assert!(loaded > all / 50, "{loaded} of {all} loaded: too few to show anything");
}
