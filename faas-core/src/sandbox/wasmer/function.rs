//! One generation of one function: how its instances start, and what becomes of those that end.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;

use super::{Module, Pace, Runtime, Starts, calls, compute, cpu, guest, instance, memory, module, placement};
use crate::{
    clock::BoxFuture,
    invocation::{ErrorKind, FunctionSpec, Init, Injected, InvocationError, Origin},
    sandbox::{Sandbox, Started},
    transition::{LogLevel, LogLine, Transition},
};

/// One generation of one function: what its instances share.
pub(super) struct Function {
    pub(super) compiled: module::Compiled,
    pub(super) runtime: Arc<Runtime>,
    pub(super) spec: Arc<FunctionSpec>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) limits: calls::Limits,
    pub(super) habit: placement::Habit,
    pub(super) init_habit: placement::Habit,
    pub(super) copy_habit: placement::Habit,
    pub(super) places: compute::Places,
    /// What the first instance's init has left, or why others cannot begin as that.
    pub(super) image: OnceLock<Result<Arc<memory::Image>, memory::seeds::NotRestorable>>,
    /// Guests that have gone back to the image.
    pub(super) spare: Mutex<Vec<guest::Guest>>,
}

/// The memory of a guest that is given back is cleared by whoever has used it last if it is no larger: of the 60 ms that a GiB of
/// written memory takes, one.
const CLEARED_AT_ONCE_BYTES: u64 = 16 << 20;

/// Retired guests that are kept for one function. Each keeps what it has written, up to a MiB, and a slot.
const MAX_SPARE: usize = 32;

impl Function {
    pub(super) fn new(module: &Module, spec: Arc<FunctionSpec>, environment: Vec<(String, String)>) -> Self {
        let Module { compiled, runtime } = module.clone();
        let limits = calls::Limits {
            max_request_bytes: spec.max_request_bytes,
            max_reply_bytes: spec.max_reply_bytes,
        };
        Function {
            habit: placement::Habit::new(runtime.pace),
            init_habit: placement::Habit::new(runtime.pace),
            copy_habit: placement::Habit::quick(),
            places: compute::Places::for_processors(),
            image: OnceLock::new(),
            spare: Mutex::default(),
            compiled,
            runtime,
            spec,
            environment,
            limits,
        }
    }

    /// A guest that has been retired, with randomness of its own.
    fn take_spare(&self) -> Option<guest::Guest> {
        let mut guest = self.spare.lock().pop()?;
        guest.revive(self.runtime.next_random());
        Some(guest)
    }

    /// The image, once there is one, and if there can be one.
    fn image(&self) -> Option<Arc<memory::Image>> {
        self.image.get()?.as_ref().ok().cloned()
    }

    /// A guest made from the image.
    fn start_copy(&self, image: &Arc<memory::Image>) -> Result<guest::Guest, InvocationError> {
        let stopwatch = cpu::Stopwatch::start(self.runtime.pace);
        let started = self.start_from(Some(image));
        self.copy_habit.observe(stopwatch.elapsed());
        started
    }

    /// A guest whose init runs now, the CPU time that this takes, and for how long the image has kept it afterwards. The
    /// first makes that.
    pub(super) fn start_plainly(&self) -> Result<(guest::Guest, Duration, Duration), InvocationError> {
        let stopwatch = cpu::Stopwatch::start(self.runtime.pace);
        let started = self.start_from(None);
        let cpu = stopwatch.elapsed();
        self.init_habit.observe(if started.is_ok() { cpu } else { Duration::MAX });
        let mut guest = started?;
        if self.runtime.starts == Starts::Plain {
            return Ok((guest, cpu, Duration::ZERO));
        }
        let began = self.runtime.clock.now();
        if self.image.get().is_none() {
            let image = match self.compiled.keeps() {
                Some(keeps) => Err(memory::seeds::NotRestorable::Module(keeps)),
                None => guest.take_image(),
            };
            self.keep(image);
        }
        Ok((guest, cpu, self.runtime.clock.now().since(began)))
    }

    /// Keeps what was found of the function's initialised state. What the system refuses now it may grant the next.
    fn keep(&self, image: Result<memory::Image, memory::seeds::NotRestorable>) {
        let is_final = !matches!(image, Err(memory::seeds::NotRestorable::System(_)));
        let image = image.map(Arc::new);
        let refusal = image.as_ref().err().cloned();
        // another start may have been quicker
        if (!is_final || self.image.set(image).is_ok())
            && let Some(why) = refusal
        {
            self.say_not_restorable(&why);
        }
    }

    fn start_from(&self, image: Option<&Arc<memory::Image>>) -> Result<guest::Guest, InvocationError> {
        let origin = guest::Origin {
            compiled: &self.compiled,
            slots: &self.runtime.slots,
            image,
            spec: &self.spec,
            environment: &self.environment,
            clock: &self.runtime.clock,
            observer: &self.runtime.observer,
            watchdog: &self.runtime.watchdog,
        };
        guest::Guest::start(&origin, self.runtime.next_random())
    }

    /// Takes back a guest that nobody uses any more: `gone` if it must not be entered again.
    pub(super) fn take_back(self: &Arc<Self>, guest: guest::Guest, gone: bool) {
        let has_little = guest.memory_bytes() <= CLEARED_AT_ONCE_BYTES;
        let clear = move |function: &Function| if gone { drop(guest) } else { function.retire(guest) };
        if has_little || self.runtime.pace == Pace::Virtual {
            return clear(self);
        }
        let function = self.clone();
        self.runtime.compute.spawn(self.places.take_now(), move || clear(&function));
    }

    fn retire(&self, mut guest: guest::Guest) {
        let may_recycle = self.runtime.starts == Starts::Recycled && self.spare.lock().len() < MAX_SPARE;
        if may_recycle && guest.retire() {
            self.spare.lock().push(guest);
        }
    }

    fn say_not_restorable(&self, why: &memory::seeds::NotRestorable) {
        let line = LogLine {
            id: None,
            function: self.spec.name.clone(),
            level: LogLevel::Host,
            text: match why {
                memory::seeds::NotRestorable::System(_) => {
                    format!("the next cold start runs the function's init again: {why}")
                }
                _ => format!(
                    "every cold start runs the function's init, as no snapshot of it can be used: {why}"
                ),
            },
        };
        self.runtime.observer.observe(&Transition::Log(&line));
    }
}

/// A function as the scheduler starts it.
pub(super) struct WasmSandbox(pub(super) Arc<Function>);

impl Sandbox for WasmSandbox {
    fn start(&self) -> BoxFuture<'static, Result<Started, InvocationError>> {
        let function = self.0.clone();
        Box::pin(async move {
            let runtime = &function.runtime;
            let mut began = runtime.clock.now();
            let (guest, origin, cpu) = if let Some(guest) = function.take_spare() {
                (guest, Origin::Recycled, Duration::ZERO)
            } else if let Some(image) = function.image() {
                (start_copy(&function, image).await?, Origin::Snapshot, Duration::ZERO)
            } else {
                let (guest, cpu, imaging) = start_plainly(&function).await?;
                // the host's own, for those who come after
                began = began + imaging;
                (guest, Origin::Plain, cpu)
            };
            let init =
                Init { origin, wall: runtime.clock.now().since(began), cpu, injected: Injected::default() };
            Ok(started(&function, guest, init))
        })
    }

    fn start_at_once(&self) -> Option<Started> {
        let began = self.0.runtime.clock.now();
        let guest = self.0.take_spare()?;
        let wall = self.0.runtime.clock.now().since(began);
        let init =
            Init { origin: Origin::Recycled, wall, cpu: Duration::ZERO, injected: Injected::default() };
        Some(started(&self.0, guest, init))
    }
}

fn started(function: &Arc<Function>, guest: guest::Guest, init: Init) -> Started {
    Started { instance: Arc::new(instance::WasmInstance::new(function.clone(), guest)), init }
}

/// Inline if the function's init is known to be quick, else on a thread that may be held.
async fn start_plainly(
    function: &Arc<Function>,
) -> Result<(guest::Guest, Duration, Duration), InvocationError> {
    let runtime = &function.runtime;
    if let Some(Some(_slot)) = function.init_habit.is_trusted().then(|| runtime.inline.take_soon()) {
        return function.start_plainly();
    }
    start_apart(function, Function::start_plainly).await
}

/// Inline unless the function's copies were found to take long: a module may have much else than memory.
async fn start_copy(
    function: &Arc<Function>,
    image: Arc<memory::Image>,
) -> Result<guest::Guest, InvocationError> {
    if function.copy_habit.is_trusted() {
        return function.start_copy(&image);
    }
    start_apart(function, move |function| function.start_copy(&image)).await
}

/// On a thread that may be held.
async fn start_apart<T: Send + 'static>(
    function: &Arc<Function>,
    start: impl FnOnce(&Function) -> Result<T, InvocationError> + Send + 'static,
) -> Result<T, InvocationError> {
    let starting = function.clone();
    let place = function.places.take().await;
    let started = function.runtime.compute.spawn(place, move || start(&starting)).await;
    started.map_err(|_| {
        InvocationError::new(ErrorKind::Platform, "the host failed while it started the function")
    })?
}

impl fmt::Debug for WasmSandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WasmSandbox").field(&self.0.spec.name).finish()
    }
}
