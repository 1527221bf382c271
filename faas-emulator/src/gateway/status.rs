//! What a client is told of an error: a status and a JSON object. Pure.
//!
//! ```json
//! { "error": "timed_out", "message": "…", "request_id": "…" }
//! ```
//!
//! The status says whose doing it is: 4xx the client's, 500 the function's code, 502 the function's reply, 504 its
//! limits of time, 503 the host's. Backtraces go to the console and not to clients.

use faas_core::invocation::{ErrorKind, InvocationError};
use http::StatusCode;

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
        ErrorKind::Throttled => StatusCode::TOO_MANY_REQUESTS,
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
