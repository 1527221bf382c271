//! The same modules under wasmtime, by its own API.

use std::hint::black_box;

use faas_core::abi::envelope::HeadRef;
use wasmtime::{
    Caller, Config, Enabled, Engine, ExternType, InstanceAllocationStrategy, InstancePre, Linker, Memory, Module,
    PoolingAllocationConfig, Store, TypedFunc, Val,
};

/// How wasmtime allocates instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settings {
    /// Its default.
    OnDemand,
    /// The pooling allocator's own defaults.
    Pooling,
    /// All that helps it: memory and tables kept resident, reset by `PAGEMAP_SCAN`, as few slots as are used.
    Best,
}

/// What a store holds for the imports.
pub(crate) struct State {
    memory: Option<Memory>,
    head: Vec<u8>,
    environment: Vec<u8>,
    taken: Vec<u8>,
}

pub(crate) struct Wasmtime {
    engine: Engine,
    pre: InstancePre<State>,
    name: String,
}

pub(crate) struct Instance {
    store: Store<State>,
    poll: TypedFunc<u32, i32>,
}

impl Wasmtime {
    pub(crate) fn new(name: &str, wasm: &[u8], settings: Settings) -> Self {
        let mut config = Config::new();
        if settings != Settings::OnDemand {
            let mut pool = PoolingAllocationConfig::new();
            pool.total_core_instances(100).total_memories(100).total_tables(100);
            if settings == Settings::Best {
                pool.linear_memory_keep_resident(4 << 20)
                    .table_keep_resident(1 << 16)
                    .max_unused_warm_slots(100)
                    .pagemap_scan(Enabled::Yes);
            }
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        }
        let engine = Engine::new(&config).expect("an engine");
        let module = Module::new(&engine, wasm).expect("a module");
        let pre = linker(&engine, &module).instantiate_pre(&module).expect("all imports are there");
        Wasmtime { engine, pre, name: name.into() }
    }

    pub(crate) fn start(&self) -> Instance {
        let mut store = Store::new(&self.engine, state(&self.name));
        let instance = self.pre.instantiate(&mut store).expect("an instance");
        store.data_mut().memory = instance.get_memory(&mut store, "memory");
        let init = instance.get_typed_func::<(), i32>(&mut store, "faas_v1_init").expect("exported");
        let poll = instance.get_typed_func(&mut store, "faas_v1_poll").expect("exported");
        assert_eq!(init.call(&mut store, ()).expect("returns"), 0);
        Instance { store, poll }
    }

    /// Start, first call, end.
    pub(crate) fn cold(&self) {
        self.start().invoke();
    }
}

impl Instance {
    pub(crate) fn invoke(&mut self) {
        assert_eq!(self.poll.call(&mut self.store, 0).expect("returns"), 1);
        black_box(self.store.data_mut().taken.len());
        self.store.data_mut().taken.clear();
    }
}

fn state(name: &str) -> State {
    let mut head = Vec::with_capacity(256);
    HeadRef {
        function: name,
        request_id: "id",
        deadline_unix_ms: 3000,
        memory_mib: 128,
        generation: 1,
        method: &http::Method::GET,
        uri: &http::Uri::from_static("/"),
        headers: &http::HeaderMap::new(),
    }
    .encode(&mut head);
    State { memory: None, head, environment: format!("FAAS_FUNCTION={name}\0").into_bytes(), taken: Vec::new() }
}

/// The imports that the guests use do what they must; the others return zero.
fn linker(engine: &Engine, module: &Module) -> Linker<State> {
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    for import in module.imports() {
        if let ExternType::Func(ty) = import.ty() {
            let returns_zero = move |_: Caller<'_, State>, _: &[Val], results: &mut [Val]| {
                results.fill(Val::I32(0));
                Ok(())
            };
            linker.func_new(import.module(), import.name(), ty, returns_zero).expect("a new name");
        }
    }
    let faas = "faas_v1";
    linker
        .func_wrap(faas, "request_head", |mut caller: Caller<'_, State>, _: u32, at: u32, cap: u32| {
            let head = std::mem::take(&mut caller.data_mut().head);
            if head.len() <= cap as usize {
                write(&mut caller, at, &head);
            }
            let len = head.len() as i32;
            caller.data_mut().head = head;
            len
        })
        .expect("a new name");
    linker
        .func_wrap(faas, "response_head", |mut caller: Caller<'_, State>, _: u32, at: u32, len: u32| {
            take(&mut caller, at, len);
            0
        })
        .expect("a new name");
    linker
        .func_wrap(faas, "body_write", |mut caller: Caller<'_, State>, _: u32, at: u32, len: u32| {
            take(&mut caller, at, len);
            len as i32
        })
        .expect("a new name");
    let wasi = "wasi_snapshot_preview1";
    linker
        .func_wrap(wasi, "environ_sizes_get", |mut caller: Caller<'_, State>, count: u32, bytes: u32| {
            let len = caller.data().environment.len() as u32;
            write(&mut caller, count, &1u32.to_le_bytes());
            write(&mut caller, bytes, &len.to_le_bytes());
            0
        })
        .expect("a new name");
    linker
        .func_wrap(wasi, "environ_get", |mut caller: Caller<'_, State>, pointers: u32, bytes: u32| {
            let environment = caller.data().environment.clone();
            write(&mut caller, pointers, &bytes.to_le_bytes());
            write(&mut caller, bytes, &environment);
            0
        })
        .expect("a new name");
    linker
}

fn write(caller: &mut Caller<'_, State>, at: u32, bytes: &[u8]) {
    let memory = caller.data().memory.expect("set after instantiation");
    memory.write(caller, at as usize, bytes).expect("within the memory");
}

fn take(caller: &mut Caller<'_, State>, at: u32, len: u32) {
    let memory = caller.data().memory.expect("set after instantiation");
    let (data, state) = memory.data_and_store_mut(caller);
    state.taken.extend_from_slice(&data[at as usize..][..len as usize]);
}

