//! [`Scheduler`]: the handle that everybody holds, and the tower service.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tower::Service;

use super::{
    Config, Deployment, Snapshot,
    shared::{Admission, Shared},
};
use crate::{
    clock::{BoxFuture, SharedClock},
    invocation::{Failure, FunctionSpec, Invocation, Reply},
    transition::{SharedObserver, Transition},
};

/// Runs invocations in instances of deployed functions. Clones share everything.
///
/// When the last clone and the last running invocation are gone, instances are dropped and timers end.
#[derive(Clone)]
pub struct Scheduler {
    shared: Arc<Shared>,
}

impl Scheduler {
    /// A scheduler without functions. `clock` must be the one that invocations' tallies use.
    ///
    /// # Panics
    /// Outside of a tokio runtime: starts and timers run on it.
    pub fn new(config: Config, clock: SharedClock, observer: SharedObserver) -> Self {
        let runtime = tokio::runtime::Handle::current();
        Scheduler { shared: Shared::new(config, clock, observer, runtime) }
    }

    /// Serves a function from now on, or a new generation of it. The swap loses no invocation: those that run
    /// end where they are, those that wait go to the new generation.
    pub fn deploy(&self, deployment: Deployment) {
        self.shared.deploy(deployment);
    }

    /// Stops serving a function; false when there is none of that name. What runs ends, what waits is refused.
    pub fn retire(&self, name: &str) -> bool {
        self.shared.retire(name)
    }

    /// Starts an instance of a function ahead of the invocation that is expected, if none is free or on its way. False when
    /// it does not: no need, no free room, no such function, as many as may be
    /// ([`Limits::max_prewarmed`](crate::pool::Limits::max_prewarmed)) wait for their first invocation already, or the policy is
    /// against it ([`Policy::may_warm`](crate::policy::Policy::may_warm)), such as one
    /// [within a budget](crate::budget::WithinBudget).
    pub fn prewarm(&self, name: &str) -> bool {
        self.shared.prewarm(name, None)
    }

    /// As [`Scheduler::prewarm`], on a hint that is soon proved or not, such as the name in a TLS ClientHello
    /// ([`knock`](crate::knock) says how many of those to follow). If it has served nobody `unused` after it became ready,
    /// the instance is let go, even if the policy would keep it longer.
    pub fn prewarm_for(&self, name: &str, unused: Duration) -> bool {
        self.shared.prewarm(name, Some(unused))
    }

    /// The newest generation of a function.
    pub fn spec(&self, name: &str) -> Option<Arc<FunctionSpec>> {
        self.shared.spec(name)
    }

    /// How everything stands now.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// Takes no more invocations, and returns when all that were taken have ended and every instance is stopped.
    pub async fn shutdown(&self) {
        self.shared.shutdown().await;
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scheduler").field(&self.snapshot()).finish()
    }
}

impl Service<Invocation> for Scheduler {
    type Response = Reply;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<Reply, Failure>>;

    /// Always ready: room is found when the call runs, so a caller that turns away has reserved nothing.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, invocation: Invocation) -> Self::Future {
        Box::pin(run(self.shared.clone(), invocation))
    }
}

#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` holds its arguments twice, and this future is moved for each invocation"
)]
fn run(shared: Arc<Shared>, mut invocation: Invocation) -> impl Future<Output = Result<Reply, Failure>> {
    async move {
        let answer = match shared.acquire(&invocation.function, invocation.force_cold) {
            Admission::Run(grant) => Ok(grant),
            Admission::Wait(waiting, depth) => {
                if let Some(depth) = depth {
                    shared.observe(&Transition::Queued { function: &invocation.function, depth });
                }
                waiting.await
            }
            Admission::Refuse(error) => Err(error),
        };
        let mut grant = match answer {
            Ok(grant) => grant,
            Err(error) => return Err(invocation.tally.fail(error)),
        };
        invocation.tally.started(grant.spec.clone(), grant.start, grant.queue);
        invocation.tally.served_by(grant.number);
        if grant.is_provisioned {
            invocation.tally.used(|usage| usage.is_provisioned = true);
        }
        if let Some(init) = grant.init {
            invocation.tally.used(|usage| {
                usage.origin = Some(init.origin);
                (usage.init_wall, usage.init_cpu) = (init.wall, init.cpu);
                usage.injected = init.injected;
            });
        }
        let lease = grant.lease.take().expect("only this function takes it");
        grant.instance.clone().invoke(invocation, lease).await
    }
}
