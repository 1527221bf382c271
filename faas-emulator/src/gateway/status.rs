//! What a client is told of an error: as the provider would tell it, where its profile knows how, or else in our words.
//! Pure.
//!
//! Ours is a status and a JSON object:
//!
//! ```json
//! { "error": "timed_out", "message": "…", "request_id": "…" }
//! ```
//!
//! The status says whose doing it is: 4xx the client's, 500 the function's code, 502 the function's reply, 504 its
//! limits of time, 503 the host's. Backtraces go to the console and not to clients.

use std::sync::Arc;

use faas_core::{
    invocation::{ErrorKind, InvocationError},
    profile::{ErrorShape, Errors, Profile},
};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

/// Whose errors clients get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Shapes {
    /// The provider's, as far as its profile knows them
    #[default]
    Provider,
    /// Ours, which say what happened and what to do
    Own,
}

/// How errors are told.
#[derive(Debug)]
pub struct Speaks {
    /// In whose words.
    pub errors: Shapes,
    /// Whose they are.
    pub profile: Arc<Profile>,
}

impl Speaks {
    /// What a client gets for an error of the request with this id, our own headers not among it.
    pub fn response(&self, error: &InvocationError, request_id: &str) -> Response<String> {
        let mut response = Response::new(body(error, request_id));
        *response.status_mut() = status(error.kind);
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if self.errors == Shapes::Provider
            && let Some(shape) = shape(&self.profile.errors, error.kind)
        {
            dress(&mut response, shape);
        }
        response
    }
}

/// The provider's way to tell an error of this kind, if it has one.
fn shape(errors: &Errors, kind: ErrorKind) -> Option<&ErrorShape> {
    match kind {
        ErrorKind::Throttled => errors.throttled.as_ref(),
        ErrorKind::ReservedThrottled => errors.reserved.as_ref().or(errors.throttled.as_ref()),
        ErrorKind::RateLimited => errors.rate_limited.as_ref().or(errors.throttled.as_ref()),
        ErrorKind::DailyCap => errors.daily_cap.as_ref().or(errors.throttled.as_ref()),
        ErrorKind::RequestTooLarge => errors.request_too_large.as_ref(),
        ErrorKind::ReplyTooLarge => errors.reply_too_large.as_ref().or(errors.failed.as_ref()),
        ErrorKind::TimedOut => errors.timed_out.as_ref(),
        ErrorKind::CpuExceeded => errors.cpu_exceeded.as_ref(),
        ErrorKind::Panic
        | ErrorKind::Trap
        | ErrorKind::StackOverflow
        | ErrorKind::OutOfMemory
        | ErrorKind::Exited
        | ErrorKind::InstanceLost
        | ErrorKind::InitFailed
        | ErrorKind::NoReply
        | ErrorKind::BadReply => errors.failed.as_ref(),
        // no provider has budgets that stop: ours says when it frees
        ErrorKind::BudgetExceeded
        | ErrorKind::ClientGone
        | ErrorKind::LoopDetected
        | ErrorKind::NotFound
        | ErrorKind::ShuttingDown
        | ErrorKind::Platform => None,
    }
}

/// Puts on what the profile knows. Where it knows no body, a number of the provider's own stands for it, as on
/// Cloudflare's pages; else the body is ours.
fn dress(response: &mut Response<String>, shape: &ErrorShape) {
    if let Ok(status) = StatusCode::from_u16(shape.status.value) {
        *response.status_mut() = status;
    }
    let body = match (&shape.body, &shape.code) {
        (Some(body), _) => Some(body.value.clone()),
        (None, Some(code)) => Some(format!("error code: {}", code.value)),
        (None, None) => None,
    };
    if let Some(body) = body {
        let kind = if body.starts_with('{') { "application/json" } else { "text/plain; charset=UTF-8" };
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        *response.body_mut() = body;
    }
    for (name, value) in shape.headers.iter().flat_map(|headers| &headers.value) {
        // a profile of somebody's own may have what is no header: it is left out
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            response.headers_mut().insert(name, value);
        }
    }
}

/// The status for an error of this kind.
pub fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Panic
        | ErrorKind::Trap
        | ErrorKind::StackOverflow
        | ErrorKind::OutOfMemory
        | ErrorKind::Exited
        | ErrorKind::InstanceLost
        | ErrorKind::InitFailed
        | ErrorKind::Platform => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::NoReply | ErrorKind::BadReply | ErrorKind::ReplyTooLarge => StatusCode::BAD_GATEWAY,
        ErrorKind::TimedOut | ErrorKind::CpuExceeded => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::ClientGone => StatusCode::BAD_REQUEST,
        ErrorKind::LoopDetected => StatusCode::LOOP_DETECTED,
        ErrorKind::Throttled
        | ErrorKind::ReservedThrottled
        | ErrorKind::RateLimited
        | ErrorKind::DailyCap
        | ErrorKind::BudgetExceeded => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The body for an error of the request with this id.
pub fn body(error: &InvocationError, request_id: &str) -> String {
    serde_json::json!({
        "error": error.kind.as_str(),
        "message": error.message,
        "request_id": request_id,
    })
    .to_string()
}
