//! Keeps wasmer's interrupt signal away from host code.
//!
//! wasmer stops a guest by unwinding its stack from a signal handler, wherever the thread is. That is sound in
//! compiled wasm. But some of wasmer's own glue runs on the guest's stack too, around calls of imports, and takes
//! locks there: unwound in that moment, a lock would stay taken for good. So a signal is let through only where
//! the program counter lies outside every file-backed executable mapping, that is in generated code; elsewhere
//! it is dropped, and the watchdog sends the next a millisecond later.

use std::{ops::Range, sync::OnceLock};

use wasmer::sys::vm::TrapHandlerFn;

/// The handler to install in each store.
pub(super) fn handler() -> Option<Box<TrapHandlerFn<'static>>> {
    // computed before any signal can arrive: the handler itself must neither allocate nor lock
    let ranges: &'static [Range<usize>] = host_code();
    (!ranges.is_empty()).then(|| {
        Box::new(move |signal, _info: *const libc::siginfo_t, context: *const libc::c_void| {
            if signal != libc::SIGUSR1 {
                return false;
            }
            // SAFETY: the kernel passes a valid ucontext to a handler installed with SA_SIGINFO, and wasmer
            // passes it on untouched.
            let pc = unsafe { program_counter(context) };
            ranges.iter().any(|range| range.contains(&pc))
        }) as Box<TrapHandlerFn<'static>>
    })
}

/// Executable mappings that come from a file: the program and its libraries. Read once; libraries loaded later
/// (there are none here) would be taken for generated code.
fn host_code() -> &'static [Range<usize>] {
    static RANGES: OnceLock<Vec<Range<usize>>> = OnceLock::new();
    RANGES.get_or_init(|| parse(&std::fs::read_to_string("/proc/self/maps").unwrap_or_default()))
}

fn parse(maps: &str) -> Vec<Range<usize>> {
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (range, mode, path) = (fields.next()?, fields.next()?, fields.nth(3)?);
        // [vdso] is host code too
        if !mode.contains('x') || !(path.starts_with('/') || path == "[vdso]") {
            return None;
        }
        let (start, end) = range.split_once('-')?;
        Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
    };
    maps.lines().filter_map(line).collect()
}

/// # Safety
/// `context` must be the `ucontext_t` that the kernel passed to a signal handler.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
unsafe fn program_counter(context: *const libc::c_void) -> usize {
    // SAFETY: by this function's contract.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize
}

/// # Safety
/// `context` must be the `ucontext_t` that the kernel passed to a signal handler.
#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
unsafe fn program_counter(context: *const libc::c_void) -> usize {
    // SAFETY: by this function's contract.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    context.uc_mcontext.pc as usize
}

/// # Safety
/// None: elsewhere there are no mappings to compare with, so this is never called.
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
unsafe fn program_counter(_: *const libc::c_void) -> usize {
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_executable_files_are_host_code() {
        let maps = "55d0-55d8 r--p 00000000 08:01 123 /bin/faas\n\
                    55d8-55f0 r-xp 00008000 08:01 123 /bin/faas\n\
                    7f00-7f10 r-xp 00000000 00:00 0 \n\
                    7f20-7f30 rw-p 00000000 00:00 0 [heap]\n\
                    7f40-7f50 r-xp 00000000 00:00 0 [vdso]\n\
                    not a line";
        assert_eq!(parse(maps), [0x55d8..0x55f0, 0x7f40..0x7f50]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_very_function_is_host_code() {
        let here = this_very_function_is_host_code as fn() as usize;
        assert!(host_code().iter().any(|range| range.contains(&here)));
    }
}
