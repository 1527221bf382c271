//! Reading profiles: the built-in ones, and any file of their form, with errors that name file, line and what is right.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;
use toml::de::DeTable;

use super::{
    Profile,
    builtin::{self, BuiltIn},
    check,
    events::Events,
    facts::{facts, locate},
    prices::Billing,
    schema::{ColdStart, Cpu, Errors, Limits, Log, Scaling, Source},
};

/// There is no built-in profile of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownProfile(String);

impl fmt::Display for UnknownProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = builtin::ALL
            .iter()
            .map(|built_in| match built_in.aliases {
                [] => built_in.name.to_owned(),
                aliases => format!("{} ({})", built_in.name, aliases.join(", ")),
            })
            .collect();
        write!(f, "there is no profile `{}`: ", self.0)?;
        if let Some(meant) = self.meant() {
            write!(f, "did you mean `{meant}`? ")?;
        }
        write!(
            f,
            "Choose one of {}; or give the path of a file of your own, such as ./mine.toml",
            names.join(", ")
        )
    }
}

impl UnknownProfile {
    /// The name that was probably meant: one that begins like this, or is a few letters away from it.
    fn meant(&self) -> Option<&'static str> {
        let typed = self.0.to_lowercase();
        let names =
            || builtin::ALL.iter().flat_map(|of| std::iter::once(&of.name).chain(of.aliases)).copied();
        let begins = || names().find(|name| typed.len() > 1 && name.starts_with(&typed));
        let (letters, nearest) = names().map(|name| (distance(&typed, name), name)).min()?;
        if letters * 4 <= typed.chars().count() { Some(nearest) } else { begins() }
    }
}

/// How many letters must be put in, left out or exchanged to make one of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in b.iter().enumerate() {
            let exchanged = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
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
    #[serde(default)]
    cpu: Cpu,
    #[serde(default)]
    cold_starts: Vec<ColdStart>,
    #[serde(default)]
    errors: Errors,
    #[serde(default)]
    log: Log,
    #[serde(default)]
    events: Events,
    billing: Billing,
}

impl Profile {
    /// The names of the built-in profiles.
    pub fn names() -> impl Iterator<Item = &'static str> {
        builtin::ALL.iter().map(|built_in| built_in.name)
    }

    /// Other names that [`named`](Self::named) takes for a built-in profile.
    pub fn aliases(name: &str) -> &'static [&'static str] {
        builtin::ALL.iter().find(|built_in| built_in.name == name).map_or(&[], |built_in| built_in.aliases)
    }

    /// The built-in profile of that name.
    ///
    /// # Errors
    /// When there is none; the error lists those that there are.
    pub fn named(name: &str) -> Result<Self, UnknownProfile> {
        let BuiltIn { name, text, .. } = builtin::ALL
            .iter()
            .find(|built_in| built_in.name == name || built_in.aliases.contains(&name))
            .ok_or_else(|| UnknownProfile(name.to_owned()))?;
        Ok(Self::parse(name, text).expect("the built-in profiles are tested"))
    }

    /// Reads a profile's TOML.
    ///
    /// # Errors
    /// The first thing that is wrong with it, with its line: what is not TOML, unknown, of the wrong type, without its
    /// source, or in contradiction to something else.
    pub fn parse(name: &str, text: &str) -> Result<Self, ProfileError> {
        let error = |at: Option<usize>, what: String| ProfileError {
            name: name.to_owned(),
            line: at.map(|at| 1 + text[..at.min(text.len())].matches('\n').count()),
            what,
        };
        let from_toml = |e: toml::de::Error| error(e.span().map(|span| span.start), e.message().to_owned());
        let table = DeTable::parse(text).map_err(from_toml)?;
        let file: File = toml::from_str(text).map_err(from_toml)?;
        let facts = facts(table.get_ref(), &file.sources).map_err(|missing| {
            let known: Vec<&str> = file.sources.keys().map(String::as_str).collect();
            let what = format!(
                "there is no source `{0}`: add [sources.{0}], or name one of {1}",
                missing.source,
                known.join(", ")
            );
            error(Some(missing.at), what)
        })?;
        let File { title, sources, limits, scaling, cpu, cold_starts, errors, log, events, billing } = file;
        let profile = Profile {
            name: name.to_owned(),
            title,
            sources,
            limits,
            scaling,
            cpu,
            cold_starts,
            errors,
            log,
            events,
            billing,
            facts,
        };
        match check::check(&profile) {
            Ok(()) => Ok(profile),
            Err(wrong) => Err(error(locate(table.get_ref(), &wrong.path), wrong.what)),
        }
    }

    /// Whether the source of that name has been read, as opposed to remembered or assumed.
    pub fn is_verified(&self, source: &str) -> bool {
        self.sources.get(source).is_some_and(|source| source.verified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_profiles_can_be_read() {
        for BuiltIn { name, aliases, text } in builtin::ALL {
            let profile = Profile::named(name).expect("it is in the list");
            assert_eq!(profile.name, *name);
            for alias in *aliases {
                assert_eq!(Profile::named(alias).expect("it is in the list"), profile);
            }
            for (source, is) in &profile.sources {
                assert!(
                    text.contains(&format!("source = \"{source}\"")),
                    "{name} has a source for nothing: {source}"
                );
                let is_doubtful =
                    ["recalled", "assumed", "assumption"].iter().any(|word| is.title.contains(word));
                assert_eq!(is.verified, !is_doubtful, "{name}: {source}");
            }
        }
    }

    #[test]
    fn a_wrong_name_is_told_with_the_right_ones() {
        let error = Profile::named("aws").expect_err("there is none");
        insta::assert_snapshot!(error, @"there is no profile `aws`: did you mean `aws-lambda`? Choose one of aws-lambda (aws-lambda-x86), aws-lambda-arm (aws-lambda-arm64), cloudflare-workers (cloudflare-workers-paid), cloudflare-workers-free, google-cloud-run-functions (google-cloud-run-functions-gen2, gcf-gen2), google-cloud-run-functions-gen1 (google-cloud-functions-gen1, gcf-gen1), azure-functions (azure-functions-consumption, azure-consumption), azure-functions-flex (azure-flex), vercel-fluid (vercel), fastly-compute (fastly), deno-deploy (deno), own; or give the path of a file of your own, such as ./mine.toml");
    }

    #[test]
    fn what_was_probably_meant_is_told() {
        let meant = |name: &str| UnknownProfile(name.to_owned()).meant();
        for (typed, name) in [
            ("aws-lambada", "aws-lambda"),
            ("AWS-Lambda", "aws-lambda"),
            ("aws", "aws-lambda"),
            ("google", "google-cloud-run-functions"),
            ("cloudflare-worker", "cloudflare-workers"),
            ("gcf-gen3", "gcf-gen1"),
            ("azure-flexx", "azure-flex"),
            ("verce", "vercel"),
        ] {
            assert_eq!(meant(typed), Some(name), "{typed}");
        }
        for typed in ["", "x", "heroku", "lambda"] {
            assert_eq!(meant(typed), None, "{typed}");
        }
    }

    /// The error of a built-in file in which one thing was replaced.
    fn broken(from: &str, to: &str) -> String {
        let text = builtin::ALL[0].text;
        assert!(text.contains(from), "{from} is in the file");
        Profile::parse("mine", &text.replacen(from, to, 1)).expect_err("it is broken").to_string()
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_line() {
        insta::assert_snapshot!(broken("max_instances = { value = 1000", "max_instances = { value = -1"), @"profile `mine`, line 117: invalid value: integer `-1`, expected u32");
        insta::assert_snapshot!(broken("[scaling]", "[scaling]\nmax_instance = 1"), @"profile `mine`, line 115: unknown field `max_instance`, expected one of `instance_concurrency`, `default_concurrency`, `max_instances`, `max_running`, `memory_mib`, `max_function_instances`, `burst_instances`, `burst_window_ms`, `requests_per_second_per_instance`, `max_queued`, `max_wait_ms`, `target_utilization_percent`, `keep_alive_ms`, `keep_alive_max_ms`");
        insta::assert_snapshot!(broken("value = \"0.20\"", "value = 0.20"), @"profile `mine`, line 247: invalid type: floating point `0.2`, expected a string");
        insta::assert_snapshot!(broken("value = \"0.20\"", "value = \"20 ct\""), @r#"profile `mine`, line 247: "20 ct" is no price: write it as "0.0000166667""#);
        insta::assert_snapshot!(broken("source = \"stellar\"", "source = \"hearsay\""), @"profile `mine`, line 123: there is no source `hearsay`: add [sources.hearsay], or name one of clients, dynamodb, events, events-jitter, init-billing, invoke, lambda-perf, lifecycle, logs, memory, periods, pricing, quotas, reasons, recalled, scaling, sqs, stellar, tiers, url-timeouts, urls");
        insta::assert_snapshot!(broken("[limits.memory_mib]", "[limits.memory]"), @"profile `mine`, line 64: unknown field `memory`, expected one of `memory_mib`, `timeout_ms`, `cpu_ms`, `init_ms`, `request_bytes`, `reply_bytes`, `stream_reply_bytes`, `event_bytes`, `scratch_mib`, `env_bytes`, `package_bytes`, `unpacked_bytes`, `subrequests`, `connections`, `open_files`, `threads`, `url_bytes`, `header_bytes`, `requests_per_day`, `requests_per_minute`");
        insta::assert_snapshot!(broken("counts = \"requests\"", "counts = \"calls\""), @"profile `mine`, line 246: unknown variant `calls`, expected one of `requests`, `gb_seconds`, `gb_hours`, `vcpu_seconds`, `ghz_seconds`, `cpu_ms`, `cpu_hours`, `scratch_gb_seconds`, `stream_gb`, `egress_gb`, `provisioned_gb_seconds`, `provisioned_vcpu_seconds`, `provisioned_use_gb_seconds`, `snapshot_gb_seconds`, `snapshot_restore_gb`, `server_hours`, `queue_operations`, `storage_gb_months`, `storage_writes`, `storage_reads`, `kv_reads`, `kv_writes`, `rows_read`, `rows_written`, `named`");
        insta::assert_snapshot!(broken("title =", "title"), @"profile `mine`, line 2: key with no value, expected `=`");
    }

    #[test]
    fn what_contradicts_itself_is_told_with_its_line() {
        insta::assert_snapshot!(broken("max = { value = 10240", "max = { value = 64"), @"profile `mine`, line 66: min is 128, which is more than max, 64");
        insta::assert_snapshot!(broken("default = { value = 3000", "default = { value = 900001"), @"profile `mine`, line 70: default is 900001, which is more than max, 900000");
        insta::assert_snapshot!(broken("up_to = { value = 15000000000", "up_to = { value = 1"), @"profile `mine`, line 262: tiers ascend: up_to is 1, and must be more than 6000000000");
        insta::assert_snapshot!(broken("up_to = { value = 15000000000, source = \"tiers\" }\n", ""), @"profile `mine`, line 261: a tier without up_to has no end: only the last may have none");
        insta::assert_snapshot!(broken("usd = { value = \"0.0000166667\", source = \"pricing\" }\n", "usd = { value = \"1\", source = \"pricing\" }\n\n[[billing.meters.tiers]]\nup_to = { value = 7, source = \"pricing\" }\nusd = { value = \"2\", source = \"pricing\" }\n"), @"profile `mine`, line 262: tiers ascend: up_to is 7, and must be more than 6000000000");
        insta::assert_snapshot!(broken("usd = { value = \"0.20\", source = \"pricing\" }\n", ""), @"profile `mine`, line 244: meter `requests` has no price: add usd, or tiers");
        insta::assert_snapshot!(broken("per = 1000000", "per = 0"), @"profile `mine`, line 248: a price is for one or more: write `per = 1`, or leave it out");
        insta::assert_snapshot!(broken("[billing.scratch]\nincluded_mib = { value = 512, source = \"pricing\" }\n", ""), @"profile `mine`, line 268: meter `ephemeral storage` needs [billing.time] and [billing.scratch]");
        insta::assert_snapshot!(broken("counts = \"scratch_gb_seconds\"", "counts = \"egress_gb\""), @"profile `mine`, line 225: no meter follows this rule: add one that counts what [billing.scratch] is about");
        insta::assert_snapshot!(broken("name = \"duration\"", "name = \"requests\""), @"profile `mine`, line 253: there are two meters `requests`: give each a name of its own");
        insta::assert_snapshot!(broken("round_up_ms = { value = 1,", "round_up_ms = { value = 0,"), @"profile `mine`, line 219: nothing can be rounded up to steps of 0: leave it out");
        insta::assert_snapshot!(broken("p90_us = { value = 21400", "p90_us = { value = 1"), @"profile `mine`, line 135: p90_us is 1, which is less than p50_us, 16000");
        insta::assert_snapshot!(broken("part = \"init\"", "part = \"boot\""), @"profile `mine`, line 132: unknown variant `boot`, expected one of `init`, `platform`, `whole`");
        insta::assert_snapshot!(broken("memory_mib = 256\n", "memory_mib = 128\n"), @"profile `mine`, line 141: there is one before of the same part and memory_mib: keep one of them");
        insta::assert_snapshot!(broken("p50_us = { value = 448000", "p50_us = { value = 448"), @"profile `mine`, line 169: init takes 16000, which is more than the 448 that the whole start takes");
        insta::assert_snapshot!(broken("p50_us = { value = 16000", "min_us = { value = 16001, source = \"lambda-perf\" }\np50_us = { value = 16000"), @"profile `mine`, line 134: min_us is 16001, which is more than p50_us, 16000");
        insta::assert_snapshot!(broken("[errors.throttled]", "[[cold_starts]]\nwhat = \"boot\"\npart = \"platform\"\np50_us = { value = 7, source = \"stellar\" }\n\n[errors.throttled]"), @"profile `mine`, line 175: how long starts take in whole and without init follow from each other: keep one of them");
        insta::assert_snapshot!(broken("period_ms = { value = 20", "period_ms = { value = 0"), @"profile `mine`, line 128: a period has a length: write 100, Linux's own, or leave it out");
        for (of, line) in [("day", 114), ("minute", 114)] {
            let limit = format!("[limits.requests_per_{of}]\nvalue = 0\nsource = \"quotas\"\n\n[scaling]");
            let told = broken("[scaling]", &limit);
            assert!(
                told.starts_with(&format!("profile `mine`, line {line}: with none nothing could ever run")),
                "{told}"
            );
        }
        for (of, none) in [
            ("default = { value = 128", "default = { value = 0"),
            ("default = { value = 3000", "default = { value = 0"),
            ("max_instances = { value = 1000", "max_instances = { value = 0"),
        ] {
            let text = builtin::ALL[0].text;
            let line = 1 + text[..text.find(of).expect("it is there")].matches('\n').count();
            let told = broken(of, none);
            assert!(told.contains(&format!("line {line}: ")), "{told}");
        }
        insta::assert_snapshot!(broken("[billing.provisioned]\n", "[billing.provisioned]\nidle_only = { value = true, source = \"pricing\" }\n"), @"profile `mine`, line 233: what serves is billed as any other, and there is a meter that counts it apart: keep one of them");
        insta::assert_snapshot!(broken("burst_window_ms = { value = 10000, source = \"scaling\" }\n", ""), @"profile `mine`, line 120: burst_instances needs burst_window_ms beside it");
    }
}
