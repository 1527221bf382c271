//! A whole axum `Router` as one function.

use axum::{Router, extract::Path, response::Html, routing::get};
use faas_core::function;

#[function(route = "/{*path}")]
fn FUNCTION() -> Router {
    Router::new().route("/", get(home)).route("/hello/{name}", get(hello))
}

async fn home() -> Html<&'static str> {
    Html("<h1>It runs</h1><p><a href=/hello/world>Say hello</a></p>")
}

async fn hello(Path(name): Path<String>) -> String {
    format!("Hello, {name}!\n")
}

faas_core::main!();

#[cfg(test)]
mod tests {
    use super::*;
    use faas_core::{Body, Context, Function as _, block_on, function::ServiceFunction, http};

    #[test]
    fn it_greets() {
        let site = ServiceFunction::new(FUNCTION());
        let request = http::Request::get("/hello/you").body(Body::empty()).expect("a request");
        let reply = block_on(site.call(request, Context::for_test("FUNCTION"))).expect("a reply");
        assert_eq!(block_on(reply.into_body().text()).expect("text"), "Hello, you!\n");
    }
}
