//! Computes without end.

use faas_core::function;

#[function]
async fn spin() {
    let mut x = 1u32;
    while std::hint::black_box(x) != 0 {
        x = x.wrapping_mul(1_664_525) | 1;
    }
}

faas_core::main!();
