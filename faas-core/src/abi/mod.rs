//! The contract between a guest (a function compiled to wasm) and its host: names, codes, envelopes.
//!
//! The one place that both halves read; the book's page "The ABI" is this module in prose. Nothing here
//! performs IO or knows wasmer: the guest half (`guest`) and the sandbox both translate to it.
//!
//! - [`envelope`]: the request and reply heads, as bytes.
//! - [`manifest`]: the lines of the custom section [`MANIFEST_SECTION`].

pub mod envelope;
pub mod manifest;

/// Version of this contract. It is part of every export's name and of the import module's, so that a host
/// sees which version a module speaks without running anything.
pub const VERSION: u32 = 1;

/// Module name of all imports below.
pub const IMPORT_MODULE: &str = "faas_v1";

/// Custom section that holds one line of JSON for each function, see [`manifest::Entry`].
pub const MANIFEST_SECTION: &str = "faas.manifest";

/// Environment variable that tells an instance, before its init, which function it will serve.
pub const ENV_FUNCTION: &str = "FAAS_FUNCTION";

/// What a module exports.
pub mod export {
    /// The linear memory.
    pub const MEMORY: &str = "memory";
    /// `() -> i32`: runs constructors and the user's init; 0 is success. Called once, first.
    pub const INIT: &str = "faas_v1_init";
    /// `(call: u32) -> i32`: runs the call until it waits ([`super::poll::PENDING`]) or ends
    /// ([`super::poll::DONE`]). The first poll of a number starts that call.
    pub const POLL: &str = "faas_v1_poll";
    /// `(call: u32)`: drops the call's future. The number may be used again afterwards.
    pub const CANCEL: &str = "faas_v1_cancel";
}

/// What a host offers in [`IMPORT_MODULE`]. Every import returns at once.
pub mod import {
    /// `(call, buf, cap) -> i32`: length of the [`super::envelope::RequestHead`]; copied when `cap` suffices.
    pub const REQUEST_HEAD: &str = "request_head";
    /// `(call, buf, cap) -> i32`: bytes copied, 0 at the end, or a [`super::status`].
    pub const BODY_READ: &str = "body_read";
    /// `(call, ptr, len) -> i32`: hands over the [`super::envelope::ResponseHead`]; 0 or a [`super::status`].
    pub const RESPONSE_HEAD: &str = "response_head";
    /// `(call, ptr, len) -> i32`: bytes taken (perhaps fewer than `len`), or a [`super::status`].
    pub const BODY_WRITE: &str = "body_write";
    /// `(call)`: asks for one more poll of that call, whichever call is being polled now.
    pub const WAKE: &str = "wake";
    /// `(call, kind, ptr, len) -> i32`: begins an operation of [`super::op`]; a handle > 0, or a status.
    pub const OP_BEGIN: &str = "op_begin";
    /// `(handle, buf, cap) -> i32`: length of the result (copied when `cap` suffices), or a status.
    pub const OP_TAKE: &str = "op_take";
    /// `(handle)`: forgets the operation, finished or not.
    pub const OP_CLOSE: &str = "op_close";
    /// `(level, ptr, len)`: a log line of the call being polled, see [`super::log`].
    pub const LOG: &str = "log";
}

/// What [`export::INIT`] returns. Any other number is a failure too.
pub mod init {
    /// The instance is ready.
    pub const OK: i32 = 0;
    /// The user's init failed. Why has been logged as [`log::PANIC`](super::log::PANIC).
    pub const FAILED: i32 = 1;
}

/// What [`export::POLL`] returns.
pub mod poll {
    /// The call waits; the host polls it again when something it waits for has happened.
    pub const PENDING: i32 = 0;
    /// The call has ended.
    pub const DONE: i32 = 1;
}

/// Negative results of imports.
pub mod status {
    /// Nothing yet: the call is polled again when there is.
    pub const PENDING: i32 = -1;
    /// The other side is gone: the client has left, or sent a broken body.
    pub const CLOSED: i32 = -2;
    /// The arguments make no sense: an unknown call, handle or kind, an envelope that does not parse, a
    /// second response head.
    pub const INVALID: i32 = -3;
    /// A limit of the host: too many operations at once, a reply over its limit.
    pub const LIMIT: i32 = -4;
    /// The operation failed; the result buffer holds the reason as UTF-8 when asked for by `op_take` again.
    pub const FAILED: i32 = -5;
}

/// Kinds of operation that `op_begin` takes.
pub mod op {
    /// Wait. Input: a little-endian `u64` of nanoseconds; result: empty.
    pub const SLEEP: u32 = 1;
}

/// Levels that `log` takes: those of `tracing`, and one for the message of a panic.
pub mod log {
    /// The message and place of a panic, sent just before the trap that follows it.
    pub const PANIC: i32 = 0;
    /// `tracing::Level::ERROR`.
    pub const ERROR: i32 = 1;
    /// `tracing::Level::WARN`.
    pub const WARN: i32 = 2;
    /// `tracing::Level::INFO`.
    pub const INFO: i32 = 3;
    /// `tracing::Level::DEBUG`.
    pub const DEBUG: i32 = 4;
    /// `tracing::Level::TRACE`.
    pub const TRACE: i32 = 5;
}
