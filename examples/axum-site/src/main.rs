//! A whole axum `Router` as one function: pages, a form, a path parameter and a JSON endpoint.
//!
//! Its guest book lives in the instance's memory: it is there for as long as the instance is warm, and another
//! instance has another. That is what state in a function means; what must last belongs into a database.

use std::sync::{Arc, Mutex};

use axum::{
    Form, Json, Router,
    extract::{Path, State},
    response::{Html, Redirect},
    routing::get,
};
use faas_core::function;
use serde::{Deserialize, Serialize};

type Book = Arc<Mutex<Vec<Entry>>>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    name: String,
    message: String,
}

// it owns its paths, and one instance serves many visitors at once
#[function(route = "/{*path}", concurrency = 32)]
fn site() -> Router {
    Router::new()
        .route("/site", get(home).post(sign))
        .route("/site/by/{name}", get(by))
        .route("/site/entries.json", get(entries))
        .with_state(Book::default())
}

async fn home(State(book): State<Book>) -> Html<String> {
    let entries: String = lock(&book).iter().map(list_item).collect();
    page(&format!(
        "<h1>Guest book</h1><ul>{entries}</ul>\
         <form method=post><input name=name placeholder=Name required> \
         <input name=message placeholder=Message required> <button>Sign</button></form>"
    ))
}

async fn sign(State(book): State<Book>, Form(entry): Form<Entry>) -> Redirect {
    lock(&book).push(entry);
    Redirect::to("/site")
}

async fn by(State(book): State<Book>, Path(name): Path<String>) -> Html<String> {
    let entries: String = lock(&book).iter().filter(|entry| entry.name == name).map(list_item).collect();
    page(&format!("<h1>By {}</h1><ul>{entries}</ul>", escape(&name)))
}

async fn entries(State(book): State<Book>) -> Json<Vec<Entry>> {
    Json(lock(&book).clone())
}

fn lock(book: &Book) -> std::sync::MutexGuard<'_, Vec<Entry>> {
    book.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn list_item(entry: &Entry) -> String {
    format!("<li><b>{}</b>: {}</li>", escape(&entry.name), escape(&entry.message))
}

fn page(body: &str) -> Html<String> {
    Html(format!("<!doctype html><meta charset=utf-8><title>Guest book</title><main>{body}</main>"))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

faas_core::main!();

#[cfg(test)]
mod tests {
    use super::*;
    use faas_core::{Body, Context, Function, Request, block_on, function::ServiceFunction};

    fn text(site: &impl Function, request: http::request::Builder, body: &'static str) -> (u16, String) {
        let request: Request = request.body(Body::from(body)).expect("a request");
        let response = block_on(site.call(request, Context::for_test("site"))).expect("a reply");
        (response.status().as_u16(), block_on(response.into_body().text()).expect("text"))
    }

    use faas_core::http;

    #[test]
    fn what_is_signed_is_shown_and_escaped() {
        let site = ServiceFunction::new(site());
        let form = http::Request::post("/site").header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(text(&site, form, "name=ada&message=%3Cb%3Ehi").0, 303);
        assert!(text(&site, http::Request::get("/site"), "").1.contains("<b>ada</b>: &lt;b&gt;hi"));
        assert!(text(&site, http::Request::get("/site/by/ada"), "").1.contains("By ada"));
        assert_eq!(
            text(&site, http::Request::get("/site/entries.json"), "").1,
            r#"[{"name":"ada","message":"<b>hi"}]"#
        );
        assert_eq!(text(&site, http::Request::get("/elsewhere"), "").0, 404);
    }
}
