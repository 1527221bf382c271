//! A million invocations, one in ten of them hostile, through scheduler and sandbox; fails when the process grows.
//!
//! `cargo bench -p faas-core --features wasmer --bench soak`, with `INVOCATIONS=1000000` unless told otherwise. Twenty
//! thousand are part of the tests.
#![allow(clippy::print_stdout)]

#[path = "../tests/soak/functions.rs"]
mod functions;
#[path = "../tests/soak/process.rs"]
mod process;
#[path = "../tests/soak/run.rs"]
mod run;

fn main() {
    let total = std::env::var("INVOCATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let report = run::run(total, |at, held| println!("{at:>9} {held}"));
    println!("    after {}", report.after);
    println!("{} of {total} invocations were cold starts", report.cold);
    report.assert_steady(16 << 20);
    println!("steady");
}
