//! `faas estimate`: what stated use would cost in a month, without running anything.
//!
//! The arithmetic is [`faas_core::billing`]'s; here options become use, and invoices become tables and JSON.

mod number;
mod options;
mod render;

use std::io::Write as _;

pub use options::{Arch, Format, Options};
pub(super) use render::{columns, line_value, table as invoice_table};

use faas_core::{
    billing::{Compared, Estimate, Stated, compare},
    profile::Profile,
};

use crate::{error::Error, profiles};

/// Prints the estimate; what was assumed goes to standard error.
///
/// # Errors
/// When the profile is none, or something that it needs is not stated.
pub fn run(options: &Options) -> Result<(), Error> {
    let (text, notices) = answer(options)?;
    for notice in notices {
        // with standard error closed there is nobody to tell
        let _ = writeln!(anstream::stderr(), "note: {notice}");
    }
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|why| Error::failed(format!("standard output cannot be written: {why}")))
}

/// What is printed, and what is said beside it.
fn answer(options: &Options) -> Result<(String, Vec<String>), Error> {
    let mut stated = options.stated()?;
    if options.compare {
        return compared(options, &stated);
    }
    let profile = variant(profiles::find(&options.profile)?, options.arch)?;
    let profile = without_plan(profile, options.no_plan);
    options.check(&stated, &profile)?;
    if stated.memory_mib == 0 {
        stated.memory_mib = profile.limits.memory_mib.default.value;
    }
    let estimate = profile.estimate(&stated, options.allowances());
    exact(&profile, &estimate)?;
    if estimate.invoice.lines.is_empty() && !options.has_requests() {
        return Err(Error::bad_input(
            "there is nothing to price: state --requests with --duration-ms and --memory-mb, or what services do",
        ));
    }
    let text = match options.format {
        Format::Table => render::table(&profile, &estimate.invoice),
        Format::Json => render::json(&profile, &estimate),
    };
    Ok((text, estimate.notices))
}

fn compared(options: &Options, stated: &Stated) -> Result<(String, Vec<String>), Error> {
    if stated.requests == 0 {
        return Err(Error::bad_input("there is nothing to compare: state --requests and --duration-ms"));
    }
    let all: Vec<Profile> = Profile::names()
        .map(|name| profiles::find(name).map(|profile| without_plan(profile, options.no_plan)))
        .collect::<Result<_, _>>()?;
    for profile in &all {
        options.check(&Stated { named: Default::default(), ..stated.clone() }, profile)?;
    }
    let all: Vec<Compared> = compare(all, stated, options.allowances());
    all.iter().try_for_each(|one| exact(&one.profile, &one.estimate))?;
    let notices = all.iter().flat_map(|one| one.estimate.notices.clone()).collect();
    let text = match options.format {
        Format::Table => render::comparison(&all),
        Format::Json => render::comparison_json(&all),
    };
    Ok((text, notices))
}

/// Refuses what can only be priced roughly.
fn exact(profile: &Profile, estimate: &Estimate) -> Result<(), Error> {
    if estimate.month.functions.is_exact() {
        return Ok(());
    }
    Err(Error::bad_input(format!(
        "this is more than can be counted exactly under `{}`: state a tenth of the requests, or less, and take the answer ten \
         times",
        profile.name
    )))
}

fn without_plan(mut profile: Profile, is_paid: bool) -> Profile {
    if is_paid {
        profile.billing.plan = None;
    }
    profile
}

/// The profile for that architecture: another one whose name says so.
fn variant(profile: Profile, arch: Arch) -> Result<Profile, Error> {
    if arch == Arch::X86 || profile.name.ends_with("-arm") {
        return Ok(profile);
    }
    let name = format!("{}-arm", profile.name);
    Profile::named(&name)
        .map_err(|_| Error::bad_input(format!("`{}` has no variant for Arm: leave out --arch", profile.name)))
}

#[cfg(test)]
mod tests;
