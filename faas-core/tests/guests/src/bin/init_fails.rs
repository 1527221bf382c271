//! Has an init that fails.

use faas_core::{Result, function};

fn load() -> Result<()> {
    let price: u32 = "ten".parse()?;
    println!("{price}");
    Ok(())
}

#[function(init = load)]
async fn init_fails() {}

faas_core::main!();
