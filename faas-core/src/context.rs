//! What a function knows of the invocation that it serves.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// The circumstances of one invocation, passed to functions that ask for it.
///
/// ```
/// use faas_core::{Context, function};
///
/// #[function]
/// async fn whoami(context: Context) -> String {
///     format!("{} serves {}", context.function_name(), context.request_id())
/// }
///
/// let context = Context::for_test("whoami");
/// assert_eq!(faas_core::block_on(whoami(context)), "whoami serves test");
/// ```
#[derive(Debug, Clone)]
pub struct Context {
    function: Cow<'static, str>,
    request_id: Arc<str>,
    deadline_unix_ms: u64,
    memory_mib: u32,
    generation: u64,
}

impl Context {
    /// A context for calling a function in a test: request id `test`, no deadline, 128 MiB, generation 1.
    pub fn for_test(function: impl Into<String>) -> Self {
        Context {
            function: function.into().into(),
            request_id: "test".into(),
            deadline_unix_ms: 0,
            memory_mib: 128,
            generation: 1,
        }
    }

    #[cfg(target_family = "wasm")]
    pub(crate) fn of(function: &'static str, head: &crate::abi::envelope::RequestHead<'_>) -> Self {
        Context {
            function: function.into(),
            request_id: head.request_id.into(),
            deadline_unix_ms: head.deadline_unix_ms,
            memory_mib: head.memory_mib,
            generation: head.generation,
        }
    }

    /// That of an invocation which a host serves in its own process.
    #[doc(hidden)]
    pub fn of_invocation(
        function: &str,
        request_id: &str,
        deadline_unix_ms: u64,
        memory_mib: u32,
        generation: u64,
    ) -> Self {
        Context {
            function: function.to_owned().into(),
            request_id: request_id.into(),
            deadline_unix_ms,
            memory_mib,
            generation,
        }
    }

    /// The function's name.
    pub fn function_name(&self) -> &str {
        &self.function
    }

    /// The invocation's id, as in the reply's `faas-request-id`.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// When the invocation will be stopped; absent where nothing stops it.
    pub fn deadline(&self) -> Option<SystemTime> {
        (self.deadline_unix_ms > 0)
            .then(|| SystemTime::UNIX_EPOCH + Duration::from_millis(self.deadline_unix_ms))
    }

    /// How much time is left; absent where nothing stops the invocation.
    pub fn remaining(&self) -> Option<Duration> {
        let left = |deadline: SystemTime| deadline.duration_since(crate::now()).unwrap_or_default();
        self.deadline().map(left)
    }

    /// The most memory that the instance may have, in MiB.
    pub fn memory_limit_mib(&self) -> u32 {
        self.memory_mib
    }

    /// Which version of the function this is: counts up from 1 with each reload.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}
