//! What a client sees of functions that behave.

use std::str::FromStr as _;

use http::Request;
use http_body_util::{BodyExt as _, Full};
use rust_decimal::Decimal;

use crate::support::{Dev, Project, block_on, h2c, repository};

const SOURCE: &str = r##"
use faas_core::{Body, Bytes, Context, Request, Response, function};

#[function]
async fn greet(request: Request, context: Context) -> String {
    format!("hello {} from {}", request.uri(), context.function_name())
}

#[function(route = "GET /users/{id}", memory = 512)]
async fn user(request: Request) -> String {
    request.uri().path().to_owned()
}

#[function]
async fn double(n: u32) -> u32 {
    n * 2
}

#[function(timeout = "20s")]
async fn upload(request: Request) -> Response {
    Response::new(request.into_body())
}

#[function]
async fn nap() {
    println!("good night");
    faas_core::sleep(std::time::Duration::from_millis(300)).await;
}

struct Ticks(u32);

impl http_body::Body for Ticks {
    type Data = Bytes;
    type Error = faas_core::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, faas_core::Error>>> {
        if self.0 == 0 {
            return std::task::Poll::Ready(None);
        }
        self.0 -= 1;
        let _ = cx;
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from(vec![b'x'; 100_000])))))
    }
}

#[function]
async fn ticks() -> Response {
    Response::new(Body::new(Ticks(30)))
}

faas_core::main!();
"##;

fn project(name: &str) -> Project {
    let project = Project::new(name, SOURCE);
    let manifest = std::fs::read_to_string(project.path().join("Cargo.toml")).expect("a manifest");
    project.write("Cargo.toml", &format!("{manifest}http-body = \"1\"\n"));
    project
}

#[test]
fn functions_are_served_metered_and_billed() {
    let project = project("served");
    let dev = Dev::serve(project.path(), &["--no-watch"]);
    block_on(async {
        let first = dev.get("/greet/below?q=1").await;
        assert_eq!((first.status.as_u16(), first.start()), (200, "cold"));
        assert_eq!(first.text, "hello /below?q=1 from greet");
        let second = dev.get("/greet").await;
        assert_eq!((second.start(), second.header("faas-generation")), ("warm", "1"));
        assert_ne!(first.header("faas-request-id"), second.header("faas-request-id"));
        assert!(first.header("server-timing").contains("start;desc=plain;dur="), "{first:?}");

        // one request at 128 MiB, by the page of prices
        let ms = Decimal::from_str(second.header("faas-billed-ms")).expect("a number");
        let gb_s = ms / Decimal::from(1000) / Decimal::from(8);
        let price =
            Decimal::from_str("0.0000002").unwrap() + gb_s * Decimal::from_str("0.0000166667").unwrap();
        assert_eq!(Decimal::from_str(second.header("faas-cost-usd")), Ok(price));

        let forced =
            Request::get("/greet").header("faas-start", "cold").body(Full::default()).expect("a request");
        assert_eq!(dev.send(forced).await.start(), "cold");

        assert_eq!(dev.get("/users/7").await.text, "/users/7");
        let wrong_method = dev.post("/users/7", "").await;
        assert_eq!((wrong_method.status.as_u16(), wrong_method.header("allow")), (405, "GET, HEAD"));
        assert_eq!(dev.post("/double", "21").await.text, "42");
        let no_number = dev.post("/double", "\"x\"").await;
        assert_eq!((no_number.status.as_u16(), no_number.json()["error"].as_str()), (400, Some("client")));
        assert_eq!(dev.get("/_faas/invoke/user").await.status, 200);
        let nobody = dev.get("/nobody").await;
        assert_eq!(nobody.status, 404);
        insta::assert_snapshot!(nobody.text, @r"
        no function answers /nobody
        functions:
          double  *    /double
          greet   *    /greet
          nap     *    /nap
          ticks   *    /ticks
          upload  *    /upload
          user    GET  /users/{id}
        ");

        assert_eq!(dev.get("/nap").await.status, 200);
    });
    let nap = dev.event_where("invocation", |e| e["function"] == "nap");
    assert!(nap["handler_ms"].as_f64() >= Some(300.0) && nap["cpu_ms"].as_f64() < Some(300.0), "{nap}");
    let bill = dev.stop();
    let requests: Vec<(&str, u64)> = bill["functions"]
        .as_array()
        .expect("functions")
        .iter()
        .map(|f| (f["function"].as_str().expect("a name"), f["requests"].as_u64().expect("a count")))
        .collect();
    assert_eq!(requests, [("double", 2), ("greet", 3), ("nap", 1), ("user", 2)]);
}

#[test]
fn the_same_nap_costs_wall_time_here_and_cpu_time_there() {
    let project = project("napping");
    let billed = |profile: &str| {
        let dev = Dev::serve(project.path(), &["--no-watch", "--as", profile]);
        let reply = block_on(dev.get("/nap"));
        assert_eq!(reply.status, 200, "{reply:?}");
        let bill = dev.stop();
        assert_eq!(bill["profile"], profile);
        reply.header("faas-billed-ms").parse::<f64>().expect("a number")
    };
    // `user` asks for 512 MiB, which an isolate of Cloudflare's cannot have
    project.main(&SOURCE.replace(", memory = 512", ""));
    assert!(billed("aws-lambda") >= 300.0);
    assert!(billed("cloudflare-workers") < 300.0);
}

#[test]
fn logs_belong_to_their_invocation() {
    let project = project("logging");
    let dev = Dev::serve(project.path(), &["--no-watch"]);
    let reply = block_on(dev.get("/nap"));
    let line = dev.event("log");
    assert_eq!(line["text"], "good night");
    assert_eq!(line["id"], reply.header("faas-request-id"));
}

#[test]
fn bodies_stream_both_ways_and_tell_their_price_at_the_end() {
    let project = project("streaming");
    let dev = Dev::serve(project.path(), &["--no-watch"]);
    block_on(async {
        // HTTP/1.1 has trailers for those who say that they take them
        let ticks = Request::get("/ticks").header("te", "trailers").body(Full::default()).expect("a request");
        let reply = dev.send(ticks).await;
        assert_eq!((reply.status.as_u16(), reply.text.len()), (200, 3_000_000));
        assert!(reply.trailers.contains_key("faas-cost-usd"), "{:?} {:?}", reply.headers, reply.trailers);
        let sent = "0123456789".repeat(300_000);
        let echoed = dev.post("/upload", sent.clone()).await;
        assert!(echoed.text == sent, "{} bytes came back", echoed.text.len());
    });
}

#[test]
fn head_is_get_without_the_body() {
    let project = project("heads");
    let dev = Dev::serve(project.path(), &["--no-watch"]);
    block_on(async {
        let request = |path| Request::head(path).body(Full::default()).expect("a request");
        let whole = dev.send(request("/greet")).await;
        assert_eq!((whole.status.as_u16(), whole.text.as_str()), (200, ""));
        assert_eq!(whole.header("content-length"), "18");
        assert!(whole.headers.contains_key("faas-cost-usd"), "{whole:?}");
        let stream = dev.send(request("/ticks")).await;
        assert_eq!((stream.status.as_u16(), stream.text.as_str()), (200, ""));

        // HTTP/2 would send what there is
        let mut sender = h2c(dev.addr).await;
        for path in ["greet", "ticks"] {
            let request = Request::head(format!("http://{}/{path}", dev.addr)).body(Full::default());
            let reply = sender.send_request(request.expect("a request")).await.expect("a reply");
            assert_eq!(reply.status(), 200);
            assert_eq!(reply.headers().get("content-length").is_some(), path == "greet");
            assert!(reply.into_body().collect().await.expect("a body").to_bytes().is_empty());
        }
    });
    for _ in 0..2 {
        // to its end, though nobody read it
        let ticks = dev.event_where("invocation", |e| e["function"] == "ticks");
        assert_eq!((ticks["status"].as_u64(), ticks["error"].as_str()), (Some(200), None), "{ticks}");
    }
    dev.stop();
}

#[test]
fn http_2_without_tls_is_spoken() {
    let dev = Dev::serve(&repository().join("examples/hello"), &["--no-watch"]);
    block_on(async {
        let mut sender = h2c(dev.addr).await;
        for _ in 0..3 {
            let request =
                Request::get(format!("http://{}/hello?h2", dev.addr)).body(Full::<bytes::Bytes>::default());
            let reply = sender.send_request(request.expect("a request")).await.expect("a reply");
            assert_eq!((reply.status().as_u16(), reply.version()), (200, http::Version::HTTP_2));
            let text = reply.into_body().collect().await.expect("a body").to_bytes();
            assert_eq!(text, "Hello, h2!\n");
        }
    });
}

#[test]
fn a_whole_router_is_a_function() {
    let dev = Dev::serve(&repository().join("examples/axum-site"), &["--no-watch"]);
    block_on(async {
        let form = Request::post("/site").header("content-type", "application/x-www-form-urlencoded");
        let signed = dev.send(form.body(Full::from("name=ada&message=hi")).expect("a request")).await;
        assert_eq!(signed.status, 303);
        let page = dev.get("/site").await;
        assert!(page.text.contains("<b>ada</b>: hi"), "{}", page.text);
    });
}
