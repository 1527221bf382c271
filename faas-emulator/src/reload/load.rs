//! From a project to compiled modules: runs cargo where there is something to build, reads what came out, compiles it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use faas_core::{
    abi::manifest::ManifestError,
    clock::SharedClock,
    sandbox::wasmer::{Module, ModuleError, Runtime, Tier},
};

use super::{
    ahead::Ahead,
    build::{BuildError, Builder, ensure_target},
    project::{ModuleFiles, Project},
    watch::Kind,
};
use crate::error::Error;

/// Hears what cargo says, line by line.
pub type OnLine<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Loads one project, again and again.
#[derive(Debug, Clone)]
pub struct Loader {
    /// What to load.
    pub project: Project,
    /// Build with the crate's own release profile.
    pub release: bool,
    /// Whether the compiler's words go to a terminal.
    pub color: bool,
    /// What compiles modules.
    pub runtime: Arc<Runtime>,
    /// What times it.
    pub clock: SharedClock,
}

/// A module that can run, and where it is from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The file.
    pub path: PathBuf,
    /// Its bytes, for another compiler.
    pub wasm: Arc<[u8]>,
    /// The module.
    pub module: Module,
}

/// A project, loaded.
#[derive(Debug)]
pub struct Load {
    /// Its modules; at least one.
    pub modules: Vec<Loaded>,
    /// The files that it was made of.
    pub inputs: BTreeSet<PathBuf>,
    /// How long cargo took, if it ran.
    pub cargo: Option<Duration>,
}

/// Why a project cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadError {
    /// It does not compile; the compiler's words.
    Compile(String),
    /// Anything else.
    Other(Error),
}

impl From<Error> for LoadError {
    fn from(error: Error) -> Self {
        LoadError::Other(error)
    }
}

impl LoadError {
    /// The error of a build whose words have been printed as they came.
    pub fn told_already(self) -> Error {
        match self {
            LoadError::Compile(_) => Error::failed("the build failed: the compiler says why above"),
            LoadError::Other(error) => error,
        }
    }
}

impl Loader {
    /// What must be there before the first build.
    ///
    /// # Errors
    /// When the wasm target is missing and cannot be added.
    pub async fn prepare(&self, notice: OnLine<'_>) -> Result<(), Error> {
        match &self.project {
            Project::Cargo(project) => ensure_target(&project.root, notice).await,
            Project::Modules(_) => Ok(()),
        }
    }

    /// Builds, reads, compiles. Dropping the future ends the build.
    ///
    /// # Errors
    /// When there is nothing to serve at the end; says why and what to do.
    pub async fn load(&self, tier: Tier, on_line: OnLine<'_>) -> Result<Load, LoadError> {
        let began = self.clock.now();
        let mut ahead = None;
        let (paths, inputs, cargo) = match &self.project {
            Project::Cargo(_) => {
                let builder = self.builder().expect("a cargo project has one");
                ahead = Ahead::of(&builder.linked_dir(), self.runtime.clone(), tier).map(Arc::new);
                let built = builder.build(on_line).await;
                let built = built.map_err(|error| match error {
                    BuildError::Compile(words) => LoadError::Compile(words),
                    BuildError::Cargo(error) => LoadError::Other(error),
                })?;
                (built.modules, built.inputs, Some(self.clock.now() - began))
            }
            Project::Modules(files) => {
                let paths = files.list()?;
                (paths.clone(), paths.into_iter().collect(), None)
            }
        };
        let compiling: Vec<_> = paths
            .into_iter()
            .map(|path| tokio::spawn(read(self.runtime.clone(), path, tier, ahead.clone())))
            .collect();
        let (mut modules, mut without, mut refused) = (Vec::new(), Vec::new(), None);
        // all of them, also when one is refused: the process may end then, and a compiler amid its work would panic
        for compiling in compiling {
            match compiling.await.map_err(|why| Error::failed(format!("compiling a module failed: {why}")))? {
                Ok(module) => modules.push(module),
                // a crate may have other binaries beside its functions
                Err(Unusable { path, error: ModuleError::Manifest(ManifestError::Empty) }) => {
                    without.push(path)
                }
                Err(Unusable { path, error }) => {
                    refused.get_or_insert_with(|| format!("{} cannot be served: {error}", path.display()));
                }
            }
        }
        if let Some(refused) = refused {
            return Err(Error::bad_input(refused).into());
        }
        if modules.is_empty() {
            return Err(self.no_functions(&without).into());
        }
        Ok(Load { modules, inputs, cargo })
    }

    /// The cargo side, if there is one.
    pub fn builder(&self) -> Option<Builder> {
        match &self.project {
            Project::Cargo(project) => {
                Some(Builder { project: project.clone(), release: self.release, color: self.color })
            }
            Project::Modules(_) => None,
        }
    }

    /// What to watch beside the inputs that are known: files that may appear.
    pub fn kinds(&self, build_failed: bool) -> Vec<Kind> {
        match &self.project {
            // a build that fails for a missing file tells nobody which: any source counts until it works again
            Project::Cargo(project) if build_failed => project
                .crates
                .iter()
                .map(|krate| Kind { dir: krate.dir.join("src"), extension: "rs", recursive: true })
                .collect(),
            Project::Modules(ModuleFiles::Folder(dir)) => {
                vec![Kind { dir: dir.clone(), extension: "wasm", recursive: false }]
            }
            Project::Cargo(_) | Project::Modules(ModuleFiles::One(_)) => Vec::new(),
        }
    }

    fn no_functions(&self, modules: &[PathBuf]) -> Error {
        let what = match &self.project {
            Project::Cargo(project) => match &project.crates[..] {
                [krate] => format!("the crate `{}` in {}", krate.name, krate.dir.display()),
                _ => format!("the workspace {}", project.root.display()),
            },
            Project::Modules(ModuleFiles::One(path) | ModuleFiles::Folder(path)) => {
                path.display().to_string()
            }
        };
        let why = match modules {
            [] => "no module was built".to_owned(),
            _ => ManifestError::Empty.to_string(),
        };
        Error::bad_input(format!("{what} has nothing to serve: {why}"))
    }
}

struct Unusable {
    path: PathBuf,
    error: ModuleError,
}

async fn read(
    runtime: Arc<Runtime>,
    path: PathBuf,
    tier: Tier,
    ahead: Option<Arc<Ahead>>,
) -> Result<Loaded, Unusable> {
    let wasm: Arc<[u8]> = match tokio::fs::read(&path).await {
        Ok(wasm) => wasm.into(),
        Err(why) => {
            let error = ModuleError::NotWasm(format!("it cannot be read: {why}"));
            return Err(Unusable { path, error });
        }
    };
    let begun = match &ahead {
        Some(ahead) => ahead.take(&wasm).await,
        None => None,
    };
    if let Some(module) = begun {
        return Ok(Loaded { path, wasm, module });
    }
    let bytes = wasm.clone();
    let compiled = tokio::task::spawn_blocking(move || runtime.load(&bytes, tier)).await;
    match compiled {
        Ok(Ok(module)) => Ok(Loaded { path, wasm, module }),
        Ok(Err(error)) => Err(Unusable { path, error }),
        Err(why) => {
            let error = ModuleError::NotWasm(format!("compiling it failed: {why}"));
            Err(Unusable { path, error })
        }
    }
}

impl Loaded {
    /// The file's name, for messages.
    pub fn source(&self) -> String {
        Path::new(&self.path).display().to_string()
    }
}
