//! Functions compiled to wasm, run by wasmer.
//!
//! ```text
//! Runtime ── engine (two compilers) ── cache (compiled code on disk)
//!    └─ Module ── module (ABI check)
//!          └─ sandbox ── instance ── drive (one call)
//!                           ├─ guest (store, exports) ── imports, wasi ── state ── calls, lines
//!                           └─ watchdog, interrupt, cpu, placement, fault
//! ```
//!
//! This folder and the guest's exports hold all `unsafe` code of the crate. The ABI is [`crate::abi`]; nothing
//! here schedules, and nothing here bills.
//!
//! Instances are plain: each start instantiates the module and runs its init. Starting from a snapshot of
//! initialised memory belongs between `guest` and `engine`, and changes neither border.

#![allow(unsafe_code)]

mod cache;
mod calls;
mod cpu;
mod drive;
mod engine;
mod fault;
mod guest;
mod imports;
mod instance;
mod interrupt;
mod lines;
mod module;
mod placement;
mod state;
mod wasi;
mod watchdog;

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

pub use engine::Tier;
pub use module::ModuleError;

use crate::{
    abi::manifest,
    clock::{BoxFuture, SharedClock},
    invocation::{ErrorKind, FunctionSpec, InvocationError},
    sandbox::{Sandbox, Started},
    transition::SharedObserver,
};

/// How a [`Runtime`] is set up.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Where compiled modules are kept; nowhere when absent.
    pub cache_dir: Option<PathBuf>,
    /// Determines the randomness of every guest; drawn from the operating system when absent.
    pub seed: Option<[u8; 32]>,
}

/// Why a [`Runtime`] cannot be made.
#[derive(Debug)]
pub enum RuntimeError {
    /// The cache's folder cannot be used.
    Cache(PathBuf, std::io::Error),
    /// The operating system refused a thread or randomness.
    System(std::io::Error),
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuntimeError::Cache(dir, why) => {
                write!(f, "the cache of compiled modules, {}, cannot be used: {why}", dir.display())
            }
            RuntimeError::System(why) => write!(f, "the sandbox cannot start: {why}"),
        }
    }
}

impl std::error::Error for RuntimeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RuntimeError::Cache(_, why) | RuntimeError::System(why) => Some(why),
        }
    }
}

/// What all functions of a host share: compilers, cache, watchdog, clock.
pub struct Runtime {
    compilers: engine::Compilers,
    cache: Option<cache::Cache>,
    watchdog: watchdog::Watchdog,
    inline: placement::InlineSlots,
    clock: SharedClock,
    observer: SharedObserver,
    handle: tokio::runtime::Handle,
    seed: [u8; 32],
    instances_started: AtomicU64,
}

impl Runtime {
    /// A runtime on the current tokio runtime, whose blocking threads it uses for guests that compute for long.
    ///
    /// # Errors
    /// When the cache's folder cannot be used, or the operating system refuses a thread.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(
        config: Config,
        clock: SharedClock,
        observer: SharedObserver,
    ) -> Result<Arc<Self>, RuntimeError> {
        let handle = tokio::runtime::Handle::current();
        let cache = match config.cache_dir {
            Some(dir) => Some(cache::Cache::open(&dir).map_err(|why| RuntimeError::Cache(dir, why))?),
            None => None,
        };
        let seed = match config.seed {
            Some(seed) => seed,
            None => {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).map_err(|why| RuntimeError::System(std::io::Error::other(why)))?;
                seed
            }
        };
        Ok(Arc::new(Runtime {
            compilers: engine::Compilers::new(),
            cache,
            watchdog: watchdog::Watchdog::start(clock.clone()).map_err(RuntimeError::System)?,
            inline: placement::InlineSlots::for_workers(handle.metrics().num_workers()),
            clock,
            observer,
            handle,
            seed,
            instances_started: AtomicU64::new(0),
        }))
    }

    /// Loads a module, from the cache or by compiling it. Blocks, for some twenty milliseconds or a hundred.
    ///
    /// # Errors
    /// When the bytes are not a module of this ABI; says what to do.
    pub fn load(self: &Arc<Self>, wasm: &[u8], tier: Tier) -> Result<Module, ModuleError> {
        let compiled = module::Compiled::load(wasm, tier, self.compilers.get(tier), self.cache.as_ref())?;
        Ok(Module { compiled, runtime: self.clone() })
    }

    /// Each instance has a stream of randomness of its own.
    fn next_seed(&self) -> [u8; 32] {
        let n = self.instances_started.fetch_add(1, Ordering::Relaxed);
        *blake3::keyed_hash(&self.seed, &n.to_le_bytes()).as_bytes()
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
        let limits = calls::Limits {
            max_request_bytes: spec.max_request_bytes,
            max_reply_bytes: spec.max_reply_bytes,
        };
        Arc::new(WasmSandbox(Arc::new(Function {
            engine: self.compiled.compiler().limited(spec.memory_mib),
            compiled: self.compiled.clone(),
            runtime: self.runtime.clone(),
            spec,
            environment,
            limits,
            habit: placement::Habit::default(),
            init_habit: placement::Habit::default(),
        })))
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
    engine: wasmer::Engine,
    runtime: Arc<Runtime>,
    spec: Arc<FunctionSpec>,
    environment: Vec<(String, String)>,
    limits: calls::Limits,
    habit: placement::Habit,
    init_habit: placement::Habit,
}

impl Function {
    fn start(&self) -> Result<(guest::Guest, std::time::Duration), InvocationError> {
        let result = guest::Guest::start(&guest::Origin {
            compiled: &self.compiled,
            engine: &self.engine,
            spec: &self.spec,
            environment: &self.environment,
            seed: self.runtime.next_seed(),
            clock: &self.runtime.clock,
            observer: &self.runtime.observer,
            watchdog: &self.runtime.watchdog,
        });
        self.init_habit.observe(result.as_ref().map_or(std::time::Duration::MAX, |(_, cpu)| *cpu));
        result
    }
}

struct WasmSandbox(Arc<Function>);

impl Sandbox for WasmSandbox {
    fn start(&self) -> BoxFuture<'static, Result<Started, InvocationError>> {
        let function = self.0.clone();
        Box::pin(async move {
            let runtime = &function.runtime;
            let began = runtime.clock.now();
            let inline = match function.init_habit.is_trusted().then(|| runtime.inline.try_take()) {
                Some(Some(_slot)) => Some(function.start()),
                _ => None,
            };
            let (guest, init_cpu) = match inline {
                Some(started) => started?,
                None => {
                    let starting = function.clone();
                    let started = runtime.handle.spawn_blocking(move || starting.start());
                    started.await.map_err(|_| {
                        InvocationError::new(
                            ErrorKind::Platform,
                            "the host failed while it started the function",
                        )
                    })??
                }
            };
            let init_wall = runtime.clock.now().since(began);
            let instance = Arc::new(instance::WasmInstance::new(function.clone(), guest));
            Ok(Started { instance, init_wall, init_cpu })
        })
    }
}

impl fmt::Debug for WasmSandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WasmSandbox").field(&self.0.spec.name).finish()
    }
}
