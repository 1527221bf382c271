//! The `#[function]` attribute of [`faas-core`](https://docs.rs/faas-core), where it is re-exported and documented.
//!
//! `#[faas_core::test]` is in `test`.
//!
//! Thin: `args` parses the attribute, `check` reads the signature, `expand` writes calls into `faas_core`.
//! Nothing here panics, and all mistakes are reported at once.

mod args;
mod check;
mod expand;
mod test;

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
/// | `init = load` | a `fn()`, or one that returns a `Result<()>`, that runs before the first invocation | none |
/// | `isolation = "request"` | each invocation gets an instance of its own, which serves no other | `"instance"` |
///
/// # Init
///
/// What `init` does, and what a `fn` that returns a service does, is done once for an instance. In the sandbox of `faas`
/// it is even done once for all of them: later instances begin as copies of what it left in memory. So it is the place
/// to parse configuration, build tables and compile patterns. It should not read the clock or draw random numbers,
/// which all copies would share: a function whose init does is started without copies, and the console says so.
///
/// ```ignore
/// static PRICES: OnceLock<Prices> = OnceLock::new();
///
/// fn load() -> faas_core::Result<()> {
///     let prices = serde_json::from_str(include_str!("prices.json"))?;
///     PRICES.get_or_init(|| prices);
///     Ok(())
/// }
///
/// #[function(init = load)]
/// async fn price(item: Item) -> u64 { PRICES.wait().of(&item) }
/// ```
#[proc_macro_attribute]
pub fn function(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::function(attribute.into(), item.into()).into()
}

/// Makes a `#[test]` of an `async fn` that takes a `faas_core::testing::Cloud`, or nothing: it runs under virtual time, in
/// milliseconds. Of faas-core's feature `testing`.
///
/// ```ignore
/// #[faas_core::test]
/// async fn stays_warm(cloud: faas_core::testing::Cloud) {
///     assert!(cloud.get("hello").await.is_cold());
///     cloud.advance(Duration::from_secs(599)).await;
///     assert!(cloud.get("hello").await.is_warm());
/// }
/// ```
#[proc_macro_attribute]
pub fn test(attribute: TokenStream, item: TokenStream) -> TokenStream {
    test::test(attribute.into(), item.into()).into()
}
