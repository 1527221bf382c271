//! What a function is, and how a program finds its own.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Mutex,
};

use bytes::Bytes;
use tower_service::Service;

use crate::{Body, Context, Error, IntoResponse, Request, Response, Result};

/// A reply under way. `Send`, so that the same code runs on a server with threads.
pub type ReplyFuture = Pin<Box<dyn Future<Output = Result<Response>> + Send>>;

/// Something that replies to invocations. `#[function]` makes one of an `async fn` or of a tower service.
///
/// One value serves all invocations of an instance, several at a time if the function's `concurrency` allows.
///
/// ```
/// use faas_core::{Context, Function, Request, Response, ReplyFuture};
///
/// struct Teapot;
///
/// impl Function for Teapot {
///     fn call(&self, _: Request, _: Context) -> ReplyFuture {
///         Box::pin(async { Ok(http::Response::builder().status(418).body("short and stout".into())?) })
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a function",
    label = "not a function",
    note = "a `fn` under #[function] returns a `tower::Service` of `http::Request<faas_core::Body>` that is `Clone` and \
            `Send`, such as an axum `Router`; a function that answers by itself is an `async fn`"
)]
pub trait Function: Send + Sync {
    /// Begins to reply to one invocation.
    fn call(&self, request: Request, context: Context) -> ReplyFuture;
}

impl<F: Fn(Request, Context) -> ReplyFuture + Send + Sync> Function for F {
    fn call(&self, request: Request, context: Context) -> ReplyFuture {
        self(request, context)
    }
}

/// Any tower service of HTTP requests, such as an axum `Router`, as a [`Function`]: cloned for each invocation.
#[derive(Debug)]
pub struct ServiceFunction<S>(Mutex<S>);

impl<S> ServiceFunction<S> {
    /// Wraps the service.
    pub fn new(service: S) -> Self {
        ServiceFunction(Mutex::new(service))
    }
}

impl<S, B> Function for ServiceFunction<S>
where
    S: Service<Request, Response = http::Response<B>> + Clone + Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn call(&self, request: Request, _: Context) -> ReplyFuture {
        // a clone cannot leave the service in half a state, so a poisoned lock is as good as any
        let mut service = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        Box::pin(async move {
            let failed = |error: S::Error| Error::new(error.into().to_string());
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(failed)?;
            let response = service.call(request).await.map_err(failed)?;
            response.map(Body::new).into_response()
        })
    }
}

/// What an init returns: nothing, or a `Result` of nothing.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a function's init cannot return `{Self}`",
    label = "not an init",
    note = "an init is a `fn()` or a `fn() -> faas_core::Result<()>`; it cannot be `async`, because no invocation is there \
            yet that could wait"
)]
pub trait InitResult {
    fn into_result(self) -> Result<()>;
}

impl InitResult for () {
    fn into_result(self) -> Result<()> {
        Ok(())
    }
}

impl<E: Into<Error>> InitResult for std::result::Result<(), E> {
    fn into_result(self) -> Result<()> {
        self.map_err(Into::into)
    }
}

/// A function of this program, as `#[function]` declares it.
#[derive(Debug)]
pub struct Definition {
    /// The function's name.
    pub name: &'static str,
    /// Its line of the manifest, see [`crate::abi::manifest`].
    pub manifest: &'static str,
    /// Runs once for each instance, before anything else; or once for all, where instances begin as copies.
    pub init: Option<fn() -> Result<()>>,
    /// Makes the function: once for each instance, after its init.
    pub make: fn() -> Box<dyn Function>,
}

static DEFINITIONS: Mutex<Vec<&'static Definition>> = Mutex::new(Vec::new());

/// All functions that are linked into this program, sorted by name.
pub fn definitions() -> Vec<&'static Definition> {
    let mut all = DEFINITIONS.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
    all.sort_unstable_by_key(|definition| definition.name);
    all
}

/// The function of this name. Apart from [`definitions`], because sorting is code that a guest would carry for nothing.
#[cfg(target_family = "wasm")]
pub(crate) fn find(name: &str) -> Option<&'static Definition> {
    let all = DEFINITIONS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    all.iter().find(|definition| definition.name == name).copied()
}

/// Called by constructors before `main`, perhaps more than once.
#[doc(hidden)]
pub fn register(definition: &'static Definition) {
    let mut all = DEFINITIONS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if !all.iter().any(|known| std::ptr::eq(*known, definition)) {
        all.push(definition);
    }
}

/// The bytes of `text`, whose length is `N`, as a section needs them: in place.
#[doc(hidden)]
pub const fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(text.as_bytes());
    bytes
}

/// Declares a [`Definition`] and has it registered before `main`. Called by the code that `#[function]` emits.
#[doc(hidden)]
#[macro_export]
macro_rules! __define {
    ($name:expr, $manifest:expr, $init:expr, $make:expr) => {
        const MANIFEST_TEXT: &str = $manifest;

        static DEFINITION: $crate::function::Definition =
            $crate::function::Definition { name: $name, manifest: MANIFEST_TEXT, init: $init, make: $make };

        extern "C" fn register() {
            $crate::function::register(&DEFINITION)
        }

        // the linker gathers these, and whatever starts the program calls them
        #[used]
        #[cfg_attr(
            any(
                target_os = "linux",
                target_os = "android",
                target_os = "freebsd",
                target_os = "netbsd",
                target_os = "openbsd",
                target_family = "wasm"
            ),
            unsafe(link_section = ".init_array")
        )]
        #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
        #[cfg_attr(windows, unsafe(link_section = ".CRT$XCU"))]
        static CONSTRUCTOR: extern "C" fn() = register;

        #[used]
        #[cfg_attr(target_family = "wasm", unsafe(link_section = "faas.manifest"))]
        static MANIFEST: [u8; MANIFEST_TEXT.len()] = $crate::function::bytes(MANIFEST_TEXT);
    };
}
