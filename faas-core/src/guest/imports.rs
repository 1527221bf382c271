//! The host's functions, made safe to call: slices instead of pointers, enums instead of codes.

use std::cell::Cell;

use bytes::Bytes;

use crate::abi::status;

mod raw {
    #[link(wasm_import_module = "faas_v1")]
    unsafe extern "C" {
        pub(super) fn request_head(call: u32, ptr: *mut u8, cap: usize) -> i32;
        pub(super) fn body_read(call: u32, ptr: *mut u8, cap: usize) -> i32;
        pub(super) fn response_head(call: u32, ptr: *const u8, len: usize) -> i32;
        pub(super) fn body_write(call: u32, ptr: *const u8, len: usize) -> i32;
        pub(super) fn wake(call: u32);
        pub(super) fn op_begin(call: u32, kind: u32, ptr: *const u8, len: usize) -> i32;
        pub(super) fn op_take(handle: u32, ptr: *mut u8, cap: usize) -> i32;
        pub(super) fn op_close(handle: u32);
        pub(super) fn log(level: i32, ptr: *const u8, len: usize);
    }
}

thread_local! {
    /// The call being polled: operations belong to it.
    static CURRENT: Cell<u32> = const { Cell::new(0) };
}

/// Runs `f` as `call`.
pub(super) fn with_current<R>(call: u32, f: impl FnOnce() -> R) -> R {
    CURRENT.set(call);
    f()
}

/// The encoded head of the call's request.
pub(super) fn request_head(call: u32) -> Bytes {
    let mut head = Vec::with_capacity(2048);
    loop {
        // SAFETY: the host writes at most as many bytes as there is room for.
        let len = unsafe { raw::request_head(call, head.as_mut_ptr(), head.capacity()) };
        let len = usize::try_from(len).unwrap_or(0);
        if len <= head.capacity() {
            // SAFETY: a head for which there is room has been written, all its `len` bytes.
            unsafe { head.set_len(len) };
            return head.into();
        }
        head.reserve(len);
    }
}

/// What reading or writing a body came to.
pub(super) enum Progress {
    /// So many bytes; of a read, zero is the end.
    Bytes(usize),
    /// None now: the call will be polled when there is something to do.
    Pending,
    /// No more, ever.
    Closed,
}

fn progress(result: i32) -> Progress {
    match result {
        status::PENDING => Progress::Pending,
        n => usize::try_from(n).map_or(Progress::Closed, Progress::Bytes),
    }
}

pub(super) fn body_read(call: u32, buffer: &mut [u8]) -> Progress {
    // SAFETY: the host writes at most `len` bytes into a buffer of that length.
    progress(unsafe { raw::body_read(call, buffer.as_mut_ptr(), buffer.len()) })
}

pub(super) fn response_head(call: u32, head: &[u8]) -> bool {
    // SAFETY: the host reads a slice that lives for the call.
    unsafe { raw::response_head(call, head.as_ptr(), head.len()) == 0 }
}

pub(super) fn body_write(call: u32, bytes: &[u8]) -> Progress {
    // SAFETY: the host reads a slice that lives for the call.
    progress(unsafe { raw::body_write(call, bytes.as_ptr(), bytes.len()) })
}

pub(super) fn wake(call: u32) {
    // SAFETY: no pointers.
    unsafe { raw::wake(call) }
}

pub(super) fn log(level: i32, text: &str) {
    // SAFETY: the host reads a slice that lives for the call.
    unsafe { raw::log(level, text.as_ptr(), text.len()) }
}

/// An operation under way. Dropping it forgets it.
pub(super) struct Op(u32);

impl Op {
    /// Begins an operation of the call being polled.
    pub(super) fn begin(kind: u32, input: &[u8]) -> Result<Self, i32> {
        // SAFETY: the host reads a slice that lives for the call.
        let handle = unsafe { raw::op_begin(CURRENT.get(), kind, input.as_ptr(), input.len()) };
        if handle > 0 { Ok(Op(handle.cast_unsigned())) } else { Err(handle) }
    }

    pub(super) fn is_pending(&self) -> bool {
        // SAFETY: a capacity of zero lets the host write nothing.
        unsafe { raw::op_take(self.0, std::ptr::null_mut(), 0) == status::PENDING }
    }
}

impl Drop for Op {
    fn drop(&mut self) {
        // SAFETY: no pointers; the handle is this value's own.
        unsafe { raw::op_close(self.0) }
    }
}
