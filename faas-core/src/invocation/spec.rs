//! What the host knows of a function: plain data, which the sandbox, the pool and policies go by.

use std::{sync::Arc, time::Duration};

use crate::{abi::manifest::Isolation, schedule::Schedule};

/// A share of one CPU, as Linux's bandwidth control gives it: so much CPU time in each period, at full speed until it is used
/// up, and then nothing until the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuShare {
    /// Thousandths of a CPU, 1,000 at most: a guest has one thread.
    pub milli_vcpus: u32,
    /// How often it is given anew.
    pub period: Duration,
    /// Whether pauses are added to what is reported and not waited for: what a measurement wants that should not take long,
    /// nor depend on what else this machine does. Each invocation is then taken to find its instance idle, and
    /// computing takes its CPU time and pauses, however long it took here.
    pub is_computed: bool,
}

/// What the host knows of a deployed function: one generation of it, settings resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionSpec {
    /// The function's name, unique on its host.
    pub name: Arc<str>,
    /// The app that it is part of, which is what some keep-alive policies think in; an app of its own when absent.
    pub app: Option<Arc<str>>,
    /// Counts up from 1 with each new version of the function's code or settings.
    pub generation: u64,
    /// Memory of an instance.
    pub memory_mib: u32,
    /// How long one invocation may take, queue and start not counted.
    pub timeout: Duration,
    /// How much CPU time one invocation may use; unlimited when absent.
    pub cpu_limit: Option<Duration>,
    /// The share of a CPU that an instance's handlers are held to; as fast as this machine is when absent. Init is not
    /// held to it, and neither are native functions, whose CPU time nobody measures.
    pub cpu_share: Option<CpuShare>,
    /// How long an instance's start and init may take.
    pub init_timeout: Duration,
    /// How many invocations one instance serves at a time.
    pub instance_concurrency: u32,
    /// Whether an instance serves more than one invocation in all.
    pub isolation: Isolation,
    /// How many instances there may be at once; only the host's total limits it when absent.
    pub max_instances: Option<u32>,
    /// How many instances there are at least, idle or not: AWS Lambda's provisioned concurrency, Cloud Run's minimum
    /// instances. They never expire, are not evicted for other functions, and are replaced when they are lost.
    pub min_instances: u32,
    /// How many of its invocations may run at once: so many are kept free for it out of
    /// [`Limits::max_running`](crate::pool::Limits::max_running), and it gets no more. When absent it
    /// shares with others what nobody has reserved.
    pub reserved_concurrency: Option<u32>,
    /// One more instance is started when more than this share of the instances' places is taken, in percent: for
    /// functions whose instances serve several at once. When absent one is started when all are taken.
    pub target_utilization_percent: Option<u8>,
    /// When the clock calls it.
    pub schedule: Option<Arc<Schedule>>,
    /// The largest request body taken, in bytes.
    pub max_request_bytes: u64,
    /// The largest reply body given, in bytes.
    pub max_reply_bytes: u64,
}

impl FunctionSpec {
    /// A function with mild settings for tests and native embedding: generation 1, 128 MiB, 3 s, one invocation
    /// to an instance, 6 MiB each way.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        FunctionSpec {
            name: name.into(),
            app: None,
            generation: 1,
            memory_mib: 128,
            timeout: Duration::from_secs(3),
            cpu_limit: None,
            cpu_share: None,
            init_timeout: Duration::from_secs(10),
            instance_concurrency: 1,
            isolation: Isolation::Instance,
            max_instances: None,
            min_instances: 0,
            reserved_concurrency: None,
            target_utilization_percent: None,
            schedule: None,
            max_request_bytes: 6 << 20,
            max_reply_bytes: 6 << 20,
        }
    }

    /// The name of its app.
    pub fn app(&self) -> &Arc<str> {
        self.app.as_ref().unwrap_or(&self.name)
    }
}
