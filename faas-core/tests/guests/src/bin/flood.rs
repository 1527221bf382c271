//! Writes a hundred megabytes to standard output.

use faas_core::function;

#[function]
async fn flood() {
    let line = "x".repeat(999);
    for _ in 0..100_000 {
        println!("{line}");
    }
}

faas_core::main!();
