//! Tells all that it sees of its host.

use faas_core::function;

#[function]
async fn env() -> String {
    let mut text = String::new();
    for (name, value) in std::env::vars() {
        text.push_str(&format!("{name}={value}\n"));
    }
    for argument in std::env::args() {
        text.push_str(&format!("argument {argument}\n"));
    }
    text.push_str(&format!("a file: {:?}\n", std::fs::read("/etc/passwd").map_err(|error| error.kind())));
    text
}

faas_core::main!();
