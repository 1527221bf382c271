//! Sleeps as a thread would, which a function cannot.

use faas_core::function;

#[function]
#[allow(clippy::disallowed_methods)]
async fn blocking_sleep() {
    std::thread::sleep(std::time::Duration::from_millis(1));
}

faas_core::main!();
