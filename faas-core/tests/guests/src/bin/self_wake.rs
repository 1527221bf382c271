//! Yields a thousand times.

use faas_core::function;

#[function]
async fn self_wake() {
    for _ in 0..1000 {
        let mut yielded = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut yielded, true) {
                return std::task::Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    }
}

faas_core::main!();
