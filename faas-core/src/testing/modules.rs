//! Compiled modules in a test's cloud: the wasm that would be shipped, in the sandbox, under virtual time. Present with the
//! feature `wasmer`.

use std::sync::Arc;

use crate::{
    sandbox::wasmer::{Config, Pace, Runtime, Tier},
    testing::Cloud,
};

impl Cloud {
    /// Deploys every function of a module, each as its next generation, as a hot reload does. Each instance has its own
    /// memory, unlike a native function's; all limits hold.
    ///
    /// Computing takes no virtual time, so none is billed; what a guest computes in one go is limited by its timeout in
    /// real CPU time. Guests' randomness follows from the cloud's seed.
    ///
    /// ```no_run
    /// # faas_core::testing::run(async {
    /// # use std::time::Duration;
    /// let cloud = faas_core::testing::Cloud::builder().only([]).build();
    /// // built before, such as by `cargo build --release --target wasm32-wasip1`
    /// cloud.deploy_module(&std::fs::read("target/wasm32-wasip1/release/hello.wasm").expect("it is built"));
    /// assert!(cloud.get("hello").await.is_cold());
    /// cloud.advance(Duration::from_secs(3600)).await;
    /// assert!(cloud.get("hello").await.is_cold());
    /// # });
    /// ```
    ///
    /// # Panics
    /// When the bytes are no module of the guest ABI, or the profile does not give what a function asks for; the message
    /// says which and why.
    #[track_caller]
    pub fn deploy_module(&self, wasm: &[u8]) {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed().to_le_bytes());
        let config = Config { seed: Some(seed), pace: Pace::Virtual, ..Config::default() };
        let runtime = match Runtime::new(config, self.clock(), self.observer()) {
            Ok(runtime) => runtime,
            Err(why) => panic!("{why}"),
        };
        let module = match runtime.load(wasm, Tier::Fast) {
            Ok(module) => module,
            Err(why) => panic!("{why}"),
        };
        for entry in module.functions() {
            self.deploy_entry(entry, |spec| module.sandbox(Arc::clone(spec), Vec::new()));
        }
    }
}
