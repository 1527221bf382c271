//! Generation after generation of a function: what is replaced takes its code with it.

use std::{num::NonZeroUsize, sync::Arc};

use bytes::Bytes;
use faas_core::{
    clock::{SharedClock, SystemClock},
    invocation::{Invocation, RequestBody, Tally},
    pool::Lease,
    sandbox::{Sandbox, wasmer},
    transition::Unobserved,
};
use http_body_util::{BodyExt as _, Empty};

use super::{
    functions::{self, Case},
    process::Held,
};

/// Loads a function so often, each time as another module, invokes it twice, and lets it go. What the process holds after
/// a fifth of them, and in the end.
pub(crate) fn run(generations: u64) -> (Held, Held) {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        // one that is only made when another is late would be counted as what a generation has left; so here, and of those
        // on which guests compute
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    tokio.block_on(async {
        let clock = SystemClock::shared();
        let config =
            wasmer::Config { max_compute_threads: Some(NonZeroUsize::MIN), ..wasmer::Config::default() };
        let runtime = wasmer::Runtime::new(config, clock.clone(), Arc::new(Unobserved)).expect("a runtime");
        let Case { spec, wat, .. } = functions::good().swap_remove(0);
        let (spec, mut early) = (Arc::new(spec), None);
        for generation in 0..generations {
            // a byte that nobody reads makes it another module
            let wat = wat.replace(
                "(global $n (mut i32)",
                &format!("(global i32 (i32.const {generation})) (global $n (mut i32)"),
            );
            let tier = if generation % 2 == 0 { wasmer::Tier::Fast } else { wasmer::Tier::Optimised };
            let module =
                runtime.load(&wat::parse_str(&wat).expect("WAT"), tier).expect("a module of this ABI");
            let sandbox: Arc<dyn Sandbox> = module.sandbox(spec.clone(), Vec::new());
            for _ in 0..2 {
                let instance = sandbox.start().await.expect("starts").instance;
                let reply = instance.invoke(invocation(&clock, &spec.name), Lease::new(|_| {})).await;
                assert_eq!(reply.expect("replies").response.status(), 200);
            }
            if generation == generations / 5 {
                early = Some(Held::now());
            }
        }
        (early.expect("some generations"), Held::now())
    })
}

fn invocation(clock: &SharedClock, name: &Arc<str>) -> Invocation {
    let tally = Tally::open("id".into(), name.clone(), clock.clone(), Arc::new(Unobserved));
    let body = RequestBody::new(Empty::<Bytes>::new().map_err(|never| match never {}));
    Invocation { function: name.clone(), request: http::Request::new(body), force_cold: false, tally }
}
