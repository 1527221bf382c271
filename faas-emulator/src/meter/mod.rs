//! Counts what invocations use, prices it, and tells the console: the emulator's one observer.
//!
//! It sees and never decides. It runs inline at the end of every invocation, so it adds, and hands on.

mod books;
pub mod session;

use std::sync::Arc;

use faas_core::{
    billing::{Charge, Quantities},
    clock::Time,
    invocation::Record,
    profile::Profile,
    transition::{Observer, Transition},
};
use parking_lot::Mutex;

use self::{books::Books, session::Session};
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

impl Meter {
    /// A meter that has counted nothing yet. `named` is the profile as it was asked for, for who finds it again.
    pub fn new(profile: Arc<Profile>, named: String, began: Time, console: Arc<Console>) -> Self {
        let books = Mutex::new(Books::new(profile.clone(), named, began));
        Meter { profile, books, console }
    }

    /// What the session has used until now.
    pub fn session(&self, now: Time) -> Session {
        self.books.lock().session(now)
    }

    /// What was billed for an invocation that has ended. Counts nothing: that was done when it did. Where instances are
    /// billed it is what the invocation added to their time; asked a second time, what it would cost alone.
    pub fn charge_of(&self, record: &Record) -> Charge {
        let known =
            if self.profile.bills_instances() { self.books.lock().take_charge(&record.id) } else { None };
        known.unwrap_or_else(|| self.profile.charge(record))
    }

    /// What has been billed so far, exactly: without allowances, and not rounded to cents.
    pub fn bill(&self) -> Bill {
        let books = self.books.lock();
        let ledger = books.ledger();
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
        let (charge, total) = self.books.lock().add(record);
        let total_usd = self.profile.billing.amount_usd(&total);
        self.console.invocation(record, &charge, total_usd, || self.profile.log.lines(record, &charge));
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
