//! Traps without a panic.

use faas_core::function;

#[function]
async fn trap() {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
}

faas_core::main!();
