//! Request and reply heads as bytes: little-endian integers, and strings as a `u32` length and their bytes.
//!
//! Compact, and read without copying, because one of each crosses the boundary at every invocation: what is made of a head
//! shares its bytes. And simple enough to write by hand in C.
//!
//! ```text
//! request: str function, str request_id, u64 deadline_unix_ms, u32 memory_mib, u64 generation,
//!          str method, str uri, u32 headers, then per header: str name, str value
//! reply:   u16 status, u8 fault (0 none, 1 the function returned an error), u32 headers, then as above
//! ```

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header::CONTENT_LENGTH};

/// Most headers that either head may carry.
pub const MAX_HEADERS: usize = 1024;

/// What the guest learns about an invocation before its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// Name of the function to call.
    pub function: &'a str,
    /// The invocation's id, as in the reply's `faas-request-id`.
    pub request_id: &'a str,
    /// When the host will stop the call, in milliseconds since the Unix epoch; 0 for never.
    pub deadline_unix_ms: u64,
    /// The most linear memory the instance may have, in MiB.
    pub memory_mib: u32,
    /// Which generation of the function this is, from 1.
    pub generation: u64,
    /// The request's method.
    pub method: Method,
    /// The request's target.
    pub uri: Uri,
    /// The request's headers.
    pub headers: HeaderMap,
}

/// What the guest answers before its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// The reply's status.
    pub status: StatusCode,
    /// Whether the reply reports an error that the function returned.
    pub is_fault: bool,
    /// The reply's headers.
    pub headers: HeaderMap,
}

/// Why bytes are not an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes end before the envelope does.
    Short,
    /// Bytes follow the envelope's end.
    Long,
    /// A string that must be UTF-8 is not.
    NotUtf8,
    /// A method, URI, status, header name or header value that HTTP does not allow.
    NotHttp(&'static str),
    /// More headers than [`MAX_HEADERS`].
    TooManyHeaders,
    /// A status that is no reply's but announces one, 100 to 199: who asked would wait for the reply itself.
    NotFinal(StatusCode),
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Malformed::Short => f.write_str("it ends too early"),
            Malformed::Long => f.write_str("bytes follow its end"),
            Malformed::NotUtf8 => f.write_str("a string in it is not UTF-8"),
            Malformed::NotHttp(what) => write!(f, "its {what} is not valid HTTP"),
            Malformed::TooManyHeaders => write!(f, "it has more than {MAX_HEADERS} headers"),
            Malformed::NotFinal(status) => {
                write!(f, "its status is {}, which is no reply yet: 200 to 999 are", status.as_u16())
            }
        }
    }
}

impl std::error::Error for Malformed {}

impl<'a> RequestHead<'a> {
    /// Appends the head to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        HeadRef {
            function: self.function,
            request_id: self.request_id,
            deadline_unix_ms: self.deadline_unix_ms,
            memory_mib: self.memory_mib,
            generation: self.generation,
            method: &self.method,
            uri: &self.uri,
            headers: &self.headers,
        }
        .encode(out);
    }

    /// Reads a head that fills `bytes` exactly.
    ///
    /// # Errors
    /// When the bytes are not such a head; says what is wrong with them.
    pub fn decode(bytes: &'a Bytes) -> Result<Self, Malformed> {
        let mut r = Reader::of(bytes);
        let head = RequestHead {
            function: r.string()?,
            request_id: r.string()?,
            deadline_unix_ms: r.u64()?,
            memory_mib: r.u32()?,
            generation: r.u64()?,
            method: Method::from_bytes(r.bytes()?).map_err(|_| Malformed::NotHttp("method"))?,
            uri: Uri::from_maybe_shared(r.shared()?).map_err(|_| Malformed::NotHttp("URI"))?,
            headers: r.headers(0)?,
        };
        r.end()?;
        Ok(head)
    }
}

/// A [`RequestHead`] of borrowed parts, so that the host encodes without copying first.
#[derive(Debug, Clone, Copy)]
pub struct HeadRef<'a> {
    /// See [`RequestHead::function`].
    pub function: &'a str,
    /// See [`RequestHead::request_id`].
    pub request_id: &'a str,
    /// See [`RequestHead::deadline_unix_ms`].
    pub deadline_unix_ms: u64,
    /// See [`RequestHead::memory_mib`].
    pub memory_mib: u32,
    /// See [`RequestHead::generation`].
    pub generation: u64,
    /// See [`RequestHead::method`].
    pub method: &'a Method,
    /// See [`RequestHead::uri`].
    pub uri: &'a Uri,
    /// See [`RequestHead::headers`].
    pub headers: &'a HeaderMap,
}

impl HeadRef<'_> {
    /// Appends the head to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.function.as_bytes());
        put_bytes(out, self.request_id.as_bytes());
        out.extend_from_slice(&self.deadline_unix_ms.to_le_bytes());
        out.extend_from_slice(&self.memory_mib.to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        put_bytes(out, self.method.as_str().as_bytes());
        put_uri(out, self.uri);
        put_headers(out, self.headers);
    }
}

impl ResponseHead {
    /// Appends the head to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let ResponseHead { status, is_fault, ref headers } = *self;
        ResponseHeadRef { status, is_fault, headers, content_length: None }.encode(out);
    }

    /// Reads a head that fills `bytes` exactly.
    ///
    /// # Errors
    /// When the bytes are not such a head; says what is wrong with them.
    pub fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut r = Reader::of(bytes);
        let status = StatusCode::from_u16(r.u16()?).map_err(|_| Malformed::NotHttp("status"))?;
        if status.is_informational() {
            return Err(Malformed::NotFinal(status));
        }
        let head = ResponseHead {
            status,
            is_fault: match r.take(1)? {
                [0] => false,
                [1] => true,
                _ => return Err(Malformed::NotHttp("fault byte")),
            },
            headers: r.headers(HOST_HEADERS)?,
        };
        r.end()?;
        Ok(head)
    }
}

/// A [`ResponseHead`] of borrowed parts, so that the guest encodes without moving them first.
#[derive(Debug, Clone, Copy)]
pub struct ResponseHeadRef<'a> {
    /// See [`ResponseHead::status`].
    pub status: StatusCode,
    /// See [`ResponseHead::is_fault`].
    pub is_fault: bool,
    /// See [`ResponseHead::headers`].
    pub headers: &'a HeaderMap,
    /// A `content-length` to be told beside them.
    pub content_length: Option<u64>,
}

impl ResponseHeadRef<'_> {
    /// Appends the head to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.status.as_u16().to_le_bytes());
        out.push(u8::from(self.is_fault));
        let count = self.headers.len() + usize::from(self.content_length.is_some());
        out.extend_from_slice(&(count as u32).to_le_bytes());
        put_each(out, self.headers);
        if let Some(length) = self.content_length {
            put_bytes(out, CONTENT_LENGTH.as_str().as_bytes());
            put_bytes(out, itoa::Buffer::new().format(length).as_bytes());
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

// `Uri` only shows itself through `Display`; its length is written behind it, in the place kept for it.
fn put_uri(out: &mut Vec<u8>, uri: &Uri) {
    use std::io::Write as _;
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    // writing to a Vec cannot fail
    let _ = write!(out, "{uri}");
    let len = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
}

fn put_headers(out: &mut Vec<u8>, headers: &HeaderMap) {
    out.extend_from_slice(&(headers.len() as u32).to_le_bytes());
    put_each(out, headers);
}

fn put_each(out: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        put_bytes(out, name.as_str().as_bytes());
        put_bytes(out, value.as_bytes());
    }
}

/// Room for what the host adds to a reply's head.
const HOST_HEADERS: usize = 8;

struct Reader<'a> {
    whole: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn of(whole: &'a Bytes) -> Self {
        Reader { whole, rest: whole }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed::Short)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.u32()? as usize;
        self.take(len)
    }

    /// As [`Reader::bytes`], kept without a copy.
    fn shared(&mut self) -> Result<Bytes, Malformed> {
        Ok(self.whole.slice_ref(self.bytes()?))
    }

    fn string(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed::NotUtf8)
    }

    /// Headers, in a map with room for `more`.
    fn headers(&mut self, more: usize) -> Result<HeaderMap, Malformed> {
        let count = self.u32()? as usize;
        if count > MAX_HEADERS {
            return Err(Malformed::TooManyHeaders);
        }
        let mut headers = HeaderMap::with_capacity(count + more);
        for _ in 0..count {
            let name =
                HeaderName::from_bytes(self.bytes()?).map_err(|_| Malformed::NotHttp("header name"))?;
            let value = HeaderValue::from_maybe_shared(self.shared()?)
                .map_err(|_| Malformed::NotHttp("header value"))?;
            headers.append(name, value);
        }
        Ok(headers)
    }

    fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Long) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> RequestHead<'static> {
        let mut headers = HeaderMap::new();
        headers.append("accept", HeaderValue::from_static("a"));
        headers.append("accept", HeaderValue::from_static("b"));
        headers.append("x-latin1", HeaderValue::from_bytes(b"\xe9").expect("opaque bytes are allowed"));
        RequestHead {
            function: "hello",
            request_id: "r-1",
            deadline_unix_ms: 1_700_000_000_000,
            memory_mib: 128,
            generation: 3,
            method: Method::POST,
            uri: Uri::from_static("/a/b?c=d"),
            headers,
        }
    }

    #[test]
    fn request_head_survives_the_crossing() {
        let mut bytes = Vec::new();
        request().encode(&mut bytes);
        assert_eq!(RequestHead::decode(&bytes.into()), Ok(request()));
    }

    #[test]
    fn response_head_survives_the_crossing() {
        let head =
            ResponseHead { status: StatusCode::IM_A_TEAPOT, is_fault: true, headers: request().headers };
        let mut bytes = Vec::new();
        head.encode(&mut bytes);
        assert_eq!(ResponseHead::decode(&bytes.into()), Ok(head));
    }

    #[test]
    fn a_length_told_beside_the_headers_is_one_of_them() {
        let mut headers = request().headers;
        let told = ResponseHeadRef {
            status: StatusCode::OK,
            is_fault: false,
            headers: &headers.clone(),
            content_length: Some(1_234_567_890_123),
        };
        let mut bytes = Vec::new();
        told.encode(&mut bytes);
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("1234567890123"));
        let head = ResponseHead { status: StatusCode::OK, is_fault: false, headers };
        assert_eq!(ResponseHead::decode(&bytes.into()), Ok(head));
    }

    #[test]
    fn every_truncation_is_told_apart_from_a_head() {
        let mut bytes = Vec::new();
        request().encode(&mut bytes);
        for cut in 0..bytes.len() {
            let cut_off = Bytes::copy_from_slice(&bytes[..cut]);
            assert_eq!(RequestHead::decode(&cut_off), Err(Malformed::Short), "cut at {cut}");
        }
        bytes.push(0);
        assert_eq!(RequestHead::decode(&bytes.into()), Err(Malformed::Long));
    }

    #[test]
    fn lengths_from_a_hostile_guest_allocate_nothing() {
        let mut bytes = 200u16.to_le_bytes().to_vec();
        bytes.push(0);
        bytes.extend_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(ResponseHead::decode(&bytes.into()), Err(Malformed::TooManyHeaders));
        assert_eq!(ResponseHead::decode(&Bytes::from_static(&[0xff; 3])), Err(Malformed::NotHttp("status")));
    }
}
