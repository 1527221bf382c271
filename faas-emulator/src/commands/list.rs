//! `faas list`: what functions there are, and with which settings they would run.

use std::{io::Write as _, path::PathBuf};

use faas_core::{
    abi::manifest::Entry, invocation::FunctionSpec, printable::on_lines, profile::Unsupported,
    sandbox::wasmer::Tier,
};
use serde_json::json;

use crate::{
    console::{self, Format, event::Event},
    error::Error,
    host::{Host, Setup},
    reload::{load::LoadError, project},
};

/// Options of `faas list`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// A crate, a workspace, a folder of .wasm files or one .wasm file
    path: Option<PathBuf>,
    /// Whose defaults fill in what a function leaves open
    #[arg(long = "as", value_name = "PROFILE", default_value = crate::host::DEFAULT_PROFILE)]
    profile: String,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

/// Builds the functions and lists them.
///
/// # Errors
/// When they cannot be built or loaded.
pub async fn run(options: Options) -> Result<(), Error> {
    let path = options.path.clone();
    // the list alone goes to standard output: what the build says is for the person who waits
    let host = Host::new(Setup::new(options.profile, Format::Text, Box::new(anstream::stderr())))?;
    let project = super::blocking(move || project::find(path.as_deref())).await?;
    let loader = super::loader(&host, project);
    let console = host.console().clone();
    loader.prepare(&|text| console.say(Event::Notice(text.into()))).await?;
    let load = loader.load(Tier::Fast, &|line| console.say(Event::Progress(line.into()))).await;
    super::close(console).await?;
    let load = load.map_err(LoadError::told_already)?;
    let mut entries: Vec<Entry> =
        load.modules.iter().flat_map(|loaded| loaded.module.functions()).cloned().collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let functions = entries
        .into_iter()
        .map(|entry| Ok((host.settings(&entry)?, entry)))
        .collect::<Result<Vec<_>, Unsupported>>()
        .map_err(|why| Error::bad_input(why.to_string()))?;
    let text = if options.json { as_json(&functions) } else { as_text(&functions) };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|why| Error::failed(format!("standard output cannot be written: {why}")))
}

fn route(entry: &Entry) -> String {
    entry.route.clone().unwrap_or_else(|| format!("/{}", entry.name))
}

fn as_text(functions: &[(FunctionSpec, Entry)]) -> String {
    let mut rows: Vec<[String; 7]> =
        vec![["function", "method", "route", "memory", "timeout", "concurrency", "trigger"].map(Into::into)];
    for (spec, entry) in functions {
        let trigger = match (&entry.schedule, &entry.queue) {
            (Some(schedule), _) => format!("schedule {schedule}"),
            (None, Some(queue)) => format!("queue {queue}"),
            (None, None) => "http".into(),
        };
        rows.push([
            entry.name.clone(),
            entry.method.clone().unwrap_or_else(|| "*".into()),
            route(entry),
            format!("{} MiB", spec.memory_mib),
            format!("{} s", spec.timeout.as_secs_f64()),
            spec.instance_concurrency.to_string(),
            trigger,
        ]);
    }
    let widths: [usize; 7] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    });
    let line = |row: &[String; 7]| {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    on_lines(&rows.iter().map(line).collect::<String>()).into_owned()
}

fn as_json(functions: &[(FunctionSpec, Entry)]) -> String {
    let list: Vec<_> = functions
        .iter()
        .map(|(spec, entry)| {
            json!({
                "function": entry.name,
                "handler": entry.handler,
                "kind": entry.kind,
                "method": entry.method,
                "route": route(entry),
                "memory_mib": spec.memory_mib,
                "timeout_ms": u64::try_from(spec.timeout.as_millis()).unwrap_or(u64::MAX),
                "concurrency": spec.instance_concurrency,
                "isolation": spec.isolation,
                "schedule": entry.schedule,
                "queue": entry.queue,
            })
        })
        .collect();
    format!("{}\n", console::json::safe(&serde_json::Value::from(list).to_string()))
}
