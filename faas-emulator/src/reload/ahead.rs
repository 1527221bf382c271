//! Compiles what the linker has written while cargo is still finishing: some twenty milliseconds of each reload.
//!
//! A head start and no more. Cargo says at the end which modules it made; what was compiled ahead is taken for one of
//! them only if it has the same bytes. Where folders cannot be watched, everything is compiled at the end.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use faas_core::sandbox::wasmer::{Module, Runtime, Tier};
use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind},
};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

/// Modules on their way, by the hash of their bytes; nothing for bytes that are no module (yet).
type Begun = Arc<Mutex<HashMap<blake3::Hash, JoinHandle<Option<Module>>>>>;

/// The head start of one build. Watches until it is dropped.
pub(super) struct Ahead {
    _watcher: RecommendedWatcher,
    begun: Begun,
}

impl Ahead {
    /// Compiles each module that appears in `dir` from now on. `None` if the folder cannot be watched: before the
    /// first build it is not there.
    pub(super) fn of(dir: &Path, runtime: Arc<Runtime>, tier: Tier) -> Option<Self> {
        let tokio = tokio::runtime::Handle::current();
        let begun = Begun::default();
        let begin = {
            let begun = begun.clone();
            move |path: PathBuf| {
                let Ok(wasm) = fs::read(path) else { return };
                let runtime = runtime.clone();
                begun
                    .lock()
                    .entry(blake3::hash(&wasm))
                    .or_insert_with(|| tokio.spawn_blocking(move || runtime.load(&wasm, tier).ok()));
            }
        };
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if let Ok(event) = event
                && is_complete(event.kind)
            {
                let is_module = |path: &PathBuf| path.extension().is_some_and(|e| e == "wasm");
                event.paths.into_iter().filter(is_module).for_each(&begin);
            }
        })
        .ok()?;
        watcher.watch(dir, RecursiveMode::NonRecursive).ok()?;
        Some(Ahead { _watcher: watcher, begun })
    }

    /// The module of these bytes, if it was begun; waits for it.
    pub(super) async fn take(&self, wasm: &[u8]) -> Option<Module> {
        let begun = self.begun.lock().remove(&blake3::hash(wasm))?;
        begun.await.ok()?
    }
}

/// A file was written and closed, or moved into its place.
fn is_complete(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Modify(ModifyKind::Name(_))
    )
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use faas_core::{clock::SystemClock, sandbox::wasmer::Config, transition::Unobserved};

    #[tokio::test]
    async fn what_the_linker_writes_is_taken_if_it_stays_as_it_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let runtime = Runtime::new(Config::default(), SystemClock::shared(), Arc::new(Unobserved));
        let ahead =
            Ahead::of(dir.path(), runtime.expect("a runtime"), Tier::Fast).expect("it can be watched");
        let text = include_str!("../../../faas-core/tests/guests/wat/hello.wat");
        let wasm = wat::parse_str(text).expect("a module");
        // as linkers do: aside first
        let aside = dir.path().join("hello.tmp");
        fs::write(&aside, &wasm).expect("written");
        fs::rename(&aside, dir.path().join("hello.wasm")).expect("moved");
        fs::write(dir.path().join("other.txt"), b"no module").expect("written");
        while ahead.begun.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(ahead.take(b"other bytes").await.is_none());
        assert_eq!(ahead.take(&wasm).await.expect("it was begun").functions()[0].name, "hello");
        // whether it can be taken again depends on whether the move is told once or twice
    }

    #[test]
    fn a_folder_that_is_not_there_gives_no_head_start() {
        let tokio = tokio::runtime::Runtime::new().expect("a runtime");
        let _entered = tokio.enter();
        let runtime = Runtime::new(Config::default(), SystemClock::shared(), Arc::new(Unobserved));
        assert!(Ahead::of(Path::new("/nowhere"), runtime.expect("a runtime"), Tier::Fast).is_none());
    }
}
