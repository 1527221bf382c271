//! Panics.

use faas_core::function;

#[function]
async fn panic() {
    let orders: Vec<u32> = Vec::new();
    assert!(!orders.is_empty(), "there are {} orders", orders.len());
}

faas_core::main!();
