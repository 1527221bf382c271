//! What a build changes: which functions are new, which are another generation, which are gone.
//!
//! Pure. A release is planned as a whole before anything is swapped, so a build that cannot be served (two functions
//! of one name) leaves everything as it was.

use std::{collections::BTreeMap, fmt, sync::Arc};

use faas_core::{abi::manifest::Entry, invocation::FunctionSpec, profile::Unsupported};

/// A module that could be served.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Where it is from, for messages.
    pub source: &'a str,
    /// Identifies its content.
    pub hash: &'a str,
    /// Its functions.
    pub functions: &'a [Entry],
}

/// Why a build cannot be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanError {
    /// Two functions have one name.
    NameConflict {
        /// The name.
        name: String,
        /// Handler and source of each.
        places: [(String, String); 2],
    },
    /// A function asks for what is not given.
    Unsupported(Unsupported),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanError::NameConflict { name, places: [(handler_a, source_a), (handler_b, source_b)] } => {
                write!(
                    f,
                    "two functions are named `{name}`: {handler_a} in {source_a} and {handler_b} in {source_b}\nRename \
                 one, or set #[function(name = \"…\")] on it."
                )
            }
            PlanError::Unsupported(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for PlanError {}

/// One function of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What its module says of it.
    pub entry: Entry,
    /// Which of the candidates it is from.
    pub module: usize,
    /// Its settings and generation.
    pub spec: Arc<FunctionSpec>,
    /// Whether it differs from what is being served, or nothing of its name is.
    pub is_new: bool,
}

/// A set of functions that can be served together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The functions, sorted by name.
    pub functions: Vec<Planned>,
    /// Names that are served now and will not be.
    pub retired: Vec<Arc<str>>,
}

/// The generation of every function that was ever served in this session.
#[derive(Debug, Default)]
pub struct Generations {
    known: BTreeMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    hash: String,
    entry: Entry,
    spec: Arc<FunctionSpec>,
    is_served: bool,
}

impl Generations {
    /// Plans to serve these modules and nothing else. `settings` resolves what a function leaves open; the
    /// generation is set here.
    ///
    /// # Errors
    /// When two functions have one name, or one asks for settings that it cannot have.
    pub fn plan(
        &self,
        candidates: &[Candidate<'_>],
        settings: impl Fn(&Entry) -> Result<FunctionSpec, Unsupported>,
    ) -> Result<Release, PlanError> {
        let mut functions: BTreeMap<&str, Planned> = BTreeMap::new();
        for (module, candidate) in candidates.iter().enumerate() {
            for entry in candidate.functions {
                let known = self.known.get(&entry.name);
                let same = known.filter(|k| k.hash == candidate.hash && k.entry == *entry);
                let planned = Planned {
                    entry: entry.clone(),
                    module,
                    is_new: !same.is_some_and(|k| k.is_served),
                    spec: match same {
                        Some(known) => known.spec.clone(),
                        None => Arc::new(FunctionSpec {
                            generation: known.map_or(1, |k| k.spec.generation + 1),
                            ..settings(entry).map_err(PlanError::Unsupported)?
                        }),
                    },
                };
                if let Some(other) = functions.insert(&entry.name, planned) {
                    let place = |entry: &Entry, module: usize| {
                        (entry.handler.clone(), candidates[module].source.to_owned())
                    };
                    return Err(PlanError::NameConflict {
                        name: entry.name.clone(),
                        places: [place(&other.entry, other.module), place(entry, module)],
                    });
                }
            }
        }
        let retired = self
            .known
            .iter()
            .filter(|(name, known)| known.is_served && !functions.contains_key(name.as_str()))
            .map(|(_, known)| known.spec.name.clone())
            .collect();
        Ok(Release { functions: functions.into_values().collect(), retired })
    }

    /// The release is being served.
    pub fn commit(&mut self, candidates: &[Candidate<'_>], release: &Release) {
        for known in self.known.values_mut() {
            known.is_served = false;
        }
        for planned in &release.functions {
            self.known.insert(
                planned.entry.name.clone(),
                Known {
                    hash: candidates[planned.module].hash.to_owned(),
                    entry: planned.entry.clone(),
                    spec: planned.spec.clone(),
                    is_served: true,
                },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::gateway::routes::tests::endpoint;
    use super::*;

    fn entries(names: &[&str]) -> Vec<Entry> {
        names.iter().map(|name| endpoint(name, None, None).entry.clone()).collect()
    }

    fn settings(entry: &Entry) -> Result<FunctionSpec, Unsupported> {
        Ok(FunctionSpec::new(entry.name.as_str()))
    }

    /// Serves modules given as (hash, functions); `name@generation`, a star if new, and the retired ones.
    fn serve(generations: &mut Generations, modules: &[(&str, &[&str])]) -> String {
        let functions: Vec<Vec<Entry>> = modules.iter().map(|(_, names)| entries(names)).collect();
        let candidates: Vec<Candidate<'_>> = modules
            .iter()
            .zip(&functions)
            .map(|((hash, _), functions)| Candidate { source: hash, hash, functions })
            .collect();
        let release = generations.plan(&candidates, settings).expect("no conflict");
        generations.commit(&candidates, &release);
        let mut words: Vec<String> = release
            .functions
            .iter()
            .map(|p| format!("{}@{}{}", p.spec.name, p.spec.generation, if p.is_new { "*" } else { "" }))
            .collect();
        words.extend(release.retired.iter().map(|name| format!("-{name}")));
        words.join(" ")
    }

    #[test]
    fn generations_rise_with_the_content_of_the_module() {
        let mut g = Generations::default();
        assert_eq!(serve(&mut g, &[("m1", &["b", "a"]), ("n1", &["c"])]), "a@1* b@1* c@1*");
        assert_eq!(serve(&mut g, &[("m1", &["b", "a"]), ("n1", &["c"])]), "a@1 b@1 c@1");
        assert_eq!(serve(&mut g, &[("m2", &["b", "a"]), ("n1", &["c"])]), "a@2* b@2* c@1");
    }

    #[test]
    fn functions_appear_vanish_and_come_back() {
        let mut g = Generations::default();
        assert_eq!(serve(&mut g, &[("m1", &["a", "b"])]), "a@1* b@1*");
        assert_eq!(serve(&mut g, &[("m2", &["a", "c"])]), "a@2* c@1* -b", "b was renamed c");
        assert_eq!(serve(&mut g, &[("m3", &["a"])]), "a@3* -c");
        assert_eq!(
            serve(&mut g, &[("m1", &["a", "b"])]),
            "a@4* b@1*",
            "as it was: the same generation, served again"
        );
    }

    #[test]
    fn a_plan_that_is_not_served_changes_nothing() {
        let mut g = Generations::default();
        serve(&mut g, &[("m1", &["a"])]);
        let functions = entries(&["a"]);
        let plan = [Candidate { source: "m2", hash: "m2", functions: &functions }];
        g.plan(&plan, settings).expect("no conflict");
        assert_eq!(serve(&mut g, &[("m3", &["a"])]), "a@2*");
    }

    #[test]
    fn a_name_in_two_modules_is_refused_with_both_places() {
        let functions = entries(&["a"]);
        let candidate = |source| Candidate { source, hash: source, functions: &functions };
        let error = Generations::default().plan(&[candidate("x.wasm"), candidate("y.wasm")], settings);
        insta::assert_snapshot!(error.expect_err("a conflict"), @r#"
        two functions are named `a`: a in x.wasm and a in y.wasm
        Rename one, or set #[function(name = "…")] on it.
        "#);
    }
}
