//! Sends the request's body back as it arrives.

// what careful crates say must hold for the code that #[function] writes
#![forbid(unsafe_code)]

use faas_core::function;

#[function]
async fn echo(request: faas_core::Request) -> faas_core::Response {
    faas_core::Response::new(request.into_body())
}

faas_core::main!();
