//! Leaves by the back door.

use faas_core::function;

#[function]
async fn exit() {
    std::process::exit(3)
}

faas_core::main!();
