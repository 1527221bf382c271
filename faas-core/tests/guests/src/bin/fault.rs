//! Returns an error.

use faas_core::function;

#[function]
async fn fault() -> Result<(), std::num::ParseIntError> {
    "seven".parse::<u32>().map(drop)
}

faas_core::main!();
