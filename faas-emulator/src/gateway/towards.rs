//! A request on its way to a function: as the function sees it.

use bytes::Bytes;
use faas_core::{
    abi::manifest::Kind,
    invocation::{BoxError, ErrorKind, InvocationError, RequestBody},
};
use http::{HeaderValue, Method, Request, Uri, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Empty, Full};

use super::{asynchronous, routes::Endpoint};

/// The request as the function sees it.
pub(super) fn towards<B>(
    request: Request<B>,
    endpoint: &Endpoint,
    strip: usize,
) -> Result<Request<RequestBody>, InvocationError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (mut parts, body) = request.into_parts();
    // HTTP/2 has the host in the target; functions find it where HTTP/1 has it
    if let Some(authority) = parts.uri.authority()
        && !parts.headers.contains_key(header::HOST)
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        parts.headers.insert(header::HOST, host);
    }
    asynchronous::sanitize(&mut parts.headers);
    parts.uri = seen(&parts.uri, strip)?;
    if endpoint.entry.kind == Kind::Event && parts.method == Method::GET && strip > 0 {
        // `faas invoke` without data: an event that says nothing
        parts.method = Method::POST;
        let body = Full::from("null").map_err(|never| match never {}).boxed_unsync();
        return Ok(Request::from_parts(parts, body));
    }
    let body = if body.is_end_stream() {
        Empty::new().map_err(|never| match never {}).boxed_unsync()
    } else {
        body.map_err(Into::into).boxed_unsync()
    };
    Ok(Request::from_parts(parts, body))
}

/// Path and query, without the first `strip` bytes of the path.
fn seen(uri: &Uri, strip: usize) -> Result<Uri, InvocationError> {
    let Some(path_and_query) = uri.path_and_query() else { return Ok(Uri::from_static("/")) };
    if strip == 0 {
        return Ok(Uri::from(path_and_query.clone()));
    }
    let rest = &path_and_query.as_str()[strip..];
    let rest = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    // a part of a valid target, beginning with a slash, is one
    rest.parse()
        .map_err(|why| InvocationError::new(ErrorKind::Platform, format!("the path cannot be read: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_see_the_path_below_their_mount() {
        let see =
            |uri: &str, strip| seen(&uri.parse().expect("a target"), strip).expect("a target").to_string();
        assert_eq!(see("/hello", 6), "/");
        assert_eq!(see("/hello/", 6), "/");
        assert_eq!(see("/hello/a/b?c=d", 6), "/a/b?c=d");
        assert_eq!(see("/hello?c=d", 6), "/?c=d");
        assert_eq!(see("/users/7?c=d", 0), "/users/7?c=d");
        assert_eq!(see("http://host/hello/a", 6), "/a", "HTTP/2 has the host in the target");
    }
}
