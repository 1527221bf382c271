use faas_core::function;

#[function]
async fn main() {}

faas_core::main!();
