//! Between HTTP and invocations: finds the function, hands the request over, and makes a response of what comes back.
//!
//! - [`routes`]: which function, by path; [`hosts`]: by name; [`index`]: what is said where there is none.
//! - [`headers`], [`status`], [`body`]: the response.
//! - `towards`: the request; `asynchronous`: requests that nobody waits for. [`ids`]: request ids.
//!
//! Knows no sockets ([`crate::trigger`] has them), and decides nothing about instances or money: the scheduler and the
//! meter do.

mod asynchronous;
pub mod body;
pub mod headers;
pub mod hosts;
pub mod ids;
pub mod index;
pub mod routes;
pub mod status;
mod towards;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use faas_core::{
    budget::BudgetLayer,
    clock::SharedClock,
    delivery::Courier,
    invocation::{
        BoxError, End, ErrorKind, Failure, Invocation, InvocationError, Piece, Record, Reply,
        ReplyBody as CoreBody, Tally,
    },
    rate::{RateLayer, SharedRates},
    recursion,
    scheduler::Scheduler,
    stack::{self, Stack},
    transition::SharedObserver,
};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use tower::{Layer as _, Service as _, util::MapRequest};

use self::{
    body::ReplyBody,
    ids::Ids,
    routes::{Endpoint, Found, OWN_PREFIX, Routes},
    status::Speaks,
    towards::towards,
};
use crate::{
    meter::Meter,
    recording::{RecordLayer, Recorder},
};

/// Where `faas bill` finds what the session has used until now.
pub const BILL_PATH: &str = "/_faas/bill";

/// Where `faas events` finds what is not delivered, and with POST puts dead letters back: all, or that of `?id=…`.
pub const EVENTS_PATH: &str = "/_faas/events";

/// What an error of throttling advises to wait, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Turns requests into invocations and replies into responses.
#[derive(Debug)]
pub struct Gateway {
    routes: ArcSwap<Routes>,
    scheduler: Scheduler,
    ids: Ids,
    meter: Arc<Meter>,
    speaks: Speaks,
    /// What stands before the scheduler, if anything does: a recorder, rates and budgets.
    guards: Option<Stack>,
    always_cold: bool,
    clock: SharedClock,
    observer: SharedObserverDebug,
    /// Who delivers what nobody waits for, or why nobody does.
    courier: OnceLock<Result<Courier, String>>,
}

/// An observer that can be in a struct that derives `Debug`.
struct SharedObserverDebug(SharedObserver);

impl std::fmt::Debug for SharedObserverDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

impl Gateway {
    /// A gateway to what this scheduler runs; it has no routes yet.
    pub fn new(
        scheduler: Scheduler,
        ids: Ids,
        meter: Arc<Meter>,
        speaks: Speaks,
        clock: SharedClock,
        observer: SharedObserver,
    ) -> Self {
        let observer = SharedObserverDebug(observer);
        let guards = (meter.rates().is_some() || meter.budget().is_some()).then(|| {
            let rates = RateLayer::new(meter.rates().cloned().unwrap_or_default(), clock.clone());
            let budget = BudgetLayer::new(meter.budget().cloned().unwrap_or_default(), clock.clone());
            stack::assemble((rates, budget), scheduler.clone())
        });
        let (routes, courier) = (ArcSwap::default(), OnceLock::new());
        let always_cold = false;
        Gateway { routes, scheduler, ids, meter, speaks, guards, always_cold, clock, observer, courier }
    }

    /// The same, and each invocation gets a fresh instance if `always` is so.
    #[must_use]
    pub fn with_cold_starts(self, always: bool) -> Self {
        Gateway { always_cold: always, ..self }
    }

    /// The same, and requests are recorded if there is a recorder.
    #[must_use]
    pub fn with_recorder(self, recorder: Option<Arc<Recorder>>) -> Self {
        let Some(recorder) = recorder else { return self };
        let inner = self.guards.unwrap_or_else(|| stack::assemble((), self.scheduler.clone()));
        Gateway { guards: Some(Stack::new(RecordLayer(recorder).layer(inner))), ..self }
    }

    /// What requests go through to a function, for those that are nobody's: rates, budgets, the scheduler.
    pub fn stack(&self) -> Stack {
        let stack = self.guards.clone().unwrap_or_else(|| stack::assemble((), self.scheduler.clone()));
        let always_cold = self.always_cold;
        Stack::new(MapRequest::new(stack, move |mut invocation: Invocation| {
            invocation.force_cold |= always_cold;
            invocation
        }))
    }

    /// Routes requests like this from now on.
    pub fn swap_routes(&self, routes: Routes) {
        self.routes.store(Arc::new(routes));
    }

    /// The routes as they are now.
    pub fn routes(&self) -> Arc<Routes> {
        self.routes.load_full()
    }

    /// The function that a host name stands for.
    pub fn function_of_host(&self, host: &str) -> Option<Arc<str>> {
        let routes = self.routes.load();
        routes.on_host(hosts::label_of(host)?).map(|endpoint| endpoint.spec.name.clone())
    }

    /// Starts an instance of a function for a request that may be on its way; see
    /// [`Scheduler::prewarm_for`].
    pub fn prewarm_for(&self, function: &str, unused: Duration) -> bool {
        self.scheduler.prewarm_for(function, unused)
    }

    /// Answers a request. Dropping the future cancels the invocation.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<ReplyBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if request.uri().path() == BILL_PATH {
            return self.session();
        }
        if request.uri().path() == EVENTS_PATH {
            return Box::pin(self.events(request.method(), request.uri().query())).await;
        }
        let (endpoint, strip) = {
            let routes = self.routes.load();
            match find(&routes, &request) {
                Found::Endpoint { endpoint, strip } => (endpoint.clone(), strip),
                Found::OtherMethods(allow) => return other_methods(&request, allow),
                Found::Nothing => return nothing(&request, &routes),
            }
        };
        if asynchronous::is_asked(request.headers()) {
            // boxed, so that what is nearly never done makes nothing larger that is moved for each request
            return Box::pin(self.accept(request, &endpoint, strip)).await;
        }
        let function = endpoint.spec.name.clone();
        let tally =
            Tally::open(self.ids.next(), function.clone(), self.clock.clone(), self.observer.0.clone());
        let limit = endpoint.spec.max_request_bytes;
        if request.body().size_hint().lower() > limit {
            let message = format!(
                "the request's body has {} bytes, `{function}` takes {limit} at most",
                request.body().size_hint().lower()
            );
            return self.refusal(&tally.fail(InvocationError::new(ErrorKind::RequestTooLarge, message)));
        }
        let is_head = request.method() == Method::HEAD;
        let force_cold = self.always_cold
            || request.headers().get(headers::START).is_some_and(|v| v.as_bytes() == b"cold");
        let mut request = match towards(request, &endpoint, strip) {
            Ok(request) => request,
            Err(error) => return self.refusal(&tally.fail(error)),
        };
        if let Err(error) = recursion::enter(request.headers_mut(), &function) {
            return self.refusal(&tally.fail(error));
        }
        let invocation = Invocation { function, request, force_cold, tally };
        let ended = match &self.guards {
            None => self.scheduler.clone().call(invocation).await,
            Some(guards) => guards.clone().call(invocation).await,
        };
        match ended {
            Ok(reply) if has_no_body(reply.response.status()) => {
                Box::pin(self.respond_without_body(reply, &endpoint)).await
            }
            Ok(reply) if is_head => self.respond_to_head(reply, &endpoint),
            Ok(reply) => self.respond(reply, &endpoint),
            Err(failure) => self.refusal(&failure),
        }
    }

    /// In whole seconds, when the rates admit the next one.
    fn retry_after(&self, function: &str) -> HeaderValue {
        let next_in =
            |rates: &SharedRates| rates.lock().next_in(self.clock.now(), self.clock.wall(), function);
        let secs = self.meter.rates().map(next_in).unwrap_or_default().as_nanos().div_ceil(1_000_000_000);
        HeaderValue::from(u64::try_from(secs).unwrap_or(u64::MAX).max(1))
    }

    fn session(&self) -> Response<ReplyBody> {
        json(&self.meter.session())
    }

    fn respond(&self, reply: Reply, endpoint: &Endpoint) -> Response<ReplyBody> {
        let Reply { response, record } = reply;
        let (mut parts, body) = response.into_parts();
        headers::sanitize(&mut parts.headers);
        let generation = is_of(&record, endpoint).then_some(&endpoint.generation);
        let body = match body {
            CoreBody::Whole(bytes) => {
                let charge = self.meter.charge_of(&record);
                headers::ended(&mut parts.headers, &record, &charge, generation);
                ReplyBody::Whole(bytes)
            }
            CoreBody::Stream(pieces) => {
                headers::streaming(&mut parts.headers, &record, generation);
                ReplyBody::stream(pieces, self.meter.clone())
            }
        };
        Response::from_parts(parts, body)
    }

    /// The head that a GET would get. A function that streams writes to its end, to nobody.
    fn respond_to_head(&self, reply: Reply, endpoint: &Endpoint) -> Response<ReplyBody> {
        // some leave the body away by themselves, and say how long it were
        let said = headers::said_length(reply.response.headers()).map(HeaderValue::from);
        let mut response = self.respond(reply, endpoint);
        let length = match std::mem::replace(response.body_mut(), ReplyBody::Whole(Bytes::new())) {
            ReplyBody::Whole(bytes) if bytes.is_empty() => said,
            ReplyBody::Whole(bytes) => Some(HeaderValue::from(bytes.len())),
            ReplyBody::Stream(streaming) => {
                tokio::spawn(streaming.drain());
                None
            }
        };
        if let Some(length) = length {
            response.headers_mut().insert(header::CONTENT_LENGTH, length);
        }
        response
    }

    /// What the function writes all the same is dropped, and its end waited for: with no body there is no other place
    /// for what is known then than the head.
    async fn respond_without_body(&self, mut reply: Reply, endpoint: &Endpoint) -> Response<ReplyBody> {
        if let CoreBody::Stream(pieces) = reply.response.body_mut() {
            while let Some(piece) = pieces.recv().await {
                if let Piece::End(record) = piece {
                    reply.record = record;
                }
            }
        }
        if let End::Failed(error) = &reply.record.end {
            return self.refuse(error, &reply.record);
        }
        *reply.response.body_mut() = CoreBody::Whole(Bytes::new());
        self.respond(reply, endpoint)
    }

    fn refusal(&self, failure: &Failure) -> Response<ReplyBody> {
        self.refuse(failure.error(), failure.record())
    }

    fn refuse(&self, error: &InvocationError, record: &Record) -> Response<ReplyBody> {
        let mut response = self.speaks.response(error, &record.id).map(|body| ReplyBody::Whole(body.into()));
        let map = response.headers_mut();
        map.insert(headers::ERROR, HeaderValue::from_static(error.kind.as_str()));
        match error.kind {
            ErrorKind::Throttled | ErrorKind::ReservedThrottled => {
                _ = map.insert(header::RETRY_AFTER, RETRY_AFTER)
            }
            ErrorKind::RateLimited | ErrorKind::DailyCap => {
                _ = map.insert(header::RETRY_AFTER, self.retry_after(&record.function));
            }
            _ => {}
        }
        headers::ended(map, record, &self.meter.charge_of(record), None);
        response
    }
}

/// Whether a reply of this status ends with its head. HTTP/1.1 drops a body of some of them, HTTP/2 of none.
fn has_no_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED)
}

fn json(data: &impl serde::Serialize) -> Response<ReplyBody> {
    // plain data of strings and numbers is JSON
    let json = serde_json::to_vec(data).unwrap_or_default();
    let mut response = Response::new(ReplyBody::Whole(json.into()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// By host name where that is one of ours, else by path. What is the emulator's own is so on every host.
fn find<'a, B>(routes: &'a Routes, request: &Request<B>) -> Found<'a> {
    let path = request.uri().path();
    match hosts::label(request).filter(|_| !path.starts_with(OWN_PREFIX)) {
        Some(label) => {
            routes.on_host(label).map_or(Found::Nothing, |endpoint| Found::Endpoint { endpoint, strip: 0 })
        }
        None => routes.find(request.method(), path),
    }
}

/// Whether the endpoint that was found is the generation that replied: a reload may have come between.
fn is_of(record: &Record, endpoint: &Endpoint) -> bool {
    record.spec.as_ref().is_some_and(|spec| spec.generation == endpoint.spec.generation)
}

fn other_methods<B>(request: &Request<B>, allow: &HeaderValue) -> Response<ReplyBody> {
    let message = format!(
        "{} answers {}, not {}\n",
        request.uri().path(),
        allow.to_str().unwrap_or("other methods"),
        request.method()
    );
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, message);
    response.headers_mut().insert(header::ALLOW, allow.clone());
    response
}

/// No function answers here: the list of those there are.
fn nothing<B>(request: &Request<B>, routes: &Routes) -> Response<ReplyBody> {
    let host = hosts::label(request);
    let is_index = request.uri().path() == "/" && host.is_none();
    let status = if is_index { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let accepts_html = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if accepts_html {
        let mut response = Response::new(ReplyBody::Whole(index::html(routes, port(request)).into()));
        *response.status_mut() = status;
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, html);
        return response;
    }
    let list = index::text(routes);
    match host {
        _ if is_index => plain(status, list),
        Some(name) => {
            plain(status, format!("no function is called `{name}`, as in {name}.localhost\n{list}"))
        }
        None => plain(status, format!("no function answers {}\n{list}", request.uri().path())),
    }
}

/// The port by which the client came, if it came to `localhost`: by the same it reaches the names below.
fn port<B>(request: &Request<B>) -> Option<u16> {
    let header = || request.headers().get(header::HOST)?.to_str().ok()?.parse().ok();
    let authority = request.uri().authority().cloned().or_else(header)?;
    let host = authority.host();
    let is_here = host.eq_ignore_ascii_case("localhost") || host == "127.0.0.1" || host == "[::1]";
    authority.port_u16().filter(|_| is_here || hosts::label_of(host).is_some())
}

fn plain(status: StatusCode, text: String) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::Whole(text.into()));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}
