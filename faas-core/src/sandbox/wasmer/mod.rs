//! Functions compiled to wasm, run by wasmer.
//!
//! ```text
//! Runtime ── cache (compiled code on disk)
//!    └─ Module ── module (ABI check), names ── engine (its compiler, and its code)
//!          └─ sandbox ── instance ── drive (one call)
//!                           ├─ guest (store, exports) ── imports, wasi ── state ── calls, lines, random
//!                           │    └─ memory (snapshots)
//!                           └─ watchdog, workers, interrupt, cpu, placement, compute, promptness, fault
//! ```
//!
//! This folder and the guest's exports hold all `unsafe` code of the crate. The ABI is [`crate::abi`]; nothing
//! here schedules, and nothing here bills.
//!
//! The first instance of a function runs its init. Those after it begin as a snapshot of what that has left, see
//! `memory`, and whoever is retired in good health begins again without being made anew.

#![allow(unsafe_code)]

mod cache;
mod calls;
mod compute;
mod cpu;
mod drive;
mod engine;
mod fault;
mod guest;
mod imports;
mod instance;
mod interrupt;
mod lines;
mod memory;
mod module;
mod names;
mod placement;
mod promptness;
mod random;
mod state;
mod wasi;
mod watchdog;
mod workers;

use std::{
    fmt,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub use engine::Tier;
pub use module::ModuleError;
use parking_lot::Mutex;
pub use promptness::run_promptly;

use crate::{
    abi::manifest,
    clock::{BoxFuture, SharedClock},
    invocation::{ErrorKind, FunctionSpec, Init, Injected, InvocationError, Origin},
    sandbox::{Sandbox, Started},
    transition::{LogLevel, LogLine, SharedObserver, Transition},
};

/// How a [`Runtime`] is set up.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Where compiled modules are kept; nowhere when absent.
    pub cache_dir: Option<PathBuf>,
    /// Determines the randomness of every guest; drawn from the operating system when absent.
    pub seed: Option<[u8; 32]>,
    /// How cold starts are shortened.
    pub starts: Starts,
    /// Whether time is real.
    pub pace: Pace,
    /// The most threads on which guests compute, of those that each function has one for each processor of, and of those for
    /// its others, which are further behind; when absent 2,048 each.
    pub max_compute_threads: Option<NonZeroUsize>,
}

/// Whether time is real.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// It is: guests that compute for long do so on threads of their own, and what they use is measured.
    #[default]
    Real,
    /// It is that of a clock which moves when everybody waits for it, as in tests. All runs on the thread that asks, so
    /// that nothing happens while the clock believes that everybody waits; computing takes no time, and none is measured.
    /// What a guest computes in one go is limited all the same, by its timeout in real CPU time.
    Virtual,
}

/// How cold starts are shortened. Less than everything is for measuring, and for finding out whether a fault is due to
/// one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Starts {
    /// Not at all: each start instantiates the module and runs its init.
    Plain,
    /// Instances after the first begin as copies of what its init has left.
    Snapshot,
    /// And those that are retired in good health go back to that, to begin again.
    #[default]
    Recycled,
}

/// Why a [`Runtime`] cannot be made.
#[derive(Debug)]
pub enum RuntimeError {
    /// The operating system refused a thread or randomness.
    System(std::io::Error),
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuntimeError::System(why) => write!(f, "the sandbox cannot start: {why}"),
        }
    }
}

impl std::error::Error for RuntimeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RuntimeError::System(why) => Some(why),
        }
    }
}

/// What all functions of a host share: cache, watchdog, clock.
pub struct Runtime {
    cache: Option<cache::Cache>,
    cache_remark: Option<String>,
    slots: Arc<memory::Slots>,
    watchdog: watchdog::Watchdog,
    inline: placement::InlineSlots,
    clock: SharedClock,
    observer: SharedObserver,
    handle: tokio::runtime::Handle,
    compute: compute::Compute,
    seed: [u8; 32],
    starts: Starts,
    pace: Pace,
    instances_started: AtomicU64,
}

impl Runtime {
    /// A runtime on the current tokio runtime, beside which it has threads of its own for guests that compute for long.
    ///
    /// Guests that are quick run on the workers of the tokio runtime, on all but one at a time. If there is a worker more than there are
    /// processors, that one is kept out of service until it is needed: so no quick guest has to give way to another.
    ///
    /// # Errors
    /// When the operating system refuses a thread. A cache that cannot be used is no error: see [`Runtime::cache_remark`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(
        config: Config,
        clock: SharedClock,
        observer: SharedObserver,
    ) -> Result<Arc<Self>, RuntimeError> {
        let handle = tokio::runtime::Handle::current();
        let processors = match config.pace {
            Pace::Real => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            // nobody is held
            Pace::Virtual => usize::MAX,
        };
        let workers = Arc::new(workers::Workers::of(handle.clone(), processors));
        let Config { cache_dir, seed, starts, pace, max_compute_threads } = config;
        let (cache, cache_remark) = match cache_dir.map(|dir| (cache::Cache::open(&dir), dir)) {
            Some((Ok(cache), _)) => {
                let remark = cache.remark().map(str::to_owned);
                (Some(cache), remark)
            }
            Some((Err(why), dir)) => {
                let dir = dir.display();
                (None, Some(format!("the cache of compiled modules, {dir}, is not used: {why}")))
            }
            None => (None, None),
        };
        let seed = match seed {
            Some(seed) => seed,
            None => {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).map_err(|why| RuntimeError::System(std::io::Error::other(why)))?;
                seed
            }
        };
        Ok(Arc::new(Runtime {
            cache,
            cache_remark,
            slots: Arc::default(),
            watchdog: watchdog::Watchdog::start(clock.clone(), pace, workers.clone())
                .map_err(RuntimeError::System)?,
            inline: match pace {
                Pace::Real => placement::InlineSlots::for_workers(workers.count()),
                Pace::Virtual => placement::InlineSlots::unlimited(),
            },
            clock,
            observer,
            compute: compute::Compute::within(handle.clone(), max_compute_threads)
                .map_err(RuntimeError::System)?,
            handle,
            seed,
            starts,
            pace,
            instances_started: AtomicU64::new(0),
        }))
    }

    /// Loads a module, from the cache or by compiling it. Blocks, for some twenty milliseconds or a hundred.
    ///
    /// # Errors
    /// When the bytes are not a module of this ABI; says what to do.
    pub fn load(self: &Arc<Self>, wasm: &[u8], tier: Tier) -> Result<Module, ModuleError> {
        let compiled = module::Compiled::load(wasm, tier, self.cache.as_ref())?;
        Ok(Module { compiled, runtime: self.clone() })
    }

    /// What the person who starts it should be told of the cache, if anything.
    pub fn cache_remark(&self) -> Option<&str> {
        self.cache_remark.as_deref()
    }

    /// Stops the guests that run at this moment, as at their deadline: for who ends, and knows that nobody waits for them.
    pub fn stop_guests(&self) {
        self.watchdog.stop_all();
    }

    /// Each instance has a stream of randomness of its own.
    fn next_random(&self) -> random::Random {
        random::Random::new(self.seed, self.instances_started.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("cache", &self.cache).finish_non_exhaustive()
    }
}

/// A module that is compiled and speaks the ABI.
#[derive(Clone)]
pub struct Module {
    compiled: module::Compiled,
    runtime: Arc<Runtime>,
}

impl Module {
    /// The module's functions, sorted by name.
    pub fn functions(&self) -> &[manifest::Entry] {
        self.compiled.functions()
    }

    /// Identifies the module's bytes: 32 hexadecimal digits.
    pub fn hash(&self) -> &str {
        self.compiled.hash()
    }

    /// Which compiler made it.
    pub fn tier(&self) -> Tier {
        self.compiled.tier()
    }

    /// A sandbox for one function of the module. `environment` is all that its guests see of one, beside
    /// [`ENV_FUNCTION`](crate::abi::ENV_FUNCTION).
    pub fn sandbox(&self, spec: Arc<FunctionSpec>, environment: Vec<(String, String)>) -> Arc<dyn Sandbox> {
        Arc::new(WasmSandbox(Arc::new(Function::new(self, spec, environment))))
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("hash", &self.hash())
            .field("tier", &self.tier())
            .finish_non_exhaustive()
    }
}

/// One generation of one function: what its instances share.
struct Function {
    compiled: module::Compiled,
    runtime: Arc<Runtime>,
    spec: Arc<FunctionSpec>,
    environment: Vec<(String, String)>,
    limits: calls::Limits,
    habit: placement::Habit,
    init_habit: placement::Habit,
    copy_habit: placement::Habit,
    places: compute::Places,
    /// What the first instance's init has left, or why others cannot begin as that.
    image: OnceLock<Result<Arc<memory::Image>, memory::seeds::NotRestorable>>,
    /// Guests that have gone back to the image.
    spare: Mutex<Vec<guest::Guest>>,
}

/// The memory of a guest that is given back is cleared by whoever has used it last if it is no larger: of the 60 ms that a GiB of
/// written memory takes, one.
const CLEARED_AT_ONCE_BYTES: u64 = 16 << 20;

/// Retired guests that are kept for one function. Each keeps what it has written, up to a MiB, and a slot.
const MAX_SPARE: usize = 32;

impl Function {
    fn new(module: &Module, spec: Arc<FunctionSpec>, environment: Vec<(String, String)>) -> Self {
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
    fn start_plainly(&self) -> Result<(guest::Guest, Duration, Duration), InvocationError> {
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
    fn take_back(self: &Arc<Self>, guest: guest::Guest, gone: bool) {
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

struct WasmSandbox(Arc<Function>);

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

#[cfg(test)]
mod tests;
