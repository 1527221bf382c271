//! Guests in Rust, compiled by cargo: for the tests here, and for the bench that compiles one again and again.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Builds a package of this workspace for wasm, in release with these settings, and names the folder of its modules.
/// Cargo knows when there is nothing to do.
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
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .envs(settings.iter().copied())
        .status()
        .expect("cargo runs");
    assert!(status.success(), "{package} must build (rustup target add wasm32-wasip1)");
    target.join("wasm32-wasip1/release")
}
