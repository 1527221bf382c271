//! Asks for a gigabyte.

use faas_core::function;

#[function]
async fn alloc() -> String {
    let bytes = vec![1u8; 1 << 30];
    std::hint::black_box(&bytes).len().to_string()
}

faas_core::main!();
