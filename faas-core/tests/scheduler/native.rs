//! Native functions: what they reply, and how they are stopped.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use faas_core::{
    clock::{BoxFuture, Clock, VirtualClock},
    invocation::{
        BoxError, End, ErrorKind, FunctionSpec, Origin, Piece, Record, Reply, ReplyBody, RequestBody, Start,
        Usage,
    },
    sandbox::native::NativeSandbox,
};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, channel::Channel};
use tokio::sync::mpsc::Receiver;
use tower::service_fn;

use crate::bench_top::{Bench, empty, error, ms, reply, text};

type Replied = Result<Response<Full<Bytes>>, BoxError>;

impl Bench {
    fn deploy_fn<F>(&self, spec: FunctionSpec, function: fn(Request<RequestBody>, VirtualClock) -> F)
    where
        F: Future<Output = Replied> + Send + 'static,
    {
        let clock = self.clock.clone();
        let service = service_fn(move |request| function(request, clock.clone()));
        self.deploy(spec.clone(), NativeSandbox::from_service(Arc::new(spec), self.shared_clock(), service));
    }
}

fn body(text: impl Into<Bytes>) -> RequestBody {
    Full::new(text.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A body that does not say how long it is.
fn unsized_body(text: &'static str) -> RequestBody {
    let (mut sender, body) = Channel::<Bytes, BoxError>::new(1);
    sender
        .try_send(http_body::Frame::data(Bytes::from_static(text.as_bytes())))
        .expect("there is room for one");
    body.boxed_unsync()
}

async fn echo(request: Request<RequestBody>, _: VirtualClock) -> Replied {
    Ok(Response::new(Full::new(request.into_body().collect().await?.to_bytes())))
}

#[tokio::test]
async fn a_service_replies_and_its_use_is_counted() {
    let bench = Bench::new();
    bench.deploy_fn(FunctionSpec::new("hello"), |request, clock| async move {
        clock.sleep_until(clock.now() + ms(30)).await;
        echo(request, clock).await
    });
    let call = bench.spawn(bench.invocation("hello", body("hello, world"))).await;
    bench.run(ms(30)).await;
    let reply = reply(call).await;
    assert_eq!((reply.response.status(), text(&reply)), (StatusCode::OK, "hello, world"));
    let origin = Some(Origin::Plain);
    let usage = Usage { origin, handler_wall: ms(30), bytes_in: 12, bytes_out: 12, ..Usage::default() };
    assert_eq!(reply.record.usage, usage);
    assert_eq!(*bench.ledger.records.lock(), [*reply.record], "the reply carries what was reported");
}

#[tokio::test]
async fn the_factory_is_the_cold_start() {
    let bench = Bench::new();
    let spec = Arc::new(FunctionSpec::new("hello"));
    let clock = bench.clock.clone();
    let factory = move || {
        let clock = clock.clone();
        async move {
            clock.sleep_until(clock.now() + ms(250)).await;
            Ok(service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("hi"))) }))
        }
    };
    let sandbox = NativeSandbox::new(spec.clone(), bench.shared_clock(), factory);
    bench.deploy((*spec).clone(), sandbox);
    let cold = bench.send("hello").await;
    bench.run(ms(250)).await;
    let cold = reply(cold).await.record;
    assert_eq!((cold.start, cold.usage.init_wall), (Some(Start::Cold), ms(250)));
    let warm = reply(bench.send("hello").await).await.record;
    assert_eq!((warm.start, warm.usage.init_wall), (Some(Start::Warm), ms(0)));
}

#[tokio::test]
async fn a_panic_is_the_callers_error_and_costs_the_instance() {
    let bench = Bench::new();
    bench.deploy_fn(FunctionSpec::new("hello"), |request, clock| async move {
        assert!(request.uri().path() != "/panic", "no such order");
        echo(request, clock).await
    });
    reply(bench.send("hello").await).await;
    assert_eq!(bench.standing("hello"), [0, 1, 0, 0, 0]);
    let mut invocation = bench.invocation("hello", empty());
    *invocation.request.uri_mut() = "/panic".parse().expect("a path");
    let panicked = error(bench.spawn(invocation).await).await;
    assert_eq!(panicked.kind, ErrorKind::Panic);
    insta::assert_snapshot!(panicked.message, @"function `hello` panicked: no such order");
    assert_eq!(bench.standing("hello"), [0; 5]);
    assert_eq!(reply(bench.send("hello").await).await.record.start, Some(Start::Cold));
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_stopped_and_the_instance_serves_on() {
    let bench = Bench::new();
    let spec = FunctionSpec { timeout: ms(200), ..FunctionSpec::new("hello") };
    bench.deploy_fn(spec, |_, _| std::future::pending());
    let call = bench.send("hello").await;
    bench.run(ms(200)).await;
    let stopped = error(call).await;
    assert_eq!(stopped.kind, ErrorKind::TimedOut);
    insta::assert_snapshot!(stopped.message, @"function `hello` took longer than its timeout of 200 ms");
    assert_eq!(bench.ledger.records.lock()[0].usage.handler_wall, ms(200), "what was used is billed");
    assert_eq!(bench.standing("hello"), [0, 1, 0, 0, 0]);
}

#[tokio::test]
async fn a_request_over_the_limit_is_refused_whether_it_says_so_or_not() {
    let bench = Bench::new();
    let spec = FunctionSpec { max_request_bytes: 4, ..FunctionSpec::new("hello") };
    bench.deploy_fn(spec, echo);
    for body in [body("12345"), unsized_body("12345")] {
        let refused = error(bench.spawn(bench.invocation("hello", body)).await).await;
        assert_eq!(refused.kind, ErrorKind::RequestTooLarge);
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused.message, @"the request's body is over the limit of 4 bytes of function `hello`: send less, or raise `max_request_bytes`");
        }
    }
    reply(bench.spawn(bench.invocation("hello", unsized_body("1234"))).await).await;
    assert_eq!(bench.standing("hello"), [0, 1, 0, 0, 0]);
}

#[tokio::test]
async fn a_status_that_only_announces_a_reply_is_none() {
    let bench = Bench::new();
    bench.deploy_fn(FunctionSpec::new("hello"), |_, _| async {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        Ok(response)
    });
    let refused = error(bench.send("hello").await).await;
    assert_eq!(refused.kind, ErrorKind::BadReply);
    insta::assert_snapshot!(refused.message, @"function `hello` replied 101, which is no reply yet: 200 to 999 are");
}

#[tokio::test]
async fn a_reply_over_the_limit_is_an_error() {
    let bench = Bench::new();
    let spec = FunctionSpec { max_reply_bytes: 4, ..FunctionSpec::new("hello") };
    bench.deploy_fn(spec, echo);
    let refused = error(bench.spawn(bench.invocation("hello", body("12345"))).await).await;
    assert_eq!(refused.kind, ErrorKind::ReplyTooLarge);
    insta::assert_snapshot!(refused.message, @"the reply of function `hello` is over the limit of 4 bytes: send less, or raise `max_reply_bytes`");
}

#[tokio::test]
async fn a_services_own_error_is_no_reply() {
    let bench = Bench::new();
    bench.deploy_fn(FunctionSpec::new("hello"), |_, _| async { Err("the database is gone".into()) });
    let failed = error(bench.send("hello").await).await;
    assert_eq!(failed.kind, ErrorKind::NoReply);
    insta::assert_snapshot!(failed.message, @"function `hello` failed without a reply: the database is gone");
}

#[tokio::test]
async fn an_instance_that_cannot_be_made_says_why() {
    let bench = Bench::new();
    let spec = Arc::new(FunctionSpec { init_timeout: ms(500), ..FunctionSpec::new("hello") });
    type Greeter = tower::util::BoxCloneService<Request<RequestBody>, Response<Full<Bytes>>, BoxError>;
    type Factory = fn() -> BoxFuture<'static, Result<Greeter, BoxError>>;
    let factories: [(&str, Factory); 3] = [
        ("the disk is full", || Box::pin(async { Err("the disk is full".into()) })),
        ("it panicked: no config", || Box::pin(async { panic!("no config") })),
        ("it took longer than its init timeout of 500 ms", || Box::pin(std::future::pending())),
    ];
    for (why, factory) in factories {
        bench.deploy((*spec).clone(), NativeSandbox::new(spec.clone(), bench.shared_clock(), factory));
        let call = bench.send("hello").await;
        bench.run(ms(500)).await;
        let failed = error(call).await;
        assert_eq!(failed.kind, ErrorKind::InitFailed);
        assert_eq!(failed.message, format!("an instance of function `hello` could not be started: {why}"));
        assert_eq!(bench.standing("hello"), [0; 5]);
    }
}

// ---- replies that stream ---------------------------------------------------------------------------------

/// Replies with three chunks, 10 ms apart, the size of each named by the request's path.
fn deploy_stream(bench: &Bench, spec: FunctionSpec) {
    let clock = bench.clock.clone();
    let service = service_fn(move |request: Request<RequestBody>| {
        let clock = clock.clone();
        let size: usize = request.uri().path()[1..].parse().expect("a number");
        async move {
            let (mut sender, body) = Channel::<Bytes, BoxError>::new(1);
            tokio::spawn(async move {
                for _ in 0..3 {
                    clock.sleep_until(clock.now() + ms(10)).await;
                    if sender.send_data(vec![b'x'; size].into()).await.is_err() {
                        return;
                    }
                }
            });
            Ok::<_, Infallible>(Response::new(body))
        }
    });
    bench.deploy(spec.clone(), NativeSandbox::from_service(Arc::new(spec), bench.shared_clock(), service));
}

async fn open_stream(bench: &Bench, chunk: usize) -> (Receiver<Piece>, Record) {
    let mut invocation = bench.invocation("stream", empty());
    *invocation.request.uri_mut() = format!("/{chunk}").parse().expect("a path");
    let call = bench.spawn(invocation).await;
    let Reply { response, record } = reply(call).await;
    match response.into_body() {
        ReplyBody::Stream(pieces) => (pieces, *record),
        ReplyBody::Whole(_) => panic!("it was not ready at once"),
    }
}

async fn collect(mut pieces: Receiver<Piece>) -> (Vec<usize>, Record) {
    let mut sizes = Vec::new();
    while let Some(piece) = pieces.recv().await {
        match piece {
            Piece::Chunk(chunk) => sizes.push(chunk.len()),
            Piece::End(record) => return (sizes, *record),
        }
    }
    panic!("a stream ends with its record");
}

#[tokio::test]
async fn a_body_streams_and_its_instance_is_busy_until_the_end() {
    let bench = Bench::new();
    deploy_stream(&bench, FunctionSpec::new("stream"));
    let (pieces, record) = open_stream(&bench, 5).await;
    assert_eq!(record.start, Some(Start::Cold));
    bench.run(ms(15)).await;
    assert_eq!(bench.standing("stream"), [0, 0, 1, 0, 0]);
    assert_eq!(bench.ledger.records.lock().len(), 0);
    bench.run(ms(15)).await;
    assert_eq!(bench.standing("stream"), [0, 1, 0, 0, 0]);
    let (sizes, record) = collect(pieces).await;
    assert_eq!((sizes, record.usage.bytes_out, record.usage.handler_wall), (vec![5, 5, 5], 15, ms(30)));
    assert_eq!(*bench.ledger.records.lock(), [record]);
}

#[tokio::test]
async fn a_client_that_leaves_gives_the_instance_back() {
    let bench = Bench::new();
    deploy_stream(&bench, FunctionSpec::new("stream"));
    let (pieces, _) = open_stream(&bench, 5).await;
    bench.run(ms(15)).await;
    drop(pieces);
    VirtualClock::settle().await;
    assert_eq!(bench.standing("stream"), [0, 1, 0, 0, 0]);
    let records = bench.ledger.records.lock();
    assert_eq!((records.len(), &records[0].end), (1, &End::Cancelled));
    assert_eq!((records[0].usage.handler_wall, records[0].usage.bytes_out), (ms(15), 5));
}

#[tokio::test]
async fn a_stream_that_breaks_a_limit_ends_with_the_reason() {
    let limits = [
        (FunctionSpec { timeout: ms(25), ..FunctionSpec::new("stream") }, ErrorKind::TimedOut),
        (FunctionSpec { max_reply_bytes: 12, ..FunctionSpec::new("stream") }, ErrorKind::ReplyTooLarge),
    ];
    for (spec, kind) in limits {
        let bench = Bench::new();
        deploy_stream(&bench, spec);
        let (pieces, _) = open_stream(&bench, 5).await;
        bench.run(Duration::from_secs(1)).await;
        let (sizes, record) = collect(pieces).await;
        assert_eq!(sizes, [5, 5]);
        assert!(matches!(&record.end, End::Failed(error) if error.kind == kind), "{:?}", record.end);
        assert_eq!(bench.standing("stream"), [0, 1, 0, 0, 0]);
        assert_eq!(*bench.ledger.records.lock(), [record]);
    }
}

#[tokio::test]
async fn a_large_body_that_is_there_at_once_streams_too() {
    let bench = Bench::new();
    bench.deploy_fn(FunctionSpec::new("hello"), echo);
    let call = bench.spawn(bench.invocation("hello", body(vec![b'x'; 1 << 20]))).await;
    let ReplyBody::Stream(pieces) = reply(call).await.response.into_body() else {
        panic!("a mebibyte is not handed on whole");
    };
    assert_eq!(collect(pieces).await.0.iter().sum::<usize>(), 1 << 20);
}
