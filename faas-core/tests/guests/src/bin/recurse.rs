//! Calls itself without end.

use faas_core::function;

#[function]
async fn recurse() -> String {
    depth(0).to_string()
}

fn depth(n: u64) -> u64 {
    let frame = std::hint::black_box([n; 64]);
    if std::hint::black_box(true) { depth(n + 1) + frame[7] } else { n }
}

faas_core::main!();
