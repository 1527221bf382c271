//! A function from an HTTP request to a reply.

use faas_core::{Request, function};

#[function]
async fn FUNCTION(request: Request) -> String {
    format!("Hello, {}!\n", request.uri().query().unwrap_or("world"))
}

faas_core::main!();

#[cfg(test)]
mod tests {
    use super::*;
    use faas_core::{Body, block_on, http};

    #[test]
    fn it_greets() {
        let request = http::Request::get("/?you").body(Body::empty()).expect("a request");
        assert_eq!(block_on(FUNCTION(request)), "Hello, you!\n");
    }
}
