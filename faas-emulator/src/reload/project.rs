//! What PATH stands for: crates to build, or modules that are built already.
//!
//! Looks at the file system and asks `cargo metadata`; builds nothing, and keeps nothing open.

use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, TargetKind};

use crate::error::Error;

/// The crate whose dependents are taken for functions.
const LIBRARY: &str = "faas-core";
/// Features of it that programs which *run* functions switch on, and functions do not.
const HOST_FEATURES: [&str; 2] = ["host", "wasmer"];

/// Where functions come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Project {
    /// Crates, built by cargo.
    Cargo(CargoProject),
    /// Modules, taken as they are.
    Modules(ModuleFiles),
}

/// The function crates of one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CargoProject {
    /// Folder of the workspace, or of the only crate.
    pub root: PathBuf,
    /// Where the emulator keeps its build and its state: `target/faas`.
    pub target_dir: PathBuf,
    /// The crates to build; at least one.
    pub crates: Vec<Crate>,
}

/// A bin crate that depends on `faas-core`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crate {
    /// The package's name.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
}

/// `.wasm` files: one, or those of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModuleFiles {
    /// This file.
    One(PathBuf),
    /// Every `.wasm` file directly in this folder.
    Folder(PathBuf),
}

impl ModuleFiles {
    /// The files as they are now, sorted.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<PathBuf>, Error> {
        match self {
            ModuleFiles::One(file) => Ok(vec![file.clone()]),
            ModuleFiles::Folder(dir) => wasm_files(dir),
        }
    }
}

/// Finds out what `path` is. Without a path, the current folder and then its parents are searched for a crate, as
/// cargo does. Runs `cargo metadata`, so call it where blocking is allowed.
///
/// # Errors
/// When there is nothing there to serve; says what would be.
pub fn find(path: Option<&Path>) -> Result<Project, Error> {
    let here = path.unwrap_or(Path::new("."));
    let absolute = std::fs::canonicalize(here).map_err(|why| {
        Error::bad_input(format!(
            "{} cannot be opened: {why}\nGive a crate, a workspace, a folder of .wasm files or one .wasm file.",
            here.display()
        ))
    })?;
    if absolute.is_file() {
        return match absolute.extension().and_then(|e| e.to_str()) {
            Some("wasm") => Ok(Project::Modules(ModuleFiles::One(absolute))),
            _ if absolute.ends_with("Cargo.toml") => cargo_project(&absolute),
            _ => Err(Error::bad_input(format!(
                "{} is no .wasm file\nGive a crate, a workspace, a folder of .wasm files or one .wasm file.",
                here.display()
            ))),
        };
    }
    let manifest = absolute.join("Cargo.toml");
    if manifest.is_file() {
        return cargo_project(&manifest);
    }
    if !wasm_files(&absolute)?.is_empty() {
        return Ok(Project::Modules(ModuleFiles::Folder(absolute)));
    }
    if path.is_none()
        && let Some(manifest) = nearest_manifest(&absolute)
    {
        return cargo_project(&manifest);
    }
    Err(Error::bad_input(format!(
        "there is no Cargo.toml and no .wasm file in {}\nGo to a crate with functions, name one (`faas dev PATH`), \
         or begin one with `faas new NAME`.",
        absolute.display()
    )))
}

/// The manifest in this folder, or else in the nearest one above that has one.
pub fn nearest_manifest(dir: &Path) -> Option<PathBuf> {
    dir.ancestors().map(|dir| dir.join("Cargo.toml")).find(|manifest| manifest.is_file())
}

fn wasm_files(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |why| Error::bad_input(format!("{} cannot be read: {why}", dir.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|e| e == "wasm") && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn cargo_project(manifest: &Path) -> Result<Project, Error> {
    // members alone: their dependencies are named by dep-info later, and resolving them may need the network
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec().map_err(|why| {
        let why = match why {
            cargo_metadata::Error::CargoMetadata { stderr } => stderr.trim().to_owned(),
            cargo_metadata::Error::Io(why) => {
                format!("cargo cannot be run ({why}): install Rust from https://rustup.rs")
            }
            other => other.to_string(),
        };
        Error::bad_input(format!("{} cannot be used:\n{why}", manifest.display()))
    })?;
    let crates = select(&metadata, manifest)?;
    Ok(Project::Cargo(CargoProject {
        root: metadata.workspace_root.clone().into(),
        target_dir: metadata.target_directory.join("faas").into(),
        crates,
    }))
}

/// The crate that the manifest is of, if it holds functions, else all crates of its workspace that do.
fn select(metadata: &Metadata, manifest: &Path) -> Result<Vec<Crate>, Error> {
    let named = metadata.packages.iter().find(|p| p.manifest_path.as_std_path() == manifest);
    let candidates: Vec<&Package> = match named {
        Some(package) if has_functions(package) => vec![package],
        Some(package) if metadata.workspace_root.as_std_path() != package_dir(package) => {
            return Err(no_functions(package));
        }
        _ => metadata.workspace_packages().into_iter().filter(|p| has_functions(p)).collect(),
    };
    if candidates.is_empty() {
        return Err(match named {
            Some(package) => no_functions(package),
            None => Error::bad_input(format!(
                "no crate of the workspace {} holds functions\nA crate that does has a src/main.rs and depends on \
                 {LIBRARY}: begin one with `faas new NAME`.",
                metadata.workspace_root
            )),
        });
    }
    Ok(candidates
        .into_iter()
        .map(|p| Crate { name: p.name.to_string(), dir: package_dir(p).to_owned() })
        .collect())
}

fn package_dir(package: &Package) -> &Path {
    package.manifest_path.as_std_path().parent().unwrap_or(Path::new("."))
}

fn is_bin(package: &Package) -> bool {
    package.targets.iter().any(|t| t.kind.contains(&TargetKind::Bin))
}

fn has_functions(package: &Package) -> bool {
    is_bin(package)
        && package.dependencies.iter().any(|d| {
            d.name == LIBRARY
                && d.kind == DependencyKind::Normal
                && !d.features.iter().any(|f| HOST_FEATURES.contains(&f.as_str()))
        })
}

fn no_functions(package: &Package) -> Error {
    let what = if is_bin(package) {
        format!("it does not depend on {LIBRARY}: add it with `cargo add {LIBRARY}`")
    } else {
        "it has no src/main.rs: functions live in a bin crate that ends in `faas_core::main!();`".to_owned()
    };
    Error::bad_input(format!(
        "the crate `{}` in {} holds no functions\n{what}, or begin a crate with `faas new NAME`.",
        package.name,
        package_dir(package).display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn crate_in(dir: &Path, name: &str, dependencies: &str, source: &str) {
        fs::create_dir_all(dir.join("src")).expect("a folder");
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[dependencies]\n{dependencies}\n"
        );
        fs::write(dir.join("Cargo.toml"), manifest).expect("a manifest");
        fs::write(dir.join("src").join(source), "").expect("a source file");
    }

    fn message(dir: &Path, path: &str) -> String {
        let error = find(Some(&dir.join(path))).expect_err("nothing to serve");
        assert_eq!(error.exit_code(), 2);
        let root = fs::canonicalize(dir).expect("it exists").display().to_string();
        error.to_string().replace(&root, "DIR").replace(&dir.display().to_string(), "DIR")
    }

    #[test]
    fn what_cannot_be_served_is_told_with_what_could() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path();
        fs::create_dir(dir.join("empty")).expect("a folder");
        fs::write(dir.join("main.rs"), "").expect("a file");
        crate_in(&dir.join("plain"), "plain", "", "main.rs");
        crate_in(&dir.join("library"), "library", "faas-core = \"0.1\"", "lib.rs");
        fs::create_dir(dir.join("broken")).expect("a folder");
        fs::write(dir.join("broken/Cargo.toml"), "[package\n").expect("a file");

        insta::assert_snapshot!(message(dir, "nowhere"), @"
        DIR/nowhere cannot be opened: No such file or directory (os error 2)
        Give a crate, a workspace, a folder of .wasm files or one .wasm file.
        ");
        insta::assert_snapshot!(message(dir, "main.rs"), @"
        DIR/main.rs is no .wasm file
        Give a crate, a workspace, a folder of .wasm files or one .wasm file.
        ");
        insta::assert_snapshot!(message(dir, "empty"), @"
        there is no Cargo.toml and no .wasm file in DIR/empty
        Go to a crate with functions, name one (`faas dev PATH`), or begin one with `faas new NAME`.
        ");
        insta::assert_snapshot!(message(dir, "plain"), @"
        the crate `plain` in DIR/plain holds no functions
        it does not depend on faas-core: add it with `cargo add faas-core`, or begin a crate with `faas new NAME`.
        ");
        insta::assert_snapshot!(message(dir, "library"), @"
        the crate `library` in DIR/library holds no functions
        it has no src/main.rs: functions live in a bin crate that ends in `faas_core::main!();`, or begin a crate with `faas new NAME`.
        ");
        assert!(message(dir, "broken").starts_with("DIR/broken/Cargo.toml cannot be used:\n"));
    }

    #[test]
    fn a_workspace_is_its_members_with_functions() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = fs::canonicalize(dir.path()).expect("it exists");
        fs::write(root.join("Cargo.toml"), "[workspace]\nresolver = \"3\"\nmembers = [\"*\"]\n")
            .expect("written");
        let function = "faas-core = \"0.1\"";
        crate_in(&root.join("a"), "a", function, "main.rs");
        crate_in(&root.join("b"), "b", function, "main.rs");
        crate_in(&root.join("shared"), "shared", function, "lib.rs");
        crate_in(
            &root.join("host"),
            "host",
            "faas-core = { version = \"0.1\", features = [\"wasmer\"] }",
            "main.rs",
        );

        let names = |path: &Path| match find(Some(path)) {
            Ok(Project::Cargo(project)) => {
                assert_eq!(project.root, root);
                project.crates.into_iter().map(|c| c.name).collect::<Vec<_>>()
            }
            other => panic!("not a crate: {other:?}"),
        };
        assert_eq!(names(&root), ["a", "b"]);
        assert_eq!(names(&root.join("b")), ["b"], "one crate of the workspace");
        assert_eq!(names(&root.join("b/Cargo.toml")), ["b"], "or its manifest");
    }

    #[test]
    fn modules_are_a_file_or_a_folder_of_them() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = fs::canonicalize(dir.path()).expect("it exists");
        fs::write(root.join("b.wasm"), "").expect("a file");
        fs::write(root.join("a.wasm"), "").expect("a file");
        fs::write(root.join("notes.txt"), "").expect("a file");
        let list = |path: &Path| match find(Some(path)).expect("modules") {
            Project::Modules(files) => files.list().expect("readable"),
            Project::Cargo(_) => panic!("not a crate"),
        };
        assert_eq!(list(&root), [root.join("a.wasm"), root.join("b.wasm")]);
        assert_eq!(list(&root.join("b.wasm")), [root.join("b.wasm")]);
    }
}
