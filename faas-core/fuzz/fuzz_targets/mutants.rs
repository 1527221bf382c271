//! Modules that were valid once, see `faas_fuzz::modules`.
#![no_main]

use std::sync::OnceLock;

use faas_fuzz::{bench::Bench, modules};

static HOST: OnceLock<(Bench, Vec<u8>)> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let (bench, whole) = HOST.get_or_init(|| (Bench::new(), modules::whole()));
    modules::run(bench, &modules::mutant(whole, input));
});
