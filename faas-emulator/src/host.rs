//! A host, assembled: clock, console, sandbox runtime, scheduler and gateway, and what they serve.
//!
//! Made once by a command; [`crate::reload`] hands it releases. It takes no decisions of its own: a release that was
//! planned is carried out in an order in which no request fails.

use std::{io::Write, str::FromStr, sync::Arc, time::Duration};

use faas_core::{
    abi::manifest::Entry,
    budget::{Budget, WithinBudget},
    clock::{SharedClock, SystemClock},
    invocation::FunctionSpec,
    policy::{Policy as _, PolicyKind, Scheduled},
    profile::{Profile, Unsupported},
    rate::Rate,
    sandbox::{
        mimic::Mimic,
        wasmer::{Config, Module, Runtime},
    },
    scheduler::{self, Deployment, Scheduler},
    transition::SharedObserver,
};
use http::HeaderName;

use crate::{
    console::{Console, Format, event::Served},
    error::Error,
    gateway::{
        Gateway,
        ids::Ids,
        routes::{Endpoint, Routes},
        status::{Shapes, Speaks},
    },
    meter::Meter,
    mimicry::Mimicry,
    paths, profiles,
    recording::Recorder,
    reload::release::{Planned, Release},
    trigger::cron::Crontab,
};

/// Whose rules apply unless told otherwise.
pub const DEFAULT_PROFILE: &str = "aws-lambda";

/// What a command decides about its host.
pub struct Setup {
    /// The profile's name, or the path of its file.
    pub profile: String,
    /// How the console talks.
    pub format: Format,
    /// Where it talks.
    pub out: Box<dyn Write + Send>,
    /// What clients get when something is wrong.
    pub errors: Shapes,
    /// What functions get beyond what their profile gives.
    pub scale: Vec<Scale>,
    /// What functions may cost.
    pub budget: Option<Budget>,
    /// How often they may be invoked, beside what the profile says.
    pub rates: Vec<Rate>,
    /// In what it is as slow as the provider.
    pub mimicry: Mimicry,
    /// Whether requests are recorded, and which headers of them beside the usual ones.
    pub record: Option<Vec<HeaderName>>,
    /// What keeps instances warm; the profile's way when absent.
    pub policy: Option<PolicyKind>,
    /// How long before the clock calls a function an instance is started for it.
    pub warm_ahead: Option<Duration>,
}

impl Setup {
    /// A host under this profile, all else as usual.
    pub fn new(profile: impl Into<String>, format: Format, out: Box<dyn Write + Send>) -> Self {
        Setup {
            profile: profile.into(),
            format,
            out,
            errors: Shapes::default(),
            scale: Vec::new(),
            budget: None,
            rates: Vec::new(),
            mimicry: Mimicry::default(),
            record: None,
            policy: None,
            warm_ahead: None,
        }
    }
}

/// What one function gets beyond what the profile gives all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scale {
    /// So many of its invocations may run at once, kept free for it.
    Reserved(Named<u32>),
    /// So many of its instances are kept.
    MinInstances(Named<u32>),
}

impl Scale {
    /// # Errors
    /// When more is kept than there may be.
    fn within(&self, most: u32, profile: &str) -> Result<(), Error> {
        match self {
            Scale::MinInstances(Named { function, value }) if *value > most => {
                Err(Error::bad_input(format!(
                    "`{function}` cannot keep {value} instances: under `{profile}` there are {most} of all functions at most"
                )))
            }
            _ => Ok(()),
        }
    }
}

/// Something that is said of one function: `hello=5`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<T> {
    /// The function.
    pub function: String,
    /// What is said.
    pub value: T,
}

impl<T: FromStr> FromStr for Named<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not NAME=N, such as hello=5");
        let (function, value) = text.split_once('=').ok_or_else(wrong)?;
        Ok(Named { function: function.to_owned(), value: value.parse().map_err(|_| wrong())? })
    }
}

/// Everything that runs functions. Needs a tokio runtime.
#[derive(Debug)]
pub struct Host {
    clock: SharedClock,
    console: Arc<Console>,
    profile: Arc<Profile>,
    meter: Arc<Meter>,
    runtime: Arc<Runtime>,
    scheduler: Scheduler,
    gateway: Arc<Gateway>,
    observer: Observing,
    cron: Arc<Crontab>,
    scale: Vec<Scale>,
    mimicry: Mimicry,
    recorder: Option<Arc<Recorder>>,
}

/// An observer that can be in a struct that derives `Debug`.
struct Observing(SharedObserver);

impl std::fmt::Debug for Observing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

impl Host {
    /// A host that serves nothing yet.
    ///
    /// # Errors
    /// When there is no such profile, or the operating system refuses what it needs.
    pub fn new(setup: Setup) -> Result<Arc<Self>, Error> {
        let profile = Arc::new(profiles::find(&setup.profile)?);
        let most = profile.pool_limits().max_instances;
        for scale in &setup.scale {
            scale.within(most, &setup.profile)?;
        }
        let clock = SystemClock::shared();
        let console = Console::start(setup.format, clock.clone(), setup.out)
            .map_err(|why| Error::failed(format!("the operating system refuses a thread: {why}")))?;
        let meter = Meter::new(profile.clone(), setup.profile.clone(), clock.clone(), console.clone());
        let rates = profile.rate_limits().into_iter().chain(setup.rates).collect();
        let meter = Arc::new(meter.with_budget(setup.budget).with_rates(rates, profile.daily_cap()));
        let observer: SharedObserver = meter.clone();
        let starts = setup.mimicry.sandbox_starts();
        let config = Config { cache_dir: paths::module_cache(), starts, ..Config::default() };
        let runtime = Runtime::new(config, clock.clone(), observer.clone())
            .map_err(|why| Error::failed(why.to_string()))?;
        let mut rng = fastrand::Rng::new();
        let policy_seed = rng.u64(..);
        let keep_alive = match setup.policy {
            Some(policy) => policy.build(policy_seed),
            None => profile.keep_alive(policy_seed),
        };
        let policy = match setup.warm_ahead {
            Some(lead) => Scheduled::new(keep_alive, lead).boxed(),
            None => keep_alive,
        };
        let policy = match meter.budget() {
            Some(budget) => WithinBudget::new(policy, budget.clone(), clock.clone()).boxed(),
            None => policy,
        };
        let scheduling = scheduler::Config { limits: profile.pool_limits(), policy };
        let scheduler = Scheduler::new(scheduling, clock.clone(), observer.clone());
        let speaks = Speaks { errors: setup.errors, profile: profile.clone() };
        let gateway = Gateway::new(
            scheduler.clone(),
            Ids::new(&mut rng),
            meter.clone(),
            speaks,
            clock.clone(),
            observer.clone(),
        );
        let recorder = setup.record.map(|named| Arc::new(Recorder::new(named, clock.clone(), rng.u64(..))));
        let gateway = gateway.with_cold_starts(setup.mimicry.always_cold).with_recorder(recorder.clone());
        let gateway = Arc::new(gateway);
        let Setup { scale, mimicry, .. } = setup;
        let (cron, observer) = (Arc::new(Crontab::default()), Observing(observer));
        Ok(Arc::new(Host {
            clock,
            console,
            profile,
            meter,
            runtime,
            scheduler,
            gateway,
            observer,
            cron,
            scale,
            mimicry,
            recorder,
        }))
    }

    /// Where time comes from.
    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// Where words go.
    pub fn console(&self) -> &Arc<Console> {
        &self.console
    }

    /// What compiles modules.
    pub fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    /// What answers requests.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Whose rules apply.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Who hears of every step.
    pub fn observer(&self) -> SharedObserver {
        self.observer.0.clone()
    }

    /// Whom the clock calls.
    pub fn cron(&self) -> &Arc<Crontab> {
        &self.cron
    }

    /// What records requests, if anything does.
    pub fn recorder(&self) -> Option<&Arc<Recorder>> {
        self.recorder.as_ref()
    }

    /// What has been used, and what it costs.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The settings a function runs with: its own, and the profile's for what it leaves open.
    ///
    /// # Errors
    /// When it asks for what the profile's provider does not give.
    pub fn settings(&self, entry: &Entry) -> Result<FunctionSpec, Unsupported> {
        let mut spec = self.profile.spec(entry)?;
        for scale in &self.scale {
            match scale {
                Scale::Reserved(of) if of.function == entry.name => {
                    spec.reserved_concurrency = Some(of.value)
                }
                Scale::MinInstances(of) if of.function == entry.name => spec.min_instances = of.value,
                _ => {}
            }
        }
        if self.mimicry.cpu_share {
            spec.cpu_share = self.profile.cpu_share(spec.memory_mib);
        }
        Ok(spec)
    }

    /// In what it is as slow as the provider, in words: a line each.
    pub fn mimics(&self) -> Vec<String> {
        self.mimicry.told(&self.profile)
    }

    /// Serves this release from now on, and nothing else. `modules` are those it was planned with.
    ///
    /// # Errors
    /// When its functions cannot be routed. Nothing has changed then.
    pub fn install(&self, release: &Release, modules: &[Module]) -> Result<(), Error> {
        let endpoints = release
            .functions
            .iter()
            .map(|planned| Endpoint::new(planned.entry.clone(), planned.spec.clone()).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()
            .and_then(Routes::new)
            .map_err(|why| Error::bad_input(why.to_string()))?;
        // new functions first, then the way to them, then away with those that nothing leads to any more
        for planned in release.functions.iter().filter(|planned| planned.is_new) {
            self.deploy(planned, &modules[planned.module]);
        }
        self.gateway.swap_routes(endpoints);
        for name in &release.retired {
            self.scheduler.retire(name);
        }
        let functions = || release.functions.iter().map(|planned| &planned.spec);
        self.cron.follow(self.clock.wall(), functions());
        self.meter.serves(functions().map(|spec| &**spec));
        Ok(())
    }

    /// Serves one function from this module from now on. Invocations that run end where they are.
    pub fn deploy(&self, planned: &Planned, module: &Module) {
        let spec = planned.spec.clone();
        let mut sandbox = module.sandbox(spec.clone(), Vec::new());
        if let Some(starts) = self.mimicry.cold_starts {
            let (profile, clock) = (self.profile.clone(), self.clock.clone());
            sandbox = Arc::new(Mimic::new(sandbox, spec.clone(), profile, starts, clock));
        }
        self.scheduler.deploy(Deployment { spec, sandbox });
    }

    /// Whether a function has instances, busy or idle, that a new deployment would replace.
    pub fn is_warm(&self, name: &str) -> bool {
        let snapshot = self.scheduler.snapshot();
        snapshot.function(name).is_some_and(|f| f.starting + f.idle + f.busy > 0)
    }

    /// Whether nothing runs, and nothing waits to.
    pub fn is_at_rest(&self) -> bool {
        let snapshot = self.scheduler.snapshot();
        snapshot.running == 0 && snapshot.functions.iter().all(|f| f.queued == 0)
    }

    /// What is served now.
    pub fn served(&self) -> Vec<Served> {
        let served = |endpoint: &Arc<Endpoint>| Served {
            function: endpoint.entry.name.clone(),
            generation: endpoint.spec.generation,
            method: endpoint.method().to_owned(),
            route: endpoint.path(),
        };
        self.gateway.routes().endpoints().iter().map(served).collect()
    }

    /// Takes no more invocations, and returns when those that run have ended and every instance is stopped.
    pub async fn shutdown(&self) {
        self.scheduler.shutdown().await;
    }
}
