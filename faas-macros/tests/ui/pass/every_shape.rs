//! Everything that can be a function, in a crate that allows no unsafe code and wants its items documented.
#![forbid(unsafe_code)]
#![deny(missing_docs, warnings)]

use faas_core::{Body, Context, Json, Request, Response, Result, StatusCode, function};
use serde::{Deserialize, Serialize};

/// An event.
#[derive(Deserialize)]
pub struct Order {
    sku: String,
}

/// A reply.
#[derive(Serialize)]
pub struct Receipt {
    sku: String,
}

#[function]
async fn nothing() {}

#[function]
async fn text() -> &'static str {
    "text"
}

#[function(route = "GET /users/{id}/{*rest}")]
async fn response(request: Request) -> Response {
    Response::new(request.into_body())
}

#[function]
async fn json(_: faas_core::Request, context: Context) -> Result<(StatusCode, Json<Receipt>)> {
    Ok((StatusCode::CREATED, Json(Receipt { sku: context.function_name().into() })))
}

#[function(name = "order-placed", memory = "1 GiB", timeout = "1500ms", concurrency = 8)]
async fn order(Order { sku }: Order) -> Receipt {
    Receipt { sku }
}

#[function(schedule = "*/5 0-6,12 * JAN-MAR MON", queue = "orders")]
async fn fallible(order: Order, _: Context) -> Result<Receipt, std::num::ParseIntError> {
    let _: u32 = order.sku.parse()?;
    Ok(Receipt { sku: order.sku })
}

#[derive(Clone)]
struct Echo;

impl tower_service::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        std::future::ready(Ok(http::Response::new(request.into_body())))
    }
}

#[function]
fn service() -> Echo {
    Echo
}

faas_core::main!();
