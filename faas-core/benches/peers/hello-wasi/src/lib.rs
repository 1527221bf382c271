//! What `examples/hello` replies, from a component of the world `wasi:http/proxy`: the peer that
//! `faas-emulator/benches/load.sh` runs under `wasmtime serve`.
//!
//! `cargo build --release --target wasm32-wasip2`

use wasip2::{
    exports::http::incoming_handler::Guest,
    http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam},
};

struct Hello;

impl Guest for Hello {
    fn handle(request: IncomingRequest, outparam: ResponseOutparam) {
        let target = request.path_with_query();
        let who =
            target.as_deref().and_then(|target| target.split_once('?')).map_or("world", |(_, query)| query);
        let text = format!("Hello, {who}!\n");

        let headers = Fields::new();
        headers.append("content-type", b"text/plain; charset=utf-8").expect("a legal header");
        headers.append("content-length", text.len().to_string().as_bytes()).expect("a legal header");
        let response = OutgoingResponse::new(headers);
        let body = response.body().expect("taken once");
        ResponseOutparam::set(outparam, Ok(response));
        let stream = body.write().expect("taken once");
        stream.blocking_write_and_flush(text.as_bytes()).expect("a client that reads");
        drop(stream);
        OutgoingBody::finish(body, None).expect("as long as announced");
    }
}

wasip2::http::proxy::export!(Hello);
