//! What a function returns when it cannot do what it was asked: a message, and whose fault it is.

use std::fmt;

use http::StatusCode;

/// A function's `Result`, an HTTP response unless told otherwise.
pub type Result<T = crate::Response, E = Error> = std::result::Result<T, E>;

/// An error that becomes the function's reply.
///
/// With `?`, any [`std::error::Error`] becomes one of the function's own faults (status 500). What the caller did wrong
/// is told with [`Error::client`]. The reply is JSON, `{"error": "client", "message": "…"}`: do not put into the message
/// what callers must not see.
///
/// ```
/// use faas_core::{Error, Result};
///
/// fn positive(n: &str) -> Result<u32> {
///     let n: i64 = n.parse()?;
///     u32::try_from(n).map_err(|_| Error::client(format!("{n} is negative")))
/// }
/// assert!(positive("-1").unwrap_err().is_client());
/// assert_eq!(positive("x").unwrap_err().status(), 500);
/// ```
pub struct Error {
    status: StatusCode,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// The function's fault: status 500.
    pub fn new(message: impl Into<String>) -> Self {
        Error { status: StatusCode::INTERNAL_SERVER_ERROR, message: message.into(), source: None }
    }

    /// The caller's fault: status 400.
    pub fn client(message: impl Into<String>) -> Self {
        Error::new(message).with_status(StatusCode::BAD_REQUEST)
    }

    /// The same with another status. The status decides whose fault it is: 400 to 499 the caller's.
    pub fn with_status(self, status: StatusCode) -> Self {
        Error { status, ..self }
    }

    /// The reply's status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether the caller is to blame.
    pub fn is_client(&self) -> bool {
        self.status.is_client_error()
    }

    /// What happened.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What caused it, where something else did.
    pub fn source(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        self.source.as_deref()
    }
}

/// JSON, `{"error": "client", "message": "…"}`.
impl crate::IntoResponse for Error {
    fn into_response(self) -> Result {
        Ok(self.into_reply())
    }
}

impl Error {
    pub(crate) fn into_reply(self) -> crate::Response {
        let kind = if self.is_client() { "client" } else { "function" };
        // a struct and not `json!`, whose `Value` brings a fifth of a small function's code
        let told = Told { error: kind, message: &self.message };
        // two strings have no way to fail
        let mut response = crate::Response::new(serde_json::to_vec(&told).unwrap_or_default().into());
        *response.status_mut() = self.status;
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        if !self.is_client() {
            response.extensions_mut().insert(IsFault);
        }
        response
    }
}

#[derive(serde::Serialize)]
struct Told<'a> {
    error: &'a str,
    message: &'a str,
}

/// Marks a reply that an error of the function's own became, for the executor to tell the host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IsFault;

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("status", &self.status)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

// `Error` itself is no `std::error::Error`, so that every one of those can become an `Error`.
impl<E: std::error::Error + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Error {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: error.to_string(),
            source: Some(Box::new(error)),
        }
    }
}

/// An [`Error`] as the standard library's kind, for those who need one.
impl From<Error> for Box<dyn std::error::Error + Send + Sync> {
    fn from(error: Error) -> Self {
        error.source.unwrap_or_else(|| error.message.into())
    }
}
