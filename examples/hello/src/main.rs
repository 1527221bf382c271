//! The smallest function: `faas dev examples/hello`, then `curl localhost:3000/hello?you`.

use faas_core::{Request, function};

#[function]
async fn hello(request: Request) -> String {
    format!("Hello, {}!\n", request.uri().query().unwrap_or("world"))
}

faas_core::main!();

#[cfg(test)]
mod tests {
    use super::*;
    use faas_core::block_on;

    #[test]
    fn greets_by_name() {
        let request = |uri: &'static str| {
            let mut request = Request::default();
            *request.uri_mut() = uri.parse().expect("a URI");
            request
        };
        assert_eq!(block_on(hello(request("/"))), "Hello, world!\n");
        assert_eq!(block_on(hello(request("/?you"))), "Hello, you!\n");
    }
}
