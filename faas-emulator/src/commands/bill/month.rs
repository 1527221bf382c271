//! What a month like the session would cost, under one profile or all. Pure.

use std::{collections::BTreeMap, time::Duration};

use faas_core::{
    billing::{
        Allowances, Compared, Invoice, Measure, Provisioned, Quantities, Standby, Stated,
        compare as compare_stated,
    },
    profile::Profile,
};
use rust_decimal::Decimal;

use crate::{
    error::Error,
    meter::session::{Load, Session},
};

/// Hours of a month, as providers count them: a twelfth of 365 days.
const HOURS: u64 = 730;
const MONTH_MS: u64 = HOURS * 3_600_000;
/// What all functions together are called.
const ALL: &str = "all";

/// A month like the session.
#[derive(Debug)]
pub(super) struct Month {
    pub(super) invoice: Invoice,
    /// Each function's share, before allowances and without the plan.
    pub(super) functions: Vec<(String, Decimal)>,
    /// How it was scaled.
    pub(super) how: String,
}

impl Month {
    /// # Errors
    /// When nothing was observed.
    pub(super) fn of(session: &Session, profile: &Profile, allowances: Allowances) -> Result<Self, Error> {
        let scale = Scale::of(session)?;
        let functions = scale.used(session, profile);
        let all: Quantities = functions.values().copied().sum();
        let exact = |used: &Quantities| profile.billing.amount_usd(used);
        Ok(Month {
            invoice: Invoice::of(&profile.billing, &all.into(), allowances),
            functions: functions.iter().map(|(name, used)| ((*name).to_owned(), exact(used))).collect(),
            how: scale.how(session),
        })
    }
}

/// From what was observed to a month.
struct Scale {
    observed_ms: u64,
}

impl Scale {
    fn of(session: &Session) -> Result<Self, Error> {
        if (session.load().served == 0 && session.kept.is_empty()) || session.observed_ms == 0 {
            return Err(Error::bad_input(
                "nothing ran in the session, so there is nothing to scale: send requests to `faas dev` first",
            ));
        }
        Ok(Scale { observed_ms: session.observed_ms })
    }

    /// What a month's use under this profile is, by function.
    fn used<'a>(&self, session: &'a Session, profile: &Profile) -> BTreeMap<&'a str, Quantities> {
        let scale = |used: &Quantities| used.scaled(MONTH_MS, self.observed_ms);
        session.scaled(profile, scale, |time_ns| self.lasts_ns(time_ns))
    }

    /// How long something lasts in a month: what was there all the time is there all month.
    fn lasts_ns(&self, time_ns: u64) -> u64 {
        self.count(time_ns).min(MONTH_MS * 1_000_000)
    }

    /// The instances that this function keeps ready in a month; all functions if none is named.
    fn provisioned(&self, session: &Session, function: Option<&str>, load: &Load) -> Option<Provisioned> {
        let is_of = |(name, _): &(&String, &Vec<Standby>)| function.is_none_or(|own| own == *name);
        let kept: Vec<&Standby> = session
            .kept
            .iter()
            .filter(is_of)
            .flat_map(|(_, kept)| kept)
            .filter(|one| one.time_ns > 0)
            .collect();
        // so many for a whole month are as much as these, each for its time
        let instances_ns: u128 =
            kept.iter().map(|one| u128::from(one.instances) * u128::from(self.lasts_ns(one.time_ns))).sum();
        let instances = instances_ns.div_ceil(u128::from(MONTH_MS) * 1_000_000);
        (instances > 0).then(|| Provisioned {
            instances: u32::try_from(instances).unwrap_or(u32::MAX),
            time: Duration::from_millis(MONTH_MS),
            requests: self.count(load.provisioned),
            duration: Duration::from_nanos(load.handler_ns / load.served.max(1)),
        })
    }

    fn count(&self, n: u64) -> u64 {
        u64::try_from(u128::from(n) * u128::from(MONTH_MS) / u128::from(self.observed_ms)).unwrap_or(u64::MAX)
    }

    fn how(&self, session: &Session) -> String {
        let factor = Decimal::from(MONTH_MS) / Decimal::from(self.observed_ms);
        format!(
            "{} requests in {} s, times {} for a month of {HOURS} hours: as if traffic went on like this",
            session.load().served,
            Decimal::new(i64::try_from(self.observed_ms).unwrap_or(i64::MAX), 3).normalize(),
            factor.round_dp(1).normalize(),
        )
    }
}

/// A month under every profile.
#[derive(Debug)]
pub(super) struct Comparison {
    /// Cheapest first.
    pub(super) rows: Vec<Row>,
    pub(super) how: String,
    /// How many servers, and how much of them would be idle.
    pub(super) servers: String,
    /// Under which profiles nothing was counted for what is kept ready; nothing to say if nothing is.
    pub(super) unpriced: Option<String>,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) profile: String,
    pub(super) total_usd: Decimal,
    /// From how many requests a month on servers cost no more, by function; all functions together first.
    pub(super) break_even: Vec<(String, Option<u64>)>,
}

/// Where no price is known for what the session keeps ready.
fn unpriced(session: &Session, profiles: &[Profile]) -> Option<String> {
    let has_none =
        |profile: &&Profile| profile.billing.provisioned.is_none() && profile.billing.servers.is_none();
    let names: Vec<&str> = profiles.iter().filter(has_none).map(|profile| profile.name.as_str()).collect();
    (!session.kept.is_empty() && !names.is_empty()).then(|| {
        format!("instances are kept ready, for which no price of these is known: {}", names.join(", "))
    })
}

/// What a function is called beside all of them.
fn label(function: Option<&str>) -> String {
    match function {
        None => ALL.to_owned(),
        Some(ALL) => format!("{ALL} (the function)"),
        Some(name) => name.to_owned(),
    }
}

/// # Errors
/// When nothing was observed.
pub(super) fn compare(session: &Session, own: &Profile, allowances: Allowances) -> Result<Comparison, Error> {
    let scale = Scale::of(session)?;
    let mut profiles: Vec<Profile> = Profile::names().filter_map(|name| Profile::named(name).ok()).collect();
    if Profile::names().all(|name| name != own.name) {
        profiles.push(own.clone());
    }
    let all = session.load();
    let functions = session.functions.iter().filter(|(_, load)| load.served > 0);
    let loads: Vec<_> = std::iter::once((None, all))
        .chain(functions.map(|(name, load)| (Some(name.as_str()), *load)))
        .collect();
    let stated = |function: Option<&str>, load: &Load| Stated {
        requests: scale.count(load.served - load.provisioned),
        duration: Duration::from_nanos(load.handler_ns / load.served.max(1)),
        cpu: Some(Duration::from_nanos(load.cpu_ns / load.served.max(1))),
        provisioned: scale.provisioned(session, function, load),
        memory_mib: load.memory_mib,
        cold_starts: scale.count(load.cold),
        init: Duration::from_nanos(load.init_ns / load.cold.max(1)),
        peak_rps: Some(session.peak_rps.into()),
        ..Stated::default()
    };
    let estimates: Vec<(String, Vec<Compared>)> = loads
        .iter()
        .map(|(name, load)| {
            (label(*name), compare_stated(profiles.clone(), &stated(*name, load), allowances))
        })
        .collect();
    let estimate = |of: &[Compared], name: &str| of.iter().position(|one| one.profile.name == name);
    let mut servers = String::new();
    let mut rows = Vec::new();
    for profile in &profiles {
        let month: Quantities = scale.used(session, profile).into_values().sum();
        let mut total_usd = Invoice::of(&profile.billing, &month.into(), allowances).total_usd;
        if let Some(server) = &profile.billing.servers
            && let Some(i) = estimate(&estimates[0].1, &profile.name)
        {
            // paid for being there: enough for the peak
            let one = &estimates[0].1[i].estimate;
            total_usd = one.invoice.total_usd;
            let ns = one.month.functions.get(Measure::ServerTime);
            let cpu_ns = u128::from(all.cpu_ns) * u128::from(MONTH_MS) / u128::from(scale.observed_ms);
            let had_ns = (ns * u128::from(server.vcpus.value)).max(1);
            let busy_per_mille = u64::try_from(cpu_ns.min(had_ns) * 1000 / had_ns).unwrap_or(1000);
            servers = format!(
                "{}: {} for the peak of {} requests a second; {} % of their CPU time would be idle",
                profile.name,
                ns / (u128::from(server.hours_per_month.value.max(1)) * 3_600_000_000_000),
                session.peak_rps,
                Decimal::from(1000 - busy_per_mille) / Decimal::TEN,
            );
        }
        let break_even = estimates.iter().map(|(function, of)| {
            let requests = estimate(of, &profile.name).and_then(|i| of[i].break_even_requests);
            (function.clone(), requests)
        });
        rows.push(Row { profile: profile.name.clone(), total_usd, break_even: break_even.collect() });
    }
    rows.sort_by_key(|row| row.total_usd);
    Ok(Comparison { rows, how: scale.how(session), servers, unpriced: unpriced(session, &profiles) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_called_all_is_not_all_of_them() {
        let load = Load { served: 10, memory_mib: 128, handler_ns: 10_000_000, ..Load::default() };
        let functions = ["all", "hello"].map(|name| (name.to_owned(), load));
        let session =
            Session { observed_ms: 1_000, peak_rps: 10, functions: functions.into(), ..Session::default() };
        let aws = Profile::named("aws-lambda").expect("built in");
        let compared = compare(&session, &aws, Allowances::Applied).expect("something ran");
        let row = compared.rows.iter().find(|row| row.profile == "aws-lambda").expect("it is there");
        let labels: Vec<&str> = row.break_even.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(labels, ["all", "all (the function)", "hello"]);
        assert_eq!(compared.unpriced, None, "nothing is kept ready");
    }
}
