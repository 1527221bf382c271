//! Replies that are no replies: heads that lie, that burst, that smuggle.

use faas_core::{
    abi::envelope::{MAX_HEADERS, ResponseHead},
    invocation::{ErrorKind, FunctionSpec},
};
use http::{HeaderMap, StatusCode};

use crate::support::{Host, escaped, poll, spec, with_pages};

/// A head by hand: what [`ResponseHead`] would never write.
fn head(status: u16, fault: u8, count: u32, headers: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = [&status.to_le_bytes()[..], &[fault], &count.to_le_bytes()].concat();
    for part in headers.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend((part.len() as u32).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// A guest that sends these bytes as its head, then a body of five bytes, whatever it is told.
fn sends(head: &[u8]) -> String {
    let wat = poll(&format!(
        "(drop (call $response_head (local.get $call) (i32.const 65536) (i32.const {})))
         (drop (call $body_write (local.get $call) (i32.const 16) (i32.const 5)))
         (i32.const 1)",
        head.len()
    ));
    let data = format!(r#"(data (i32.const 65536) "{}") (data (i32.const 16)"#, escaped(head));
    with_pages(&wat.replacen("(data (i32.const 16)", &data, 1), 32)
}

#[tokio::test]
async fn heads_that_are_none_are_told_apart() {
    let many = vec![(&b"x"[..], &b"y"[..]); 10_000];
    let cases = [
        head(200, 0, 10_000, &many),
        head(200, 0, u32::MAX, &[]),
        head(200, 0, 2, &[(b"x", b"y")]),
        head(200, 0, 1, &[(b"x", b"y"), (b"x", b"y")]),
        head(200, 0, 1, &[(b"x\0y", b"")]),
        head(200, 0, 1, &[(b"x", b"y\0z")]),
        head(200, 0, 1, &[(b"x", b"y\r\nset-cookie: stolen")]),
        head(200, 0, 1, &[(b"", b"")]),
        head(200, 0, 1, &[(b"x y", b"")]),
        head(99, 0, 0, &[]),
        head(100, 0, 0, &[]),
        head(101, 0, 0, &[]),
        head(199, 0, 0, &[]),
        head(1000, 0, 0, &[]),
        head(200, 7, 0, &[]),
        Vec::new(),
    ];
    let host = Host::new();
    let mut messages = Vec::new();
    for head in cases {
        let error = host.run(&sends(&head), spec()).await.expect_err("no head");
        assert_eq!(error.kind, ErrorKind::BadReply, "{error}");
        messages.push(error.message);
    }
    insta::assert_snapshot!(messages.join("\n"), @r"
    the function's reply head is malformed: it has more than 1024 headers
    the function's reply head is malformed: it has more than 1024 headers
    the function's reply head is malformed: it ends too early
    the function's reply head is malformed: bytes follow its end
    the function's reply head is malformed: its header name is not valid HTTP
    the function's reply head is malformed: its header value is not valid HTTP
    the function's reply head is malformed: its header value is not valid HTTP
    the function's reply head is malformed: its header name is not valid HTTP
    the function's reply head is malformed: its header name is not valid HTTP
    the function's reply head is malformed: its status is not valid HTTP
    the function's reply head is malformed: its status is 100, which is no reply yet: 200 to 999 are
    the function's reply head is malformed: its status is 101, which is no reply yet: 200 to 999 are
    the function's reply head is malformed: its status is 199, which is no reply yet: 200 to 999 are
    the function's reply head is malformed: its status is not valid HTTP
    the function's reply head is malformed: its fault byte is not valid HTTP
    the function's reply head is malformed: it ends too early
    ");
}

#[tokio::test]
async fn a_head_of_a_megabyte_is_refused_unread() {
    let host = Host::new();
    let huge = head(200, 0, 1, &[(b"x", &vec![b'y'; 1 << 20])]);
    let error = host.run(&sends(&huge), spec()).await.expect_err("too large");
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ErrorKind::NoReply, "the function ended without a reply")
    );
    let large = head(200, 0, 1, &[(b"x", &vec![b'y'; 200 << 10])]);
    host.run(&sends(&large), spec()).await.expect("large is not too large");
}

#[tokio::test]
async fn as_many_headers_as_are_allowed_pass() {
    let host = Host::new();
    let names: Vec<String> = (0..MAX_HEADERS).map(|n| format!("x-{n}")).collect();
    let headers: Vec<(&[u8], &[u8])> = names.iter().map(|name| (name.as_bytes(), &b"1"[..])).collect();
    let (status, body) =
        host.run(&sends(&head(207, 0, MAX_HEADERS as u32, &headers)), spec()).await.expect("replies");
    assert_eq!((status, &body[..]), (StatusCode::MULTI_STATUS, &b"hello"[..]));
}

#[tokio::test]
async fn an_announced_length_binds_nobody_but_is_believed_when_it_is_too_much() {
    let announced = |value: &'static str| {
        let mut bytes = Vec::new();
        let headers = HeaderMap::from_iter([(http::header::CONTENT_LENGTH, value.parse().expect("a value"))]);
        ResponseHead { status: StatusCode::OK, is_fault: false, headers }.encode(&mut bytes);
        bytes
    };
    let spec = FunctionSpec { max_reply_bytes: 100, ..spec() };
    let host = Host::new();
    for lie in ["1", "-1", "99999999999999999999999", "five"] {
        let (_, body) = host.run(&sends(&announced(lie)), spec.clone()).await.expect("replies");
        assert_eq!(&body[..], b"hello", "{lie}");
    }
    let error = host.run(&sends(&announced("101")), spec).await.expect_err("too large");
    assert_eq!(error.kind, ErrorKind::ReplyTooLarge);
}
