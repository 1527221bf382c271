//! Replies with twenty megabytes.

use faas_core::function;

#[function(memory = 256)]
async fn huge_reply() -> Vec<u8> {
    vec![0; 20 << 20]
}

faas_core::main!();
