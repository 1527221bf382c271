//! Counts what invocations use, prices it, and tells the console: the emulator's one observer.
//!
//! It sees and never decides. It runs inline at the end of every invocation, so it adds, and hands on.

use std::sync::Arc;

use faas_core::{
    billing::{Charge, Ledger},
    invocation::Record,
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
    ledger: Mutex<Ledger>,
    console: Arc<Console>,
}

impl Meter {
    /// A meter that has counted nothing yet.
    pub fn new(profile: Arc<Profile>, console: Arc<Console>) -> Self {
        Meter { profile, ledger: Mutex::default(), console }
    }

    /// What is billed for an invocation. Counts nothing: that is done once, when it ends.
    pub fn charge(&self, record: &Record) -> Charge {
        self.profile.charge(record)
    }

    /// What has been billed so far, exactly: without allowances, and not rounded to cents.
    pub fn bill(&self) -> Bill {
        let ledger = self.ledger.lock();
        let billing = &self.profile.billing;
        let line = |(function, used): (&Arc<str>, &faas_core::billing::Quantities)| BillLine {
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
        let charge = self.charge(record);
        let total = {
            let mut ledger = self.ledger.lock();
            ledger.add(&record.function, charge.quantities);
            *ledger.total()
        };
        self.console.invocation(record, &charge, self.profile.billing.amount_usd(&total));
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
