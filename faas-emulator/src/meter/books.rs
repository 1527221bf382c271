//! What the meter counts: a ledger for the session's own profile, and the same invocations side by side under every
//! built-in one, rounded as each provider rounds. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use faas_core::{
    billing::{Charge, Instances, Ledger, Marginal, Quantities, SideBySide, Standby, Standbys},
    clock::Time,
    invocation::{End, FunctionSpec, Record, Start},
    profile::{Billing, Profile},
};
use rust_decimal::Decimal;

use super::session::{Load, Session};

/// So many charges are kept for replies; of clients that left nobody asks.
const CHARGES_KEPT: usize = 10_000;

/// What is counted.
#[derive(Debug)]
pub(super) struct Books {
    profile: Arc<Profile>,
    /// As it was named on the command line.
    named: String,
    /// When something was served for the first time, and since when nothing is any more.
    began: Option<Time>,
    closed: Option<Time>,
    ledger: Ledger,
    instances: Instances,
    /// What is billed until now, for who is told after each invocation: a sum of exact prices.
    total_usd: Decimal,
    others: SideBySide,
    standbys: Standbys,
    /// What being kept ready has cost when that was last told.
    standby_told_usd: BTreeMap<Arc<str>, Decimal>,
    functions: BTreeMap<Arc<str>, Load>,
    /// What was billed for invocations whose reply is on its way, where it depends on what else ran.
    charges: HashMap<Arc<str>, Charge>,
    /// What was priced last: most invocations of a function are billed the same, and dividing decimals takes long.
    priced: (Quantities, Decimal),
    second: (u64, u64),
    peak_rps: u64,
}

impl Books {
    pub(super) fn new(profile: Arc<Profile>, named: String) -> Self {
        let others = Profile::names()
            .filter(|name| *name != profile.name)
            .filter_map(|name| Profile::named(name).ok())
            // servers are paid for being there, whatever ran
            .filter(|other| other.billing.servers.is_none());
        let others = SideBySide::new(others);
        Books {
            profile,
            named,
            began: None,
            closed: None,
            ledger: Ledger::default(),
            instances: Instances::default(),
            total_usd: Decimal::ZERO,
            others,
            standbys: Standbys::default(),
            standby_told_usd: BTreeMap::new(),
            functions: BTreeMap::new(),
            charges: HashMap::new(),
            priced: Default::default(),
            second: (0, 0),
            peak_rps: 0,
        }
    }

    /// Adds an invocation that has ended; what it is billed, and what all are.
    pub(super) fn add(&mut self, record: &Record) -> (Charge, Decimal) {
        self.load(record);
        let billing = &self.profile.billing;
        let priced = &mut self.priced;
        let price = |quantities: &Quantities| price(billing, quantities, priced);
        let Marginal { charge, refund } = self.instances.bill_at(&self.profile, record, price);
        self.ledger.add(&record.function, charge.quantities);
        self.total_usd += charge.cost_usd;
        if refund != Quantities::default() {
            self.ledger.refund(&record.function, refund);
            self.total_usd -= self.profile.billing.amount_usd(&refund);
        }
        self.others.add(record);
        if self.profile.bills_instances() && record.end != End::Cancelled {
            if self.charges.len() >= CHARGES_KEPT {
                self.charges.clear();
            }
            self.charges.insert(record.id.clone(), charge);
        }
        let standby_usd: Decimal = self.standby(record.ended).map(|(_, _, usd)| usd).sum();
        (charge, self.total_usd + standby_usd)
    }

    /// These functions, and no others, are served from now on; what is kept ready that was not before.
    pub(super) fn serves<'a>(
        &mut self,
        now: Time,
        functions: impl IntoIterator<Item = &'a FunctionSpec>,
    ) -> Vec<(Arc<str>, Standby)> {
        self.began.get_or_insert(now);
        self.standbys.follow(now, functions)
    }

    /// Nothing is served, or kept ready, any more.
    pub(super) fn close(&mut self, now: Time) {
        self.closed.get_or_insert(now);
    }

    /// Whether something has been kept ready.
    pub(super) fn has_standby(&self) -> bool {
        !self.standbys.is_empty()
    }

    /// What being kept ready counts for and costs until now, by function.
    pub(super) fn standby(&self, now: Time) -> impl Iterator<Item = (&Arc<str>, Quantities, Decimal)> {
        let now = self.closed.unwrap_or(now);
        self.standbys.until(now).map(|(name, kept)| {
            let served = self.ledger.of(name);
            let used = self.profile.standby(&kept, &served);
            (name, used, self.profile.billing.amount_usd(&used))
        })
    }

    /// What being kept ready has cost since this was last asked, by function.
    pub(super) fn take_standby_usd(&mut self, now: Time) -> Vec<(Arc<str>, Decimal)> {
        let is: Vec<_> = self.standby(now).map(|(name, _, usd)| (name.clone(), usd)).collect();
        let more = is.into_iter().map(|(name, usd)| {
            let told = self.standby_told_usd.entry(name.clone()).or_default();
            let more = (usd - *told).max(Decimal::ZERO);
            *told += more;
            (name, more)
        });
        more.filter(|(_, more)| !more.is_zero()).collect()
    }

    fn load(&mut self, record: &Record) {
        let second = record.arrived.unix_millis() / 1000;
        // invocations end in another order than they came; a late one counts to the second that is counted now
        self.second = if second > self.second.0 { (second, 1) } else { (self.second.0, self.second.1 + 1) };
        self.peak_rps = self.peak_rps.max(self.second.1);
        let load = match self.functions.get_mut(&record.function) {
            Some(load) => load,
            None => self.functions.entry(record.function.clone()).or_default(),
        };
        let Some(start) = record.start else {
            load.refused += 1;
            return;
        };
        let ns = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        load.served += 1;
        load.cold += u64::from(start == Start::Cold);
        load.provisioned += u64::from(record.usage.is_provisioned);
        load.memory_mib = record.spec.as_ref().map_or(load.memory_mib, |spec| spec.memory_mib);
        load.init_ns = load.init_ns.saturating_add(ns(record.usage.init_wall));
        load.handler_ns = load.handler_ns.saturating_add(ns(record.usage.handler_wall));
        load.cpu_ns = load.cpu_ns.saturating_add(ns(record.usage.handler_cpu));
    }

    /// How many invocations have ended, served or not.
    pub(super) fn invocations(&self) -> u64 {
        self.functions.values().map(|load| load.served + load.refused).sum()
    }

    /// What was billed for an invocation. Where instances are billed, and this is asked for the second time: what it would
    /// cost alone.
    pub(super) fn charge_of(&mut self, record: &Record) -> Charge {
        let known = if self.charges.is_empty() { None } else { self.charges.remove(&record.id) };
        known.unwrap_or_else(|| {
            let billing = &self.profile.billing;
            self.profile.charge_at(record, |quantities| price(billing, quantities, &mut self.priced))
        })
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) fn session(&self, now: Time) -> Session {
        let now = self.closed.unwrap_or(now);
        let others = self.others.profiles().map(|(profile, functions)| {
            (profile.name.clone(), functions.map(|(name, used)| (name.to_string(), used)).collect())
        });
        let mut billed: BTreeMap<String, BTreeMap<String, Quantities>> = others.collect();
        let own = self.ledger.functions().map(|(name, used)| (name.to_string(), *used));
        billed.insert(self.profile.name.clone(), own.collect());
        Session {
            profile: self.named.clone(),
            observed_ms: u64::try_from(now.since(self.began.unwrap_or(now)).as_millis()).unwrap_or(u64::MAX),
            peak_rps: self.peak_rps,
            functions: self.functions.iter().map(|(name, load)| (name.to_string(), *load)).collect(),
            billed,
            kept: self.standbys.until(now).map(|(name, kept)| (name.to_string(), kept)).collect(),
        }
    }
}

fn price(billing: &Billing, quantities: &Quantities, last: &mut (Quantities, Decimal)) -> Decimal {
    if !billing.costs_the_same(&last.0, quantities) {
        *last = (*quantities, billing.amount_usd(quantities));
    }
    last.1
}
