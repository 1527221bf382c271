//! Bodies of requests and replies: whole, or arriving piece by piece.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use serde::de::DeserializeOwned;

use crate::{Error, Result};

type BoxBody = Pin<Box<dyn http_body::Body<Data = Bytes, Error = Error> + Send>>;

/// A request's or a reply's body.
///
/// It is an [`http_body::Body`], so it streams; for small ones there are [`bytes`](Body::bytes), [`text`](Body::text)
/// and [`json`](Body::json).
///
/// ```
/// use faas_core::{Body, block_on};
///
/// let body = Body::from(r#"{"a": [1, 2]}"#);
/// let value: serde_json::Value = block_on(body.json()).unwrap();
/// assert_eq!(value["a"][1], 2);
/// ```
#[derive(Default)]
pub struct Body(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Whole(Bytes),
    Stream(BoxBody),
}

impl Body {
    /// No bytes.
    pub const fn empty() -> Self {
        Body(Kind::Empty)
    }

    /// Any other body, such as one of axum's. It is passed on as it yields.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if body.is_end_stream() {
            return Body::empty();
        }
        Body(Kind::Stream(Box::pin(MapError(Box::pin(body)))))
    }

    /// One whose errors are ours already.
    #[cfg(target_family = "wasm")]
    pub(crate) fn of_stream(
        body: impl http_body::Body<Data = Bytes, Error = Error> + Send + 'static,
    ) -> Self {
        Body(Kind::Stream(Box::pin(body)))
    }

    /// All of it.
    ///
    /// # Errors
    /// When it breaks off.
    pub async fn bytes(mut self) -> Result<Bytes> {
        if let Kind::Whole(bytes) = self.0 {
            return Ok(bytes);
        }
        let mut whole = BytesMut::new();
        while let Some(frame) = poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut self), cx)).await {
            if let Ok(data) = frame?.into_data() {
                whole.extend_from_slice(&data);
            }
        }
        Ok(whole.freeze())
    }

    /// All of it, as text.
    ///
    /// # Errors
    /// When it breaks off, or is not UTF-8, which is the caller's fault.
    pub async fn text(self) -> Result<String> {
        String::from_utf8(self.bytes().await?.into())
            .map_err(|error| Error::client(format!("the body is not UTF-8: {}", error.utf8_error())))
    }

    /// All of it, as JSON.
    ///
    /// # Errors
    /// When it breaks off, or is not JSON of that shape, which is the caller's fault.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T> {
        crate::event::parse(&self.bytes().await?)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                Poll::Ready(bytes.has_remaining().then(|| Ok(Frame::data(bytes))))
            }
            Kind::Stream(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Stream(body) => body.size_hint(),
        }
    }
}

/// Turns another body's errors into ours. Boxed inside, so that no pin projection is needed.
struct MapError<B>(Pin<Box<B>>);

impl<B> http_body::Body for MapError<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.0.as_mut().poll_frame(cx).map_err(|error| Error::new(error.into().to_string()))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Body(if bytes.is_empty() { Kind::Empty } else { Kind::Whole(bytes) })
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Body::empty()
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Kind::Empty => f.write_str("Body(empty)"),
            Kind::Whole(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Kind::Stream(_) => f.write_str("Body(stream)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_on;

    #[test]
    fn bodies_are_read_whole() {
        assert_eq!(block_on(Body::from("text").text()).expect("is text"), "text");
        assert!(block_on(Body::empty().bytes()).expect("is empty").is_empty());
        assert_eq!(block_on(Body::new(Body::from("inner")).bytes()).expect("arrives"), "inner");
    }

    #[test]
    fn a_body_that_is_not_what_was_asked_for_is_the_callers_fault() {
        let not_text = block_on(Body::from(vec![0xff]).text()).expect_err("no text");
        assert!(not_text.is_client());
        assert_eq!(
            not_text.message(),
            "the body is not UTF-8: invalid utf-8 sequence of 1 bytes from index 0"
        );
        assert!(block_on(Body::from("{").json::<u32>()).expect_err("no JSON").is_client());
    }
}
