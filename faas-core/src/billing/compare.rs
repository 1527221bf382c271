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
    /// From how many requests a month on it costs as much as the servers that are enough for them; absent for servers, without
    /// servers, and where it never does.
    pub break_even_requests: Option<u64>,
}

/// Prices the same use under each, cheapest first. Memory that is not stated is each profile's default.
///
/// The first with servers is what the others break even with: with as many servers as are enough for the stated peak, or, without
/// one, for those requests, spread evenly over the month.
pub fn compare(profiles: Vec<Profile>, stated: &Stated, allowances: Allowances) -> Vec<Compared> {
    let adapted = |profile: &Profile| Stated {
        memory_mib: match stated.memory_mib {
            0 => profile.limits.memory_mib.default.value,
            stated => stated,
        },
        ..stated.clone()
    };
    let own = profiles.iter().find(|profile| profile.billing.servers.is_some()).cloned();
    let own_usd = |own: &Profile, requests| cost(own, &adapted(own), allowances, requests);
    let mut all: Vec<Compared> = profiles
        .into_iter()
        .map(|profile| {
            let stated = adapted(&profile);
            let estimate = profile.estimate(&stated, allowances);
            let own = own.as_ref().filter(|_| profile.billing.servers.is_none());
            let break_even_requests = own
                .and_then(|own| break_even(|n| cost(&profile, &stated, allowances, n), |n| own_usd(own, n)));
            Compared { profile, estimate, break_even_requests }
        })
        .collect();
    all.sort_by_key(|one| one.estimate.invoice.total_usd);
    all
}

fn cost(profile: &Profile, stated: &Stated, allowances: Allowances, requests: u64) -> Decimal {
    let stated = Stated { requests, ..stated.clone() };
    profile.estimate(&stated, allowances).invoice.total_usd
}

/// The fewest requests that cost at least as much as the servers that are enough for them. Of neither do more ever cost less.
fn break_even(cost: impl Fn(u64) -> Decimal, servers: impl Fn(u64) -> Decimal) -> Option<u64> {
    let mut servers_usd = servers(1);
    // Fewer than those that cost this much cost less than the fewest servers: so the next look is at them, and the
    // servers that they need. Where prices keep so close to each other that this goes on and on, neither is the cheaper.
    for _ in 0..1_000 {
        let requests = fewest(&cost, servers_usd)?;
        let enough_usd = servers(requests);
        if enough_usd <= servers_usd {
            return Some(requests);
        }
        servers_usd = enough_usd;
    }
    None
}

/// The fewest requests that cost this much, searched for by halves.
fn fewest(cost: impl Fn(u64) -> Decimal, usd: Decimal) -> Option<u64> {
    if cost(MOST_REQUESTS) < usd {
        return None;
    }
    let (mut less, mut enough) = (0, MOST_REQUESTS);
    while enough - less > 1 {
        let middle = less + (enough - less) / 2;
        if cost(middle) >= usd { enough = middle } else { less = middle }
    }
    Some(enough)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Looked for one by one.
        #[test]
        fn servers_pay_from_the_first_number_that_costs_as_much(
            cents in 1_u64..50, fee in 0_u64..200, server in 1_u64..400, holds in 1_u64..60,
        ) {
            let cost = |n: u64| Decimal::from(fee + cents * n);
            let servers = |n: u64| Decimal::from(server * n.div_ceil(holds));
            let found = break_even(cost, servers);
            let first = (1..=20_000).find(|n| cost(*n) >= servers(*n));
            match found {
                Some(n) if n <= 20_000 => prop_assert_eq!(first, Some(n)),
                _ => prop_assert_eq!(first, None),
            }
        }
    }
}
