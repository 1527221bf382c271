//! A profile as it stands in its file: every entry, in order, with the source that it names. For whoever shows it.

use std::collections::BTreeMap;

use toml::de::{DeArray, DeTable, DeValue};

use super::schema::Source;

/// An entry of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The way to it: `limits.memory_mib.max`. A meter is named, other entries of lists are numbered.
    pub path: String,
    /// What it says.
    pub value: String,
    /// The name of its source; absent where it needs none.
    pub source: Option<String>,
}

/// A source that is named and not there, and where.
pub(super) struct Missing {
    pub(super) at: usize,
    pub(super) source: String,
}

/// All entries but the title and the sources themselves.
pub(super) fn facts(table: &DeTable<'_>, sources: &BTreeMap<String, Source>) -> Result<Vec<Fact>, Missing> {
    let mut walk = Walk { sources, found: Vec::new() };
    for (key, value) in in_order(table) {
        if !matches!(key, "title" | "sources") {
            walk.value(key.to_owned(), value)?;
        }
    }
    Ok(walk.found)
}

/// Where an entry begins: the deepest on the way that there is.
pub(super) fn locate(table: &DeTable<'_>, path: &str) -> Option<usize> {
    let mut at = None;
    let mut here: Option<&DeValue<'_>> = None;
    for step in path.split('.') {
        let next = match here {
            None => table.get(step),
            Some(DeValue::Table(table)) => table.get(step),
            Some(DeValue::Array(list)) => step.parse().ok().and_then(|i: usize| list.get(i)),
            Some(_) => None,
        };
        let Some(next) = next else { break };
        (at, here) = (Some(next.span().start), Some(next.get_ref()));
    }
    at
}

struct Walk<'a> {
    sources: &'a BTreeMap<String, Source>,
    found: Vec<Fact>,
}

impl Walk<'_> {
    fn value(&mut self, path: String, value: &DeValue<'_>) -> Result<(), Missing> {
        match value {
            DeValue::Table(table) => {
                let Some(source) = table.get("source") else {
                    for (key, value) in in_order(table) {
                        self.value(format!("{path}.{key}"), value)?;
                    }
                    return Ok(());
                };
                let name = match source.get_ref() {
                    DeValue::String(name) => name.to_string(),
                    other => plain(other),
                };
                if !self.sources.contains_key(&name) {
                    return Err(Missing { at: source.span().start, source: name });
                }
                let value = table.get("value").map(|v| plain(v.get_ref())).unwrap_or_default();
                self.found.push(Fact { path, value, source: Some(name) });
                Ok(())
            }
            DeValue::Array(list) if is_of_tables(list) => {
                for (i, entry) in list.iter().enumerate() {
                    let name = match entry.get_ref() {
                        DeValue::Table(table) => table.get("name").map(|name| plain(name.get_ref())),
                        _ => None,
                    };
                    let name = name.unwrap_or_else(|| i.to_string());
                    self.value(format!("{path}.{name}"), entry.get_ref())?;
                }
                Ok(())
            }
            // a meter's name is in its path already
            _ if path.ends_with(".name") => Ok(()),
            other => {
                self.found.push(Fact { path, value: plain(other), source: None });
                Ok(())
            }
        }
    }
}

fn is_of_tables(list: &DeArray<'_>) -> bool {
    list.iter().any(|entry| matches!(entry.get_ref(), DeValue::Table(_)))
}

/// As the file has it: tables know only the order of the alphabet.
fn in_order<'a, 'i>(table: &'a DeTable<'i>) -> Vec<(&'a str, &'a DeValue<'i>)> {
    let mut entries: Vec<_> =
        table.iter().map(|(key, value)| (key.span().start, key.get_ref().as_ref(), value)).collect();
    entries.sort_by_key(|(at, ..)| *at);
    entries.into_iter().map(|(_, key, value)| (key, value.get_ref())).collect()
}

/// A value without the quotes and types of TOML.
fn plain(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.replace('\t', "\\t").replace('\n', "\\n"),
        DeValue::Integer(n) => n.to_string(),
        DeValue::Float(n) => n.to_string(),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Datetime(when) => when.to_string(),
        DeValue::Array(list) => {
            let parts: Vec<String> = list.iter().map(|entry| plain(entry.get_ref())).collect();
            parts.join(", ")
        }
        DeValue::Table(table) => {
            let parts: Vec<String> =
                in_order(table).into_iter().map(|(key, value)| format!("{key}={}", plain(value))).collect();
            parts.join(" ")
        }
    }
}
