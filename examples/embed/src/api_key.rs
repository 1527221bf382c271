//! A layer of yours: who has no key gets a 401, and takes no instance.

use std::task::{Context, Poll};

use bytes::Bytes;
use faas_core::{
    clock::BoxFuture,
    invocation::{End, Failure, Invocation, Reply, ReplyBody},
};
use http::{Response, StatusCode};
use tower::{Layer, Service};

/// Lets only requests with this key in `x-api-key` through.
#[derive(Clone, Copy)]
pub(crate) struct RequireKey(pub(crate) &'static str);

impl<S> Layer<S> for RequireKey {
    type Service = KeyRequired<S>;

    fn layer(&self, inner: S) -> KeyRequired<S> {
        KeyRequired { key: self.0, inner }
    }
}

/// See [`RequireKey`].
#[derive(Clone)]
pub(crate) struct KeyRequired<S> {
    key: &'static str,
    inner: S,
}

impl<S> Service<Invocation> for KeyRequired<S>
where
    S: Service<Invocation, Response = Reply, Error = Failure>,
    S::Future: Send + 'static,
{
    type Response = Reply;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<Reply, Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, invocation: Invocation) -> Self::Future {
        if invocation.request.headers().get("x-api-key").is_some_and(|key| key == self.key) {
            return Box::pin(self.inner.call(invocation));
        }
        // whoever ends an invocation closes its account, so that it is counted
        let status = StatusCode::UNAUTHORIZED;
        let record = invocation.tally.finish(End::Replied { status, is_fault: false });
        let mut response = Response::new(ReplyBody::Whole(Bytes::from_static(b"who are you?")));
        *response.status_mut() = status;
        Box::pin(std::future::ready(Ok(Reply { response, record })))
    }
}
