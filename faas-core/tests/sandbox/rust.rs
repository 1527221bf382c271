//! The guests of `tests/guests`, compiled once for all tests: several programs of tests have them.

use std::{path::PathBuf, sync::OnceLock};

use crate::cargo;

/// A guest's module.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let settings = [("CARGO_PROFILE_RELEASE_DEBUG", "false"), ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")];
    let folder = FOLDER.get_or_init(|| cargo::build("faas-test-guests", &settings));
    std::fs::read(folder.join(format!("{name}.wasm"))).expect("a compiled guest")
}
