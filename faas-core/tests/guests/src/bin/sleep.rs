//! Waits: `?ms=50`.

use faas_core::function;

#[function(concurrency = 8)]
async fn sleep(request: faas_core::Request) -> String {
    let ms = request.uri().query().and_then(|query| query.strip_prefix("ms=")?.parse().ok()).unwrap_or(5);
    faas_core::sleep(std::time::Duration::from_millis(ms)).await;
    format!("slept {ms} ms\n")
}

faas_core::main!();
