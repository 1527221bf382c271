//! Policies: what the warm pool decides by, apart from how it does it.
//!
//! A [`Policy`] is a pure object. It is told what happens ([`Event`]) and asked four things: how long an idle
//! instance stays, what to do with an app that rests, who goes first when room is needed, and whether an instance may be
//! started that nobody waits for. It reads no clock,
//! does no IO, and draws randomness from a seed; each call is O(1) or O(log n). One file for each policy:
//!
//! ```text
//! fixed_ttl     the same time for all (OpenWhisk; most measurements of clouds)
//! random_ttl    a time drawn from a range, as clouds look from outside
//! until_evicted no time at all: until the room is needed (isolates)
//! hybrid        hybrid histogram (Shahrad et al., USENIX ATC '20)
//! greedy_dual   Greedy-Dual-Size-Frequency (FaasCache, ASPLOS '21), and Greedy-Dual-Size (Cao and Irani, USITS '97)
//! schedule      warm before known firings, over another policy
//! kind          their names on a command line
//! ```
//!
//! # One of your own
//!
//! Keeps cheap functions for a minute and expensive ones for as long as their start has taken, a thousandfold:
//!
//! ```
//! use std::{collections::HashMap, time::Duration};
//! use faas_core::{clock::Time, policy::{Event, Policy, Subject}};
//!
//! #[derive(Debug, Default)]
//! struct WorthIt {
//!     took: HashMap<usize, Duration>,
//! }
//!
//! impl Policy for WorthIt {
//!     fn learn(&mut self, _: Time, function: Subject<'_>, event: Event) {
//!         match event {
//!             Event::Started { took, .. } => _ = self.took.insert(function.index, took),
//!             Event::Retired { .. } => _ = self.took.remove(&function.index),
//!             _ => {}
//!         }
//!     }
//!
//!     fn keep(&mut self, _: Time, function: Subject<'_>) -> Option<Duration> {
//!         let worth = self.took.get(&function.index).map_or(Duration::ZERO, |took| *took * 1000);
//!         Some(worth.max(Duration::from_secs(60)))
//!     }
//! }
//!
//! let mut policy = WorthIt::default();
//! let spec = faas_core::invocation::FunctionSpec::new("report");
//! let report = Subject { spec: &spec, index: 0, app: 0, active: 0 };
//! policy.learn(Time::EPOCH, report, Event::Started { instance: 0, took: Duration::from_millis(300) });
//! assert_eq!(policy.keep(Time::EPOCH, report), Some(Duration::from_secs(300)));
//! ```

mod fixed_ttl;
mod greedy_dual;
mod hybrid;
mod kind;
mod random_ttl;
mod schedule;
mod table;
mod until_evicted;

pub use fixed_ttl::FixedTtl;
pub use greedy_dual::GreedyDual;
pub use hybrid::HybridHistogram;
pub use kind::{PolicyKind, UnknownPolicy, parse};
pub use random_ttl::RandomTtl;
pub use schedule::Scheduled;
pub use until_evicted::UntilEvicted;

use std::{fmt::Debug, time::Duration};

use crate::{clock::Time, invocation::FunctionSpec, transition::StopReason};

/// A function, as a policy sees it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its newest generation.
    pub spec: &'a FunctionSpec,
    /// A small number, its own until it is [`Event::Retired`]: for tables.
    pub index: usize,
    /// Such a number of its app, the unit in which some policies think: functions of one
    /// [`FunctionSpec::app`] share it.
    pub app: usize,
    /// How many of the app's invocations run or wait now.
    pub active: usize,
}

/// What a policy is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// An invocation asks for an instance.
    Arrived,
    /// An instance has begun to serve an invocation.
    Began {
        /// Which.
        instance: usize,
    },
    /// An invocation that an instance served has ended.
    Ended {
        /// Which.
        instance: usize,
    },
    /// An instance is ready.
    Started {
        /// Which: a small number, its own until it has [`Event::Stopped`]; for tables.
        instance: usize,
        /// How long its start took: what a cold invocation costs more than a warm one.
        took: Duration,
    },
    /// An instance, or its start, is gone.
    Stopped {
        /// Which; its number may be another's from now on.
        instance: usize,
        /// Why.
        reason: StopReason,
        /// How many invocations it served in its life.
        served: u64,
    },
    /// The function is gone, and its index may be another's from now on.
    Retired {
        /// Whether the same is true of its app.
        is_last_of_app: bool,
    },
}

/// What becomes of an app whose last invocation has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// Stop its idle instances now, whatever [`Policy::keep`] has said of them.
    pub unload: bool,
    /// When to start an instance of the function, unless one is free then. A time that is not later than now means never.
    pub warm_at: Option<Time>,
    /// Whether it is started even if invocations of the app run then; else one that has come meanwhile does away with it.
    pub even_if_active: bool,
}

impl Rest {
    /// Everything stays as it is.
    pub const STAY: Rest = Rest { unload: false, warm_at: None, even_if_active: false };
}

/// Which instances are kept warm, for how long, and when one is started ahead.
pub trait Policy: Send + Debug + 'static {
    /// Takes note of something that has happened.
    fn learn(&mut self, now: Time, function: Subject<'_>, event: Event) {
        let _ = (now, function, event);
    }

    /// Asked each time an instance becomes idle: how long it stays if nobody needs it until then. `None` keeps it
    /// until its room is needed for something else.
    fn keep(&mut self, now: Time, function: Subject<'_>) -> Option<Duration>;

    /// Asked when none of the app's invocations runs or waits any more, `function`'s having been the last. If that is to be
    /// unloaded, it is asked for each other function of the app, too. And, for when to warm it alone, when a function is deployed
    /// and when one has just been warmed.
    fn rest(&mut self, now: Time, function: Subject<'_>) -> Rest {
        let _ = (now, function);
        Rest::STAY
    }

    /// Asked of each function's least recently used idle instance; its number is that of [`Event::Started`]. When room is needed,
    /// the one with the lowest priority goes. Where this is `None` (for all functions, or some), the least recently used
    /// instance on the host goes, after those of functions that have a priority.
    fn priority(&self, function: Subject<'_>, instance: usize) -> Option<f64> {
        let _ = (function, instance);
        None
    }

    /// Asked before an instance is started ahead of demand, whoever wants it: [`Rest::warm_at`], or
    /// [`Scheduler::prewarm`](crate::scheduler::Scheduler::prewarm), by which knocks come too. Not asked for those that a
    /// function must have (`min_instances`).
    fn may_warm(&mut self, now: Time, function: Subject<'_>) -> bool {
        let _ = (now, function);
        true
    }

    /// The policy in a box; one that is in a box stays in it.
    fn boxed(self) -> Box<dyn Policy>
    where
        Self: Sized,
    {
        Box::new(self)
    }
}

impl Policy for Box<dyn Policy> {
    fn learn(&mut self, now: Time, function: Subject<'_>, event: Event) {
        (**self).learn(now, function, event);
    }

    fn keep(&mut self, now: Time, function: Subject<'_>) -> Option<Duration> {
        (**self).keep(now, function)
    }

    fn rest(&mut self, now: Time, function: Subject<'_>) -> Rest {
        (**self).rest(now, function)
    }

    fn priority(&self, function: Subject<'_>, instance: usize) -> Option<f64> {
        (**self).priority(function, instance)
    }

    fn may_warm(&mut self, now: Time, function: Subject<'_>) -> bool {
        (**self).may_warm(now, function)
    }

    fn boxed(self) -> Box<dyn Policy> {
        self
    }
}
