//! Sends the request's body back as it arrives.

use faas_core::function;

#[function]
async fn echo(request: faas_core::Request) -> faas_core::Response {
    faas_core::Response::new(request.into_body())
}

faas_core::main!();
