//! Counts its invocations: what an instance remembers.

use faas_core::function;

use std::sync::atomic::{AtomicU32, Ordering};

static COUNT: AtomicU32 = AtomicU32::new(0);

#[function(concurrency = 8)]
async fn counter() -> String {
    (COUNT.fetch_add(1, Ordering::SeqCst) + 1).to_string()
}

faas_core::main!();
