//! What a guest that keeps to the rules gets.

use bytes::Bytes;
use faas_core::invocation::{End, ErrorKind, FunctionSpec};

use crate::support::{Host, assert_failed, broken, poll, spec, whole};

const HELLO: &str = "(return (call $reply (local.get $call)))";
// reads the body into memory at 1024 and writes it back, chunk by chunk
const ECHO: &str = r"
    (drop (call $response_head (local.get $call) (i32.const 0) (i32.const 7)))
    (loop $next
        (local.set $i (call $body_read (local.get $call) (i32.const 1024) (i32.const 1000)))
        (if (i32.eq (local.get $i) (i32.const -1)) (then (return (i32.const 0))))
        (if (i32.le_s (local.get $i) (i32.const 0)) (then (return (i32.const 1))))
        (drop (call $body_write (local.get $call) (i32.const 1024) (local.get $i)))
        (br $next))
    (i32.const 1)";
// sleeps for a millisecond, then replies
const SLEEP: &str = r"
    (if (i32.eqz (i32.load (i32.const 64)))
        (then
            (i64.store (i32.const 72) (i64.const 1000000))
            (i32.store (i32.const 64) (call $op_begin (local.get $call) (i32.const 1) (i32.const 72) (i32.const 8)))))
    (local.set $i (call $op_take (i32.load (i32.const 64)) (i32.const 0) (i32.const 0)))
    (if (i32.eq (local.get $i) (i32.const -1)) (then (return (i32.const 0))))
    (call $op_close (i32.load (i32.const 64)))
    (i32.store (i32.const 64) (i32.const 0))
    (return (call $reply (local.get $call)))";

#[tokio::test]
async fn a_reply_comes_back_with_its_record_and_the_instance_serves_again() {
    let host = Host::new();
    let hello = host.start(&poll(HELLO), spec()).await.expect("starts");
    for _ in 0..20 {
        let (status, body) = hello.get().await.expect("replies");
        assert_eq!((status.as_u16(), &body[..]), (200, &b"hello"[..]));
    }
    assert_eq!(hello.leases(), (20, 0));
    let records = host.seen.records.lock();
    assert_eq!(records.len(), 20);
    assert!(records.iter().all(|r| matches!(r.end, End::Replied { .. }) && r.usage.bytes_out == 5));
    assert!(records.iter().all(|r| r.usage.memory_peak_bytes == 65536));
}

#[tokio::test]
async fn bodies_pass_through_in_pieces() {
    let host = Host::new();
    let echo = host.start(&poll(ECHO), spec()).await.expect("starts");
    let body: Bytes = (0..100_000u32).map(|i| i as u8).collect::<Vec<_>>().into();
    assert_eq!(echo.send(body.clone()).await.expect("replies").1, body);
    let record = host.seen.records.lock().pop().expect("one record");
    assert_eq!((record.usage.bytes_in, record.usage.bytes_out), (100_000, 100_000));
}

#[tokio::test]
async fn a_reply_larger_than_the_buffer_streams() {
    let host = Host::new();
    let spec = FunctionSpec { max_request_bytes: 4 << 20, ..spec() };
    let echo = host.start(&poll(ECHO_PATIENT), spec).await.expect("starts");
    let body: Bytes = vec![b'x'; 3 << 20].into();
    assert_eq!(echo.send(body.clone()).await.expect("replies").1, body);
    assert_eq!(echo.leases_back(1).await, (1, 0));
}

// writes 64 KiB pieces as room allows, three mebibytes in all; how much is left stands at 64
const ECHO_PATIENT: &str = r"
    (if (i32.eqz (i32.load (i32.const 64)))
        (then
            (drop (call $response_head (local.get $call) (i32.const 0) (i32.const 7)))
            (i32.store (i32.const 64) (i32.const 3145728))
            (memory.fill (i32.const 1024) (i32.const 120) (i32.const 60000))))
    (loop $next
        (local.set $i (i32.load (i32.const 64)))
        (if (i32.gt_u (local.get $i) (i32.const 60000)) (then (local.set $i (i32.const 60000))))
        (local.set $i (call $body_write (local.get $call) (i32.const 1024) (local.get $i)))
        (if (i32.eq (local.get $i) (i32.const -1)) (then (return (i32.const 0))))
        (i32.store (i32.const 64) (i32.sub (i32.load (i32.const 64)) (local.get $i)))
        (br_if $next (i32.load (i32.const 64))))
    (i32.const 1)";

#[tokio::test]
async fn a_waiting_guest_is_polled_when_its_operation_is_done() {
    let host = Host::new();
    let sleep = host.start(&poll(SLEEP), spec()).await.expect("starts");
    for _ in 0..3 {
        assert_eq!(&sleep.get().await.expect("replies").1[..], b"hello");
    }
}

#[tokio::test]
async fn a_reader_that_leaves_cancels_the_call_and_the_instance_lives() {
    let host = Host::new();
    let sleep = host.start(&poll(SLEEP), spec()).await.expect("starts");
    let mut call = Box::pin(sleep.invoke(whole("")));
    std::future::poll_fn(|cx| {
        let _ = call.as_mut().poll(cx);
        std::task::Poll::Ready(())
    })
    .await;
    drop(call);
    assert_eq!(sleep.leases_back(1).await, (1, 0));
    assert_eq!(host.seen.records.lock()[0].end, End::Cancelled);
}

#[tokio::test]
async fn a_request_body_that_breaks_off_or_is_too_large_is_the_clients_fault() {
    let host = Host::new();
    let echo =
        host.start(&poll(ECHO), FunctionSpec { max_request_bytes: 10, ..spec() }).await.expect("starts");
    assert_failed(
        echo.send("eleven bytes").await,
        ErrorKind::RequestTooLarge,
        "the request's body is larger than the 10 bytes that are allowed",
    );
    let error = echo.invoke(broken("connection reset")).await.expect_err("fails");
    assert_eq!(error.error().kind, ErrorKind::ClientGone);
    assert_eq!(error.error().message, "the request's body broke off: connection reset");
    assert_eq!(&echo.send("ten bytes!").await.expect("the instance lives").1[..], b"ten bytes!");
    assert_eq!(echo.leases_back(3).await, (3, 0));
}

#[tokio::test]
async fn randomness_differs_between_instances_and_is_determined_by_the_seed() {
    let random = poll(
        r"(drop (call $random_get (i32.const 16) (i32.const 5)))
          (return (call $reply (local.get $call)))",
    );
    let mut seen = Vec::new();
    for _ in 0..2 {
        let host = Host::new();
        let mut run = Vec::new();
        for _ in 0..2 {
            run.push(host.run(&random, spec()).await.expect("replies").1);
        }
        assert_ne!(run[0], run[1]);
        seen.push(run);
    }
    assert_eq!(seen[0], seen[1]);
}
