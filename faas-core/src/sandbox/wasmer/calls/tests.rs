//! Whatever a guest calls, in whatever order: an answer, bounded memory, no panic.

use std::{sync::Arc, task::Waker, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use proptest::prelude::*;

use super::*;
use crate::clock::SystemClock;

const LIMITS: Limits = Limits { max_request_bytes: 1000, max_reply_bytes: 2000 };

fn call(body: &'static [u8]) -> Call {
    let body = RequestBody::new(Full::new(Bytes::from_static(body)).map_err(|never| match never {}));
    Call::new(Arc::from("id"), b"head".to_vec(), body, LIMITS)
}

fn head() -> Vec<u8> {
    let mut bytes = Vec::new();
    ResponseHead { status: http::StatusCode::OK, is_fault: false, headers: http::HeaderMap::new() }
        .encode(&mut bytes);
    bytes
}

/// What a guest can do to its host, arguments included.
#[derive(Debug, Clone)]
enum Act {
    Read(u32, usize),
    Head(u32, Vec<u8>),
    Write(u32, usize),
    Wake(u32),
    Begin(u32, u32, Vec<u8>),
    Take(u32, usize),
    Close(u32),
    Poll(u32),
    Drain(u32),
    Remove(u32),
}

fn act() -> impl Strategy<Value = Act> {
    let number = prop_oneof![8 => 0..4u32, 1 => any::<u32>()];
    let len = prop_oneof![0..3000usize, Just(usize::MAX / 2)];
    let bytes = prop_oneof![Just(head()), prop::collection::vec(any::<u8>(), 0..20)];
    prop_oneof![
        (number.clone(), len.clone()).prop_map(|(n, l)| Act::Read(n, l)),
        (number.clone(), bytes.clone()).prop_map(|(n, b)| Act::Head(n, b)),
        (number.clone(), len.clone()).prop_map(|(n, l)| Act::Write(n, l)),
        number.clone().prop_map(Act::Wake),
        (number.clone(), 0..3u32, bytes).prop_map(|(n, k, b)| Act::Begin(n, k, b)),
        number.clone().prop_map(|n| Act::Begin(n, op::SLEEP, u64::MAX.to_le_bytes().to_vec())),
        (number.clone(), len).prop_map(|(h, l)| Act::Take(h, l)),
        number.clone().prop_map(Act::Close),
        number.clone().prop_map(Act::Poll),
        number.clone().prop_map(Act::Drain),
        number.prop_map(Act::Remove),
    ]
}

fn perform(calls: &mut Calls, act: Act) {
    match act {
        Act::Read(n, cap) => {
            if let Some(call) = calls.get(n) {
                let read = call.body_read(cap, |bytes| {
                    assert!(bytes.len() <= cap, "never more than fits");
                    Ok::<(), ()>(())
                });
                assert!(read.is_ok());
            }
        }
        Act::Head(n, bytes) => {
            if let Some(call) = calls.get(n) {
                call.response_head(&bytes.into());
            }
        }
        Act::Write(n, len) => {
            if let Some(call) = calls.get(n)
                && let Ok(room) = call.body_room(len)
            {
                assert!(room <= len && room <= REPLY_BUFFER_BYTES);
                call.body_write(vec![0; room]);
                assert!(call.reply.bytes_written <= LIMITS.max_reply_bytes, "the limit holds");
            }
        }
        Act::Wake(n) => calls.wake(n, Some(0)),
        Act::Begin(n, kind, input) => {
            calls.op_begin(n, kind, &input);
        }
        Act::Take(handle, cap) => {
            assert!(calls.op_take(handle, cap, |_| Ok::<(), ()>(())).is_ok());
        }
        Act::Close(handle) => calls.op_close(handle),
        Act::Poll(n) => {
            calls.begin_poll(n, Waker::noop());
            calls.can_continue(n);
        }
        Act::Drain(n) => {
            if let Some(call) = calls.get(n) {
                call.reply.take_body();
                call.reply.head.take();
            }
        }
        Act::Remove(n) => {
            calls.remove(n);
        }
    }
}

proptest! {
    #[test]
    fn any_sequence_is_answered_and_leaves_nothing_behind(acts in prop::collection::vec(act(), 0..400)) {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _entered = tokio.enter();
        let mut calls = Calls::new(SystemClock::shared());
        for _ in 0..3 {
            calls.insert(call(b"request"));
        }
        for act in acts {
            perform(&mut calls, act);
            prop_assert!(calls.ops.len() <= 3 * MAX_OPS);
        }
        for n in 0..3 {
            calls.remove(n);
        }
        prop_assert!(calls.ops.is_empty() && calls.len() == 0);
    }
}

#[test]
fn who_had_a_number_before_is_told_apart_from_who_has_it() {
    let mut calls = Calls::new(SystemClock::shared());
    let first = calls.insert(call(b""));
    assert!(calls.holds(first));
    calls.remove(first.number);
    assert!(!calls.holds(first));
    for _ in 0..2 {
        let second = calls.insert(call(b""));
        assert_eq!(second.number, first.number);
        assert!(!calls.holds(first) && calls.holds(second));
        calls.remove(second.number);
        calls.renew();
    }
}

#[test]
fn a_number_is_free_again_once_its_call_is_gone() {
    let mut calls = Calls::new(SystemClock::shared());
    assert_eq!((calls.insert(call(b"")).number, calls.insert(call(b"")).number), (0, 1));
    calls.remove(0);
    assert_eq!((calls.insert(call(b"")).number, calls.len()), (0, 2));
}

#[test]
fn a_reply_body_waits_for_its_reader_and_stops_at_its_limit() {
    let mut call = call(b"");
    assert_eq!(call.body_room(1), Err(status::INVALID), "the head comes first");
    assert_eq!(call.response_head(&head().into()), 0);
    assert_eq!(call.response_head(&head().into()), status::INVALID, "and comes once");
    assert_eq!(call.body_room(2000), Ok(2000));
    call.body_write(vec![1; 2000]);
    assert_eq!(call.body_room(1), Err(status::LIMIT));
    assert_eq!(call.failure.as_ref().map(|f| f.kind), Some(ErrorKind::ReplyTooLarge));
    assert_eq!(call.body_room(0), Err(status::CLOSED), "nothing more is taken");
}

#[test]
fn a_reply_body_is_taken_in_one_piece_that_is_no_larger_than_what_was_written() {
    let mut call = call(b"");
    call.response_head(&head().into());
    for piece in [&b"a"[..], b"reply", b"in", b"pieces"] {
        call.body_write(piece.into());
    }
    let whole = call.reply.take_body().try_into_mut().expect("nobody else's");
    assert_eq!((&whole[..], whole.capacity()), (&b"areplyinpieces"[..], 14));
    assert!(call.reply.take_body().is_empty(), "taken once");
}

#[test]
fn an_announced_length_over_the_limit_is_refused_before_the_body() {
    let mut head =
        ResponseHead { status: http::StatusCode::OK, is_fault: false, headers: http::HeaderMap::new() };
    head.headers.insert(http::header::CONTENT_LENGTH, http::HeaderValue::from(2001));
    let (mut bytes, mut call) = (Vec::new(), call(b""));
    head.encode(&mut bytes);
    assert_eq!(call.response_head(&bytes.into()), status::LIMIT);
    assert_eq!(call.failure.map(|f| f.kind), Some(ErrorKind::ReplyTooLarge));
}

#[tokio::test]
async fn a_sleep_is_pending_then_done_and_its_handle_is_forgotten_once_closed() {
    let mut calls = Calls::new(SystemClock::shared());
    let number = calls.insert(call(b"")).number;
    let nanos = Duration::from_millis(1).as_nanos() as u64;
    let handle = calls.op_begin(number, op::SLEEP, &nanos.to_le_bytes());
    assert!(handle > 0 && calls.can_continue(number));
    let taken = std::future::poll_fn(|cx| {
        calls.begin_poll(number, cx.waker());
        match calls.op_take(handle as u32, 0, |_| Ok::<(), ()>(())) {
            Ok(status::PENDING) => Poll::Pending,
            other => Poll::Ready(other),
        }
    });
    assert_eq!(taken.await, Ok(0));
    calls.op_close(handle as u32);
    assert_eq!(calls.op_take(handle as u32, 0, |_| Ok::<(), ()>(())), Ok(status::INVALID));
    assert!(!calls.can_continue(number));
}
