//! Functions compiled to wasm, run by wasmer.
//!
//! ```text
//! Runtime ── cache (compiled code on disk)
//!    └─ Module ── module (ABI check), names ── engine (its compiler, and its code)
//!          └─ function ── instance ── drive (one call)
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
mod function;
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
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

pub use engine::Tier;
use function::{Function, WasmSandbox};
pub use module::ModuleError;
pub use promptness::run_promptly;

use crate::{
    abi::manifest, clock::SharedClock, invocation::FunctionSpec, sandbox::Sandbox, transition::SharedObserver,
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

#[cfg(test)]
mod tests;
