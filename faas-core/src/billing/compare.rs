//! The same use under several profiles, and where reserved servers begin to pay.

use rust_decimal::Decimal;

use super::{Allowances, Estimate, Stated};
use crate::profile::Profile;

/// Beyond this many requests a month nobody looks for where servers pay.
const MOST_REQUESTS: u64 = 1_000_000_000_000;

/// A profile's price of what was stated.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// Whose.
    pub profile: Profile,
    /// What it comes to.
    pub estimate: Estimate,
    /// From how many requests a month on it costs as much as the servers; absent for servers, without servers, and where
    /// it never does.
    pub break_even_requests: Option<u64>,
}

/// Prices the same use under each, cheapest first. Memory that is not stated is each profile's default.
///
/// The first with servers is what the others break even with: its servers are those for the stated use, however many
/// requests there are.
pub fn compare(profiles: Vec<Profile>, stated: &Stated, allowances: Allowances) -> Vec<Compared> {
    let adapted = |profile: &Profile| Stated {
        memory_mib: match stated.memory_mib {
            0 => profile.limits.memory_mib.default.value,
            stated => stated,
        },
        ..stated.clone()
    };
    let servers_usd = profiles
        .iter()
        .find(|profile| profile.billing.servers.is_some())
        .map(|own| own.estimate(&adapted(own), allowances).invoice.total_usd);
    let mut all: Vec<Compared> = profiles
        .into_iter()
        .map(|profile| {
            let stated = adapted(&profile);
            let estimate = profile.estimate(&stated, allowances);
            let break_even_requests = servers_usd
                .filter(|_| profile.billing.servers.is_none())
                .and_then(|usd| break_even(&profile, &stated, allowances, usd));
            Compared { profile, estimate, break_even_requests }
        })
        .collect();
    all.sort_by_key(|one| one.estimate.invoice.total_usd);
    all
}

/// The fewest requests that cost this much. More never cost less, so it can be searched for by halves.
fn break_even(profile: &Profile, stated: &Stated, allowances: Allowances, usd: Decimal) -> Option<u64> {
    let costs = |requests: u64| {
        let stated = Stated { requests, ..stated.clone() };
        profile.estimate(&stated, allowances).invoice.total_usd >= usd
    };
    if !costs(MOST_REQUESTS) {
        return None;
    }
    let (mut less, mut enough) = (0, MOST_REQUESTS);
    while enough - less > 1 {
        let middle = less + (enough - less) / 2;
        if costs(middle) { enough = middle } else { less = middle }
    }
    Some(enough)
}
