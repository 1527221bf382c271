//! Makes a table in its init, for some ten milliseconds: what a function pays each time that is not started as a copy.

use std::{hint::black_box, sync::OnceLock};

use faas_core::{Request, function};

const ENTRIES: u32 = 1 << 16;
static TABLE: OnceLock<Vec<u32>> = OnceLock::new();

/// Where `n` is after some steps of Collatz's, or of its like: nothing that a compiler could foresee.
fn walk(n: u32) -> u32 {
    (0..100).fold(n, |n, _| if n % 2 == 0 { n / 2 } else { black_box(n).wrapping_mul(3).wrapping_add(1) })
}

fn fill() {
    TABLE.get_or_init(|| (0..ENTRIES).map(walk).collect());
}

#[function(init = fill)]
async fn tables(request: Request) -> String {
    let n = request.uri().query().and_then(|query| query.parse().ok()).unwrap_or(7919_usize);
    match TABLE.get().and_then(|table| table.get(n)) {
        Some(end) => end.to_string(),
        None => "too large".into(),
    }
}

faas_core::main!();
