//! Counts what invocations use, prices it, and tells the console: the emulator's one observer.
//!
//! It sees and never decides. It runs inline at the end of every invocation, so it adds, and hands on.

use std::{collections::HashMap, sync::Arc};

use faas_core::{
    billing::{Charge, Instances, Ledger, Marginal, Quantities},
    invocation::{End, Record},
    profile::Profile,
    transition::{Observer, Transition},
};
use parking_lot::Mutex;

use crate::console::{
    Console,
    event::{Bill, BillLine, Event},
};

/// Prices records by a profile's rules.
#[derive(Debug)]
pub struct Meter {
    profile: Arc<Profile>,
    books: Mutex<Books>,
    console: Arc<Console>,
}

/// What is counted.
#[derive(Debug, Default)]
struct Books {
    ledger: Ledger,
    instances: Instances,
    /// What was billed for invocations whose reply is on its way, where it depends on what else ran.
    charges: HashMap<Arc<str>, Charge>,
}

/// So many charges are kept for replies; of clients that left nobody asks.
const CHARGES_KEPT: usize = 10_000;

impl Meter {
    /// A meter that has counted nothing yet.
    pub fn new(profile: Arc<Profile>, console: Arc<Console>) -> Self {
        Meter { profile, books: Mutex::default(), console }
    }

    /// What was billed for an invocation that has ended. Counts nothing: that was done when it did. Where instances are
    /// billed it is what the invocation added to their time; asked a second time, what it would cost alone.
    pub fn charge_of(&self, record: &Record) -> Charge {
        let known =
            if self.profile.bills_instances() { self.books.lock().charges.remove(&record.id) } else { None };
        known.unwrap_or_else(|| self.profile.charge(record))
    }

    /// What has been billed so far, exactly: without allowances, and not rounded to cents.
    pub fn bill(&self) -> Bill {
        let books = self.books.lock();
        let ledger = &books.ledger;
        let billing = &self.profile.billing;
        let line = |(function, used): (&Arc<str>, &Quantities)| BillLine {
            function: function.to_string(),
            requests: u64::try_from(used.requests()).unwrap_or(u64::MAX),
            gb_seconds: used.gb_seconds(),
            cpu_ms: used.cpu_ms(),
            usd: billing.amount_usd(used),
        };
        Bill {
            profile: self.profile.name.clone(),
            lines: ledger.functions().map(line).collect(),
            total_usd: billing.amount_usd(ledger.total()),
        }
    }

    fn ended(&self, record: &Record) {
        let (charge, total) = self.books.lock().add(&self.profile, record);
        let total_usd = self.profile.billing.amount_usd(&total);
        self.console.invocation(record, &charge, total_usd, || self.profile.log.lines(record, &charge));
    }
}

impl Books {
    fn add(&mut self, profile: &Profile, record: &Record) -> (Charge, Quantities) {
        let Marginal { charge, refund } = self.instances.bill(profile, record);
        self.ledger.add(&record.function, charge.quantities);
        self.ledger.refund(&record.function, refund);
        if profile.bills_instances() && record.end != End::Cancelled {
            if self.charges.len() >= CHARGES_KEPT {
                self.charges.clear();
            }
            self.charges.insert(record.id.clone(), charge);
        }
        (charge, *self.ledger.total())
    }
}

impl Observer for Meter {
    fn observe(&self, transition: &Transition<'_>) {
        match *transition {
            Transition::Finished(record) => self.ended(record),
            Transition::Log(line) => self.console.log(line),
            Transition::Started { spec, took } => self.console.detail(|| Event::Started {
                function: spec.name.to_string(),
                generation: spec.generation,
                took,
            }),
            Transition::Stopped { spec, reason, .. } => self.console.detail(|| Event::Stopped {
                function: spec.name.to_string(),
                generation: spec.generation,
                reason,
            }),
            // waiting shows in the invocation's own line
            _ => {}
        }
    }
}
