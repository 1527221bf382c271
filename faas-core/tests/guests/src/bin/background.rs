//! Leaves a future behind that outlives its replies, and says how far that had come when a call began.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};

use faas_core::function;

thread_local! {
    static TICKS: Cell<u32> = const { Cell::new(0) };
    static LEFT_BEHIND: RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>> = const { RefCell::new(None) };
}

async fn tick() {
    loop {
        faas_core::sleep(Duration::from_millis(1)).await;
        TICKS.set(TICKS.get() + 1);
    }
}

#[function]
async fn background() -> String {
    let ticks = TICKS.get();
    LEFT_BEHIND.with_borrow_mut(|left| {
        let left = left.get_or_insert_with(|| Box::pin(tick()));
        assert!(left.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "it never ends");
    });
    ticks.to_string()
}

faas_core::main!();
