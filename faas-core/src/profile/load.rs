//! Reading profiles: the built-in ones, and any file of their form, with errors that name file, line and what is right.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::{
    Profile,
    schema::{Billing, Limits, Scaling, Source},
};

const BUILT_IN: [(&str, &str); 2] = [
    ("aws-lambda", include_str!("aws-lambda.toml")),
    ("cloudflare-workers", include_str!("cloudflare-workers.toml")),
];

/// There is no built-in profile of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownProfile(String);

impl fmt::Display for UnknownProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Profile::names().collect();
        write!(f, "there is no profile `{}`: choose one of {}", self.0, names.join(", "))
    }
}

impl std::error::Error for UnknownProfile {}

/// A file that is no profile, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileError {
    name: String,
    line: Option<usize>,
    what: String,
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "profile `{}`, line {line}: {}", self.name, self.what),
            None => write!(f, "profile `{}`: {}", self.name, self.what),
        }
    }
}

impl std::error::Error for ProfileError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: String,
    sources: BTreeMap<String, Source>,
    limits: Limits,
    scaling: Scaling,
    billing: Billing,
}

impl Profile {
    /// The names of the built-in profiles.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// The built-in profile of that name.
    ///
    /// # Errors
    /// When there is none; the error lists those that there are.
    pub fn named(name: &str) -> Result<Self, UnknownProfile> {
        let (name, text) =
            BUILT_IN.iter().find(|(n, _)| *n == name).ok_or_else(|| UnknownProfile(name.to_owned()))?;
        Ok(Self::parse(name, text).expect("the built-in profiles are tested"))
    }

    /// Reads a profile's TOML.
    ///
    /// # Errors
    /// The first thing that is wrong with it, with its line.
    pub fn parse(name: &str, text: &str) -> Result<Self, ProfileError> {
        let error = |at: Option<usize>, what: String| ProfileError {
            name: name.to_owned(),
            line: at.map(|at| 1 + text[..at.min(text.len())].matches('\n').count()),
            what,
        };
        let from_toml = |e: toml::de::Error| error(e.span().map(|span| span.start), e.message().to_owned());
        let table = DeTable::parse(text).map_err(from_toml)?;
        let File { title, sources, limits, scaling, billing } = toml::from_str(text).map_err(from_toml)?;
        if let Some((at, missing)) = unknown_source(table.get_ref(), &sources) {
            let known: Vec<&str> = sources.keys().map(String::as_str).collect();
            return Err(error(
                Some(at),
                format!(
                    "there is no source `{missing}`: add [sources.{missing}], or name one of {}",
                    known.join(", ")
                ),
            ));
        }
        Ok(Profile { name: name.to_owned(), title, sources, limits, scaling, billing })
    }
}

/// Where a `source = "…"` names none of the sources.
fn unknown_source(table: &DeTable<'_>, sources: &BTreeMap<String, Source>) -> Option<(usize, String)> {
    table.iter().find_map(|(key, value)| match value.get_ref() {
        DeValue::Table(inner) => unknown_source(inner, sources),
        DeValue::String(source) if key.get_ref() == "source" && !sources.contains_key(source.as_ref()) => {
            Some((value.span().start, source.to_string()))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_profiles_can_be_read() {
        for name in Profile::names() {
            let profile = Profile::named(name).expect("it is in the list");
            assert_eq!(profile.name, name);
            for source in profile.sources.keys() {
                let text = BUILT_IN.iter().find(|(n, _)| *n == name).expect("as above").1;
                assert!(
                    text.contains(&format!("source = \"{source}\"")),
                    "{name} has a source for nothing: {source}"
                );
            }
        }
    }

    #[test]
    fn a_wrong_name_is_told_with_the_right_ones() {
        let error = Profile::named("aws").expect_err("there is none");
        insta::assert_snapshot!(error, @"there is no profile `aws`: choose one of aws-lambda, cloudflare-workers");
    }

    /// The error of a built-in file in which one thing was replaced.
    fn broken(from: &str, to: &str) -> String {
        let text = BUILT_IN[0].1;
        assert!(text.contains(from), "{from} is in the file");
        Profile::parse("mine", &text.replacen(from, to, 1)).expect_err("it is broken").to_string()
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_line() {
        insta::assert_snapshot!(broken("max_instances = { value = 1000", "max_instances = { value = -1"), @"profile `mine`, line 44: invalid value: integer `-1`, expected u32");
        insta::assert_snapshot!(broken("[scaling]", "[scaling]\nmax_instance = 1"), @"profile `mine`, line 42: unknown field `max_instance`, expected one of `instance_concurrency`, `max_instances`, `max_queued`, `keep_alive_ms`");
        insta::assert_snapshot!(broken("value = \"0.20\"", "value = 0.20"), @"profile `mine`, line 49: invalid type: floating point `0.2`, expected a string");
        insta::assert_snapshot!(broken("value = \"0.20\"", "value = \"20 ct\""), @r#"profile `mine`, line 49: "20 ct" is no price: write it as "0.0000166667""#);
        insta::assert_snapshot!(broken("source = \"stellar\"", "source = \"hearsay\""), @"profile `mine`, line 45: there is no source `hearsay`: add [sources.hearsay], or name one of init-billing, lifecycle, pricing, quotas, scaling, stellar");
        insta::assert_snapshot!(broken("[limits.memory_mib]", "[limits.memory]"), @"profile `mine`, line 22: unknown field `memory`, expected one of `memory_mib`, `timeout_ms`, `cpu_ms`, `init_ms`, `request_bytes`, `reply_bytes`");
        insta::assert_snapshot!(broken("title =", "title"), @"profile `mine`, line 2: key with no value, expected `=`");
    }
}
