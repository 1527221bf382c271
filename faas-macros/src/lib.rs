//! The `#[function]` attribute of [`faas-core`](https://docs.rs/faas-core), where it is re-exported and documented.
//!
//! Thin: `args` parses the attribute, `check` reads the signature, `expand` writes calls into `faas_core`.
//! Nothing here panics, and all mistakes are reported at once.

mod args;
mod check;
mod expand;

use proc_macro::TokenStream;

/// Makes a function of an `async fn`, or of a `fn` that returns a tower service.
///
/// ```ignore
/// // HTTP: from a request to anything that is `IntoResponse`
/// #[function(route = "GET /users/{id}")]
/// async fn user(request: Request) -> Result<Json<User>> { /* … */ }
///
/// // an event: from any `Deserialize` type to any `Serialize` type, as JSON
/// #[function(memory = 256, timeout = "10s")]
/// async fn order(order: Order, context: Context) -> Result<Receipt> { /* … */ }
///
/// // any tower service of HTTP requests
/// #[function(concurrency = 16)]
/// fn site() -> axum::Router { /* … */ }
/// ```
///
/// # The function
///
/// An `async fn` takes a `Request` (it then speaks HTTP), any other type (an event), or nothing; and, last, a `Context`
/// if it wants one. Which of the two it is, is decided by how the type is written: its last segment is `Request`. What
/// it returns may be in a `Result` whose error becomes a `faas_core::Error`.
///
/// A `fn` returns a `tower::Service<http::Request<Body>> + Clone`: it is called once for each instance, and the service is
/// cloned for each invocation.
///
/// # Arguments
///
/// | argument | is | default |
/// |---|---|---|
/// | `name = "…"` | the function's name: letters, digits, `-` and `_`, 64 at most | the `fn`'s name |
/// | `route = "GET /users/{id}"` | method (every one if left out) and path; `{id}` is one segment, `{*rest}` all that follow | `/<name>` and all below it |
/// | `memory = 256` or `"1 GiB"` | memory of an instance, in MiB | the provider's |
/// | `timeout = "1500ms"`, `"10s"`, `"2m"` | how long an invocation may take | the provider's |
/// | `concurrency = 16` | how many invocations one instance serves at a time | 1 |
/// | `schedule = "*/5 * * * *"` | when it runs by itself: five cron fields | never |
/// | `queue = "orders"` | the queue whose messages it gets | none |
#[proc_macro_attribute]
pub fn function(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::function(attribute.into(), item.into()).into()
}
