//! `faas dev`: serves functions and reloads them, until Ctrl-C.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use ::http::HeaderName;
use faas_core::{
    budget::{Budget, Cap},
    policy::PolicyKind,
    rate::Rate,
};
use tokio::signal;

use super::{stderr_has_color, trust};
use crate::{
    console::{Format, event::Event},
    error::Error,
    events::{self, Events},
    gateway::status::Shapes,
    host::{DEFAULT_PROFILE, Host, Named, Scale, Setup},
    keeping::Keeper,
    mimicry,
    paths::Running,
    reload::{load::Loader, project, session::Session},
    trigger::{http, tls},
};

/// Clients that are in the middle of a request, or of reading a reply, are waited for so long after the last invocation has ended, and
/// invocations so long after the last client has left.
const SILENT: Duration = Duration::from_secs(3);
/// Between two looks at whether it has.
const LOOK: Duration = Duration::from_millis(100);

/// Options of `faas dev`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// A crate, a workspace, a folder of .wasm files or one .wasm file; the crate around here when absent
    path: Option<PathBuf>,
    /// The port to listen on; 0 takes any that is free
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// The address to listen on: other machines reach the functions if it is not a loopback one
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDR")]
    host: IpAddr,
    /// Speak TLS on that port, with certificates that `faas trust` is about
    #[arg(long)]
    tls: bool,
    /// Start no instance for the function that a TLS handshake names, before its request has come
    #[arg(long, requires = "tls")]
    no_handshake_warming: bool,
    /// Whose limits and prices apply
    #[arg(long = "as", value_name = "PROFILE", default_value = DEFAULT_PROFILE)]
    profile: String,
    /// Build as it would be shipped: with the crate's own release profile
    #[arg(long)]
    release: bool,
    /// Build once and do not watch for changes
    #[arg(long)]
    no_watch: bool,
    /// How the console looks
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,
    /// Print one JSON object an event: the same as --log-format json
    #[arg(long)]
    json: bool,
    /// Whose errors clients get: the provider's, as far as its profile knows them, or ours, which say why
    #[arg(long, value_enum, default_value = "provider", value_name = "WHOSE")]
    errors: Shapes,
    /// How many of a function's invocations may run at once, kept free for it: AWS Lambda's reserved concurrency
    #[arg(long, value_name = "NAME=N")]
    reserve: Vec<Named<u32>>,
    /// What functions may cost, in all or one of them, in a day, a month or this session: 0.50/day, hello=5/month, 2
    #[arg(long, value_name = "[NAME=]USD[/PER]")]
    budget: Vec<Cap>,
    /// Say when a budget is spent, and refuse nothing
    #[arg(long, requires = "budget")]
    budget_warn: bool,
    /// How often functions may be invoked, in all or one of them: 100/s, 1000/m, hello=5/s; what comes sooner gets 429
    #[arg(long, value_name = "[NAME=]N/s|m")]
    rate: Vec<Rate>,
    /// Record a sample of what functions are asked, for `faas tune`: path, query and body whole, and headers but those that
    /// say who asks
    #[arg(long)]
    record: bool,
    /// Record this header of requests too; several may be given
    #[arg(long, value_name = "NAME", requires = "record")]
    record_header: Vec<HeaderName>,
    #[command(flatten)]
    mimicry: mimicry::Options,
    /// How many of a function's instances are kept ready whether it is called or not, and paid for: AWS Lambda's provisioned
    /// concurrency, Cloud Run's minimum instances, Azure's always ready ones
    #[arg(long, value_name = "NAME=N")]
    min_instances: Vec<Named<u32>>,
    /// What keeps instances warm, if not what the profile's provider does: fixed:10m, random:5m-7m, hybrid, greedy-dual,
    /// greedy-dual-size or none. `faas simulate` knows the same
    #[arg(long, value_name = "POLICY")]
    policy: Option<PolicyKind>,
    /// Start an instance this long before the clock calls a function that has a schedule, such as 5s; providers do not
    #[arg(long, value_name = "TIME", value_parser = events::duration)]
    warm_ahead: Option<Duration>,
    #[command(flatten)]
    events: events::Options,
}

/// How the console looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object an event
    Json,
    /// Invocations in the words of the provider's log, such as AWS Lambda's REPORT
    Provider,
}

impl Options {
    fn format(&self) -> Format {
        match self.log_format {
            _ if self.json => Format::Json,
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
            LogFormat::Provider => Format::Provider,
        }
    }

    fn budget(&self) -> Option<Budget> {
        (!self.budget.is_empty()).then(|| Budget::new(self.budget.clone(), self.budget_warn))
    }

    fn scale(&self) -> Vec<Scale> {
        let reserved = self.reserve.iter().cloned().map(Scale::Reserved);
        reserved.chain(self.min_instances.iter().cloned().map(Scale::MinInstances)).collect()
    }
}

/// Exit code of a process that was interrupted, as shells have it: 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;

/// Serves until the first Ctrl-C, then drains; a second one ends it at once.
///
/// # Errors
/// When there is nothing to serve, or the port cannot be had.
pub async fn run(options: Options) -> Result<ExitCode, Error> {
    let out = Box::new(anstream::AutoStream::auto(std::io::stdout()));
    let host = Host::new(Setup {
        errors: options.errors,
        scale: options.scale(),
        budget: options.budget(),
        rates: options.rate.clone(),
        record: options.record.then(|| options.record_header.clone()),
        mimicry: options.mimicry.chosen(&mut fastrand::Rng::new()),
        warm_ahead: options.warm_ahead,
        policy: options.policy,
        ..Setup::new(options.profile.clone(), options.format(), out)
    })?;
    let result = serve(&options, &host).await;
    let console = host.console().clone();
    super::close(console).await?;
    result
}

async fn serve(options: &Options, host: &std::sync::Arc<Host>) -> Result<ExitCode, Error> {
    let (console, clock) = (host.console(), host.clock());
    let mut interrupts = Interrupts::listen()?;
    let path = options.path.clone();
    let project = super::blocking(move || project::find(path.as_deref())).await?;
    let listener = http::bind(options.host, options.port).await?;
    let addr = listener
        .local_addr()
        .map_err(|why| Error::failed(format!("the port that was taken cannot be named: {why}")))?;
    let authority = if options.tls { Some(trust::authority(clock.now()).await?) } else { None };
    console.say(Event::Listening { addr, profile: options.profile.clone(), tls: options.tls });
    let front = match authority {
        Some((authority, told)) => {
            told.into_iter().for_each(|told| console.say(Event::Notice(told)));
            let (gateway, warms) = (host.gateway().clone(), !options.no_handshake_warming);
            Some(tls::Front::new(authority, gateway, clock.clone(), console.clone(), warms)?)
        }
        None => None,
    };
    if let Some(remark) = host.runtime().cache_remark() {
        console.say(Event::Notice(format!("{remark} (FAAS_CACHE_DIR puts it elsewhere)")));
    }
    host.mimics().into_iter().for_each(|told| console.say(Event::Notice(told)));
    host.recorder().into_iter().for_each(|recorder| console.say(Event::Notice(recorder.told())));
    if !addr.ip().is_loopback() {
        console.say(Event::Notice(format!("{addr} can be reached from other machines")));
    }
    let loader = Loader {
        project: project.clone(),
        release: options.release,
        color: options.format() != Format::Json && stderr_has_color(),
        runtime: host.runtime().clone(),
        clock: clock.clone(),
    };
    let mut session =
        Session::new(host.clone(), console.clone(), clock.clone(), loader, options.path.clone());
    // clients that come before the first build is ready wait in the listener's queue
    tokio::select! {
        first = session.first(!options.no_watch) => first?,
        () = interrupts.next() => return Ok(ExitCode::from(INTERRUPTED)),
    }
    nobodys(options, host).into_iter().for_each(|told| console.say(Event::Notice(told)));
    let keeper = Keeper::new(host.clone(), project.clone()).await?;
    let events = Events::start(host, &project, options.events).await;
    let scheme = if options.tls { "https" } else { "http" };
    let running = Running { url: format!("{scheme}://{addr}"), pid: std::process::id() };
    let announced = running.announce(&project);

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async move {
        // dropped or sent, it is over
        let _ = stopped.await;
    };
    let (gateway, clock_of_server) = (host.gateway().clone(), clock.clone());
    let server = match front {
        Some(front) => tokio::spawn(tls::serve(listener, front, gateway, clock_of_server, stopped)),
        None => tokio::spawn(http::serve(listener, gateway, clock_of_server, stopped)),
    };
    let followed = async {
        if options.no_watch {
            return std::future::pending().await;
        }
        session.follow().await
    };
    let called = async {
        match &events {
            Some(events) => host.cron().run(host.gateway(), events.courier(), clock, console).await,
            None => std::future::pending().await,
        }
    };
    // dropping the session ends a build that runs
    tokio::select! {
        () = called => {}
        failed = followed => {
            let Err(error) = failed;
            return Err(error);
        }
        never = keeper.follow() => match never {},
        () = interrupts.next() => {}
    }
    drop(announced);
    drop(stop);
    let drain = async {
        if let Ok(connections) = server.await {
            console.say(Event::Draining(connections.count()));
            tokio::select! {
                () = connections.shutdown() => {}
                () = at_rest(host, SILENT) => console.say(Event::Notice(
                    "closed connections whose clients neither send nor read".into()
                )),
            }
        }
        if let Some(events) = events {
            events.stop().await;
        }
        let mut shut_down = std::pin::pin!(host.shutdown());
        let mut patience = SILENT;
        loop {
            tokio::select! {
                () = &mut shut_down => break,
                // whoever has asked for it has left
                () = clock.sleep_until(clock.now() + patience) => host.runtime().stop_guests(),
            }
            patience = LOOK;
        }
    };
    let code = tokio::select! {
        () = drain => ExitCode::SUCCESS,
        () = interrupts.next() => ExitCode::from(INTERRUPTED),
    };
    host.meter().close();
    if let Err(why) = keeper.keep().await {
        console.say(Event::Notice(why.to_string()));
    }
    host.meter().refused().into_iter().for_each(|told| console.say(Event::Notice(told)));
    host.meter().came_near().into_iter().for_each(|told| console.say(Event::Notice(told)));
    let recorded = host.recorder().map(|recorder| recorder.summary()).unwrap_or_default();
    recorded.into_iter().for_each(|told| console.say(Event::Notice(told)));
    console.say(Event::Bill(host.meter().bill()));
    Ok(code)
}

/// Until nothing has run for so long.
async fn at_rest(host: &Host, long: Duration) {
    let clock = host.clock();
    let mut since = clock.now();
    while clock.now().since(since) < long {
        clock.sleep_until(clock.now() + LOOK).await;
        if !host.is_at_rest() {
            since = clock.now();
        }
    }
}

/// What is said of functions that there are not, in words; nothing while there are none at all.
fn nobodys(options: &Options, host: &Host) -> Vec<String> {
    let served: Vec<String> = host.served().into_iter().map(|served| served.function).collect();
    if served.is_empty() {
        return Vec::new();
    }
    let scale = |option, of: &'_ [Named<u32>]| -> Vec<(&str, String)> {
        of.iter().map(|named| (option, named.function.clone())).collect()
    };
    let named =
        |option, function: &Option<std::sync::Arc<str>>| Some((option, function.as_ref()?.to_string()));
    let mut said = scale("--reserve", &options.reserve);
    said.extend(scale("--min-instances", &options.min_instances));
    said.extend(options.budget.iter().filter_map(|cap| named("--budget", &cap.function)));
    said.extend(options.rate.iter().filter_map(|rate| named("--rate", &rate.function)));
    said.retain(|(_, name)| !served.contains(name));
    let told = |(option, name): &(&str, String)| {
        format!("{option} names `{name}`, and no function is called so: there are {}", served.join(", "))
    };
    said.iter().map(told).collect()
}

/// Ctrl-C and SIGTERM, one after the other.
struct Interrupts {
    #[cfg(unix)]
    terminate: signal::unix::Signal,
    #[cfg(unix)]
    interrupt: signal::unix::Signal,
}

impl Interrupts {
    #[cfg(unix)]
    fn listen() -> Result<Self, Error> {
        use signal::unix::{SignalKind, signal};
        let listen = |kind| {
            signal(kind).map_err(|why| Error::failed(format!("signals cannot be listened for: {why}")))
        };
        Ok(Interrupts {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn listen() -> Result<Self, Error> {
        Ok(Interrupts {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        // without a handler the process ends at once, which is what is left
        if signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
