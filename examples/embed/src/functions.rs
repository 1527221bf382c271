//! What runs. A function is a factory of tower services: the factory is the cold start, a service an instance.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use faas_core::{
    clock::SharedClock,
    invocation::{BoxError, FunctionSpec, RequestBody},
    sandbox::native::NativeSandbox,
    scheduler::Deployment,
};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::service_fn;

/// `greet`: takes 100 ms to say hello to the name in the body, and an instance 80 ms to get ready for that.
pub(crate) fn greet(clock: &SharedClock, generation: u64, greeting: &'static str) -> Deployment {
    let spec = Arc::new(FunctionSpec { generation, ..FunctionSpec::new("greet") });
    let factory = {
        let clock = clock.clone();
        move || {
            let clock = clock.clone();
            async move {
                // connections, models, templates: whatever an instance does once belongs here
                clock.sleep_until(clock.now() + Duration::from_millis(80)).await;
                Ok(service_fn(move |request: Request<RequestBody>| {
                    let clock = clock.clone();
                    async move {
                        let name = request.into_body().collect().await?.to_bytes();
                        clock.sleep_until(clock.now() + Duration::from_millis(100)).await;
                        let text = format!("{greeting}, {}!", String::from_utf8_lossy(&name));
                        Ok::<_, BoxError>(Response::new(Full::<Bytes>::from(text)))
                    }
                }))
            }
        }
    };
    Deployment { sandbox: Arc::new(NativeSandbox::new(spec.clone(), clock.clone(), factory)), spec }
}

/// `report`: takes 50 ms, and two instances at the most. Any service will do, an axum `Router` for one.
pub(crate) fn report(clock: &SharedClock) -> Deployment {
    let spec = Arc::new(FunctionSpec { max_instances: Some(2), ..FunctionSpec::new("report") });
    let service = {
        let clock = clock.clone();
        service_fn(move |_: Request<RequestBody>| {
            let clock = clock.clone();
            async move {
                clock.sleep_until(clock.now() + Duration::from_millis(50)).await;
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("all is well")))
            }
        })
    };
    Deployment { sandbox: Arc::new(NativeSandbox::from_service(spec.clone(), clock.clone(), service)), spec }
}
