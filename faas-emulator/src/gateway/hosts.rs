//! Functions by host name: `hello.localhost` is the function `hello`, with all paths. Pure.
//!
//! Names below `localhost` lead to loopback without anybody's doing (RFC 6761, section 6.3), in browsers and most
//! resolvers. Every other host, addresses and `localhost` itself included, is served by path.

use http::{Request, header};

/// What is below `localhost` in the host that a request is for; `None` if it is for any other host, or none.
pub fn label<B>(request: &Request<B>) -> Option<&str> {
    // the target's host goes before the header's (RFC 9112, section 3.2.2); HTTP/2 has it there alone
    let authority = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => request.headers().get(header::HOST)?.to_str().ok()?,
    };
    label_of(authority)
}

/// The same for a host as it is written: with or without a port or a final dot, in whatever case.
pub fn label_of(authority: &str) -> Option<&str> {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    const BELOW: &str = ".localhost";
    let at = host.len().checked_sub(BELOW.len()).filter(|at| *at > 0)?;
    host.get(at..).filter(|end| end.eq_ignore_ascii_case(BELOW)).map(|_| &host[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_localhost_names_a_function() {
        for host in ["hello.localhost", "hello.localhost:3000", "hello.localhost.", "hello.localhost.:3000"] {
            assert_eq!(label_of(host), Some("hello"), "{host}");
        }
        assert_eq!(label_of("Hello.LOCALHOST:80"), Some("Hello"));
        assert_eq!(label_of("a.b.localhost"), Some("a.b"));
        assert_eq!(label_of("my_fn.localhost:"), Some("my_fn"));
    }

    #[test]
    fn other_hosts_name_none() {
        let others = [
            "localhost",
            "localhost:3000",
            "localhost.",
            ".localhost",
            "127.0.0.1:3000",
            "[::1]:3000",
            "hello.example",
            "hellolocalhost",
            "hello.localhost.example",
            "hé.localhöst",
            "",
            ":",
            ".",
        ];
        for host in others {
            assert_eq!(label_of(host), None, "{host}");
        }
    }

    #[test]
    fn the_targets_host_goes_before_the_headers() {
        let request = |uri: &str, host: Option<&str>| {
            let mut request = Request::get(uri);
            if let Some(host) = host {
                request = request.header(header::HOST, host);
            }
            request.body(()).expect("a request")
        };
        assert_eq!(label(&request("/a", Some("x.localhost:1"))), Some("x"));
        assert_eq!(label(&request("https://y.localhost:1/a", None)), Some("y"));
        assert_eq!(label(&request("http://y.localhost/a", Some("x.localhost"))), Some("y"));
        assert_eq!(label(&request("http://localhost/a", Some("x.localhost"))), None);
        assert_eq!(label(&request("/a", None)), None);
    }
}
