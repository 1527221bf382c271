//! Thousands of invocations, one in ten of them hostile, through scheduler and sandbox: nothing grows. A program of its
//! own, because it looks at the whole process. `benches/soak.rs` does the same a million times.

mod functions;
mod process;
mod run;

#[test]
fn twenty_thousand_invocations_leave_nothing_behind() {
    let report = run::run(20_000, |_, _| {});
    assert!(report.cold > 5_000, "{} cold starts: many must be, as it is about them too", report.cold);
    // what is warm after a fifth stays as large, an allocator's slack apart, and the stacks for guests, of a MiB each, of
    // the 32 threads, of which some run their first guest late
    report.assert_steady(48 << 20);
}
