//! `faas profiles`: which profiles there are, and all that one says, entry by entry, with its source.

use std::io::Write as _;

use faas_core::profile::{Fact, Profile};
use serde_json::{Value, json};

use super::estimate::{Format, columns};
use crate::{error::Error, profiles};

/// Options of `faas profiles`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The profile to print whole: a name, or the path of a file; a list of all when absent
    name: Option<String>,
    /// How the answer looks
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Prints the list, or one profile.
///
/// # Errors
/// When there is no such profile.
pub fn run(options: &Options) -> Result<(), Error> {
    let text = match &options.name {
        Some(name) => {
            let profile = profiles::find(name)?;
            match options.format {
                Format::Table => whole(&profile),
                Format::Json => format!("{}\n", as_json(&profile)),
            }
        }
        None => {
            let all = Profile::names().map(profiles::find).collect::<Result<Vec<_>, _>>()?;
            match options.format {
                Format::Table => list(&all),
                Format::Json => format!("{}\n", Value::from(all.iter().map(as_json).collect::<Vec<_>>())),
            }
        }
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|why| Error::failed(format!("standard output cannot be written: {why}")))
}

fn list(all: &[Profile]) -> String {
    let row = |profile: &Profile| {
        [profile.name.clone(), profile.title.clone(), Profile::aliases(&profile.name).join(", ")]
    };
    let mut rows = vec![["profile", "", "also called"].map(String::from)];
    rows.extend(all.iter().map(row));
    format!(
        "{}\n`faas profiles NAME` prints one with its sources. A file of your own: --as ./mine.toml\n",
        columns(&rows, &[])
    )
}

/// The entries by section, then the sources that they name.
fn whole(profile: &Profile) -> String {
    let mut text = format!("{}: {}\n", profile.name, profile.title);
    let section = |fact: &Fact| {
        let parts: Vec<&str> = fact.path.split('.').collect();
        // meters are sections of their own; other entries go by the first key
        let depth = if fact.path.starts_with("billing.meters.") { 3 } else { 1 };
        parts[..depth.min(parts.len() - 1)].join(".")
    };
    let mut rest = profile.facts.as_slice();
    while let Some(first) = rest.first() {
        let name = section(first);
        let end = rest.iter().position(|fact| section(fact) != name).unwrap_or(rest.len());
        let (these, others) = rest.split_at(end);
        rest = others;
        let row = |fact: &Fact| {
            let key = fact.path.strip_prefix(&name).map_or("", |key| key.trim_start_matches('.'));
            let source = fact.source.as_deref().map_or_else(String::new, |source| {
                let mark = if profile.is_verified(source) { "" } else { ", unverified" };
                format!("[{source}{mark}]")
            });
            [format!("  {key}"), fact.value.clone(), source]
        };
        let rows: Vec<_> = these.iter().map(row).collect();
        text += &format!("\n{name}\n{}", columns(&rows, &[]));
    }
    text += "\nsources\n";
    let row = |(name, source): (&String, &faas_core::profile::Source)| {
        let mark = if source.verified { "" } else { " (unverified)" };
        [format!("  {name}"), format!("{}{mark}", source.title)]
    };
    text + &columns(&profile.sources.iter().map(row).collect::<Vec<_>>(), &[])
}

fn as_json(profile: &Profile) -> Value {
    let entry = |fact: &Fact| {
        json!({
            "path": fact.path,
            "value": fact.value,
            "source": fact.source,
            "verified": fact.source.as_deref().is_none_or(|source| profile.is_verified(source)),
        })
    };
    let sources: serde_json::Map<String, Value> = profile
        .sources
        .iter()
        .map(|(name, source)| (name.clone(), json!({ "title": source.title, "verified": source.verified })))
        .collect();
    json!({
        "profile": profile.name,
        "title": profile.title,
        "aliases": Profile::aliases(&profile.name),
        "entries": profile.facts.iter().map(entry).collect::<Vec<_>>(),
        "sources": sources,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_listed_with_their_other_names() {
        let all: Vec<Profile> =
            Profile::names().map(|name| profiles::find(name).expect("built in")).collect();
        insta::assert_snapshot!(list(&all));
    }

    #[test]
    fn one_is_printed_whole_with_its_sources() {
        for name in ["aws-lambda", "google-cloud-run-functions", "own"] {
            insta::assert_snapshot!(name, whole(&profiles::find(name).expect("built in")));
        }
    }

    #[test]
    fn json_has_every_entry_with_its_source() {
        for name in Profile::names() {
            let value = as_json(&profiles::find(name).expect("built in"));
            let entries = value["entries"].as_array().expect("a list");
            assert!(entries.len() > 3, "{name}");
            for entry in entries {
                if let Some(source) = entry["source"].as_str() {
                    assert_eq!(value["sources"][source]["verified"], entry["verified"], "{name}: {entry}");
                }
            }
        }
    }
}
