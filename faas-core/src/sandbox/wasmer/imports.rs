//! The imports of module `faas_v1`: each translates pointers to slices and asks [`super::calls`].

use wasmer::{Exports, Function, FunctionEnv, FunctionEnvMut, FunctionType, StoreMut, Type};

use super::state::{GuestFault, GuestState, MAX_COPY_BYTES, read, with_writer};
use crate::{
    abi::{import, log, status},
    transition::LogLevel,
};

type Env<'a> = FunctionEnvMut<'a, GuestState>;

/// The type of the import of this ABI that has this name. All parameters and results are `i32`.
pub(super) fn type_of(name: &str) -> Option<FunctionType> {
    let (params, results) = match name {
        import::REQUEST_HEAD
        | import::BODY_READ
        | import::RESPONSE_HEAD
        | import::BODY_WRITE
        | import::OP_TAKE => (3, 1),
        import::OP_BEGIN => (4, 1),
        import::WAKE | import::OP_CLOSE => (1, 0),
        import::LOG => (3, 0),
        _ => return None,
    };
    Some(FunctionType::new(vec![Type::I32; params], vec![Type::I32; results]))
}

/// All of them, for one instance.
pub(super) fn all(store: &mut StoreMut<'_>, env: &FunctionEnv<GuestState>) -> Exports {
    let mut exports = Exports::new();
    exports.insert(import::REQUEST_HEAD, Function::new_typed_with_env(store, env, request_head));
    exports.insert(import::BODY_READ, Function::new_typed_with_env(store, env, body_read));
    exports.insert(import::RESPONSE_HEAD, Function::new_typed_with_env(store, env, response_head));
    exports.insert(import::BODY_WRITE, Function::new_typed_with_env(store, env, body_write));
    exports.insert(import::WAKE, Function::new_typed_with_env(store, env, wake));
    exports.insert(import::OP_BEGIN, Function::new_typed_with_env(store, env, op_begin));
    exports.insert(import::OP_TAKE, Function::new_typed_with_env(store, env, op_take));
    exports.insert(import::OP_CLOSE, Function::new_typed_with_env(store, env, op_close));
    exports.insert(import::LOG, Function::new_typed_with_env(store, env, write_log));
    exports
}

fn request_head(mut env: Env<'_>, call: u32, ptr: u32, cap: u32) -> Result<i32, GuestFault> {
    with_writer(&mut env, import::REQUEST_HEAD, |state, write| {
        state.check_alarm()?;
        let Some(call) = state.calls.get(call) else { return Ok(status::INVALID) };
        if call.head.len() <= cap as usize {
            write(ptr, &call.head)?;
        }
        Ok(i32::try_from(call.head.len()).unwrap_or(status::LIMIT))
    })
}

fn body_read(mut env: Env<'_>, call: u32, ptr: u32, cap: u32) -> Result<i32, GuestFault> {
    with_writer(&mut env, import::BODY_READ, |state, write| {
        state.check_alarm()?;
        let Some(call) = state.calls.get(call) else { return Ok(status::INVALID) };
        call.body_read(cap as usize, |bytes| write(ptr, bytes))
    })
}

fn response_head(mut env: Env<'_>, call: u32, ptr: u32, len: u32) -> Result<i32, GuestFault> {
    env.data().check_alarm()?;
    if len as usize > super::calls::MAX_HEAD_BYTES {
        return Ok(status::LIMIT);
    }
    let bytes = read(&mut env, import::RESPONSE_HEAD, ptr, len as usize)?.into();
    Ok(env.data_mut().calls.get(call).map_or(status::INVALID, |call| call.response_head(&bytes)))
}

fn body_write(mut env: Env<'_>, call: u32, ptr: u32, len: u32) -> Result<i32, GuestFault> {
    env.data().check_alarm()?;
    let room = match env.data_mut().calls.get(call).map(|call| call.body_room(len as usize)) {
        None => return Ok(status::INVALID),
        Some(Err(status)) => return Ok(status),
        Some(Ok(room)) => room,
    };
    let bytes = read(&mut env, import::BODY_WRITE, ptr, room)?;
    if let Some(call) = env.data_mut().calls.get(call) {
        call.body_write(bytes);
    }
    Ok(room as i32)
}

fn wake(mut env: Env<'_>, call: u32) -> Result<(), GuestFault> {
    let state = env.data_mut();
    state.check_alarm()?;
    state.calls.wake(call, state.current);
    Ok(())
}

fn op_begin(mut env: Env<'_>, call: u32, kind: u32, ptr: u32, len: u32) -> Result<i32, GuestFault> {
    env.data().check_alarm()?;
    if len as usize > MAX_COPY_BYTES {
        return Ok(status::LIMIT);
    }
    let input = read(&mut env, import::OP_BEGIN, ptr, len as usize)?;
    Ok(env.data_mut().calls.op_begin(call, kind, &input))
}

fn op_take(mut env: Env<'_>, handle: u32, ptr: u32, cap: u32) -> Result<i32, GuestFault> {
    with_writer(&mut env, import::OP_TAKE, |state, write| {
        state.check_alarm()?;
        state.calls.op_take(handle, cap as usize, |bytes| write(ptr, bytes))
    })
}

fn op_close(mut env: Env<'_>, handle: u32) -> Result<(), GuestFault> {
    let state = env.data_mut();
    state.check_alarm()?;
    state.calls.op_close(handle);
    Ok(())
}

fn write_log(mut env: Env<'_>, level: i32, ptr: u32, len: u32) -> Result<(), GuestFault> {
    env.data().check_alarm()?;
    // of a longer text the beginning; reading it checks the pointer
    let len = (len as usize).min(super::lines::MAX_LINE_BYTES);
    let text = read(&mut env, import::LOG, ptr, len)?;
    let state = env.data_mut();
    let level = match level {
        log::PANIC => {
            state.panic = Some(String::from_utf8_lossy(&text).into_owned());
            return Ok(());
        }
        log::ERROR => LogLevel::Error,
        log::WARN => LogLevel::Warn,
        log::INFO => LogLevel::Info,
        log::DEBUG => LogLevel::Debug,
        _ => LogLevel::Trace,
    };
    state.logs.event(level, &text);
    Ok(())
}
