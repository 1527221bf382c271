//! The whole stack on one page: your layers, ours, the scheduler.
//!
//! ```text
//! trigger -> [ your layers ] -> Scheduler -> lease -> Instance::invoke -> function
//!                 |                 |            |
//!                 |                 |            `- limits of time, CPU, memory, sizes (the sandbox)
//!                 |                 `- admission, queue, cold and warm starts, keep-alive (the pool)
//!                 `- auth, quotas, budgets, deadlines: any tower::Layer over Service<Invocation>
//! ```
//!
//! A layer that turns an invocation away finishes its [`Tally`](crate::invocation::Tally) with the reason, so that
//! it is reported like every other end; one that just drops it reports a cancellation.

use tower::{Layer, Service, util::BoxCloneSyncService};

use crate::{
    invocation::{Failure, Invocation, Reply},
    scheduler::Scheduler,
};

/// The assembled stack: what triggers call. Boxed once, here, so that no type grows with the layers.
pub type Stack = BoxCloneSyncService<Invocation, Reply, Failure>;

/// Puts layers around a scheduler. For several, pass a tuple (the first is the outermost) or a `ServiceBuilder`;
/// for none, `()`.
pub fn assemble<L>(layers: L, scheduler: Scheduler) -> Stack
where
    L: Layer<Scheduler>,
    L::Service: Service<Invocation, Response = Reply, Error = Failure> + Clone + Send + Sync + 'static,
    <L::Service as Service<Invocation>>::Future: Send + 'static,
{
    BoxCloneSyncService::new(layers.layer(scheduler))
}
