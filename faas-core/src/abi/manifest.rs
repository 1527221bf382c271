//! What a module says of its functions: lines of JSON in a custom section, written by `#[function]`.
//!
//! The host reads them without running the module. Unknown fields are ignored, so that an older host can
//! read a newer module; a missing `name` or an `abi` other than [`super::VERSION`] is an error.

use serde::{Deserialize, Serialize};

/// One function of a module. Absent options take the host's defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Version of the ABI the module was built for.
    pub abi: u32,
    /// The function's name: unique in its module, `[A-Za-z0-9_-]{1,64}`.
    pub name: String,
    /// Path and name of the Rust item, for messages: `crate::orders::create`.
    pub handler: String,
    /// How the function takes its input.
    pub kind: Kind,
    /// Path pattern with `{name}` and `{*rest}` segments; `/<name>` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// HTTP method the route answers; every one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Memory of an instance in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    /// How long one invocation may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How many invocations one instance serves at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How many invocations an instance serves in all; [`Isolation::Instance`] when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Cron expression that triggers the function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Queue whose messages trigger the function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
}

/// What invocations of one function share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// An instance serves one invocation after another: what one leaves in a static, the next finds.
    #[default]
    Instance,
    /// Each invocation gets an instance of its own, which serves no other.
    Request,
}

/// How a function takes its input, as far as its signature shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `async fn(Request) -> …`, or no input at all.
    Http,
    /// `async fn(T) -> …` for a deserializable `T`: a POST with a JSON body.
    Event,
    /// `fn() -> impl tower::Service`.
    Service,
}

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestError {
    /// The module has no such section, or an empty one.
    Empty,
    /// A line is not an [`Entry`]; its number from 1, and why.
    Line(usize, String),
    /// The module speaks another version of the ABI.
    Version {
        /// The function that says so.
        name: String,
        /// The version it speaks.
        found: u32,
    },
    /// Two functions have one name.
    Duplicate(String),
}

impl std::fmt::Display for ManifestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ManifestError::Empty => f.write_str(
                "it has no functions: put `#[function]` on one, and `faas_core::main!();` in src/main.rs",
            ),
            ManifestError::Line(n, why) => {
                write!(f, "line {n} of its section `{}` is not a function: {why}", super::MANIFEST_SECTION)
            }
            ManifestError::Version { name, found } => write!(
                f,
                "function `{name}` was built for ABI version {found}, this host speaks {}: build it with a \
                 faas-core of the same version as `faas`",
                super::VERSION
            ),
            ManifestError::Duplicate(name) => {
                write!(f, "two functions are named `{name}`: rename one, or set #[function(name = \"…\")]")
            }
        }
    }
}

impl std::error::Error for ManifestError {}

/// Reads the section's bytes: one entry a line, sorted by name.
///
/// # Errors
/// The first thing that makes the manifest unusable.
pub fn parse(section: &[u8]) -> Result<Vec<Entry>, ManifestError> {
    #[derive(Deserialize)]
    struct Version {
        abi: u32,
        #[serde(default)]
        name: String,
    }
    let mut entries: Vec<Entry> = Vec::new();
    for (i, line) in section.split(|b| *b == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let bad = |e: serde_json::Error| ManifestError::Line(i + 1, e.to_string());
        // the version first: another version's fields may differ
        let version: Version = serde_json::from_slice(line).map_err(bad)?;
        if version.abi != super::VERSION {
            return Err(ManifestError::Version { name: version.name, found: version.abi });
        }
        let entry: Entry = serde_json::from_slice(line).map_err(bad)?;
        if !is_name(&entry.name) {
            let why = format!("`{}` is not a name: letters, digits, - and _, 64 at most", entry.name);
            return Err(ManifestError::Line(i + 1, why));
        }
        let asks_for_none = [
            ("memory_mib", entry.memory_mib == Some(0)),
            ("timeout_ms", entry.timeout_ms == Some(0)),
            ("concurrency", entry.concurrency == Some(0)),
        ];
        if let Some((field, _)) = asks_for_none.into_iter().find(|(_, is_zero)| *is_zero) {
            let why = format!("`{}` has a `{field}` of 0: give it 1 or more, or leave it out", entry.name);
            return Err(ManifestError::Line(i + 1, why));
        }
        entries.push(entry);
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(ManifestError::Duplicate(pair[0].name.clone()));
    }
    if entries.is_empty() { Err(ManifestError::Empty) } else { Ok(entries) }
}

/// Whether `name` can name a function: it becomes a path segment, a file name and a log tag.
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = r#"{"abi":1,"name":"hello","handler":"hello","kind":"http","memory_mib":64,"new":1}"#;

    #[test]
    fn lines_are_functions_and_unknown_fields_are_ignored() {
        let other = HELLO.replace("\"hello\"", "\"a\"");
        let entries = parse(format!("{HELLO}\n\n{other}\n").as_bytes()).expect("a good manifest");
        assert_eq!(entries.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["a", "hello"]);
        assert_eq!(entries[1].memory_mib, Some(64));
        assert_eq!(entries[1].kind, Kind::Http);
    }

    #[test]
    fn errors_say_what_to_do() {
        let message = |section: &str| parse(section.as_bytes()).expect_err("a bad manifest").to_string();
        insta::assert_snapshot!(message(""), @"it has no functions: put `#[function]` on one, and `faas_core::main!();` in src/main.rs");
        insta::assert_snapshot!(message(&HELLO.replace(":1,\"name", ":2,\"name")), @"function `hello` was built for ABI version 2, this host speaks 1: build it with a faas-core of the same version as `faas`");
        insta::assert_snapshot!(message(&format!("{HELLO}\n{HELLO}")), @r#"two functions are named `hello`: rename one, or set #[function(name = "…")]"#);
        insta::assert_snapshot!(message("{}"), @"line 1 of its section `faas.manifest` is not a function: missing field `abi` at line 1 column 2");
        insta::assert_snapshot!(message(&HELLO.replace("\"hello\"", "\"a/b\"")), @"line 1 of its section `faas.manifest` is not a function: `a/b` is not a name: letters, digits, - and _, 64 at most");
        let zero = |field: &str| message(&HELLO.replace("\"memory_mib\":64", &format!("\"{field}\":0")));
        insta::assert_snapshot!(zero("memory_mib"), @"line 1 of its section `faas.manifest` is not a function: `hello` has a `memory_mib` of 0: give it 1 or more, or leave it out");
        insta::assert_snapshot!(zero("timeout_ms"), @"line 1 of its section `faas.manifest` is not a function: `hello` has a `timeout_ms` of 0: give it 1 or more, or leave it out");
        insta::assert_snapshot!(zero("concurrency"), @"line 1 of its section `faas.manifest` is not a function: `hello` has a `concurrency` of 0: give it 1 or more, or leave it out");
    }
}
