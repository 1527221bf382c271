//! Has an init that takes its time, and gives each invocation an instance of its own.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use faas_core::{Result, function};

static SQUARES: OnceLock<HashMap<u32, u32>> = OnceLock::new();
static COUNT: AtomicU32 = AtomicU32::new(0);

fn load() -> Result<()> {
    println!("loading");
    let squares: HashMap<u32, u32> = (0..1000).map(|n| (n, n * n)).collect();
    SQUARES.get_or_init(|| squares);
    Ok(())
}

/// What init made, how many invocations this instance has had, and a number that depends on the hash seed.
#[function(init = load, isolation = "request")]
async fn init() -> String {
    let square = SQUARES.get().and_then(|squares| squares.get(&31)).copied().unwrap_or_default();
    let count = COUNT.fetch_add(1, Ordering::SeqCst) + 1;
    format!("{square} {count} {}", RandomState::new().hash_one(0))
}

faas_core::main!();
