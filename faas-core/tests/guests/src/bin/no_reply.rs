//! Waits for nothing.

use faas_core::function;

#[function]
async fn no_reply() {
    std::future::pending().await
}

faas_core::main!();
