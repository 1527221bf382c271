//! From a request to a function's argument, and from what it returns to a reply.
//!
//! A function that takes a [`Request`] speaks HTTP: what it returns is an [`IntoResponse`]. A function that takes
//! anything else takes an event: the body is JSON and so is the reply. Called by the code that `#[function]`
//! emits, and nothing else.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Body, Error, Request, Response, Result};

/// The event in a request's body. An empty body is `null`, so that a function of `()` or of an `Option` needs none.
#[doc(hidden)]
pub async fn decode<T: DeserializeOwned>(request: Request) -> Result<T> {
    let bytes = request.into_body().bytes().await?;
    parse(if bytes.is_empty() { b"null" } else { &bytes })
}

pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::client(format!("the body is not the JSON that is wanted: {error}")))
}

/// The reply to an event.
#[doc(hidden)]
pub fn encode<T: Serialize>(reply: &T) -> Result<Response> {
    Ok(json_response(serde_json::to_vec(reply)?))
}

fn json_response(json: Vec<u8>) -> Response {
    with_type(json.into(), "application/json")
}

fn with_type(body: Body, content_type: &'static str) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// What a function returned, `Result` or not. The inherent method for `Result` goes before the trait's, so that a
/// `Result` is never taken for a reply, although serde could write one.
#[doc(hidden)]
#[derive(Debug)]
pub struct Returned<T>(pub T);

impl<T, E: Into<Error>> Returned<Result<T, E>> {
    #[doc(hidden)]
    pub fn into_result(self) -> Result<T> {
        self.0.map_err(Into::into)
    }
}

#[doc(hidden)]
pub trait Infallible {
    type Value;
    fn into_result(self) -> Result<Self::Value>;
}

impl<T> Infallible for Returned<T> {
    type Value = T;

    fn into_result(self) -> Result<T> {
        Ok(self.0)
    }
}

/// What a function that takes a [`Request`], or nothing, may return.
///
/// ```
/// use faas_core::{IntoResponse, Json};
///
/// let response = (http::StatusCode::CREATED, Json([1, 2])).into_response().unwrap();
/// assert_eq!(response.status(), 201);
/// assert_eq!(response.headers()["content-type"], "application/json");
/// ```
#[diagnostic::on_unimplemented(
    message = "a function cannot return `{Self}`",
    label = "not a reply",
    note = "return a `Response`, text, bytes, a `StatusCode`, `(StatusCode, _)` or `Json(_)`, or a `Result` of one of them",
    note = "or take an event instead of a `Request`: then any `Serialize` type is a reply"
)]
pub trait IntoResponse {
    /// The reply.
    ///
    /// # Errors
    /// When the value cannot be written.
    fn into_response(self) -> Result<Response>;
}

impl<B: Into<Body>> IntoResponse for http::Response<B> {
    fn into_response(self) -> Result<Response> {
        Ok(self.map(Into::into))
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Result<Response> {
        Ok(with_type(self.into(), "text/plain; charset=utf-8"))
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Result<Response> {
        Ok(with_type(self.into(), "text/plain; charset=utf-8"))
    }
}

impl IntoResponse for Bytes {
    fn into_response(self) -> Result<Response> {
        Ok(with_type(self.into(), "application/octet-stream"))
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Result<Response> {
        Bytes::from(self).into_response()
    }
}

impl IntoResponse for StatusCode {
    fn into_response(self) -> Result<Response> {
        (self, ()).into_response()
    }
}

/// 200 without a body.
impl IntoResponse for () {
    fn into_response(self) -> Result<Response> {
        Ok(Response::default())
    }
}

impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Result<Response> {
        let mut response = self.1.into_response()?;
        *response.status_mut() = self.0;
        Ok(response)
    }
}

/// A reply as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Result<Response> {
        encode(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_on;

    fn request(body: &'static str) -> Request {
        Request::new(body.into())
    }

    #[test]
    fn an_event_is_the_json_in_the_body() {
        assert_eq!(block_on(decode::<Vec<u8>>(request("[1,2]"))).expect("an event"), [1, 2]);
        assert_eq!(block_on(decode::<Option<u8>>(request(""))).expect("none"), None);
        block_on(decode::<()>(request(""))).expect("nothing asked, nothing given");
    }

    #[test]
    fn an_event_of_the_wrong_shape_says_where() {
        #[derive(Debug, serde::Deserialize)]
        struct Order {
            #[allow(dead_code)]
            items: u32,
        }
        let error = block_on(decode::<Order>(request(r#"{"items": "three"}"#))).expect_err("no number");
        assert!(error.is_client());
        insta::assert_snapshot!(error, @r#"the body is not the JSON that is wanted: invalid type: string "three", expected u32 at line 1 column 17"#);
    }

    #[test]
    fn a_result_is_never_taken_for_a_reply() {
        // serde implements Serialize for Result, so this would be `{"Err":…}` otherwise
        let failed: std::result::Result<u8, std::fmt::Error> = Err(std::fmt::Error);
        assert!(Returned(failed).into_result().is_err());
        assert_eq!(Returned(7).into_result().expect("no Result at all"), 7);
    }

    #[test]
    fn an_error_becomes_json_with_its_status() {
        let response = Error::client("no such order").with_status(StatusCode::NOT_FOUND).into_reply();
        assert_eq!(response.status(), 404);
        let body = block_on(response.into_body().text()).expect("text");
        assert_eq!(body, r#"{"error":"client","message":"no such order"}"#);
    }
}
