//! Linear memories that begin as a copy of a function's initialised memory, and go back to it.
//!
//! ```text
//! start ─ slots ── address space, reserved once and used again
//!           └─ linear ── one instance's memory in its slot: grows to its limit, resets, scrubs itself on drop
//!                 ├─ image ── what memory and globals were after init, in a memfd: mapped copy-on-write
//!                 │    ├─ touched ── which pages there are to look at, of all that memory has room for
//!                 │    └─ extents ── which parts of them are kept, and which are zeros
//!                 └─ written ── which pages a guest has written since; faults ── whether there can be new ones
//! ```
//!
//! [`start`] is the border: it says what an instance begins as, and hands wasmer its memory. [`restorable`] proves
//! that memory and globals are all the state that a module has, and [`seeds`] that nothing in the image should differ
//! between instances. Mechanism only: who is started, kept and given back is decided elsewhere.
//!
//! Where memory cannot be mapped so, [`plain`](start) stands in: wasmer's own memories, and no images.

#[cfg(target_os = "linux")]
mod extents;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod image;
#[cfg(target_os = "linux")]
mod linear;
pub(super) mod restorable;
pub(super) mod seeds;
#[cfg(target_os = "linux")]
mod slots;
#[cfg_attr(not(target_os = "linux"), path = "plain.rs")]
mod start;
#[cfg(target_os = "linux")]
mod touched;
#[cfg(target_os = "linux")]
mod written;

#[cfg(not(target_os = "linux"))]
pub(super) use start::{Image, Slots};
#[cfg(target_os = "linux")]
pub(super) use {image::Image, slots::Slots};

pub(super) use start::Start;

/// A system call's result: what it returned, or its error.
#[cfg(target_os = "linux")]
fn checked(result: libc::c_int) -> std::io::Result<libc::c_int> {
    if result == -1 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
}

/// Makes anonymous memory accessible.
#[cfg(target_os = "linux")]
fn open(at: *mut u8, len: usize) -> std::io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    // SAFETY: more rights for memory that nothing of Rust's lies in; a range that is not mapped is an error.
    checked(unsafe { libc::mprotect(at.cast(), len, libc::PROT_READ | libc::PROT_WRITE) }).map(drop)
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
