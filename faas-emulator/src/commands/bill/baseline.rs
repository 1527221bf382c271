//! What a recorded load cost, to be committed and compared with: the gate for CI.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use faas_core::profile::Profile;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{error::Error, meter::session::Session};

/// No recorded load has cost more: beyond it sums would not fit a decimal.
const MOST_USD: u64 = 1_000_000_000_000;

/// The cost of a session, by function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Baseline {
    profile: String,
    functions: BTreeMap<String, Cost>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cost {
    requests: u64,
    usd: Decimal,
}

impl Baseline {
    pub(super) fn of(session: &Session, profile: &Profile) -> Self {
        let cost = |used| profile.billing.amount_usd(used);
        let functions = session.under(&profile.name).map(|(name, used)| {
            let requests = session.functions.get(name).map_or(0, |load| load.served);
            (name.to_owned(), Cost { requests, usd: cost(used) })
        });
        Baseline { profile: session.profile.clone(), functions: functions.collect() }
    }

    /// # Errors
    /// When the file is none that `--save` wrote.
    pub(super) fn read(file: &Path) -> Result<Self, Error> {
        let shown = file.display();
        let text = std::fs::read_to_string(file).map_err(|why| {
            Error::bad_input(format!(
                "the baseline {shown} cannot be read: {why}\nWrite one with `faas bill --save {shown}`."
            ))
        })?;
        let none = |why: &dyn std::fmt::Display| {
            Error::bad_input(format!(
                "{shown} is no baseline: {why}\nWrite one with `faas bill --save {shown}`."
            ))
        };
        let baseline: Baseline = serde_json::from_str(&text).map_err(|why| none(&why))?;
        let is_a_cost = |cost: &Cost| !cost.usd.is_sign_negative() && cost.usd <= Decimal::from(MOST_USD);
        match baseline.functions.iter().find(|(_, cost)| !is_a_cost(cost)) {
            Some((name, cost)) => Err(none(&format!("`{name}` cannot have cost ${}", cost.usd))),
            None => Ok(baseline),
        }
    }

    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&self, file: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        std::fs::write(file, text).map_err(|why| {
            Error::bad_input(format!("the baseline {} cannot be written: {why}", file.display()))
        })
    }

    /// Compares what the baseline's requests would cost now, at the mean cost of each function's requests now.
    ///
    /// # Errors
    /// When that is more than `tolerance_percent` above the baseline; when the two cannot be compared.
    pub(super) fn check(&self, now: &Baseline, tolerance_percent: u32) -> Result<String, Error> {
        if self.profile != now.profile {
            return Err(Error::bad_input(format!(
                "the baseline is of `{}` and the session of `{}`: run `faas dev --as {}`",
                self.profile, now.profile, self.profile
            )));
        }
        let (mut was, mut is, mut text) = (Decimal::ZERO, Decimal::ZERO, String::new());
        for (name, cost) in self.functions.iter().filter(|(_, cost)| cost.requests > 0) {
            let Some(now) = now.functions.get(name).filter(|now| now.requests > 0) else {
                return Err(Error::bad_input(format!(
                    "`{name}` is in the baseline and was not called in the session: send it the same load, or save a new baseline"
                )));
            };
            let costs = now.usd.saturating_mul(cost.requests.into()) / Decimal::from(now.requests);
            let costs = costs.min(Decimal::from(MOST_USD));
            // writing to a String cannot fail
            let _ = writeln!(text, "{name}: {}", change(cost.usd, costs));
            (was, is) = (was + cost.usd, is + costs);
        }
        for name in now.functions.keys().filter(|name| !self.functions.contains_key(*name)) {
            let _ = writeln!(text, "{name}: not in the baseline, not compared");
        }
        let _ = writeln!(text, "in all: {}", change(was, is));
        let most =
            was.saturating_mul(Decimal::from(100 + u64::from(tolerance_percent))) / Decimal::ONE_HUNDRED;
        if is > most {
            return Err(Error::failed(format!(
                "{text}The cost of the recorded load rose by more than {tolerance_percent} %: make it cheaper, or save a new baseline with \
                 `faas bill --save`."
            )));
        }
        Ok(text)
    }
}

fn change(was: Decimal, is: Decimal) -> String {
    let percent = if was.is_zero() { Decimal::ZERO } else { (is - was) / was * Decimal::ONE_HUNDRED };
    format!("${:.9} was ${:.9} ({:+.1} %)", is, was, percent.round_dp(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(profile: &str, functions: &[(&str, u64, i64)]) -> Baseline {
        let cost = |(name, requests, nano_usd): &(&str, u64, i64)| {
            ((*name).to_owned(), Cost { requests: *requests, usd: Decimal::new(*nano_usd, 9) })
        };
        Baseline { profile: profile.into(), functions: functions.iter().map(cost).collect() }
    }

    #[test]
    fn a_rise_beyond_the_tolerance_fails_and_other_loads_are_scaled() {
        let was = baseline("aws-lambda", &[("hello", 10, 2000), ("order", 10, 8000)]);
        // twice the requests at the same price each, and an order that is a little dearer
        let now = baseline("aws-lambda", &[("hello", 20, 4000), ("order", 10, 8400), ("new", 1, 1)]);
        insta::assert_snapshot!(was.check(&now, 5).expect("4 % is allowed"), @"
        hello: $0.000002000 was $0.000002000 (+0.0 %)
        order: $0.000008400 was $0.000008000 (+5.0 %)
        new: not in the baseline, not compared
        in all: $0.000010400 was $0.000010000 (+4.0 %)
        ");
        insta::assert_snapshot!(was.check(&now, 3).expect_err("4 % is too much").to_string(), @"
        hello: $0.000002000 was $0.000002000 (+0.0 %)
        order: $0.000008400 was $0.000008000 (+5.0 %)
        new: not in the baseline, not compared
        in all: $0.000010400 was $0.000010000 (+4.0 %)
        The cost of the recorded load rose by more than 3 %: make it cheaper, or save a new baseline with `faas bill --save`.
        ");
    }

    #[test]
    fn a_cost_that_cannot_be_is_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("baseline.json");
        for (usd, is_good) in [("0.5", true), ("-5", false), ("79228162514264337593543950335", false)] {
            let text =
                format!(r#"{{"profile":"own","functions":{{"hello":{{"requests":1,"usd":"{usd}"}}}}}}"#);
            std::fs::write(&file, text).expect("it can be written");
            match Baseline::read(&file) {
                Ok(baseline) => assert!(is_good && baseline.check(&baseline, 0).is_ok(), "{usd}"),
                Err(why) => {
                    assert!(!is_good && why.to_string().contains("`hello` cannot have cost $"), "{why}")
                }
            }
        }
        let most = baseline("own", &[("hello", u64::MAX, 1)]);
        assert!(most.check(&baseline("own", &[("hello", 1, i64::MAX)]), 5).is_err(), "and no panic");
    }

    #[test]
    fn what_cannot_be_compared_is_told() {
        let was = baseline("aws-lambda", &[("hello", 10, 2000)]);
        insta::assert_snapshot!(was.check(&baseline("own", &[]), 5).expect_err("another profile").to_string(), @"the baseline is of `aws-lambda` and the session of `own`: run `faas dev --as aws-lambda`");
        insta::assert_snapshot!(was.check(&baseline("aws-lambda", &[]), 5).expect_err("not called").to_string(), @"`hello` is in the baseline and was not called in the session: send it the same load, or save a new baseline");
    }
}
