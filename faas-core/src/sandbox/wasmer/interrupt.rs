//! Keeps wasmer's interrupt signal away from host code.
//!
//! wasmer stops a guest by unwinding its stack from a signal handler, wherever the thread is. That is sound in
//! compiled wasm. But some of wasmer's own glue runs on the guest's stack too, around calls of imports, and takes
//! locks there: unwound in that moment, a lock would stay taken for good. So a signal is let through only where
//! the program counter lies outside every file-backed executable mapping, that is in generated code; elsewhere
//! it is dropped, and the watchdog sends the next a moment later.
//!
//! One kind of host code is let through: the C library's copying and filling, while it works on the guest's memory. A guest
//! spends all its time there with one `memory.fill` of its whole memory after the other, and would meet no signal for
//! minutes. Nothing is held there: wasmer calls it for bulk memory instructions, on the guest's stack, without a lock
//! and with nothing to drop.

use std::{
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use wasmer::sys::vm::TrapHandlerFn;

/// Where a guest's memory is, for the handler of its store. Nowhere until that is told.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryAt(Arc<AtomicUsize>);

impl MemoryAt {
    /// It begins here, and stays here.
    pub(super) fn tell(&self, base: *const u8) {
        self.0.store(base.addr(), Ordering::Release);
    }

    /// Whether one of these may be an address in it. As far as a 32-bit index reaches, however much of that there is.
    fn is_meant_by(&self, registers: &[usize]) -> bool {
        let base = self.0.load(Ordering::Acquire);
        base != 0 && registers.iter().any(|at| at.wrapping_sub(base) <= u32::MAX as usize)
    }
}

/// The handler to install in each store.
pub(super) fn handler(memory: MemoryAt) -> Option<Box<TrapHandlerFn<'static>>> {
    // computed before any signal can arrive: the handler itself must neither allocate nor lock
    let (ranges, copying): (&'static [Range<usize>], _) = (host_code(), copying());
    (!ranges.is_empty()).then(|| {
        Box::new(move |signal, _info: *const libc::siginfo_t, context: *const libc::c_void| {
            if signal != libc::SIGUSR1 {
                return false;
            }
            // SAFETY: the kernel passes a valid ucontext to a handler installed with SA_SIGINFO, and wasmer
            // passes it on untouched.
            let Interrupted { pc, pointers } = unsafe { interrupted(context) };
            let is_host_code = ranges.iter().any(|range| range.contains(&pc));
            let is_copying = copying.iter().any(|range| range.contains(&pc)) && memory.is_meant_by(&pointers);
            is_host_code && !is_copying
        }) as Box<TrapHandlerFn<'static>>
    })
}

/// Longer than any of the functions that copy and fill. What follows them in a C library are others of the kind: leaves that
/// take no lock.
const COPYING_BYTES: usize = 4096;

/// Where memory is copied and filled: the functions that this machine's dynamic linker has chosen.
fn copying() -> [Range<usize>; 3] {
    let at = |function: usize| function..function + COPYING_BYTES;
    [
        at(libc::memset as *const () as usize),
        at(libc::memcpy as *const () as usize),
        at(libc::memmove as *const () as usize),
    ]
}

/// Where a thread was.
struct Interrupted {
    pc: usize,
    /// Registers that hold a destination or a source, while one copies or fills.
    pointers: [usize; 4],
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
unsafe fn interrupted(context: *const libc::c_void) -> Interrupted {
    // SAFETY: by this function's contract.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    let register = |which: libc::c_int| context.uc_mcontext.gregs[which as usize] as usize;
    // the destination is what they return, so it stays in RAX; loops run along the others
    let pointers = [libc::REG_RAX, libc::REG_RDI, libc::REG_RSI, libc::REG_RCX].map(register);
    Interrupted { pc: register(libc::REG_RIP), pointers }
}

/// # Safety
/// `context` must be the `ucontext_t` that the kernel passed to a signal handler.
#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
unsafe fn interrupted(context: *const libc::c_void) -> Interrupted {
    // SAFETY: by this function's contract.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    // the destination is what they return, so it stays in x0
    let pointers = [0, 1, 2, 3].map(|which| context.uc_mcontext.regs[which] as usize);
    Interrupted { pc: context.uc_mcontext.pc as usize, pointers }
}

/// # Safety
/// None: elsewhere there are no mappings to compare with, so this is never called.
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
unsafe fn interrupted(_: *const libc::c_void) -> Interrupted {
    Interrupted { pc: usize::MAX, pointers: [0; 4] }
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
    fn only_addresses_in_the_guests_memory_mean_it() {
        let memory = MemoryAt::default();
        assert!(!memory.is_meant_by(&[0, 1, usize::MAX]), "it is nowhere");
        let base = 0x7000_0000_0000_usize;
        memory.tell(std::ptr::without_provenance(base));
        assert!(memory.is_meant_by(&[0, base]) && memory.is_meant_by(&[base + u32::MAX as usize]));
        assert!(!memory.is_meant_by(&[0, base - 1, base + (1 << 32), usize::MAX]));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn copying_is_host_code() {
        for range in copying() {
            assert!(host_code().iter().any(|code| code.contains(&range.start)), "{range:x?}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_very_function_is_host_code() {
        let here = this_very_function_is_host_code as fn() as usize;
        assert!(host_code().iter().any(|range| range.contains(&here)));
    }
}
