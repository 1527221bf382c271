//! Runs cargo: one call for all crates, into a target folder of the emulator's own.
//!
//! The profile is set by environment variables, so that nobody's manifest changes: release without the steps that
//! cost the most for the least. An edit of a small crate builds in a fifth of a second, where thin LTO takes over
//! one. With `--release` the crate's own release profile applies untouched, as it would be shipped.

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Stdio,
};

use cargo_metadata::{Message, TargetKind};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::Command,
};

use super::{
    depinfo,
    guard::Guard,
    project::{CargoProject, nearest_manifest},
};
use crate::error::Error;

/// What functions are compiled for.
pub const TARGET: &str = "wasm32-wasip1";

/// The quick profile. Names are kept for backtraces: only debug information goes.
const QUICK_PROFILE: [(&str, &str); 7] = [
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "2"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_INCREMENTAL", "true"),
    ("CARGO_PROFILE_RELEASE_STRIP", "debuginfo"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
];

/// Builds one project.
#[derive(Debug, Clone)]
pub struct Builder {
    /// What to build.
    pub project: CargoProject,
    /// With the crate's own release profile.
    pub release: bool,
    /// Whether the compiler's words go to a terminal.
    pub color: bool,
}

/// A build that worked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The modules, one for each bin target.
    pub modules: Vec<PathBuf>,
    /// Every file that they were made of, manifests included.
    pub inputs: BTreeSet<PathBuf>,
}

/// A build that did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildError {
    /// What cargo and the compiler said, as they said it.
    Compile(String),
    /// Cargo could not be run, or its answer not be read.
    Cargo(Error),
}

impl Builder {
    /// Builds. `on_line` hears each line of cargo's as it comes. Dropping the future ends cargo and its compilers.
    ///
    /// # Errors
    /// When the code does not compile, or cargo cannot be run.
    pub async fn build(&self, on_line: &(dyn Fn(&str) + Send + Sync)) -> Result<Built, BuildError> {
        let spawned = self.command(gently()).spawn().or_else(|why| match why.kind() {
            ErrorKind::NotFound => self.command(Command::new(cargo())).spawn(),
            _ => Err(why),
        });
        let mut child = spawned.map_err(|why| BuildError::Cargo(cannot_run("cargo", &why)))?;
        let guard = Guard::over(child.id());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let messages = async {
            let mut bytes = Vec::new();
            match stdout {
                Some(mut out) => out.read_to_end(&mut bytes).await.map(|_| bytes),
                None => Ok(bytes),
            }
        };
        let words = async {
            let mut text = String::new();
            if let Some(err) = stderr {
                let mut lines = BufReader::new(err).lines();
                while let Some(line) = lines.next_line().await? {
                    on_line(&line);
                    text.push_str(&line);
                    text.push('\n');
                }
            }
            Ok::<_, std::io::Error>(text)
        };
        let (messages, words, status) = tokio::join!(messages, words, child.wait());
        guard.release().await;
        let unread = |why| BuildError::Cargo(Error::failed(format!("cargo's answer cannot be read: {why}")));
        let (messages, words, status) =
            (messages.map_err(unread)?, words.map_err(unread)?, status.map_err(unread)?);
        if !status.success() {
            return Err(BuildError::Compile(words));
        }
        let modules = self.artifacts(&messages).map_err(unread)?;
        let inputs = self.inputs(&modules);
        Ok(Built { modules, inputs })
    }

    fn command(&self, mut cargo: Command) -> Command {
        cargo
            .arg("build")
            .args(["--release", "--bins", "--target", TARGET, "--message-format=json-render-diagnostics"])
            .arg("--target-dir")
            .arg(&self.project.target_dir)
            .current_dir(&self.project.root)
            .env("CARGO_TERM_COLOR", if self.color { "always" } else { "never" })
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for krate in &self.project.crates {
            cargo.args(["--package", &krate.name]);
        }
        if !self.release {
            cargo.envs(QUICK_PROFILE);
        }
        #[cfg(unix)]
        cargo.process_group(0);
        cargo
    }

    /// Where the linker writes modules, before cargo links them to where it says they are.
    pub fn linked_dir(&self) -> PathBuf {
        self.project.target_dir.join(TARGET).join("release/deps")
    }

    fn artifacts(&self, messages: &[u8]) -> std::io::Result<Vec<PathBuf>> {
        let mut modules = BTreeSet::new();
        for message in Message::parse_stream(messages) {
            let Message::CompilerArtifact(artifact) = message? else { continue };
            if artifact.target.kind.contains(&TargetKind::Bin) {
                modules.extend(
                    artifact
                        .filenames
                        .into_iter()
                        .filter(|f| f.extension() == Some("wasm"))
                        .map(PathBuf::from),
                );
            }
        }
        Ok(modules.into_iter().collect())
    }

    /// What dep-info names, and what decides how cargo builds it.
    fn inputs(&self, modules: &[PathBuf]) -> BTreeSet<PathBuf> {
        let mut inputs = self.manifests();
        for module in modules {
            // without dep-info (an old cargo?) the manifests are still watched
            let text = std::fs::read_to_string(module.with_extension("d")).unwrap_or_default();
            for file in depinfo::inputs(&text) {
                let file = self.project.root.join(file);
                // of the package that it belongs to
                inputs.extend(file.parent().and_then(nearest_manifest));
                inputs.insert(file);
            }
        }
        inputs
    }

    /// Manifests, lock file, build scripts and settings: what matters even before the first build.
    pub fn manifests(&self) -> BTreeSet<PathBuf> {
        let root = &self.project.root;
        let settings =
            ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "rust-toolchain", ".cargo/config.toml"];
        let of_root = settings.iter().map(|name| root.join(name));
        let of_crates = self
            .project
            .crates
            .iter()
            .flat_map(|krate| ["Cargo.toml", "build.rs"].map(|name| krate.dir.join(name)));
        // a file that is not there yet is watched all the same, if its folder is there
        of_root.chain(of_crates).filter(|file| file.parent().is_some_and(Path::is_dir)).collect()
    }
}

/// The cargo that runs us, if one does, as cargo's own convention has it.
fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Cargo, giving way: a build takes the processors that nobody else wants, so functions that are being served, and the
/// compiler of what the linker has just written, go first.
fn gently() -> Command {
    let mut nice = Command::new("nice");
    nice.args(["-n", "10"]).arg(cargo());
    nice
}

fn cannot_run(program: &str, why: &std::io::Error) -> Error {
    Error::bad_input(format!("{program} cannot be run ({why}): install Rust from https://rustup.rs"))
}

/// Adds the wasm target to the toolchain of `dir` if it is missing, and tells so.
///
/// # Errors
/// When it is missing and cannot be added; says how to.
pub async fn ensure_target(dir: &Path, notice: &(dyn Fn(&str) + Send + Sync)) -> Result<(), Error> {
    let probe = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(dir)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|why| cannot_run("rustc", &why))?;
    let libdir = String::from_utf8_lossy(&probe.stdout);
    // a rustc that cannot answer leaves the word to cargo, which says more
    if !probe.status.success() || Path::new(libdir.trim()).is_dir() {
        return Ok(());
    }
    notice(&format!("the target {TARGET} is missing: running `rustup target add {TARGET}`"));
    let added = Command::new("rustup")
        .args(["target", "add", TARGET])
        .current_dir(dir)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    match added {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(Error::bad_input(format!(
            "the target {TARGET} is missing and `rustup target add {TARGET}` failed:\n{}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
        Err(_) => Err(Error::bad_input(format!(
            "the target {TARGET} is missing and there is no rustup to add it\nInstall Rust from https://rustup.rs, or \
             the package of your system that holds rust-std for {TARGET}."
        ))),
    }
}
