//! Requests that nobody waits for: accepted with 202 once they are written down, and delivered later by a
//! [`Courier`]. Also what `faas events` asks for.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use faas_core::{
    delivery::{self, Cause, Courier, Letter, NotAccepted},
    invocation::{BoxError, ErrorKind, InvocationError, RequestBody, Tally},
    recursion,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt as _;

use super::{Gateway, body::ReplyBody, headers, json, plain, routes::Endpoint, towards::towards};
use crate::events::list::Line;

/// AWS Lambda's header for the same.
const INVOCATION_TYPE: HeaderName = HeaderName::from_static("x-amz-invocation-type");

/// Whether a request asks not to be waited for.
pub(super) fn is_asked(headers: &HeaderMap) -> bool {
    let says = |name: HeaderName, word: &str| {
        headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(word.as_bytes()))
    };
    says(delivery::INVOCATION, "async") || says(INVOCATION_TYPE, "event")
}

/// Takes away what only we tell a function.
pub(super) fn sanitize(headers: &mut HeaderMap) {
    headers.remove(delivery::INVOCATION);
    headers.remove(delivery::ATTEMPT);
}

impl Gateway {
    /// From now on, events are delivered by this one, or not at all. Said once.
    pub fn deliver_by(&self, courier: Result<Courier, String>) {
        // a second one would deliver what the first has
        let _ = self.courier.set(courier);
    }

    fn courier(&self) -> Result<&Courier, InvocationError> {
        let refused = |why: &str| InvocationError::new(ErrorKind::Platform, why);
        match self.courier.get() {
            Some(Ok(courier)) => Ok(courier),
            Some(Err(why)) => Err(refused(why.lines().next().unwrap_or(why))),
            None => Err(refused("nothing is delivered here later: `faas dev` does that")),
        }
    }

    /// An id that no other invocation of this host has.
    pub fn next_id(&self) -> Arc<str> {
        self.ids.next()
    }

    /// Accepts a request to be delivered later.
    pub(super) async fn accept<B>(
        &self,
        request: Request<B>,
        endpoint: &Endpoint,
        strip: usize,
    ) -> Response<ReplyBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let id = self.ids.next();
        let accepted = match self.letter(id.clone(), request, endpoint, strip).await {
            Ok(letter) => self.hand_over(letter).await,
            Err(error) => Err(error),
        };
        match accepted {
            Ok(()) => {
                let mut response = Response::new(ReplyBody::Whole(Bytes::new()));
                *response.status_mut() = StatusCode::ACCEPTED;
                let id = HeaderValue::from_str(&id).expect("hexadecimal digits are allowed in headers");
                response.headers_mut().insert(headers::REQUEST_ID, id);
                response
            }
            Err(error) => {
                let function = endpoint.spec.name.clone();
                let tally = Tally::open(id, function, self.clock.clone(), self.observer.0.clone());
                self.refusal(&tally.fail(error))
            }
        }
    }

    async fn hand_over(&self, letter: Letter) -> Result<(), InvocationError> {
        self.courier()?.accept(letter).await.map_err(|why| {
            let kind = match why {
                NotAccepted::Full(_) => ErrorKind::Throttled,
                NotAccepted::Journal(_) => ErrorKind::Platform,
                NotAccepted::Stopping => ErrorKind::ShuttingDown,
            };
            InvocationError::new(kind, why.to_string())
        })
    }

    /// The request as an event, read to its end.
    async fn letter<B>(
        &self,
        id: Arc<str>,
        mut request: Request<B>,
        endpoint: &Endpoint,
        strip: usize,
    ) -> Result<Letter, InvocationError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.courier()?;
        let function = endpoint.spec.name.clone();
        request.headers_mut().remove(INVOCATION_TYPE);
        let mut request = towards(request, endpoint, strip)?;
        recursion::enter(request.headers_mut(), &function)?;
        let (parts, body) = request.into_parts();
        let limit = self.speaks.profile.max_event_bytes();
        let body = whole(body, limit, &function).await?;
        let http::request::Parts { method, uri, headers, .. } = parts;
        let cause = Cause::Request;
        Ok(Letter { id, function, cause, method, uri, headers, body })
    }

    /// What is not delivered; with POST, dead letters are put back.
    pub(super) async fn events(&self, method: &Method, query: Option<&str>) -> Response<ReplyBody> {
        let courier = match self.courier() {
            Ok(courier) => courier,
            Err(why) => return plain(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        };
        match *method {
            Method::GET => json(&courier.list().into_iter().map(Line::from).collect::<Vec<_>>()),
            Method::POST => {
                let id = query.and_then(|query| query.strip_prefix("id="));
                match courier.redrive(id).await {
                    Ok(count) => json(&count),
                    Err(why) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
                }
            }
            _ => plain(StatusCode::METHOD_NOT_ALLOWED, "GET lists, POST puts dead letters back\n".into()),
        }
    }
}

/// Reads a body of so many bytes at most.
async fn whole(mut body: RequestBody, limit: u64, function: &str) -> Result<Bytes, InvocationError> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|why| {
            InvocationError::new(ErrorKind::ClientGone, format!("the request broke off: {why}"))
        })?;
        let Ok(chunk) = frame.into_data() else { continue };
        if (read.len() + chunk.len()) as u64 > limit {
            let message = format!("`{function}` takes asynchronous events of {limit} bytes at most");
            return Err(InvocationError::new(ErrorKind::RequestTooLarge, message));
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_headers_ask_for_it() {
        let asked = |name: &'static str, value: &'static str| {
            is_asked(&HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )]))
        };
        assert!(asked("faas-invocation", "async") && asked("x-amz-invocation-type", "Event"));
        assert!(!asked("faas-invocation", "sync") && !asked("x-amz-invocation-type", "RequestResponse"));
        assert!(!is_asked(&HeaderMap::new()));
    }
}
