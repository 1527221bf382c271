//! The warm pool: which instances exist, which are free, who waits, and who goes first.
//!
//! [`Pool`] is a state machine. It is told what happened and when, and answers with what to do; it does no IO,
//! takes no lock and reads no clock, so the scheduler drives live traffic with it, tests drive it through
//! thousands of random histories, and a simulator can drive it from a trace. It knows instances by number only.
//!
//! ```text
//! types    the words: decisions, effects, refusals   state     what it knows, and its invariants
//! inputs   what it is told                           steps     what the inputs share
//! growth   who gets room for an instance             shelves   which list an instance is in
//! queue    who waits, in order of arrival            deadlines what time does
//! admission how much runs, how fast it grows
//! victims  which idle instance makes room            warming  what is started ahead of demand
//! apps     functions that belong together            lease    the guard around one use
//! table, list, timers: what makes it O(1) or O(log n)
//! ```

mod admission;
mod apps;
mod deadlines;
mod growth;
mod inputs;
mod lease;
mod list;
mod queue;
mod shelves;
mod state;
mod steps;
mod table;
#[cfg(test)]
mod tests;
mod timers;
mod types;
mod victims;
mod warming;

pub(crate) use admission::Bucket;
pub use lease::Lease;
pub use state::Pool;
pub use types::{
    Choice, Decision, Effect, FunctionId, FunctionStatus, InstanceId, Limit, Limits, Refusal, StartRate,
    TicketId,
};
