//! See `faas_fuzz::calls`.
#![no_main]

use std::sync::OnceLock;

use faas_fuzz::{bench::Bench, calls::Calls};

static HOST: OnceLock<(Bench, Calls)> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let (bench, calls) = HOST.get_or_init(|| {
        let bench = Bench::new();
        let calls = Calls::new(&bench);
        (bench, calls)
    });
    calls.run(bench, input);
});
