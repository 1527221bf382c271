//! A `#[function]` as the scheduler's sandbox: run natively, started as slowly as the profile says, disturbed by seed.

use std::{
    fmt,
    future::Future,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use parking_lot::Mutex;
use tower::Service;

use super::Chaos;
use crate::{
    Body, Context, Error, Function, ReplyFuture,
    clock::{BoxFuture, SharedClock},
    function::Definition,
    invocation::{BoxError, ErrorKind, FunctionSpec, Invocation, InvocationError, RequestBody},
    sandbox::{Sandbox, Started, native::NativeSandbox},
};

/// The invocation's id, on its way to the function's [`Context`].
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) Arc<str>);

/// What disturbs. Clones draw from one stream.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) chaos: Chaos,
    pub(super) random: Arc<Mutex<fastrand::Rng>>,
}

impl Trouble {
    fn strikes(&self, percent: u8) -> bool {
        percent > 0 && self.random.lock().u8(0..100) < percent
    }
}

/// A sandbox whose starts take time, and may fail.
pub(super) struct Slowly {
    pub(super) inner: Arc<dyn Sandbox>,
    pub(super) takes: Duration,
    pub(super) clock: SharedClock,
    pub(super) trouble: Trouble,
}

impl fmt::Debug for Slowly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Sandbox for Slowly {
    fn start(&self) -> BoxFuture<'static, Result<Started, InvocationError>> {
        let (inner, clock, takes) = (self.inner.clone(), self.clock.clone(), self.takes);
        let fails = self.trouble.strikes(self.trouble.chaos.failed_starts_percent);
        Box::pin(async move {
            clock.sleep_until(clock.now() + takes).await;
            if fails {
                return Err(InvocationError::new(ErrorKind::InitFailed, "chaos let this start fail"));
            }
            let mut started = inner.start().await?;
            started.init.wall += takes;
            Ok(started)
        })
    }
}

/// The function's instances: init, then make, as in the sandbox.
pub(super) fn native(
    definition: &'static Definition,
    spec: Arc<FunctionSpec>,
    clock: SharedClock,
    trouble: Trouble,
) -> NativeSandbox {
    NativeSandbox::new(spec.clone(), clock.clone(), move || {
        let (spec, clock, trouble) = (spec.clone(), clock.clone(), trouble.clone());
        async move {
            if let Some(init) = definition.init {
                init().map_err(BoxError::from)?;
            }
            Ok::<_, BoxError>(Served { function: (definition.make)().into(), spec, clock, trouble })
        }
    })
}

/// One instance.
#[derive(Clone)]
struct Served {
    function: Arc<dyn Function>,
    spec: Arc<FunctionSpec>,
    clock: SharedClock,
    trouble: Trouble,
}

impl Service<http::Request<RequestBody>> for Served {
    type Response = crate::Response;
    type Error = Error;
    type Future = ReplyFuture;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<RequestBody>) -> ReplyFuture {
        let Served { function, spec, clock, trouble } = self.clone();
        Box::pin(async move {
            let deadline = clock.now() + spec.timeout;
            if trouble.strikes(trouble.chaos.failed_calls_percent) {
                return Err(Error::new("chaos let this call fail"));
            }
            if trouble.strikes(trouble.chaos.slow_calls_percent) {
                clock.sleep_until(clock.now() + trouble.chaos.slow_by).await;
            }
            let id = request.extensions().get::<RequestId>().map_or("", |id| &id.0);
            let context = Context::of_invocation(
                &spec.name,
                id,
                deadline.unix_millis(),
                spec.memory_mib,
                spec.generation,
            );
            // as the guest's executor: what a function returns is a reply
            Ok(function.call(request.map(Body::new), context).await.unwrap_or_else(Error::into_reply))
        })
    }
}

/// Counts its polls as signs of life.
pub(super) async fn alive<F: Future>(run: Arc<super::run::Run>, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        run.activity.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        future.as_mut().poll(cx)
    })
    .await
}

/// Tells functions the ids of invocations that no [`Call`](super::Call) makes.
pub(super) fn with_id(mut invocation: Invocation) -> Invocation {
    let id = RequestId(invocation.tally.record().id.clone());
    invocation.request.extensions_mut().insert(id);
    invocation
}
