//! wasmer's engines: cranelift in two tiers, and memories that refuse to grow past their limit.

use std::{ptr::NonNull, sync::Arc};

use wasmer::{
    Engine, GlobalType, MemoryType, Pages, TableType,
    sys::{
        BaseTunables, Cranelift, CraneliftOptLevel, EngineBuilder, Features, NativeEngineExt, Target,
        Tunables,
        vm::{
            MemoryError, MemoryStyle, TableStyle, VMGlobal, VMGlobalDefinition, VMMemory, VMMemoryDefinition,
            VMTable, VMTableDefinition,
        },
    },
};

use super::memory::Start;

/// How much work the compiler puts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Compiled without optimisation: ready sooner, slower to run.
    Fast,
    /// Optimised for speed.
    Optimised,
}

impl Tier {
    /// A stable name: `fast` or `optimised`.
    pub fn as_str(self) -> &'static str {
        match self {
            Tier::Fast => "fast",
            Tier::Optimised => "optimised",
        }
    }
}

impl Tier {
    /// Identifies everything that compiled code depends on but the module: wasmer's version (its exact pin), the compiler and
    /// the CPU.
    pub(super) fn fingerprint(self) -> String {
        let target = Target::default();
        format!("wasmer 7.4.2 {} {} {:?}", self.as_str(), target.triple(), target.cpu_features())
    }

    /// An engine for one module. wasmer keeps the code of what an engine has loaded until the engine goes, so each module
    /// has its own, and its code goes when it and its instances do.
    pub(super) fn engine(self) -> Engine {
        let mut cranelift = Cranelift::default();
        cranelift.opt_level(match self {
            Tier::Fast => CraneliftOptLevel::None,
            Tier::Optimised => CraneliftOptLevel::Speed,
        });
        EngineBuilder::new(cranelift).set_features(Some(features())).engine().into()
    }
}

/// A module's engine, for the one store whose instance begins as `start` says, and whose memory stops growing at
/// `memory_mib`. How many elements its tables may have is held against the bound when the module is loaded.
pub(super) fn limited(engine: &Engine, memory_mib: u32, start: Arc<Start>) -> Engine {
    let mut engine = engine.clone();
    // 16 pages of 64 KiB to a MiB
    let limit = Pages(memory_mib.saturating_mul(16).min(Pages::max_value().0));
    engine.set_tunables(Limited { base: BaseTunables::new(), limit, start });
    engine
}

/// What rustc emits for wasm32-wasip1, and nothing more: each feature left out is one that no guest can abuse.
/// Threads above all: shared memory would let a guest change what an import has just checked.
fn features() -> Features {
    let mut features = Features::none();
    features
        .bulk_memory(true)
        .multi_value(true)
        .reference_types(true)
        .simd(true)
        .extended_const(true)
        .tail_call(false)
        .threads(false);
    features
}

/// Elements that the tables of one instance may have in all. Each is eight bytes of the host's memory, which no
/// memory limit counts. Modules have one for each function whose address is taken: some hundreds.
pub(super) const MAX_TABLE_ELEMENTS: u32 = 1 << 18;
/// To how many elements a table may grow that begins with fewer. Nothing that rustc makes grows one.
const MAX_GROWN_ELEMENTS: u32 = 1 << 10;

/// And if the module may change them. An instruction that fills or copies a whole table is the host's code, where no guest can be
/// interrupted: it must be short beside what the guest does between two of them.
const MAX_CHANGED_ELEMENTS: u32 = 1 << 12;

/// Elements that the tables of one instance may have.
pub(super) fn max_table_elements(changes_tables: bool) -> u32 {
    if changes_tables { MAX_CHANGED_ELEMENTS } else { MAX_TABLE_ELEMENTS }
}

/// To how many elements a table may grow.
pub(super) fn max_elements(ty: &TableType) -> u32 {
    ty.maximum.unwrap_or(u32::MAX).min(MAX_GROWN_ELEMENTS.max(ty.minimum))
}

struct Limited {
    base: BaseTunables,
    limit: Pages,
    start: Arc<Start>,
}

impl Limited {
    fn cap(&self, ty: &MemoryType) -> Result<MemoryType, MemoryError> {
        if ty.minimum > self.limit {
            // told in better words, and earlier, for the memory that a module exports
            return Err(MemoryError::Generic("it begins over its limit".into()));
        }
        let maximum = ty.maximum.map_or(self.limit, |own| own.min(self.limit));
        Ok(MemoryType { maximum: Some(maximum), ..*ty })
    }
}

fn cap_table(ty: &TableType) -> TableType {
    TableType { maximum: Some(max_elements(ty)), ..*ty }
}

impl Tunables for Limited {
    fn memory_style(&self, memory: &MemoryType) -> MemoryStyle {
        self.base.memory_style(memory)
    }

    fn table_style(&self, table: &TableType) -> TableStyle {
        self.base.table_style(table)
    }

    fn create_host_memory(&self, ty: &MemoryType, style: &MemoryStyle) -> Result<VMMemory, MemoryError> {
        self.base.create_host_memory(&self.cap(ty)?, style)
    }

    unsafe fn create_vm_memory(
        &self,
        ty: &MemoryType,
        style: &MemoryStyle,
        definition: NonNull<VMMemoryDefinition>,
    ) -> Result<VMMemory, MemoryError> {
        // SAFETY: the caller's promise about `definition` is passed on unchanged; a smaller maximum asks no more.
        unsafe { self.start.memory(self.cap(ty)?, *style, definition) }
    }

    unsafe fn create_vm_global(
        &self,
        ty: GlobalType,
        definition: NonNull<VMGlobalDefinition>,
    ) -> Result<VMGlobal, String> {
        self.start.learn_global(ty, definition);
        // SAFETY: the caller's promise about `definition` is passed on unchanged.
        Ok(unsafe { VMGlobal::new_instance(ty, definition) })
    }

    fn create_host_table(&self, ty: &TableType, style: &TableStyle) -> Result<VMTable, String> {
        self.base.create_host_table(&cap_table(ty), style)
    }

    unsafe fn create_vm_table(
        &self,
        ty: &TableType,
        style: &TableStyle,
        definition: NonNull<VMTableDefinition>,
    ) -> Result<VMTable, String> {
        // SAFETY: the caller's promise about `definition` is passed on unchanged; a smaller maximum asks no more.
        unsafe { self.base.create_vm_table(&cap_table(ty), style, definition) }
    }
}
