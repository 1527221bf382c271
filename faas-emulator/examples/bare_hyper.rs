//! The ceiling that `benches/load.sh` measures against: hyper, and nothing else, giving one fixed reply.
//!
//! The reply is a copy of one that `faas dev` gave: `curl` has written its head and its body to two files. So both servers
//! send the same bytes, and what differs is only the work behind them. Told so, it computes for some nanoseconds before each reply:
//! then it shows what any server would be left with that has so much to do. Measures nothing itself, and is no model of how to
//! write a server.
#![allow(clippy::print_stdout)]

use std::{
    convert::Infallible,
    error::Error,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::TcpListener;

const USAGE: &str = "usage: bare_hyper ADDRESS HEAD_FILE BODY_FILE [NANOSECONDS] (see benches/load.sh)";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (address, head, body, work_ns) = match &arguments[..] {
        [address, head, body] => (address, head, body, 0),
        [address, head, body, work_ns] => (address, head, body, work_ns.parse().map_err(|_| USAGE)?),
        _ => return Err(USAGE.into()),
    };
    let work = Duration::from_nanos(work_ns);
    let headers = headers(&std::fs::read_to_string(head)?)?;
    let body = Bytes::from(std::fs::read(body)?);

    let listener = TcpListener::bind(address.parse::<SocketAddr>()?).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (headers, body) = (headers.clone(), body.clone());
        let service = service_fn(move |_: Request<Incoming>| {
            compute(work);
            let mut response = Response::new(Full::new(body.clone()));
            *response.headers_mut() = headers.clone();
            async { Ok::<_, Infallible>(response) }
        });
        tokio::spawn(async move {
            // a client that breaks its connection off is no concern of a ceiling
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

#[allow(clippy::disallowed_methods)] // what it shows is about real time
fn compute(work: Duration) {
    if work.is_zero() {
        return;
    }
    let began = Instant::now();
    while began.elapsed() < work {
        std::hint::spin_loop();
    }
}

/// The headers of a reply as `curl --dump-header` writes them, without those that hyper sets by itself.
fn headers(head: &str) -> Result<HeaderMap, Box<dyn Error>> {
    let own = [header::DATE, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION];
    let mut headers = HeaderMap::new();
    for line in head.lines().skip(1).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("`{line}` is no header"))?;
        let name = HeaderName::from_bytes(name.as_bytes())?;
        if !own.contains(&name) {
            headers.append(name, HeaderValue::from_str(value.trim())?);
        }
    }
    Ok(headers)
}
