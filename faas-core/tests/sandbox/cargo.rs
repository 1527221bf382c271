//! Guests in Rust, compiled by cargo: for the tests here, and for the benches.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Builds a package of this workspace for wasm, in release with these settings, and names the folder of its modules.
/// Cargo knows when there is nothing to do. Unless the settings say so, linking optimises nothing: many guests are small.
pub(crate) fn build(package: &str, settings: &[(&str, &str)]) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(package);
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--release",
            "--target",
            "wasm32-wasip1",
            "--package",
            package,
            "--target-dir",
        ])
        .arg(&target)
        .current_dir(workspace())
        .envs([("CARGO_PROFILE_RELEASE_LTO", "off"), ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")])
        .envs(settings.iter().copied())
        .status()
        .expect("cargo runs");
    assert!(status.success(), "{package} must build (rustup target add wasm32-wasip1)");
    target.join("wasm32-wasip1/release")
}

/// The folder of this workspace, also for a bench that is a workspace of its own inside it.
fn workspace() -> &'static Path {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    folders.filter(|folder| folder.join("faas-core/tests/guests").is_dir()).last().expect("it is here")
}
