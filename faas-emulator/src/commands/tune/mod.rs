//! `faas tune`: runs a function with every memory that its provider sells, and says which is the cheapest and which the
//! fastest for its price.
//!
//! ```text
//! steps    which memories            run    the function, really, with each
//! events   what it is asked
//! verdict  what follows from that    table  for people and programs    plot  for the eye
//! ```

mod events;
mod plot;
mod run;
mod steps;
mod table;
mod verdict;

use std::{collections::BTreeSet, io::Write as _, path::PathBuf, process::ExitCode};

use faas_core::{abi::manifest::is_name, sandbox::wasmer::Tier};

use self::{events::Events, run::Trial, verdict::Tuned};
use super::{estimate::Format, plot::Target};
use crate::{
    console::{self, event::Event},
    error::Error,
    host::{DEFAULT_PROFILE, Host, Setup},
    paths,
    reload::{load::LoadError, project},
};

/// Options of `faas tune`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The function
    name: String,
    /// Where it is: a crate, a workspace, a folder of .wasm files or one .wasm file
    #[arg(long)]
    path: Option<PathBuf>,
    /// An event to send: text, @FILE, or @- for standard input; of a file that ends in .jsonl each line is one. Several are
    /// sent in turn. What `faas dev --record` has recorded when absent
    #[arg(long, value_name = "DATA")]
    data: Vec<String>,
    /// How many requests are measured with each memory; 20, or as many as were recorded, when absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    requests: Option<u32>,
    /// Whose memory, CPUs and prices
    #[arg(long = "as", value_name = "PROFILE", default_value = DEFAULT_PROFILE)]
    profile: String,
    /// Which memories to try, in MiB; those that the provider sells, or a choice of them, when absent
    #[arg(long, value_name = "MIB,…", value_delimiter = ',')]
    memory_mb: Vec<u32>,
    /// How the answer looks
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Draw time against cost, a point for each memory, into this file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// Measures, and says what follows. The exit code is 1 if no memory is enough.
///
/// # Errors
/// When there is no such function, or it cannot be built, or does not have such memory under this profile.
pub async fn run(options: Options) -> Result<ExitCode, Error> {
    let plot = options.plot.as_deref().map(Target::new).transpose()?;
    let given = events::given(&options.data)?;
    let path = options.path.clone();
    // the answer alone goes to standard output: what the build says is for the person who waits
    let setup = Setup::new(options.profile.clone(), console::Format::Text, Box::new(anstream::stderr()));
    let host = Host::new(setup)?;
    let (project, name) =
        (super::blocking(move || project::find(path.as_deref())).await?, options.name.clone());
    let recorded = match given.as_slice() {
        [] if is_name(&name) => {
            let of = project.clone();
            super::blocking(move || paths::recording(&of, &name)).await?
        }
        _ => None,
    };
    let events = Events::of(given, recorded);
    let loader = super::loader(&host, project);
    let console = host.console().clone();
    loader.prepare(&|text| console.say(Event::Notice(text.into()))).await?;
    let load = loader.load(Tier::Optimised, &|line| console.say(Event::Progress(line.into()))).await;
    let load = load.map_err(LoadError::told_already)?;
    let functions = load
        .modules
        .iter()
        .flat_map(|loaded| loaded.module.functions().iter().map(move |entry| (entry, &loaded.module)));
    let functions: Vec<_> = functions.collect();
    let Some((entry, module)) = functions.iter().find(|(entry, _)| entry.name == options.name) else {
        let names: Vec<&str> = functions.iter().map(|(entry, _)| entry.name.as_str()).collect();
        let (name, names) = (&options.name, names.join(", "));
        return Err(Error::bad_input(format!("there is no function `{name}`\nThere are: {names}.")));
    };
    let profile = host.profile();
    let memories = match options.memory_mb.as_slice() {
        [] => steps::of(profile),
        chosen => BTreeSet::from_iter(chosen.iter().copied()).into_iter().collect(),
    };
    let mut trials = memories
        .into_iter()
        .map(|memory_mib| Trial::new(profile, entry, module, memory_mib, host.clock()))
        .collect::<Result<Vec<_>, _>>()?;
    // the first of each is cold, and not measured
    for n in 0..=options.requests.unwrap_or_else(|| events.requests()) as usize {
        for trial in &mut trials {
            trial.once(n, &events).await?;
        }
    }
    let mut runs = Vec::new();
    for trial in trials {
        runs.push(trial.end().await);
    }
    let tuned = Tuned::of(&options.name, profile, events, runs);
    let text = match options.format {
        Format::Table => table::text(&tuned),
        Format::Json => format!("{}\n", table::json(&tuned)),
    };
    super::close(console).await?;
    if let Some(target) = plot {
        target.draw(&plot::of(&tuned))?;
    }
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|why| Error::failed(format!("standard output cannot be written: {why}")))?;
    Ok(ExitCode::from(u8::from(tuned.cheapest.is_none())))
}
