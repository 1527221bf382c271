//! One instantiated module: its store, its exports, and the two ways into it, `init` and `poll`.
//!
//! Blocking and single-threaded: whoever calls decides on which thread. Every entry is watched, so every entry
//! ends.

use std::{sync::Arc, task::Waker, time::Duration};

use wasmer::{FunctionEnv, Imports, Interrupter, Memory, RuntimeError, Store, TypedFunction};

use super::{
    calls::Calls,
    engine, fault, imports,
    interrupt::{self, MemoryAt},
    lines::Budget,
    memory::{
        Image, Slots, Start,
        seeds::{InitReads, KEYS_BYTES, NotRestorable},
    },
    module::Compiled,
    random::Random,
    state::{GuestFault, GuestState, Logs},
    wasi,
    watchdog::{Alarm, Bounds, Watchdog},
};
use crate::{
    abi,
    clock::SharedClock,
    invocation::{ErrorKind, FunctionSpec, InvocationError},
    transition::SharedObserver,
};

/// Polls in a row that a guest may ask for itself, before others are let in between.
const SELF_WAKES: u32 = 32;
/// CPU and wall time that dropping a call's future may take.
const CANCEL_GRACE: Duration = Duration::from_millis(50);

/// What an instance starts from.
pub(super) struct Origin<'a> {
    pub(super) compiled: &'a Compiled,
    pub(super) slots: &'a Arc<Slots>,
    /// The function's initialised state, once there is one.
    pub(super) image: Option<&'a Arc<Image>>,
    pub(super) spec: &'a Arc<FunctionSpec>,
    pub(super) environment: &'a [(String, String)],
    pub(super) clock: &'a SharedClock,
    pub(super) observer: &'a SharedObserver,
    pub(super) watchdog: &'a Watchdog,
}

pub(super) struct Guest {
    store: Store,
    env: FunctionEnv<GuestState>,
    memory: Memory,
    poll: TypedFunction<u32, i32>,
    cancel: TypedFunction<u32, ()>,
    interrupter: Interrupter,
    alarm: Arc<Alarm>,
    spec: Arc<FunctionSpec>,
    start: Arc<Start>,
}

// SAFETY: wasmer's store is not `Send` because it may hold what is not: the values of function environments, a
// callback for after a call, and pointers into itself. Here the one environment is a `GuestState`, which is
// `Send` (asserted below), host functions are `Send + Sync` by wasmer's bounds, no callback is ever set, and the
// pointers lead to heap memory that the store owns, which moves with it. What wasmer keeps in thread-locals (trap
// handler, coroutine stack, interrupt state, current store) is set up and torn down within each call. So a guest
// may move between threads while nobody is in it, and only `&mut self` gets into it.
unsafe impl Send for Guest {}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<GuestState>();
};

/// How a poll left its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Polled {
    Pending,
    Done,
}

impl Guest {
    /// Instantiates the module and runs its init, or begins as the image that another's init has left.
    pub(super) fn start(origin: &Origin<'_>, random: Random) -> Result<Self, InvocationError> {
        let Origin { compiled, spec, .. } = *origin;
        if compiled.memory_min_mib() > spec.memory_mib {
            let message = format!(
                "the module needs {} MiB of memory from the start, the function has {}: raise \
                 #[function(memory = …)]",
                compiled.memory_min_mib(),
                spec.memory_mib
            );
            return Err(InvocationError::new(ErrorKind::InitFailed, message));
        }
        let alarm = Arc::new(Alarm::default());
        let memory_at = MemoryAt::default();
        let start = Arc::new(Start::new(origin.slots.clone(), origin.image.cloned(), memory_at.clone()));
        let mut store = Store::new(engine::limited(compiled.engine(), spec.memory_mib, start.clone()));
        store.set_trap_handler(interrupt::handler(memory_at));
        let env = FunctionEnv::new(&mut store, state(origin, random, &alarm));
        let mut imports = Imports::new();
        imports.register_namespace(abi::IMPORT_MODULE, imports::all(&mut store_mut(&mut store), &env));
        imports.register_namespace(
            wasi::MODULE,
            wasi::imported_by(compiled.module(), &mut store_mut(&mut store), &env),
        );

        let interrupter = store.interrupter();
        let deadline = origin.clock.now() + spec.init_timeout;
        // instantiation runs guest code too, where a module has a start function
        let watched = origin.watchdog.enter(Bounds { deadline, cpu_left: None }, &alarm, &interrupter);
        let instance = wasmer::Instance::new(&mut store, compiled.module(), &imports).map_err(|error| {
            let (kind, message) = match &error {
                wasmer::InstantiationError::Start(trap) => {
                    let error = fault::explain(trap, env.as_ref(&store), spec);
                    return init_failed(&error, spec);
                }
                other => match start.refusal() {
                    Some(why) => {
                        (ErrorKind::Platform, format!("the host has no memory for an instance: {why}"))
                    }
                    None => (ErrorKind::InitFailed, format!("the instance could not be made: {other}")),
                },
            };
            InvocationError::new(kind, message)
        })?;

        let missing = |error: wasmer::ExportError| {
            InvocationError::new(ErrorKind::InitFailed, format!("the module lacks an export: {error}"))
        };
        let memory = instance.exports.get_memory(abi::export::MEMORY).map_err(missing)?.clone();
        let init =
            instance.exports.get_typed_function::<(), i32>(&store, abi::export::INIT).map_err(missing)?;
        let poll = instance.exports.get_typed_function(&store, abi::export::POLL).map_err(missing)?;
        let cancel = instance.exports.get_typed_function(&store, abi::export::CANCEL).map_err(missing)?;
        env.as_mut(&mut store).memory = Some(memory.clone());

        let mut guest =
            Guest { store, env, memory, poll, cancel, interrupter, alarm, spec: spec.clone(), start };
        if guest.start.image().is_none() {
            guest.initialise(&init)?;
        } else {
            guest.restore();
        }
        drop(watched);
        Ok(guest)
    }

    /// Runs the guest's init. Watched by the caller.
    fn initialise(&mut self, init: &TypedFunction<(), i32>) -> Result<(), InvocationError> {
        let initialised = init.call(&mut self.store);
        self.end_logs();
        match initialised {
            Ok(abi::init::OK) => Ok(()),
            Ok(code) => {
                let message = match self.env.as_mut(&mut self.store).panic.take() {
                    Some(why) => format!("the function's init failed: {why}"),
                    None => format!("the function's init failed with code {code}"),
                };
                Err(InvocationError::new(ErrorKind::InitFailed, message))
            }
            Err(trap) => {
                Err(init_failed(&fault::explain(&trap, self.env.as_ref(&self.store), &self.spec), &self.spec))
            }
        }
    }

    /// Makes an image of what init has left. To be asked before the first call, and once.
    pub(super) fn take_image(&mut self) -> Result<Image, NotRestorable> {
        let reads = self.env.as_mut(&mut self.store).init.take().unwrap_or_default();
        let view = self.memory.view(&self.store);
        // SAFETY: the store is this guest's own, and `&mut self` keeps everyone out of it: nobody writes to its memory.
        unsafe { self.start.take_image(view.data_unchecked(), &reads) }
    }

    /// Goes back to the image that it began as: memory, globals and all that the host knows of it. False when that
    /// cannot be done, or it began as none: then it must be dropped.
    pub(super) fn retire(&mut self) -> bool {
        if self.start.image().is_none() || self.calls().len() > 0 {
            return false;
        }
        let is_reset = self.memory.reset(&mut self.store).is_ok();
        self.env.as_mut(&mut self.store).renew();
        debug_assert!(!is_reset || self.is_as_imaged(), "a retired guest differs from a new one");
        is_reset
    }

    /// Whether all that the guest can read is as the image has it. Tables need no look: a module that could change
    /// one has no image.
    fn is_as_imaged(&mut self) -> bool {
        // SAFETY: the store is this guest's own, and `&mut self` keeps everyone out of it.
        unsafe { self.start.restore_globals() };
        let memory = self.memory.view(&self.store).copy_to_vec();
        // SAFETY: as above.
        memory.is_ok_and(|memory| unsafe { self.start.is_as_imaged(&memory) })
    }

    /// Starts anew from where [`Guest::retire`] has left it, with randomness of its own.
    pub(super) fn revive(&mut self, random: Random) {
        self.env.as_mut(&mut self.store).random = random;
        self.restore();
    }

    /// Puts globals and seeds where the image has them; its memory is there already.
    fn restore(&mut self) {
        self.start.enter();
        // SAFETY: the store is this guest's own, and `&mut self` keeps everyone out of it.
        unsafe { self.start.restore_globals() };
        let Some(image) = self.start.image() else { return };
        for at in image.seeds.cells() {
            let mut keys = [0; KEYS_BYTES];
            self.env.as_mut(&mut self.store).random.fill(&mut keys);
            // within the image, and so within the memory that begins as it
            let _ = self.memory.view(&self.store).write(at, &keys);
        }
    }

    /// The calls, for whoever begins and ends them.
    pub(super) fn calls(&mut self) -> &mut Calls {
        &mut self.env.as_mut(&mut self.store).calls
    }

    /// Bytes of linear memory. It never shrinks, so this is also the most there has been.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory.view(&self.store).data_size()
    }

    /// Polls a call once, and again while the guest asks for it, on behalf of `waker`.
    ///
    /// # Errors
    /// The guest trapped or was stopped. It must not be entered again.
    pub(super) fn poll(
        &mut self,
        number: u32,
        waker: &Waker,
        bounds: Bounds,
        watchdog: &Watchdog,
    ) -> Result<Polled, InvocationError> {
        self.enter(number, |guest| {
            let _watched = watchdog.enter(bounds, &guest.alarm, &guest.interrupter);
            for _ in 0..SELF_WAKES {
                guest.calls().begin_poll(number, waker);
                match guest.poll.call(&mut guest.store, number)? {
                    abi::poll::DONE => return Ok(Polled::Done),
                    abi::poll::PENDING => {}
                    other => return Err(RuntimeError::user(Box::new(GuestFault::NoAnswer(other)))),
                }
                if !guest.calls().is_woken(number) {
                    return Ok(Polled::Pending);
                }
            }
            waker.wake_by_ref();
            Ok(Polled::Pending)
        })
    }

    /// Lets the guest drop a call's future.
    ///
    /// # Errors
    /// As for [`Guest::poll`].
    pub(super) fn cancel(
        &mut self,
        number: u32,
        watchdog: &Watchdog,
        clock: &SharedClock,
    ) -> Result<(), InvocationError> {
        let bounds = Bounds { deadline: clock.now() + CANCEL_GRACE, cpu_left: None };
        let cancelled = self.enter(number, |guest| {
            let _watched = watchdog.enter(bounds, &guest.alarm, &guest.interrupter);
            guest.calls().begin_poll(number, Waker::noop());
            guest.cancel.call(&mut guest.store, number)
        });
        self.calls().remove(number);
        cancelled
    }

    /// Runs `f` with `number` as the current call, whose log lines are its own.
    fn enter<R>(
        &mut self,
        number: u32,
        f: impl FnOnce(&mut Self) -> Result<R, RuntimeError>,
    ) -> Result<R, InvocationError> {
        let state = self.env.as_mut(&mut self.store);
        let (id, budget) = match state.calls.get(number) {
            Some(call) => (Some(call.id.clone()), call.log_budget),
            None => (None, Budget::default()),
        };
        state.logs.begin(id, budget);
        self.start.enter();
        state.current = Some(number);
        let result = f(self);
        let state = self.env.as_mut(&mut self.store);
        state.current = None;
        let budget = state.logs.budget();
        if let Some(call) = state.calls.get(number) {
            call.log_budget = budget;
        }
        result.map_err(|error| {
            let error = fault::explain(&error, self.env.as_ref(&self.store), &self.spec);
            self.end_logs();
            error
        })
    }

    /// Passes on the unfinished lines of the call that was last polled.
    pub(super) fn end_logs(&mut self) {
        self.env.as_mut(&mut self.store).logs.end();
    }
}

fn store_mut(store: &mut Store) -> wasmer::StoreMut<'_> {
    wasmer::AsStoreMut::as_store_mut(store)
}

fn state(origin: &Origin<'_>, random: Random, alarm: &Arc<Alarm>) -> GuestState {
    let pair = |(name, value): &(String, String)| format!("{name}={value}").into_bytes();
    let mut environment: Vec<Vec<u8>> = origin.environment.iter().map(pair).collect();
    environment.push(format!("{}={}", abi::ENV_FUNCTION, origin.spec.name).into_bytes());
    GuestState {
        memory: None,
        clock: origin.clock.clone(),
        calls: Calls::new(origin.clock.clone()),
        current: None,
        logs: Logs::new(origin.spec.name.clone(), origin.observer.clone()),
        panic: None,
        alarm: alarm.clone(),
        random,
        init: origin.image.is_none().then(InitReads::default),
        environment,
        args: vec![origin.spec.name.as_bytes().to_vec()],
    }
}

/// A failure during init is told as one, with its own cause.
fn init_failed(error: &InvocationError, spec: &FunctionSpec) -> InvocationError {
    let message = if error.kind == ErrorKind::TimedOut {
        format!("the function's init took longer than the {:?} that it has", spec.init_timeout)
    } else {
        format!("the function's init failed: {}", error.message)
    };
    InvocationError { kind: ErrorKind::InitFailed, message, backtrace: error.backtrace.clone() }
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guest").field("function", &self.spec.name).finish_non_exhaustive()
    }
}
