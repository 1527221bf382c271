//! How a cloud is set up.

use std::time::Duration;

use super::{Cloud, run::Run};
use crate::{
    delivery::{self, Rules},
    invocation::FunctionSpec,
    policy::{FixedTtl, Policy},
    pool::Limits,
    profile::Profile,
    sandbox::mimic::ColdStarts,
    scheduler,
};

/// What goes wrong, by seed. Nothing unless told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chaos {
    /// So many of a hundred starts fail.
    pub failed_starts_percent: u8,
    /// So many of a hundred calls end without a reply, before the function has run.
    pub failed_calls_percent: u8,
    /// So many of a hundred calls take longer,
    pub slow_calls_percent: u8,
    /// by this much.
    pub slow_by: Duration,
}

/// Sets up a [`Cloud`].
#[derive(Debug)]
#[must_use = "`build` makes the cloud"]
pub struct Builder {
    policy: Option<Box<dyn Policy>>,
    limits: Option<Limits>,
    setup: Setup,
}

/// What a cloud goes by after it has been built.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) profile: Profile,
    pub(super) seed: u64,
    pub(super) chaos: Chaos,
    pub(super) cold_start: Option<Duration>,
    pub(super) mimics: Option<ColdStarts>,
    pub(super) only: Option<Vec<String>>,
    pub(super) configure: Option<fn(&mut FunctionSpec)>,
    pub(super) delivery: Option<Rules>,
    pub(super) delivery_limits: delivery::Limits,
}

impl Builder {
    pub(super) fn new() -> Self {
        let setup = Setup {
            profile: Profile::named("aws-lambda").expect("it comes along"),
            seed: 0,
            chaos: Chaos::default(),
            cold_start: None,
            mimics: None,
            only: None,
            configure: None,
            delivery: None,
            delivery_limits: delivery::Limits::default(),
        };
        Builder { policy: None, limits: None, setup }
    }

    /// Under another provider's limits, keep-alive, start times and prices; `aws-lambda` unless told otherwise.
    ///
    /// # Panics
    /// When no profile of that name comes along.
    #[track_caller]
    pub fn profile(self, name: &str) -> Self {
        match Profile::named(name) {
            Ok(profile) => self.with_profile(profile),
            Err(unknown) => panic!("{unknown}"),
        }
    }

    /// Under a profile of one's own.
    pub fn with_profile(self, profile: Profile) -> Self {
        Builder { setup: Setup { profile, ..self.setup }, ..self }
    }

    /// Keeps instances warm by this policy, not the profile's.
    pub fn policy(self, policy: impl Policy) -> Self {
        Builder { policy: Some(Box::new(policy)), ..self }
    }

    /// Keeps every idle instance this long.
    pub fn keep_alive(self, ttl: Duration) -> Self {
        self.policy(FixedTtl(ttl))
    }

    /// How much may run and wait, where it is not as the profile says.
    pub fn limits(self, limits: Limits) -> Self {
        Builder { limits: Some(limits), ..self }
    }

    /// Every start takes this long, init not counted; the median of the profile's first cold starts unless told otherwise, or
    /// nothing where [`cold_starts`](Self::cold_starts) are injected.
    pub fn cold_start(self, takes: Duration) -> Self {
        Builder { setup: Setup { cold_start: Some(takes), ..self.setup }, ..self }
    }

    /// Starts are the provider's, marked as injected, and billed as it bills them:
    ///
    /// ```
    /// use faas_core::{Request, function, sandbox::mimic::ColdStarts, testing::Cloud};
    ///
    /// #[function]
    /// async fn greet(_: Request) -> &'static str {
    ///     "Hello!"
    /// }
    ///
    /// # faas_core::testing::run(async {
    /// let cloud = Cloud::builder().cold_starts(ColdStarts::Typical).build();
    /// let first = cloud.get("greet").await;
    /// // as a client of AWS Lambda sees it, of which 16 ms of init are billed
    /// assert_eq!((first.took().as_millis(), first.record.usage.injected.init.as_millis()), (448, 16));
    /// assert!(cloud.get("greet").await.took().is_zero(), "it is warm");
    /// # });
    /// ```
    pub fn cold_starts(self, starts: ColdStarts) -> Self {
        Builder { setup: Setup { mimics: Some(starts), ..self.setup }, ..self }
    }

    /// What chaos draws from; 0 unless told otherwise.
    pub fn seed(self, seed: u64) -> Self {
        Builder { setup: Setup { seed, ..self.setup }, ..self }
    }

    /// What goes wrong.
    pub fn chaos(self, chaos: Chaos) -> Self {
        Builder { setup: Setup { chaos, ..self.setup }, ..self }
    }

    /// Deploys these functions alone, not every one that is linked into the test.
    pub fn only<'a>(self, functions: impl IntoIterator<Item = &'a str>) -> Self {
        let only = Some(functions.into_iter().map(str::to_owned).collect());
        Builder { setup: Setup { only, ..self.setup }, ..self }
    }

    /// Changes functions' settings, such as minimum instances, before they are deployed.
    pub fn configure(self, configure: fn(&mut FunctionSpec)) -> Self {
        Builder { setup: Setup { configure: Some(configure), ..self.setup }, ..self }
    }

    /// How events are delivered, where it is not as the profile says.
    pub fn delivery(self, rules: Rules) -> Self {
        Builder { setup: Setup { delivery: Some(rules), ..self.setup }, ..self }
    }

    /// How many events may wait.
    pub fn delivery_limits(self, limits: delivery::Limits) -> Self {
        Builder { setup: Setup { delivery_limits: limits, ..self.setup }, ..self }
    }

    /// The cloud, its functions deployed.
    ///
    /// # Panics
    /// Outside of `#[faas_core::test]` and [`run`](super::run), and when a function asks for what the profile does not
    /// give.
    #[track_caller]
    pub fn build(self) -> Cloud {
        let Builder { policy, limits: chosen, setup } = self;
        let config = scheduler::Config {
            limits: chosen.unwrap_or_else(|| setup.profile.pool_limits()),
            policy: policy.unwrap_or_else(|| setup.profile.keep_alive(setup.seed)),
        };
        Cloud::start(setup, config, Run::current())
    }
}

impl Setup {
    /// How long a start takes.
    pub(super) fn start_takes(&self) -> Duration {
        let unless_injected = || self.profile.cold_starts.first().filter(|_| self.mimics.is_none());
        let median = || unless_injected().map(|start| start.p50_us.value);
        self.cold_start.unwrap_or_else(|| Duration::from_micros(median().unwrap_or_default()))
    }
}
