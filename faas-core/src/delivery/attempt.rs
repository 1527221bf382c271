//! One attempt: an event becomes an invocation, and its end is waited for. Decides nothing.

use http_body_util::{BodyExt as _, Full};
use tower::Service as _;

use super::letter::{ATTEMPT, INVOCATION, Letter};
use crate::{
    clock::SharedClock,
    invocation::{End, Invocation, Piece, ReplyBody, Tally},
    stack::Stack,
    transition::SharedObserver,
};

/// Invokes the event's function with it through the stack, and returns how that ended. What the function replies is read,
/// and nobody's.
pub(super) async fn deliver(
    letter: Letter,
    attempt: u32,
    mut stack: Stack,
    clock: &SharedClock,
    observer: &SharedObserver,
) -> End {
    let Letter { id, function, cause, method, uri, headers, body } = letter;
    let mut tally = Tally::open(id, function.clone(), clock.clone(), observer.clone());
    tally.used(|usage| usage.event_bytes = Some(body.len() as u64));
    let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
    let mut request = http::Request::new(body);
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
    let headers = request.headers_mut();
    headers.insert(INVOCATION, http::HeaderValue::from_static(cause.as_str()));
    headers.insert(ATTEMPT, http::HeaderValue::from(attempt));
    let invocation = Invocation { function, request, force_cold: false, tally };
    let ended = match std::future::poll_fn(|cx| stack.poll_ready(cx)).await {
        Ok(()) => stack.call(invocation).await,
        Err(failure) => Err(failure),
    };
    match ended {
        Err(failure) => failure.record().end.clone(),
        Ok(reply) => match reply.response.into_body() {
            ReplyBody::Whole(_) => reply.record.end,
            ReplyBody::Stream(mut pieces) => {
                let mut end = End::Cancelled; // unless one comes
                while let Some(piece) = pieces.recv().await {
                    if let Piece::End(record) = piece {
                        end = record.end;
                    }
                }
                end
            }
        },
    }
}

/// Why an attempt did not deliver; nothing if it did.
pub(super) fn because(end: &End) -> Option<String> {
    match end {
        End::Replied { is_fault: true, .. } => Some("the function returned an error".into()),
        End::Replied { status, .. } if status.is_client_error() || status.is_server_error() => {
            Some(format!("the function replied {status}"))
        }
        End::Replied { .. } => None,
        End::Failed(error) => Some(error.message.clone()),
        End::Cancelled => Some("the attempt was broken off".into()),
    }
}
