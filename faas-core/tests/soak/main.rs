//! Thousands of invocations, one in ten of them hostile, through scheduler and sandbox: nothing grows. A program of its
//! own, because it looks at the whole process. `benches/soak.rs` does the same a million times.

mod functions;
mod process;
mod reloads;
mod run;

use std::sync::{Mutex, PoisonError};

/// Whoever looks at the process has it for itself.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn modules_that_are_replaced_take_their_code_with_them() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (early, late) = reloads::run(100);
    // each would keep two mappings, one of them of code
    assert!(late.mappings <= early.mappings + 8, "{early}, and 80 generations later {late}");
    assert!(late.descriptors <= early.descriptors + 1, "{early}, and 80 generations later {late}");
}

#[test]
fn twenty_thousand_invocations_leave_nothing_behind() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let report = run::run(20_000, |_, _| {});
    assert!(report.cold > 5_000, "{} cold starts: many must be, as it is about them too", report.cold);
    // what is warm after a fifth stays as large, an allocator's slack apart, and the stacks for guests, of a MiB each, of
    // the 32 threads, of which some run their first guest late
    report.assert_steady(48 << 20);
}
