//! `faas new`: a crate that builds, runs and tests as it is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use faas_core::abi::manifest;

use crate::{error::Error, reload::project::nearest_manifest};

/// Options of `faas new`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where to make the crate; the last part is its name
    path: PathBuf,
    /// What to begin with
    #[arg(long, value_enum, default_value_t = Template::Http)]
    template: Template,
}

/// What a new crate begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// A function from a request to a response
    Http,
    /// A function from a typed event to a typed reply
    Event,
    /// An axum Router
    Axum,
}

impl Template {
    fn main(self) -> &'static str {
        match self {
            Template::Http => include_str!("templates/http.rs"),
            Template::Event => include_str!("templates/event.rs"),
            Template::Axum => include_str!("templates/axum.rs"),
        }
    }

    /// Beside faas-core.
    fn dependencies(self) -> &'static str {
        match self {
            Template::Http => "",
            Template::Event => "serde = { version = \"1\", features = [\"derive\"] }\n",
            // without its defaults: those bring tokio, which a function needs not
            Template::Axum => "axum = { version = \"0.8\", default-features = false }\n",
        }
    }
}

/// A module is a quarter as large with it, and quicker to compile and to run.
const RELEASE_PROFILE: &str = "\n[profile.release]\ncodegen-units = 1\nlto = true\n";

/// Makes the crate.
///
/// # Errors
/// When the name is no name, the folder exists, or it cannot be written.
pub fn run(options: &Options) -> Result<(), Error> {
    let name = crate_name(&options.path)?;
    let dir = &options.path;
    if dir.exists() {
        return Err(Error::bad_input(format!(
            "{} exists already\nChoose another name, or remove it.",
            dir.display()
        )));
    }
    let faas_core = faas_core(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../faas-core"));
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\nfaas-core = \
         {faas_core}\n{}{}",
        options.template.dependencies(),
        if is_in_a_workspace(dir) { "" } else { RELEASE_PROFILE }
    );
    let item = name.replace('-', "_");
    let write = || -> io::Result<()> {
        fs::create_dir_all(dir.join("src"))?;
        fs::write(dir.join("Cargo.toml"), manifest)?;
        fs::write(dir.join(".gitignore"), "/target\n")?;
        fs::write(dir.join("src/main.rs"), options.template.main().replace("FUNCTION", &item))
    };
    write().map_err(|why| Error::failed(format!("{} cannot be written: {why}", dir.display())))?;
    let told = format!("made {}\n\n  cd {}\n  faas dev\n", dir.display(), dir.display());
    io::Write::write_all(&mut io::stdout(), told.as_bytes())
        .map_err(|why| Error::failed(format!("standard output cannot be written: {why}")))
}

/// Whether a manifest above may be that of a workspace: then cargo takes profiles from there, and warns of any here.
fn is_in_a_workspace(dir: &Path) -> bool {
    std::path::absolute(dir).is_ok_and(|dir| dir.parent().and_then(nearest_manifest).is_some())
}

/// What to depend on: the faas-core beside which this `faas` was built, if it was built in a checkout that is still
/// there, else the published one of this version.
fn faas_core(beside: &Path) -> String {
    match fs::canonicalize(beside) {
        // a TOML string escapes as a JSON one does
        Ok(path) => format!("{{ path = {} }}", serde_json::Value::from(path.to_string_lossy())),
        Err(_) => format!("\"{}\"", env!("CARGO_PKG_VERSION")),
    }
}

/// The crate's name, which is the function's too.
fn crate_name(path: &Path) -> Result<&str, Error> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if begins_well && manifest::is_name(name) {
        return Ok(name);
    }
    Err(Error::bad_input(format!(
        "`{name}` cannot name a crate\nA name begins with a letter and has letters, digits, - and _, 64 at most."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(path: PathBuf, template: Template) -> Options {
        Options { path, template }
    }

    #[test]
    fn a_crate_begins_with_a_function_of_its_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("my-function");
        run(&options(path.clone(), Template::Event)).expect("made");
        let manifest = fs::read_to_string(path.join("Cargo.toml")).expect("a manifest");
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../faas-core");
        insta::assert_snapshot!(manifest.replace(&faas_core(&beside), "FAAS_CORE"), @r#"
        [package]
        name = "my-function"
        version = "0.1.0"
        edition = "2024"

        [dependencies]
        faas-core = FAAS_CORE
        serde = { version = "1", features = ["derive"] }

        [profile.release]
        codegen-units = 1
        lto = true
        "#);
        let main = fs::read_to_string(path.join("src/main.rs")).expect("a source");
        assert!(main.contains("async fn my_function("), "{main}");
        assert!(!main.contains("FUNCTION"));
    }

    #[test]
    fn profiles_are_left_to_the_workspace_that_a_crate_is_made_in() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("Cargo.toml"), "[workspace]\nmembers = [\"functions/*\"]\n")
            .expect("written");
        fs::create_dir(dir.path().join("functions")).expect("a folder");
        let path = dir.path().join("functions/hello");
        run(&options(path.clone(), Template::Http)).expect("made");
        let manifest = fs::read_to_string(path.join("Cargo.toml")).expect("a manifest");
        assert!(!manifest.contains("profile"), "{manifest}");
    }

    #[test]
    fn it_depends_on_the_faas_core_of_its_checkout_or_the_published_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let here = fs::canonicalize(dir.path()).expect("it is there");
        assert_eq!(faas_core(dir.path()), format!("{{ path = {:?} }}", here.display().to_string()));
        assert_eq!(faas_core(&dir.path().join("gone")), format!("\"{}\"", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn nothing_is_overwritten_and_names_are_names() {
        let dir = tempfile::tempdir().expect("a folder");
        let told = |path: PathBuf| {
            let error = run(&options(path, Template::Http)).expect_err("refused");
            assert_eq!(error.exit_code(), 2);
            error.to_string().replace(&dir.path().display().to_string(), "DIR")
        };
        fs::create_dir(dir.path().join("taken")).expect("a folder");
        insta::assert_snapshot!(told(dir.path().join("taken")), @"
        DIR/taken exists already
        Choose another name, or remove it.
        ");
        insta::assert_snapshot!(told(dir.path().join("7up")), @"
        `7up` cannot name a crate
        A name begins with a letter and has letters, digits, - and _, 64 at most.
        ");
        insta::assert_snapshot!(told("..".into()), @"
        `` cannot name a crate
        A name begins with a letter and has letters, digits, - and _, 64 at most.
        ");
    }
}
