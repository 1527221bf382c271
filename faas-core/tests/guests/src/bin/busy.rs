//! Computes for a while: `?ms=20`.

use faas_core::function;

#[function]
async fn busy(request: faas_core::Request) -> String {
    let ms: u128 =
        request.uri().query().and_then(|query| query.strip_prefix("ms=")?.parse().ok()).unwrap_or(20);
    #[allow(clippy::disallowed_methods)] // a guest's clock is the host's injected one
    let began = std::time::Instant::now();
    let mut x = 1u64;
    while began.elapsed().as_millis() < ms {
        for _ in 0..10_000 {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
    }
    format!("{x}\n")
}

faas_core::main!();
