//! A compiled module: loaded from bytes, checked against the ABI, ready to be instantiated.

use std::{fmt, sync::Arc};

use wasmer::{ExternType, FunctionType, Type};

use super::{
    cache,
    engine::{self, Tier},
    memory::restorable::{self, Keeps},
    names,
};
use crate::{
    abi::{self, manifest},
    printable,
};

/// Globals that a module may have. Each is some hundred bytes of the host's memory in every instance, which no memory
/// limit counts. Modules that rustc makes have three.
const MAX_GLOBALS: usize = 10_000;
/// Imports that a module may have. Each start makes a function of the host's for each: 0.4 ms for so many. The host offers
/// some thirty; unknown ones of WASI are there as well, and answer that they are not.
const MAX_IMPORTS: usize = 1_000;
/// Exports that a module may have. Each start looks each up and gives it a name: 1.4 ms for so many. rustc makes a handful, and
/// with `--export-all` it is as many as there are functions in a C program.
const MAX_EXPORTS: usize = 10_000;
/// Elements that the segments for tables may have, all together. Each instance has a copy of what is not placed at its start.
/// As many as tables may hold; rustc makes one for each function whose address is taken.
const MAX_ELEMENTS: usize = engine::MAX_TABLE_ELEMENTS as usize;
/// Segments that these may come in.
const MAX_ELEMENT_SEGMENTS: usize = 10_000;

/// Why bytes are not a module that can be run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModuleError {
    /// They are not wasm, or wasm that is broken or needs a feature that is off.
    NotWasm(String),
    /// Its manifest cannot be used, or there is none.
    Manifest(manifest::ManifestError),
    /// It lacks an export, or one has another type.
    Export {
        /// The export's name.
        name: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// It imports what no host of this ABI offers.
    Import {
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
    },
    /// It imports something that is offered, as something else than it is.
    ImportType {
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
        /// What it is.
        wanted: String,
    },
}

/// On one line, whatever the module has in its names.
impl fmt::Display for ModuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable::on_one_line(&format!("{}", Words(self))))
    }
}

/// An error's words, with names as the module has them.
struct Words<'a>(&'a ModuleError);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ModuleError::NotWasm(why) => {
                write!(f, "it is not a wasm module that can run here: {why}")
            }
            ModuleError::Manifest(error) => error.fmt(f),
            ModuleError::Export { name, wanted } => write!(
                f,
                "it does not export `{name}` as {wanted}: put `faas_core::main!();` in src/main.rs and build for \
                 wasm32-wasip1"
            ),
            ModuleError::Import { module, name } => write!(
                f,
                "it imports `{module}.{name}`, which is not offered: only `{}` and `wasi_snapshot_preview1` are \
                 (was it built for wasm32-wasip1?)",
                abi::IMPORT_MODULE
            ),
            ModuleError::ImportType { module, name, wanted } => write!(
                f,
                "it imports `{module}.{name}` with another type than it has: it is {wanted} (was it built for \
                 wasm32-wasip1?)"
            ),
        }
    }
}

impl std::error::Error for ModuleError {}

struct Inner {
    module: wasmer::Module,
    engine: wasmer::Engine,
    functions: Vec<manifest::Entry>,
    memory_min_mib: u32,
    keeps: Option<Keeps>,
    hash: String,
    tier: Tier,
}

/// A compiled module. Cheap to clone.
#[derive(Clone)]
pub(super) struct Compiled(Arc<Inner>);

impl Compiled {
    /// Takes `wasm` from the cache, or compiles it and puts it there; not what is unoptimised, which serves until the
    /// optimised code is ready and is not asked for again.
    pub(super) fn load(wasm: &[u8], tier: Tier, cache: Option<&cache::Cache>) -> Result<Self, ModuleError> {
        let engine = tier.engine();
        let readable = names::bounded(wasm);
        let name = cache::Name::of(&readable, &tier.fingerprint());
        let cache = cache.filter(|_| tier == Tier::Optimised);
        let cached = cache.and_then(|cache| cache.get(&name)).and_then(|code| {
            // SAFETY: the code is what such an engine (its fingerprint is part of the name) once serialised:
            // the cache has checked a MAC over name and content whose key only this user can read.
            unsafe { wasmer::Module::deserialize(&engine, code) }.ok()
        });
        let module = match cached {
            Some(module) => module,
            None => {
                if !wasm.starts_with(b"\0asm") {
                    return Err(ModuleError::NotWasm("it does not begin as wasm does".into()));
                }
                let module = wasmer::Module::new(&engine, &*readable)
                    .map_err(|e| ModuleError::NotWasm(e.to_string()))?;
                if let Some(cache) = cache
                    && let Ok(code) = module.serialize()
                {
                    // a full disk costs a compilation next time, no more
                    let _ = cache.put(&name, &code);
                }
                module
            }
        };
        let functions = check(&module)?;
        let (keeps, changes_tables) =
            restorable::keeps(wasm).map_err(|e| ModuleError::NotWasm(e.to_string()))?;
        check_tables(&module, changes_tables)?;
        let memory_min = module.exports().memories().map(|memory| memory.ty().minimum.0).max();
        let hash = blake3::hash(wasm).to_hex()[..32].to_owned();
        Ok(Compiled(Arc::new(Inner {
            module,
            engine,
            functions,
            memory_min_mib: memory_min.unwrap_or(0).div_ceil(16),
            keeps,
            hash,
            tier,
        })))
    }

    pub(super) fn module(&self) -> &wasmer::Module {
        &self.0.module
    }

    /// The engine that has its code.
    pub(super) fn engine(&self) -> &wasmer::Engine {
        &self.0.engine
    }

    pub(super) fn functions(&self) -> &[manifest::Entry] {
        &self.0.functions
    }

    /// Memory that an instance has from the start, in MiB rounded up.
    pub(super) fn memory_min_mib(&self) -> u32 {
        self.0.memory_min_mib
    }

    /// What its instances keep beside memory and numbers.
    pub(super) fn keeps(&self) -> Option<Keeps> {
        self.0.keeps
    }

    pub(super) fn hash(&self) -> &str {
        &self.0.hash
    }

    pub(super) fn tier(&self) -> Tier {
        self.0.tier
    }
}

/// Holds what each start costs the host, beside what limits count, against what is allowed.
fn check_counts(module: &wasmer::Module) -> Result<(), ModuleError> {
    let module = module.info();
    let segments = module.table_initializers.iter().map(|active| active.elements.len());
    let segments = segments.chain(module.passive_elements.values().map(|passive| passive.len()));
    for (what, has, max) in [
        ("globals", module.globals.len(), MAX_GLOBALS),
        ("imports", module.imports.len(), MAX_IMPORTS),
        ("exports", module.exports.len(), MAX_EXPORTS),
        ("element segments", segments.clone().count(), MAX_ELEMENT_SEGMENTS),
        ("elements in its segments", segments.sum(), MAX_ELEMENTS),
    ] {
        if has > max {
            return Err(ModuleError::NotWasm(format!("it has {has} {what}, {max} are allowed")));
        }
    }
    Ok(())
}

/// Holds the tables against what the engine allows, so that who is over it need not be started to be told.
fn check_tables(module: &wasmer::Module, changes_tables: bool) -> Result<(), ModuleError> {
    let room = module.info().tables.values().map(|table| u64::from(engine::max_elements(table))).sum::<u64>();
    let max = engine::max_table_elements(changes_tables);
    if room <= u64::from(max) {
        return Ok(());
    }
    let those = if changes_tables { " in those that a module may change while it runs" } else { "" };
    Err(ModuleError::NotWasm(format!("its tables have room for {room} elements, {max} are allowed{those}")))
}

/// Holds the module against the ABI. The manifest comes first: it tells a function of another version apart from
/// what is no function at all.
fn check(module: &wasmer::Module) -> Result<Vec<manifest::Entry>, ModuleError> {
    let mut section = Vec::new();
    for part in module.custom_sections(abi::MANIFEST_SECTION) {
        section.extend_from_slice(&part);
        section.push(b'\n');
    }
    let functions = manifest::parse(&section).map_err(ModuleError::Manifest)?;
    check_counts(module)?;

    let export = |name: &str| module.exports().find(|e| e.name() == name).map(|e| e.ty().clone());
    if !matches!(export(abi::export::MEMORY), Some(ExternType::Memory(_))) {
        return Err(ModuleError::Export { name: abi::export::MEMORY, wanted: "a memory" });
    }
    let functions_wanted: [(_, _, &[Type], &[Type]); 3] = [
        (abi::export::INIT, "a function () -> i32", &[], &[Type::I32]),
        (abi::export::POLL, "a function (i32) -> i32", &[Type::I32], &[Type::I32]),
        (abi::export::CANCEL, "a function (i32)", &[Type::I32], &[]),
    ];
    for (name, wanted, params, results) in functions_wanted {
        match export(name) {
            Some(ExternType::Function(ty)) if ty.params() == params && ty.results() == results => {}
            _ => return Err(ModuleError::Export { name, wanted }),
        }
    }
    for import in module.imports() {
        let (module, name) = (import.module().to_owned(), import.name().to_owned());
        let wanted = match import.module() {
            abi::IMPORT_MODULE => match super::imports::type_of(&name) {
                Some(wanted) => Some(wanted),
                None => return Err(ModuleError::Import { module, name }),
            },
            super::wasi::MODULE => super::wasi::type_of(&name),
            _ => return Err(ModuleError::Import { module, name }),
        };
        let fits = match (import.ty(), &wanted) {
            (ExternType::Function(ty), Some(wanted)) => ty == wanted,
            // what is not offered answers with an error number
            (ExternType::Function(ty), None) => ty.results() == [Type::I32],
            _ => false,
        };
        if !fits {
            let wanted =
                wanted.map_or_else(|| "a function with the result i32".to_owned(), |ty| in_words(&ty));
            return Err(ModuleError::ImportType { module, name, wanted });
        }
    }
    Ok(functions)
}

/// `a function (i32, i64) -> i32`.
fn in_words(ty: &FunctionType) -> String {
    let list =
        |types: &[Type]| types.iter().map(|ty| ty.to_string().to_lowercase()).collect::<Vec<_>>().join(", ");
    match ty.results() {
        [] => format!("a function ({})", list(ty.params())),
        results => format!("a function ({}) -> {}", list(ty.params()), list(results)),
    }
}
