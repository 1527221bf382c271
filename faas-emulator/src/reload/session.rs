//! Keeps what is served equal to what is saved, for as long as `faas dev` runs.
//!
//! Drives the pure parts: hears of changes ([`super::watch`]), asks when to build ([`super::coordinator`]), builds
//! ([`super::load`]), plans ([`super::release`]) and hands the result to the [`Host`]. A build that cannot be served
//! is told and changes nothing.
//!
//! A reload is compiled with the fast compiler and served at once; the optimising one follows in the background and
//! takes over without another generation.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use faas_core::{
    clock::{BoxFuture, SharedClock, Time},
    sandbox::wasmer::{Module, Tier},
};
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    coordinator::{Action, Coordinator},
    load::{Load, LoadError, Loaded, Loader, OnLine},
    project,
    release::{Candidate, Generations, Release},
    watch::{Inputs, Watch},
};
use crate::{
    console::{Console, event::Event},
    error::Error,
    host::Host,
};

/// One run of `faas dev`.
#[derive(Debug)]
pub struct Session {
    host: Arc<Host>,
    console: Arc<Console>,
    clock: SharedClock,
    loader: Arc<Loader>,
    /// What PATH was, to look again when a manifest changes.
    path: Option<PathBuf>,
    generations: Generations,
    inputs: Inputs,
    /// Modules on their way through the optimising compiler.
    optimising: JoinSet<Option<Loaded>>,
    /// What is being served.
    serving: Option<Serving>,
}

#[derive(Debug)]
struct Serving {
    modules: Vec<Loaded>,
    release: Release,
}

/// A build that has ended, and for what it was made.
struct Finished {
    cause: Cause,
    began: Time,
    /// What loaded it: another one when the manifest now names other crates.
    loader: Arc<Loader>,
    result: Result<Load, LoadError>,
}

/// Why a build was made.
#[derive(Debug, Clone)]
struct Cause {
    saved: Time,
    changed: Vec<PathBuf>,
}

impl Session {
    /// A session that has not built yet.
    pub fn new(
        host: Arc<Host>,
        console: Arc<Console>,
        clock: SharedClock,
        loader: Loader,
        path: Option<PathBuf>,
    ) -> Self {
        Session {
            host,
            console,
            clock,
            loader: Arc::new(loader),
            path,
            generations: Generations::default(),
            inputs: Inputs::default(),
            optimising: JoinSet::new(),
            serving: None,
        }
    }

    /// Builds and serves for the first time, with the optimising compiler: nobody waits for an edit yet.
    ///
    /// Code that does not compile is told and is no error if `may_fail`, because an edit will follow.
    ///
    /// # Errors
    /// When there is nothing to serve, and saving a file would not help.
    pub async fn first(&mut self, may_fail: bool) -> Result<(), Error> {
        let began = self.clock.now();
        let console = self.console.clone();
        self.loader.prepare(&|text| console.say(Event::Notice(text.into()))).await?;
        let progress: OnLine<'_> = &|line| console.say(Event::Progress(line.into()));
        let load = match self.loader.load(Tier::Optimised, progress).await {
            Ok(load) => load,
            Err(LoadError::Compile(words)) if may_fail => {
                self.failed(words);
                self.inputs.replace(self.files_to_watch(None), self.loader.kinds(true), began);
                return Ok(());
            }
            Err(error) => return Err(error.told_already()),
        };
        let cargo = load.cargo;
        self.inputs.replace(load.inputs.iter().cloned(), self.loader.kinds(false), began);
        self.serve(load.modules)?;
        let ours = (self.clock.now() - began).saturating_sub(cargo.unwrap_or_default());
        self.console.say(Event::Built { functions: self.host.served(), cargo, ours });
        Ok(())
    }

    /// Follows changes until it is dropped, which ends a build that runs.
    ///
    /// # Errors
    /// When files cannot be watched.
    pub async fn follow(mut self) -> Result<std::convert::Infallible, Error> {
        let (mut watch, mut paths) = Watch::new()?;
        watch.follow(&self.inputs)?;
        let mut coordinator = Coordinator::default();
        let now = self.clock.now();
        // what was saved before the watch began
        self.inputs.differing().iter().for_each(|path| coordinator.changed(now, path));
        let mut build: Option<BoxFuture<'static, Finished>> = None;
        loop {
            let deadline = coordinator.next_deadline();
            tokio::select! {
                Some(path) = paths.recv() => self.heard(&mut coordinator, path, &mut paths),
                () = at(&self.clock, deadline) => {
                    if let Some(Action::Build { saved, changed }) = coordinator.due(self.clock.now()) {
                        build = self.begin(saved, &changed);
                        if build.is_none() {
                            self.ended(&mut coordinator);
                        }
                    }
                }
                finished = pending_if_none(&mut build) => {
                    build = None;
                    for path in self.finish(finished) {
                        coordinator.changed(self.clock.now(), &path);
                    }
                    watch.follow(&self.inputs)?;
                    self.ended(&mut coordinator);
                }
                Some(optimised) = self.optimising.join_next(), if !self.optimising.is_empty() => {
                    if let Ok(Some(optimised)) = optimised {
                        self.take_over(optimised);
                    }
                }
            }
        }
    }

    /// A path has changed, and perhaps more have.
    fn heard(
        &self,
        coordinator: &mut Coordinator,
        path: PathBuf,
        more: &mut mpsc::UnboundedReceiver<PathBuf>,
    ) {
        let now = self.clock.now();
        let mut next = Some(path);
        while let Some(path) = next {
            if self.inputs.concern(&path) {
                coordinator.changed(now, &path);
            }
            next = more.try_recv().ok();
        }
    }

    /// Begins a build if one of the files has changed in fact.
    fn begin(&mut self, saved: Time, paths: &BTreeSet<PathBuf>) -> Option<BoxFuture<'static, Finished>> {
        let changed = self.inputs.changed(paths);
        if changed.is_empty() {
            return None;
        }
        let look_again = changed.iter().any(|path| path.ends_with("Cargo.toml"));
        let cause = Cause { saved, changed };
        let (loader, clock, path) = (self.loader.clone(), self.clock.clone(), self.path.clone());
        Some(Box::pin(async move {
            let began = clock.wall(); // files have its times
            let loader = if look_again { anew(loader, path).await } else { loader };
            let result = loader.load(Tier::Fast, &|_| {}).await;
            Finished { cause, began, loader, result }
        }))
    }

    /// Serves what was built, or says why not. Returns files that changed while nobody looked at them yet.
    fn finish(&mut self, finished: Finished) -> Vec<PathBuf> {
        let Finished { cause, began, loader, result } = finished;
        self.loader = loader;
        let load = match result {
            Ok(load) => load,
            Err(error) => {
                let message = match error {
                    LoadError::Compile(words) => words,
                    LoadError::Other(error) => error.to_string(),
                };
                self.failed(message);
                let files = self.files_to_watch(None);
                return self.inputs.replace(files, self.loader.kinds(true), began);
            }
        };
        let files = self.files_to_watch(Some(&load.inputs));
        let late = self.inputs.replace(files, self.loader.kinds(false), began);
        let before = self.serving.is_some();
        match self.serve(load.modules) {
            Ok((functions, retired)) => {
                let since_save = self.clock.now() - cause.saved;
                let cargo = load.cargo;
                self.console.say(if before {
                    Event::Reloaded { changed: cause.changed, functions, retired, since_save, cargo }
                } else {
                    let ours = since_save.saturating_sub(cargo.unwrap_or_default());
                    Event::Built { functions, cargo, ours }
                });
                self.optimise();
            }
            Err(error) => self.failed(error.to_string()),
        }
        late
    }

    /// Plans and swaps; or refuses, and changes nothing.
    fn serve(
        &mut self,
        modules: Vec<Loaded>,
    ) -> Result<(Vec<crate::console::event::Served>, Vec<String>), Error> {
        let sources: Vec<String> = modules.iter().map(Loaded::source).collect();
        let candidates: Vec<Candidate<'_>> = modules
            .iter()
            .zip(&sources)
            .map(|(loaded, source)| Candidate {
                source,
                hash: loaded.module.hash(),
                functions: loaded.module.functions(),
            })
            .collect();
        let release = self
            .generations
            .plan(&candidates, |entry| self.host.settings(entry))
            .map_err(|why| Error::bad_input(why.to_string()))?;
        let compiled: Vec<Module> = modules.iter().map(|loaded| loaded.module.clone()).collect();
        self.host.install(&release, &compiled)?;
        self.generations.commit(&candidates, &release);
        let new = release.functions.iter().filter(|f| f.is_new).map(|f| f.entry.name.as_str());
        let new: BTreeSet<&str> = new.collect();
        let functions =
            self.host.served().into_iter().filter(|s| new.contains(s.function.as_str())).collect();
        let retired = release.retired.iter().map(ToString::to_string).collect();
        self.serving = Some(Serving { modules, release });
        Ok((functions, retired))
    }

    /// Has the optimising compiler make what the fast one made for now.
    fn optimise(&mut self) {
        // what is still being made is for an older generation
        self.optimising.abort_all();
        let Some(serving) = &self.serving else { return };
        for (i, loaded) in serving.modules.iter().enumerate() {
            let is_new = serving.release.functions.iter().any(|f| f.module == i && f.is_new);
            if loaded.module.tier() == Tier::Optimised || !is_new {
                continue;
            }
            let (runtime, loaded) = (self.loader.runtime.clone(), loaded.clone());
            self.optimising.spawn_blocking(move || {
                let module = runtime.load(&loaded.wasm, Tier::Optimised).ok()?;
                Some(Loaded { module, ..loaded })
            });
        }
    }

    /// The optimised module takes over from the one that is served, if that is still the same code.
    fn take_over(&mut self, optimised: Loaded) {
        let Some(serving) = &mut self.serving else { return };
        let same = |loaded: &Loaded| {
            loaded.path == optimised.path && loaded.module.hash() == optimised.module.hash()
        };
        let Some(i) = serving.modules.iter().position(same) else { return };
        for planned in serving.release.functions.iter().filter(|f| f.module == i) {
            self.host.deploy(planned, &optimised.module);
        }
        serving.modules[i] = optimised;
    }

    fn failed(&self, message: String) {
        self.console.say(Event::BuildFailed { message, still_serving: self.serving.is_some() });
    }

    fn ended(&self, coordinator: &mut Coordinator) {
        for action in coordinator.finished(self.clock.now()) {
            if let Action::Mute(path) = action {
                self.console.say(Event::Notice(format!(
                    "{} changes during each build, as if the build wrote it: it no longer triggers builds, until it is \
                     saved while none runs",
                    path.display()
                )));
            }
        }
    }

    /// The files that count: those of the last good build, and manifests in any case.
    fn files_to_watch(&self, built: Option<&BTreeSet<PathBuf>>) -> Vec<PathBuf> {
        let mut files = match built {
            Some(built) => built.clone(),
            // nothing tells what a build that failed has read: what there is may have changed since it began
            None => {
                let present = self.loader.kinds(true).into_iter().flat_map(|kind| kind.present());
                self.inputs.files().cloned().chain(present).collect()
            }
        };
        if let Some(builder) = self.loader.builder() {
            files.extend(builder.manifests());
        }
        files.into_iter().collect()
    }
}

/// A loader for what PATH stands for now that a manifest has changed.
async fn anew(loader: Arc<Loader>, path: Option<PathBuf>) -> Arc<Loader> {
    let found = tokio::task::spawn_blocking(move || project::find(path.as_deref())).await;
    match found {
        Ok(Ok(project)) => Arc::new(Loader { project, ..(*loader).clone() }),
        // cargo will say what is wrong with the manifest
        _ => loader,
    }
}

async fn at(clock: &SharedClock, deadline: Option<Time>) {
    match deadline {
        Some(deadline) => clock.sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn pending_if_none<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
