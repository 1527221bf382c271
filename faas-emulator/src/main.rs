//! The `faas` command.
fn main() {}
