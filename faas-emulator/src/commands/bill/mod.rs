//! `faas bill`: the invoice of the last or running session, for the session or a month, under its own profile or all; and
//! the check of its cost against a baseline.
//!
//! The arithmetic is [`faas_core::billing`]'s; what ran is the meter's [`Session`].

mod baseline;
mod month;
mod render;

use std::{io::Write as _, path::PathBuf};

use faas_core::{
    billing::{Allowances, Invoice},
    profile::Profile,
};

use self::{baseline::Baseline, month::Month};
use crate::{
    error::Error,
    meter::session::Session,
    paths::{self, Running},
    profiles,
    reload::project,
};

/// Options of `faas bill`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The project whose session it was: as for `faas dev`
    path: Option<PathBuf>,
    /// How the answer looks
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Scale what was observed to a month, and take off what a month includes
    #[arg(long)]
    month: bool,
    /// A month under every profile, beside servers of your own
    #[arg(long)]
    compare: bool,
    /// Compare the cost with that in FILE, and fail if it rose
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// How much it may rise, in percent
    #[arg(long, default_value_t = 5, value_name = "PERCENT", requires = "check")]
    tolerance: u32,
    /// Write the cost to FILE, for later checks
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// What a month includes is used up already
    #[arg(long)]
    no_free_tier: bool,
}

/// How the answer looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A table for people
    Table,
    /// One JSON object
    Json,
    /// A line each, with a header
    Csv,
}

/// Prints the bill, and checks it.
///
/// # Errors
/// When there is no session, or its cost rose by more than it may.
pub async fn run(options: Options) -> Result<(), Error> {
    let path = options.path.clone();
    let project = super::blocking(move || project::find(path.as_deref())).await?;
    let session = match Running::find(&project) {
        Some(running) => running.session().await,
        None => None,
    };
    let session = match session {
        Some(session) => session,
        None => super::blocking(move || paths::last_session(&project)).await?,
    };
    let profile = profiles::find(&session.profile)?;
    if options.save.is_none() && options.check.is_none() {
        return print(&answer(&options, &session, &profile)?);
    }
    let now = Baseline::of(&session, &profile);
    if let Some(file) = &options.check {
        print(&Baseline::read(file)?.check(&now, options.tolerance)?)?;
    }
    if let Some(file) = &options.save {
        now.write(file)?;
    }
    Ok(())
}

fn answer(options: &Options, session: &Session, profile: &Profile) -> Result<String, Error> {
    let allowances = if options.no_free_tier { Allowances::UsedUp } else { Allowances::Applied };
    if options.compare {
        let all = month::compare(session, profile, allowances)?;
        return Ok(match options.format {
            Format::Table => render::comparison(&all),
            Format::Json => render::comparison_json(&all),
            Format::Csv => render::comparison_csv(&all),
        });
    }
    if options.month {
        let month = Month::of(session, profile, allowances)?;
        return Ok(match options.format {
            Format::Table => render::month(profile, &month),
            Format::Json => render::month_json(profile, &month),
            Format::Csv => render::lines_csv(&[("all", &month.invoice)]),
        });
    }
    // a session is no month: nothing is taken off, and the plan's fee is not asked
    let mut billing = profile.billing.clone();
    billing.plan = None;
    let functions: Vec<(&str, Invoice)> = session
        .used(profile)
        .into_iter()
        .map(|(name, used)| (name, Invoice::of(&billing, &used.into(), Allowances::UsedUp)))
        .collect();
    Ok(match options.format {
        Format::Table => render::session(profile, session, &functions),
        Format::Json => render::session_json(profile, session, &functions),
        Format::Csv => {
            let functions: Vec<(&str, &Invoice)> = functions.iter().map(|(name, i)| (*name, i)).collect();
            render::lines_csv(&functions)
        }
    })
}

fn print(text: &str) -> Result<(), Error> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|why| Error::failed(format!("standard output cannot be written: {why}")))
}
