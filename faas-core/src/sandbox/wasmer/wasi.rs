//! The part of `wasi_snapshot_preview1` that a function gets: clock, randomness, standard output, environment.
//!
//! No files, no sockets, no sleep. Everything else that a module imports answers `ENOSYS`, so that std links and
//! reports an error where it is used. Small on purpose: what is not there cannot be abused, and what is there
//! is determined by the injected clock and seed.

use wasmer::{Exports, Function, FunctionEnv, FunctionEnvMut, FunctionType, Module, StoreMut, Type, Value};

use super::state::{GuestFault, GuestState, Stream, read, with_writer};

/// The import module's name.
pub(super) const MODULE: &str = "wasi_snapshot_preview1";

/// Result codes, as WASI numbers them.
mod errno {
    pub(super) const SUCCESS: i32 = 0;
    pub(super) const BADF: i32 = 8;
    pub(super) const INVAL: i32 = 28;
    pub(super) const NOSYS: i32 = 52;
    pub(super) const SPIPE: i32 = 70;
}

const FILETYPE_CHARACTER_DEVICE: u8 = 2;
/// The most that one `fd_write` takes in all.
const MAX_WRITE_BYTES: usize = 64 << 10;
const MAX_IOVECS: u32 = 64;
const MAX_RANDOM_BYTES: u32 = 1 << 20;

type Env<'a> = FunctionEnvMut<'a, GuestState>;

/// The type of what is offered here by this name. Whatever else there is in WASI gives an error number, one `i32`.
pub(super) fn type_of(name: &str) -> Option<FunctionType> {
    use Type::{I32, I64};
    let params: &[Type] = match name {
        "sched_yield" => &[],
        "fd_close" | "proc_exit" => &[I32],
        "args_get" | "args_sizes_get" | "clock_res_get" | "environ_get" | "environ_sizes_get"
        | "fd_fdstat_get" | "fd_prestat_get" | "random_get" => &[I32, I32],
        "clock_time_get" => &[I32, I64, I32],
        "fd_read" | "fd_write" | "poll_oneoff" => &[I32, I32, I32, I32],
        "fd_seek" => &[I32, I64, I32, I32],
        _ => return None,
    };
    let results: &[Type] = if name == "proc_exit" { &[] } else { &[I32] };
    Some(FunctionType::new(params, results))
}

/// What `module` imports of WASI. Its types have been checked.
pub(super) fn imported_by(
    module: &Module,
    store: &mut StoreMut<'_>,
    env: &FunctionEnv<GuestState>,
) -> Exports {
    let mut exports = Exports::new();
    for import in module.imports().functions().filter(|import| import.module() == MODULE) {
        let function = match import.name() {
            "args_get" => Function::new_typed_with_env(store, env, args_get),
            "args_sizes_get" => Function::new_typed_with_env(store, env, args_sizes_get),
            "clock_res_get" => Function::new_typed_with_env(store, env, clock_res_get),
            "clock_time_get" => Function::new_typed_with_env(store, env, clock_time_get),
            "environ_get" => Function::new_typed_with_env(store, env, environ_get),
            "environ_sizes_get" => Function::new_typed_with_env(store, env, environ_sizes_get),
            "fd_close" => Function::new_typed_with_env(store, env, fd_close),
            "fd_fdstat_get" => Function::new_typed_with_env(store, env, fd_fdstat_get),
            "fd_prestat_get" => Function::new_typed_with_env(store, env, fd_prestat_get),
            "fd_read" => Function::new_typed_with_env(store, env, fd_read),
            "fd_seek" => Function::new_typed_with_env(store, env, fd_seek),
            "fd_write" => Function::new_typed_with_env(store, env, fd_write),
            "poll_oneoff" => Function::new_typed_with_env(store, env, poll_oneoff),
            "proc_exit" => Function::new_typed_with_env(store, env, proc_exit),
            "random_get" => Function::new_typed_with_env(store, env, random_get),
            "sched_yield" => Function::new_typed_with_env(store, env, sched_yield),
            _ => Function::new(store, import.ty(), |_| Ok(vec![Value::I32(errno::NOSYS)])),
        };
        exports.insert(import.name(), function);
    }
    exports
}

// ---- arguments and environment ----

fn list_sizes(
    env: &mut Env<'_>,
    import: &'static str,
    list: fn(&GuestState) -> &[Vec<u8>],
    count_ptr: u32,
    bytes_ptr: u32,
) -> Result<i32, GuestFault> {
    with_writer(env, import, |state, write| {
        state.check_alarm()?;
        let items = list(state);
        let bytes: usize = items.iter().map(|item| item.len() + 1).sum();
        write(count_ptr, &(items.len() as u32).to_le_bytes())?;
        write(bytes_ptr, &(bytes as u32).to_le_bytes())?;
        Ok(errno::SUCCESS)
    })
}

fn list_get(
    env: &mut Env<'_>,
    import: &'static str,
    list: fn(&GuestState) -> &[Vec<u8>],
    pointers_ptr: u32,
    bytes_ptr: u32,
) -> Result<i32, GuestFault> {
    with_writer(env, import, |state, write| {
        state.check_alarm()?;
        let mut at = bytes_ptr;
        for (i, item) in list(state).iter().enumerate() {
            write(pointers_ptr.wrapping_add(4 * i as u32), &at.to_le_bytes())?;
            write(at, item)?;
            at = at.wrapping_add(item.len() as u32);
            write(at, &[0])?;
            at = at.wrapping_add(1);
        }
        Ok(errno::SUCCESS)
    })
}

fn args_sizes_get(mut env: Env<'_>, count: u32, bytes: u32) -> Result<i32, GuestFault> {
    list_sizes(&mut env, "args_sizes_get", |state| &state.args, count, bytes)
}

fn args_get(mut env: Env<'_>, pointers: u32, bytes: u32) -> Result<i32, GuestFault> {
    list_get(&mut env, "args_get", |state| &state.args, pointers, bytes)
}

fn environ_sizes_get(mut env: Env<'_>, count: u32, bytes: u32) -> Result<i32, GuestFault> {
    list_sizes(&mut env, "environ_sizes_get", |state| &state.environment, count, bytes)
}

fn environ_get(mut env: Env<'_>, pointers: u32, bytes: u32) -> Result<i32, GuestFault> {
    list_get(&mut env, "environ_get", |state| &state.environment, pointers, bytes)
}

// ---- time and randomness ----

/// The wall clock, and the one for durations; the CPU clocks are not offered. Where there is no wall they are one timeline.
const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;

fn is_clock(id: u32) -> bool {
    matches!(id, REALTIME | MONOTONIC)
}

fn clock_time_get(mut env: Env<'_>, id: u32, _precision: u64, ptr: u32) -> Result<i32, GuestFault> {
    with_writer(&mut env, "clock_time_get", |state, write| {
        state.check_alarm()?;
        if !is_clock(id) {
            return Ok(errno::INVAL);
        }
        if let Some(init) = &mut state.init {
            init.clock = true;
        }
        let time = if id == REALTIME { state.clock.wall() } else { state.clock.now() };
        write(ptr, &time.unix_nanos().to_le_bytes())?;
        Ok(errno::SUCCESS)
    })
}

fn clock_res_get(mut env: Env<'_>, id: u32, ptr: u32) -> Result<i32, GuestFault> {
    with_writer(&mut env, "clock_res_get", |state, write| {
        state.check_alarm()?;
        if !is_clock(id) {
            return Ok(errno::INVAL);
        }
        write(ptr, &1u64.to_le_bytes())?;
        Ok(errno::SUCCESS)
    })
}

fn random_get(mut env: Env<'_>, ptr: u32, len: u32) -> Result<i32, GuestFault> {
    with_writer(&mut env, "random_get", |state, write| {
        state.check_alarm()?;
        if len > MAX_RANDOM_BYTES {
            return Ok(errno::INVAL);
        }
        let mut bytes = vec![0; len as usize];
        state.random.fill(&mut bytes);
        if let Some(init) = &mut state.init {
            init.drew(&bytes);
        }
        write(ptr, &bytes)?;
        Ok(errno::SUCCESS)
    })
}

// ---- standard streams ----

fn fd_write(mut env: Env<'_>, fd: u32, iovecs: u32, count: u32, written_ptr: u32) -> Result<i32, GuestFault> {
    const IMPORT: &str = "fd_write";
    env.data().check_alarm()?;
    let stream = match fd {
        1 => Stream::Stdout,
        2 => Stream::Stderr,
        _ => return Ok(errno::BADF),
    };
    let iovecs = read(&mut env, IMPORT, iovecs, 8 * count.min(MAX_IOVECS) as usize)?;
    let mut written = 0;
    for iovec in iovecs.chunks_exact(8) {
        let field = |at: usize| u32::from_le_bytes([iovec[at], iovec[at + 1], iovec[at + 2], iovec[at + 3]]);
        let len = (field(4) as usize).min(MAX_WRITE_BYTES - written);
        let bytes = read(&mut env, IMPORT, field(0), len)?;
        env.data_mut().logs.write(stream, &bytes);
        written += len;
    }
    with_writer(&mut env, IMPORT, |_, write| {
        write(written_ptr, &(written as u32).to_le_bytes())?;
        Ok(errno::SUCCESS)
    })
}

/// Standard input is empty.
fn fd_read(mut env: Env<'_>, fd: u32, _iovecs: u32, _count: u32, read_ptr: u32) -> Result<i32, GuestFault> {
    with_writer(&mut env, "fd_read", |state, write| {
        state.check_alarm()?;
        if fd != 0 {
            return Ok(errno::BADF);
        }
        write(read_ptr, &0u32.to_le_bytes())?;
        Ok(errno::SUCCESS)
    })
}

fn fd_fdstat_get(mut env: Env<'_>, fd: u32, ptr: u32) -> Result<i32, GuestFault> {
    with_writer(&mut env, "fd_fdstat_get", |state, write| {
        state.check_alarm()?;
        if fd > 2 {
            return Ok(errno::BADF);
        }
        // a character device without flags, whose rights std does not look at
        let mut stat = [0; 24];
        stat[0] = FILETYPE_CHARACTER_DEVICE;
        write(ptr, &stat)?;
        Ok(errno::SUCCESS)
    })
}

fn fd_seek(env: Env<'_>, fd: u32, _offset: i64, _whence: u32, _ptr: u32) -> Result<i32, GuestFault> {
    env.data().check_alarm()?;
    Ok(if fd > 2 { errno::BADF } else { errno::SPIPE })
}

fn fd_close(env: Env<'_>, fd: u32) -> Result<i32, GuestFault> {
    env.data().check_alarm()?;
    Ok(if fd > 2 { errno::BADF } else { errno::SUCCESS })
}

/// No folder is open: libc's search for some ends at the first.
fn fd_prestat_get(env: Env<'_>, _fd: u32, _ptr: u32) -> Result<i32, GuestFault> {
    env.data().check_alarm()?;
    Ok(errno::BADF)
}

// ---- the rest ----

fn poll_oneoff(mut env: Env<'_>, _in: u32, _out: u32, _count: u32, _ptr: u32) -> Result<i32, GuestFault> {
    let state = env.data_mut();
    state.check_alarm()?;
    state.logs.remark(
        "std::thread::sleep would block the instance and is not offered: use faas_core::sleep(…).await",
    );
    Ok(errno::NOSYS)
}

fn sched_yield(env: Env<'_>) -> Result<i32, GuestFault> {
    env.data().check_alarm()?;
    Ok(errno::SUCCESS)
}

fn proc_exit(_: Env<'_>, code: u32) -> Result<(), GuestFault> {
    Err(GuestFault::Exit(code))
}
