//! Counts what invocations use, prices it, and tells the console: the emulator's one observer.
//!
//! It sees and never decides. It runs inline at the end of every invocation, so it adds, and hands on.

mod books;
mod near;
pub mod session;

use std::{collections::BTreeMap, sync::Arc};

use faas_core::{
    billing::{Charge, Quantities, Standby},
    budget::{Budget, Notice, SharedBudget, Spent},
    clock::SharedClock,
    invocation::{FunctionSpec, Record},
    limits,
    profile::Profile,
    rate::{DailyCap, Ran, Rate, Rates, SharedRates},
    transition::{Observer, Transition},
};
use parking_lot::Mutex;
use rust_decimal::Decimal;

use self::{books::Books, near::Nearness, session::Session};
use crate::console::{
    Console,
    event::{Bill, BillLine, Event},
};

/// Prices records by a profile's rules.
#[derive(Debug)]
pub struct Meter {
    profile: Arc<Profile>,
    clock: SharedClock,
    books: Mutex<Books>,
    budget: Option<SharedBudget>,
    rates: Option<SharedRates>,
    near: Mutex<Nearness>,
    console: Arc<Console>,
}

impl Meter {
    /// A meter that has counted nothing yet. `named` is the profile as it was asked for, for who finds it again.
    pub fn new(profile: Arc<Profile>, named: String, clock: SharedClock, console: Arc<Console>) -> Self {
        let books = Mutex::new(Books::new(profile.clone(), named));
        Meter { profile, clock, books, budget: None, rates: None, near: Mutex::default(), console }
    }

    /// The same with a budget, which it tells what is spent.
    #[must_use]
    pub fn with_budget(self, budget: Option<Budget>) -> Self {
        Meter { budget: budget.map(|budget| Arc::new(Mutex::new(budget))), ..self }
    }

    /// The budget, for who refuses what it does not admit.
    pub fn budget(&self) -> Option<&SharedBudget> {
        self.budget.as_ref()
    }

    /// The same with rates that refuse what comes too soon, and what is too many for a day.
    #[must_use]
    pub fn with_rates(self, rates: Vec<Rate>, daily: Option<DailyCap>) -> Self {
        let is_limited = !rates.is_empty() || daily.is_some();
        let rates = Rates::new(rates);
        let rates = match daily {
            Some(cap) => rates.with_daily_cap(cap),
            None => rates,
        };
        Meter { rates: is_limited.then(|| Arc::new(Mutex::new(rates))), ..self }
    }

    /// The rates, for who keeps to them.
    pub fn rates(&self) -> Option<&SharedRates> {
        self.rates.as_ref()
    }

    /// What the budget and the rates have refused, and what that would have cost, in words: a line each.
    pub fn refused(&self) -> Vec<String> {
        let told = |who: &str, function: &str, count: u64, usd: Option<Decimal>| {
            let cost = usd.filter(|usd| !usd.is_zero());
            let cost = cost.map_or_else(String::new, |usd| format!(": they would have cost ${usd:.9}"));
            format!("{who} refused {count} invocations of `{function}`{cost}")
        };
        let mut lines = Vec::new();
        if let Some(budget) = &self.budget {
            lines.extend(
                budget.lock().refused().map(|refused| {
                    told("the budget", &refused.function, refused.count, refused.would_cost_usd)
                }),
            );
        }
        if let Some(rates) = &self.rates {
            let refused: Vec<_> = rates.lock().refused().collect();
            lines.extend(refused.into_iter().map(|refused| {
                let usd =
                    self.mean_usd(&refused.function).map(|usd| usd.saturating_mul(refused.count.into()));
                let who = if refused.is_daily { "the daily cap" } else { "the rate limit" };
                told(who, &refused.function, refused.count, usd)
            }));
        }
        lines
    }

    /// What an invocation of the function has cost in the mean, if any has run.
    fn mean_usd(&self, function: &str) -> Option<Decimal> {
        let books = self.books.lock();
        let (_, used) = books.ledger().functions().find(|(name, _)| &***name == function)?;
        let requests = Decimal::from(u64::try_from(used.requests()).ok().filter(|n| *n > 0)?);
        Some(self.profile.billing.amount_usd(used) / requests)
    }

    /// How often invocations came near a limit, in words: a line for each function and limit.
    pub fn came_near(&self) -> Vec<String> {
        self.near.lock().summary()
    }

    /// These functions, and no others, are served from now on: what they keep ready is billed.
    pub fn serves<'a>(&self, functions: impl IntoIterator<Item = &'a FunctionSpec>) {
        let begun = self.books.lock().serves(self.clock.now(), functions);
        for (function, kept) in begun {
            self.console.say(Event::Notice(self.standby_told(&function, kept)));
        }
    }

    /// What it costs to keep these ready, in words.
    fn standby_told(&self, function: &str, kept: Standby) -> String {
        let Standby { instances, memory_mib, .. } = kept;
        let profile = &self.profile;
        let cost = match profile.billing.provisioned {
            Some(_) => {
                let hour = [Standby { time_ns: 3_600_000_000_000, ..kept }];
                let used = profile.standby(&hour, &Quantities::default());
                let usd = profile.billing.amount_usd(&used);
                format!("${} an hour, whether it is called or not", usd.round_dp(6).normalize())
            }
            None if profile.billing.servers.is_some() => {
                format!("on servers of `{}`, which are paid for being there", profile.name)
            }
            None => format!("no price of `{}` for that is known, so it is not in the bill", profile.name),
        };
        format!("{instances} x {memory_mib} MiB are kept ready for `{function}`: {cost}")
    }

    /// Nothing is served any more, and nothing kept ready: the session ends here, whenever it is asked for.
    pub fn close(&self) {
        self.spend_standby();
        self.books.lock().close(self.clock.now());
    }

    /// Whether something is kept ready, so that the bill grows with time.
    pub fn has_standby(&self) -> bool {
        self.books.lock().has_standby()
    }

    /// Tells the budget what being kept ready has cost since it was last told.
    pub fn spend_standby(&self) {
        let Some(budget) = &self.budget else { return };
        let more = self.books.lock().take_standby_usd(self.clock.now());
        for (function, usd) in more {
            let notices = budget.lock().spend_standing(self.clock.wall(), &function, usd);
            self.tell(notices);
        }
    }

    fn spent(&self, record: &Record, usd: Decimal) {
        let Some(budget) = self.budget.as_ref().filter(|_| record.start.is_some()) else { return };
        let notices = budget.lock().spend(self.clock.wall(), &record.function, usd);
        self.tell(notices);
    }

    /// Counts what earlier sessions have spent.
    pub fn recall(&self, spent: Vec<Spent>) {
        let notices = self.budget.as_ref().map(|budget| budget.lock().recall(self.clock.wall(), spent));
        self.tell(notices.unwrap_or_default());
    }

    /// Counts what ran in earlier sessions of the day.
    pub fn recall_ran(&self, ran: Vec<Ran>) {
        if let Some(rates) = &self.rates {
            rates.lock().recall(self.clock.wall(), ran);
            self.tell_of_the_day();
        }
    }

    /// What has run under a daily cap since this was last asked.
    pub fn take_unkept_ran(&self) -> Vec<Ran> {
        self.rates.as_ref().map(|rates| rates.lock().take_unkept()).unwrap_or_default()
    }

    /// Takes back what could not be kept.
    pub fn give_back_unkept_ran(&self, ran: Vec<Ran>) {
        if let Some(rates) = &self.rates {
            rates.lock().give_back_unkept(ran);
        }
    }

    fn tell_of_the_day(&self) {
        let notice = self.rates.as_ref().and_then(|rates| rates.lock().take_notice());
        if let Some(notice) = notice {
            self.console.say(Event::Notice(notice.to_string()));
        }
    }

    /// What has been spent since this was last asked.
    pub fn take_unkept(&self) -> Vec<Spent> {
        self.budget.as_ref().map(|budget| budget.lock().take_unkept()).unwrap_or_default()
    }

    /// Takes back what could not be kept.
    pub fn give_back_unkept(&self, spent: Vec<Spent>) {
        if let Some(budget) = &self.budget {
            budget.lock().give_back_unkept(spent);
        }
    }

    fn tell(&self, notices: Vec<Notice>) {
        for Notice { cap, spent_usd, is_reached } in notices {
            let how = if is_reached { "is spent" } else { "is spent to 80 %" };
            self.console.say(Event::Notice(format!("{cap}, {how}: ${spent_usd:.9} so far")));
        }
    }

    /// Warns of the first that comes near a limit.
    fn look_how_near(&self, record: &Record) {
        for near in limits::near(record) {
            if let Some(told) = self.near.lock().see(record, &near) {
                self.console.say(Event::Notice(told));
            }
        }
    }

    /// How many invocations have ended, served or not.
    pub fn invocations(&self) -> u64 {
        self.books.lock().invocations()
    }

    /// What the session has used until now.
    pub fn session(&self) -> Session {
        self.books.lock().session(self.clock.now())
    }

    /// What was billed for an invocation that has ended. Counts nothing: that was done when it did. Where instances are
    /// billed it is what the invocation added to their time; asked a second time, what it would cost alone.
    pub fn charge_of(&self, record: &Record) -> Charge {
        self.books.lock().charge_of(record)
    }

    /// What has been billed so far, exactly: without allowances, and not rounded to cents.
    pub fn bill(&self) -> Bill {
        let books = self.books.lock();
        let ledger = books.ledger();
        let billing = &self.profile.billing;
        let standby: BTreeMap<_, _> = books
            .standby(self.clock.now())
            .map(|(name, _, usd)| (name, usd))
            .filter(|(_, usd)| !usd.is_zero())
            .collect();
        let idle = standby.keys().filter(|name| ledger.functions().all(|(called, _)| called != **name));
        let mut lines: Vec<_> = ledger.functions().map(|(name, used)| (name, *used)).collect();
        lines.extend(idle.map(|name| (*name, Quantities::default())));
        lines.sort_by_key(|(name, _)| *name);
        let line = |(function, used): (&Arc<str>, Quantities)| BillLine {
            function: function.to_string(),
            requests: u64::try_from(used.requests()).unwrap_or(u64::MAX),
            gb_seconds: used.gb_seconds(),
            cpu_ms: used.cpu_ms(),
            usd: billing.amount_usd(&used),
            kept_usd: standby.get(function).copied().unwrap_or_default(),
        };
        Bill {
            profile: self.profile.name.clone(),
            lines: lines.into_iter().map(line).collect(),
            total_usd: billing.amount_usd(ledger.total()) + standby.values().sum::<Decimal>(),
        }
    }

    fn ended(&self, record: &Record) {
        let (charge, total_usd) = self.books.lock().add(record);
        self.spent(record, charge.cost_usd);
        self.look_how_near(record);
        self.tell_of_the_day();
        self.console.invocation(record, &charge, total_usd, || self.profile.log_lines(record, &charge));
    }
}

impl Observer for Meter {
    fn observe(&self, transition: &Transition<'_>) {
        match *transition {
            Transition::Finished(record) => self.ended(record),
            Transition::Log(line) => self.console.log(line),
            Transition::Event(progress) => self.console.delivery(progress),
            Transition::StartingAhead { spec } => self.console.detail(|| Event::StartingAhead {
                function: spec.name.to_string(),
                generation: spec.generation,
            }),
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
