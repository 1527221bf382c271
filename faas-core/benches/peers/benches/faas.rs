//! A function in `faas-core`'s sandbox, without a scheduler.

use std::{
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use faas_core::{
    clock::{SharedClock, SystemClock},
    invocation::{FunctionSpec, Invocation, RequestBody, Tally},
    pool::Lease,
    sandbox::{
        Instance, Sandbox, Started,
        wasmer::{Config, Runtime, Starts, Tier},
    },
    transition::Unobserved,
};
use http_body_util::{BodyExt as _, Empty};

pub(crate) struct Host {
    sandbox: Arc<dyn Sandbox>,
    clock: SharedClock,
    id: Arc<str>,
    name: Arc<str>,
    tokio: tokio::runtime::Runtime,
}

impl Host {
    pub(crate) fn new(name: &str, wasm: &[u8], starts: Starts) -> Self {
        // workers as on a machine with cores for all who start at once
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(16).build().expect("a runtime");
        let clock = SystemClock::shared();
        let runtime = {
            let _entered = tokio.enter();
            let config = Config { starts, ..Config::default() };
            Runtime::new(config, clock.clone(), Arc::new(Unobserved)).expect("a runtime")
        };
        let module = runtime.load(wasm, Tier::Optimised).expect("a module");
        let sandbox = module.sandbox(Arc::new(FunctionSpec::new(name)), vec![]);
        let host = Host { sandbox, clock, id: "id".into(), name: name.into(), tokio };
        // until it is known as quick, a function runs on threads of its own
        for _ in 0..100 {
            let started = host.tokio.block_on(host.sandbox.start()).expect("starts");
            host.tokio.block_on(host.call(&started.instance));
        }
        host
    }

    pub(crate) fn start(&self) -> Arc<dyn Instance> {
        let Started { instance, .. } = match self.sandbox.start_at_once() {
            Some(started) => started,
            None => now_or_on(&self.tokio, self.sandbox.start()).expect("starts"),
        };
        instance
    }

    pub(crate) fn invoke(&self, instance: &Arc<dyn Instance>) {
        now_or_on(&self.tokio, self.call(instance));
    }

    /// Start, first call, end.
    pub(crate) fn cold(&self) {
        let instance = self.start();
        self.invoke(&instance);
    }

    async fn call(&self, instance: &Arc<dyn Instance>) {
        let tally = Tally::open(self.id.clone(), self.name.clone(), self.clock.clone(), Arc::new(Unobserved));
        let body = RequestBody::new(Empty::<Bytes>::new().map_err(|never| match never {}));
        let request = http::Request::new(body);
        let invocation = Invocation { function: self.name.clone(), request, force_cold: false, tally };
        black_box(instance.clone().invoke(invocation, Lease::new(|_| {})).await.expect("replies"));
    }
}

/// A future that is ready when it is first polled needs no runtime, as in a server that is running anyway.
fn now_or_on<T>(tokio: &tokio::runtime::Runtime, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => tokio.block_on(future),
    }
}
