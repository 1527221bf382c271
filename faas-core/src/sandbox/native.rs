//! Functions that run in this process: any `tower::Service` of HTTP requests, an axum `Router` for one.
//!
//! There is no wall around a native function, so this is for embedding and tests, not for strangers' code:
//! - its time limit is kept at its next `await`; code that spins holds its thread for as long as it likes;
//! - its CPU time and memory are not measured and stay zero in [`Usage`](crate::invocation::Usage): it shares
//!   threads and heap with its host;
//! - `faas_core::sleep` and `faas_core::now` in it are by the host's clock, what it asks of the system is not;
//! - a panic is caught and costs the call and the instance, nothing else.
//!
//! An instance is one service, made by the function's factory: that is its cold start. A call gets a clone.

mod body;
mod call;

use std::{fmt, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tower::{Service, ServiceExt};

use super::{Instance, Sandbox, Started};
use crate::{
    clock::{BoxFuture, SharedClock, within},
    invocation::{
        BoxError, ErrorKind, Failure, FunctionSpec, Init, Injected, Invocation, InvocationError, Origin,
        Reply, RequestBody,
    },
    native::Timer,
    pool::Lease,
};

/// A reply's body before anybody has read it.
type NativeBody = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;
/// One call of an instance's service.
type NativeCall = BoxFuture<'static, Result<http::Response<NativeBody>, BoxError>>;
/// An instance's service, its type forgotten.
type NativeService = Box<dyn FnMut(http::Request<RequestBody>) -> NativeCall + Send>;
type Factory = dyn Fn() -> BoxFuture<'static, Result<NativeService, BoxError>> + Send + Sync;

/// One generation of a native function.
#[derive(Clone)]
pub struct NativeSandbox {
    spec: Arc<FunctionSpec>,
    clock: SharedClock,
    /// The same, as functions see it.
    timer: Arc<dyn Timer>,
    factory: Arc<Factory>,
}

impl NativeSandbox {
    /// A function whose instances `factory` makes. What the factory does is the cold start: connect, load, warm
    /// a cache; an error fails the start.
    pub fn new<F, Fut, S, B>(spec: Arc<FunctionSpec>, clock: SharedClock, factory: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<S, BoxError>> + Send + 'static,
        S: Service<http::Request<RequestBody>, Response = http::Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let factory = move || {
            let service = factory();
            let make: BoxFuture<'static, Result<NativeService, BoxError>> =
                Box::pin(async move { Ok(erase(service.await?)) });
            make
        };
        let timer = Arc::new(clock.clone());
        NativeSandbox { spec, clock, timer, factory: Arc::new(factory) }
    }

    /// A function whose instances are clones of `service`.
    pub fn from_service<S, B>(spec: Arc<FunctionSpec>, clock: SharedClock, service: S) -> Self
    where
        S: Service<http::Request<RequestBody>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        NativeSandbox::new(spec, clock, move || {
            let service = service.clone();
            async move { Ok(service) }
        })
    }
}

fn erase<S, B>(service: S) -> NativeService
where
    S: Service<http::Request<RequestBody>, Response = http::Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    Box::new(move |request| Box::pin(boxed(service.clone().oneshot(request))))
}

async fn boxed<B, E>(
    reply: impl Future<Output = Result<http::Response<B>, E>>,
) -> Result<http::Response<NativeBody>, BoxError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    E: Into<BoxError>,
{
    let response = reply.await.map_err(Into::into)?;
    Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
}

impl fmt::Debug for NativeSandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NativeSandbox").field(&self.spec.name).finish()
    }
}

impl Sandbox for NativeSandbox {
    fn start(&self) -> BoxFuture<'static, Result<Started, InvocationError>> {
        let NativeSandbox { spec, clock, timer, factory } = self.clone();
        Box::pin(async move {
            let begun = clock.now();
            let failed = |why: String| {
                let message = format!("an instance of function `{}` could not be started: {why}", spec.name);
                InvocationError::new(ErrorKind::InitFailed, message)
            };
            let make = call::catch_panic(&timer, async { factory().await });
            let service = match within(&*clock, begun + spec.init_timeout, make).await {
                Some(Ok(Ok(service))) => service,
                Some(Ok(Err(error))) => return Err(failed(error.to_string())),
                Some(Err(panic)) => return Err(failed(format!("it panicked: {panic}"))),
                None => {
                    let limit = spec.init_timeout.as_millis();
                    return Err(failed(format!("it took longer than its init timeout of {limit} ms")));
                }
            };
            let init = Init {
                origin: Origin::Plain,
                wall: clock.now() - begun,
                cpu: Duration::ZERO,
                injected: Injected::default(),
            };
            let instance =
                Arc::new(NativeInstance { spec, clock, timer: timer.clone(), service: Mutex::new(service) });
            Ok(Started { instance, init })
        })
    }
}

struct NativeInstance {
    spec: Arc<FunctionSpec>,
    clock: SharedClock,
    timer: Arc<dyn Timer>,
    /// Locked for as long as it takes to make a call's future.
    service: Mutex<NativeService>,
}

impl fmt::Debug for NativeInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NativeInstance").field(&self.spec.name).finish()
    }
}

impl Instance for NativeInstance {
    fn invoke(
        self: Arc<Self>,
        invocation: Invocation,
        lease: Lease,
    ) -> BoxFuture<'static, Result<Reply, Failure>> {
        Box::pin(call::run(self, invocation, lease))
    }
}
