//! Decides when to build: one build at a time, a short wait for editors to finish, one more build for whatever
//! changed meanwhile, and no endless loop.
//!
//! A pure state machine: it is told of changes, of time and of finished builds, and says what to do. The watcher
//! and the builder are driven by [`super::session`].
//!
//! ```text
//!          changed             due            finished, nothing changed
//!   Idle ──────────▶ Settling ─────▶ Building ──────────────────────────▶ Idle
//!                       ▲                │ finished, something changed
//!                       └────────────────┘
//! ```

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    time::Duration,
};

use faas_core::clock::Time;

/// Editors write a file in several steps (truncate, write, rename): wait this long after the last of them.
pub const SETTLE: Duration = Duration::from_millis(5);
/// But never longer than this after the first.
pub const SETTLE_AT_MOST: Duration = Duration::from_millis(100);
/// A file that changed during this many builds in a row is taken to be written by the build itself.
pub const LOOP_AFTER: u32 = 5;

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Build. Ends with [`Coordinator::finished`].
    Build {
        /// When the first of the changes was seen.
        saved: Time,
        /// The files that changed.
        changed: BTreeSet<PathBuf>,
    },
    /// Tell the person that this file no longer triggers builds, because each build seems to write it.
    Mute(PathBuf),
}

/// When to build.
#[derive(Debug, Default)]
pub struct Coordinator {
    state: State,
    /// During how many builds in a row each file has changed.
    streaks: HashMap<PathBuf, u32>,
    muted: BTreeSet<PathBuf>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Settling {
        saved: Time,
        due: Time,
        changed: BTreeSet<PathBuf>,
    },
    Building {
        meanwhile: Option<Meanwhile>,
    },
}

/// What changed during a build.
#[derive(Debug)]
struct Meanwhile {
    saved: Time,
    changed: BTreeSet<PathBuf>,
}

impl Coordinator {
    /// A coordinator whose first build is already under way.
    pub fn building() -> Self {
        Coordinator { state: State::Building { meanwhile: None }, ..Coordinator::default() }
    }

    /// `path` has changed at `now`.
    pub fn changed(&mut self, now: Time, path: &Path) {
        let idle = !matches!(self.state, State::Building { .. });
        if idle {
            // no build is running, so a person wrote it: forget what was held against the file
            self.streaks.remove(path);
            self.muted.remove(path);
        } else if self.muted.contains(path) {
            return;
        }
        let path = path.to_owned();
        match &mut self.state {
            State::Idle => {
                self.state = State::Settling { saved: now, due: now + SETTLE, changed: [path].into() };
            }
            State::Settling { saved, due, changed } => {
                *due = (now + SETTLE).min(*saved + SETTLE_AT_MOST);
                changed.insert(path);
            }
            State::Building { meanwhile } => {
                let meanwhile =
                    meanwhile.get_or_insert_with(|| Meanwhile { saved: now, changed: BTreeSet::new() });
                meanwhile.changed.insert(path);
            }
        }
    }

    /// When [`Coordinator::due`] wants to be called, if at all.
    pub fn next_deadline(&self) -> Option<Time> {
        match &self.state {
            State::Settling { due, .. } => Some(*due),
            State::Idle | State::Building { .. } => None,
        }
    }

    /// What is due at `now`: a build, or nothing yet.
    pub fn due(&mut self, now: Time) -> Option<Action> {
        match &mut self.state {
            State::Settling { saved, due, changed } if *due <= now => {
                let build = Action::Build { saved: *saved, changed: std::mem::take(changed) };
                self.state = State::Building { meanwhile: None };
                Some(build)
            }
            _ => None,
        }
    }

    /// The build has ended, well or not. Names the files that no longer count, if any.
    pub fn finished(&mut self, now: Time) -> Vec<Action> {
        let State::Building { meanwhile } = &mut self.state else { return Vec::new() };
        let mut actions = Vec::new();
        let Some(Meanwhile { saved, mut changed }) = meanwhile.take() else {
            self.streaks.clear();
            self.state = State::Idle;
            return actions;
        };
        self.streaks.retain(|path, _| changed.contains(path));
        for path in &changed {
            let streak = self.streaks.entry(path.clone()).or_default();
            *streak += 1;
            if *streak >= LOOP_AFTER {
                self.muted.insert(path.clone());
                actions.push(Action::Mute(path.clone()));
            }
        }
        changed.retain(|path| !self.muted.contains(path));
        self.streaks.retain(|path, _| !self.muted.contains(path));
        self.state = if changed.is_empty() {
            State::Idle
        } else {
            // it has settled while the build ran, or will be built again
            State::Settling { saved, due: now, changed }
        };
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> Time {
        Time::from_unix_nanos(ms * 1_000_000)
    }

    fn build(saved_ms: u64, files: &[&str]) -> Option<Action> {
        Some(Action::Build { saved: at(saved_ms), changed: files.iter().map(PathBuf::from).collect() })
    }

    #[test]
    fn a_burst_of_writes_is_one_build_dated_from_its_first() {
        let mut c = Coordinator::default();
        assert_eq!((c.next_deadline(), c.due(at(0))), (None, None));
        c.changed(at(0), Path::new("a"));
        c.changed(at(3), Path::new("b"));
        assert_eq!((c.next_deadline(), c.due(at(7))), (Some(at(8)), None));
        assert_eq!(c.due(at(8)), build(0, &["a", "b"]));
        assert_eq!((c.finished(at(200)), c.next_deadline()), (vec![], None));
    }

    #[test]
    fn a_stream_of_writes_is_not_waited_for_for_ever() {
        let mut c = Coordinator::default();
        for ms in (0..200).step_by(3) {
            c.changed(at(ms), Path::new("a"));
        }
        assert_eq!(c.next_deadline(), Some(at(100)));
    }

    #[test]
    fn changes_during_a_build_cause_one_more() {
        let mut c = Coordinator::building();
        c.changed(at(10), Path::new("a"));
        c.changed(at(20), Path::new("b"));
        assert_eq!((c.next_deadline(), c.due(at(30))), (None, None), "one build at a time");
        assert_eq!(c.finished(at(40)), vec![]);
        assert_eq!(c.due(at(40)), build(10, &["a", "b"]));
        assert_eq!((c.finished(at(50)), c.next_deadline()), (vec![], None));
    }

    /// Builds, during each of which `path` changes, until none is due; returns the number of builds and the last
    /// actions.
    fn builds_that_write(c: &mut Coordinator, path: &str) -> (u32, Vec<Action>) {
        let mut builds = 1;
        loop {
            c.changed(at(1), Path::new(path));
            let actions = c.finished(at(2));
            if c.due(at(3)).is_none() {
                return (builds, actions);
            }
            builds += 1;
        }
    }

    #[test]
    fn a_file_that_each_build_writes_is_named_and_left_alone() {
        let mut c = Coordinator::building();
        assert_eq!(builds_that_write(&mut c, "gen.rs"), (LOOP_AFTER, vec![Action::Mute("gen.rs".into())]));

        c.changed(at(10), Path::new("main.rs"));
        assert_eq!(c.due(at(20)), build(10, &["main.rs"]), "other files still count");
        c.changed(at(21), Path::new("gen.rs"));
        assert_eq!((c.finished(at(22)), c.next_deadline()), (vec![], None), "it is ignored");

        c.changed(at(30), Path::new("gen.rs"));
        assert_eq!(c.due(at(40)), build(30, &["gen.rs"]), "until a person writes it");
        assert_eq!(builds_that_write(&mut c, "gen.rs"), (LOOP_AFTER, vec![Action::Mute("gen.rs".into())]));
    }

    #[test]
    fn saving_during_builds_now_and_then_is_no_loop() {
        let mut c = Coordinator::building();
        for _ in 0..20 {
            for _ in 0..LOOP_AFTER - 1 {
                c.changed(at(1), Path::new("a"));
                assert_eq!(c.finished(at(2)), vec![]);
                assert!(c.due(at(2)).is_some());
            }
            assert_eq!(c.finished(at(3)), vec![], "a build during which nothing changed");
            c.changed(at(4), Path::new("a"));
            assert!(c.due(at(100)).is_some());
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Change(u8),
        Wait(u64),
        Finish,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0..3u8).prop_map(Step::Change),
            3 => (1..40u64).prop_map(Step::Wait),
            2 => Just(Step::Finish),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        /// Whatever happens, no two builds overlap, and no change of a file that is not muted is forgotten.
        #[test]
        fn one_build_at_a_time_and_nothing_is_missed(steps in steps()) {
            let (mut c, mut now, mut building) = (Coordinator::default(), 0u64, false);
            let mut owed: BTreeSet<PathBuf> = BTreeSet::new();
            let mut muted: BTreeSet<PathBuf> = BTreeSet::new();
            let drain = steps.iter().cloned().chain((0..20).flat_map(|_| [Step::Wait(200), Step::Finish]));
            for step in drain {
                match step {
                    Step::Change(file) => {
                        let path = PathBuf::from(file.to_string());
                        c.changed(at(now), &path);
                        if !building {
                            muted.remove(&path);
                        }
                        if !muted.contains(&path) {
                            owed.insert(path);
                        }
                    }
                    Step::Wait(ms) => now += ms,
                    Step::Finish => {
                        for action in c.finished(at(now)) {
                            let Action::Mute(path) = action else { panic!("only mutes end a build") };
                            owed.remove(&path);
                            muted.insert(path);
                        }
                        building = false;
                    }
                }
                if let Some(Action::Build { changed, .. }) = c.due(at(now)) {
                    prop_assert!(!building, "a build is running already");
                    prop_assert!(!changed.is_empty());
                    for path in &changed {
                        prop_assert!(owed.remove(path), "{path:?} had not changed");
                    }
                    building = true;
                }
            }
            prop_assert!(owed.is_empty(), "never built: {owed:?}");
        }
    }
}
