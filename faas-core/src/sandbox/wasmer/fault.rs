//! From a trap to an error that a person can act on.

use wasmer::{RuntimeError, sys::vm::TrapCode};

use super::{
    names,
    state::{GuestFault, GuestState},
    watchdog::Overdue,
};
use crate::invocation::{ErrorKind, FunctionSpec, InvocationError};

/// The most frames that a backtrace keeps.
const MAX_FRAMES: usize = 32;
/// An out-of-bounds access below so many frames is the guest's own stack running over: rustc places it at the
/// bottom of memory, so that it runs out of bounds.
const DEEP_STACK_FRAMES: usize = 200;

/// Says why a guest stopped. `state` is as the guest left it.
pub(super) fn explain(error: &RuntimeError, state: &GuestState, spec: &FunctionSpec) -> InvocationError {
    let (kind, message) = kind_and_message(error, state, spec);
    // where a guest was stopped from outside says nothing about the fault, but where it spends its time
    let backtrace = backtrace(error.trace().iter().map(|frame| frame.function_name()));
    InvocationError { kind, message, backtrace }
}

fn kind_and_message(error: &RuntimeError, state: &GuestState, spec: &FunctionSpec) -> (ErrorKind, String) {
    let trap = error.clone().to_trap();
    let fault = error.downcast_ref::<GuestFault>();
    // wasmer names a trap by the instruction it happened at: interrupted at a load, a guest seems to have trapped there
    let was_interrupted = trap.is_some() && state.alarm.raised().is_some();
    if was_interrupted || trap == Some(TrapCode::HostInterrupt) || fault == Some(&GuestFault::Overdue) {
        return overdue(state.alarm.raised().unwrap_or(Overdue::Wall), spec);
    }
    match fault {
        Some(GuestFault::Exit(_)) => {
            return (ErrorKind::Exited, format!("{}: a function returns instead", error.message()));
        }
        Some(GuestFault::NoAnswer(_)) => return (ErrorKind::BadReply, error.message()),
        Some(_) => return (ErrorKind::Trap, error.message()),
        None => {}
    }
    if let Some(panic) = &state.panic {
        return (ErrorKind::Panic, format!("the function {panic}"));
    }
    if state.logs.allocation_failed {
        let limit = spec.memory_mib;
        return (
            ErrorKind::OutOfMemory,
            format!("the function needs more than its {limit} MiB of memory: raise #[function(memory = …)]"),
        );
    }
    match trap {
        Some(TrapCode::StackOverflow) => stack_overflow(),
        Some(TrapCode::HeapAccessOutOfBounds) if error.trace().len() >= DEEP_STACK_FRAMES => stack_overflow(),
        Some(TrapCode::UnreachableCodeReached) => (
            ErrorKind::Trap,
            "the function aborted (it reached `unreachable`): a panic without a message, or abort()".into(),
        ),
        Some(code) => (ErrorKind::Trap, format!("the function trapped: {}", code.message())),
        None => (ErrorKind::Trap, format!("the function trapped: {}", error.message())),
    }
}

pub(super) fn overdue(why: Overdue, spec: &FunctionSpec) -> (ErrorKind, String) {
    match why {
        Overdue::Wall => (
            ErrorKind::TimedOut,
            format!(
                "the function ran longer than its timeout of {:?}: make it quicker, or raise \
                 #[function(timeout = …)]",
                spec.timeout
            ),
        ),
        Overdue::Cpu => (
            ErrorKind::CpuExceeded,
            format!(
                "the function used more than the {:?} of CPU time that one invocation has",
                spec.cpu_limit.unwrap_or_default()
            ),
        ),
    }
}

fn stack_overflow() -> (ErrorKind, String) {
    (
        ErrorKind::StackOverflow,
        "the function's stack overflowed: endless recursion, or very large locals".into(),
    )
}

/// Readable names, innermost first, without the frames that every panic begins with.
fn backtrace<'a>(names: impl Iterator<Item = Option<&'a str>>) -> Vec<String> {
    let mut frames: Vec<String> = names
        .map(|name| name.map_or_else(|| "<unnamed>".into(), names::readable))
        .take(MAX_FRAMES + 16)
        .collect();
    let machinery = frames.iter().take(16).rposition(|frame| is_panic_machinery(frame)).map_or(0, |i| i + 1);
    if machinery < frames.len() {
        frames.drain(..machinery);
    }
    frames.truncate(MAX_FRAMES);
    frames
}

fn is_panic_machinery(frame: &str) -> bool {
    [
        "std::panicking::",
        "core::panicking::",
        "std::sys::backtrace::",
        "__rust",
        "rust_panic",
        "abort",
        "std::process::abort",
    ]
    .iter()
    .any(|prefix| frame.starts_with(prefix))
        || frame.contains("begin_unwind")
        || frame.contains("handle_alloc_error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backtraces_begin_with_the_users_code() {
        let names = [
            Some("_ZN3std9panicking11begin_panic17h0123456789abcdefE"),
            Some("rust_begin_unwind"),
            Some("_ZN4core9panicking9panic_fmt17h0123456789abcdefE"),
            Some("_ZN5hello5greet17h0123456789abcdefE"),
            None,
        ];
        assert_eq!(backtrace(names.into_iter()), ["hello::greet", "<unnamed>"]);
    }

    #[test]
    fn a_backtrace_of_nothing_but_machinery_is_kept() {
        assert_eq!(backtrace([Some("rust_begin_unwind")].into_iter()), ["rust_begin_unwind"]);
    }
}
