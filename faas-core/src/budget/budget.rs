//! What is spent under each cap, and who is refused. Pure: what the wall clock shows comes in, decisions go out.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc, time::Duration};

use rust_decimal::Decimal;

use crate::{
    clock::Time,
    invocation::{ErrorKind, InvocationError},
};

/// What a cap is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// From the budget's beginning on.
    Session,
    /// A day, in UTC.
    Day,
    /// A month of the calendar, in UTC.
    Month,
}

impl fmt::Display for Per {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Per::Session => "this session",
            Per::Day => "a day",
            Per::Month => "a month",
        })
    }
}

/// How much may be spent.
///
/// ```
/// use faas_core::budget::{Cap, Per};
///
/// let cap: Cap = "hello=5/month".parse()?;
/// assert_eq!((cap.function.as_deref(), cap.per), (Some("hello"), Per::Month));
/// assert_eq!("0.50".parse::<Cap>()?.per, Per::Session);
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cap {
    /// By this function; by all together when absent.
    pub function: Option<Arc<str>>,
    /// Dollars.
    pub usd: Decimal,
    /// In what time.
    pub per: Per,
}

impl FromStr for Cap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no budget: write 0.50/day, hello=5/month, or 2 for a session");
        let (function, amount) = match text.split_once('=') {
            Some((function, amount)) if !function.is_empty() => (Some(function.into()), amount),
            Some(_) => return Err(wrong()),
            None => (None, text),
        };
        let (usd, per) = match amount.split_once('/') {
            Some((usd, "day")) => (usd, Per::Day),
            Some((usd, "month")) => (usd, Per::Month),
            Some((usd, "session")) => (usd, Per::Session),
            Some(_) => return Err(wrong()),
            None => (amount, Per::Session),
        };
        let usd = Decimal::from_str_exact(usd.trim_start_matches('$')).map_err(|_| wrong())?;
        if usd.is_sign_negative() { Err(wrong()) } else { Ok(Cap { function, usd, per }) }
    }
}

impl fmt::Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            Some(function) => write!(f, "the budget of `{function}`, ${} {}", self.usd, self.per),
            None => write!(f, "the budget, ${} {}", self.usd, self.per),
        }
    }
}

/// A cap has been approached or reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Which.
    pub cap: Cap,
    /// What is spent of it.
    pub spent_usd: Decimal,
    /// Whether it is reached; else 80 % of it are.
    pub is_reached: bool,
}

/// What was refused, of one function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The function.
    pub function: Arc<str>,
    /// How many invocations.
    pub count: u64,
    /// What they would have cost at the mean of those that ran; absent if none ran.
    pub would_cost_usd: Option<Decimal>,
}

/// What a function has cost on one day: what is kept of a session, so that caps of a day or a month outlive it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// Days since 1970-01-01, in UTC.
    pub day: u64,
    /// The function.
    pub function: Arc<str>,
    /// Dollars.
    pub usd: Decimal,
}

/// Caps, and what is spent under each. Without a cap everything is admitted.
#[derive(Debug, Default)]
pub struct Budget {
    accounts: Vec<Account>,
    only_warns: bool,
    functions: BTreeMap<Arc<str>, Function>,
    /// By day and function, what nobody has taken to keep it.
    unkept: BTreeMap<(u64, Arc<str>), Decimal>,
}

#[derive(Debug)]
struct Account {
    cap: Cap,
    spent_usd: Decimal,
    /// The first day of the period that is counted, and of the next one, since 1970; of a session, none.
    period: Option<(u64, u64)>,
    told: Told,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Nothing,
    Near,
    Reached,
}

#[derive(Debug, Default)]
struct Function {
    ran: u64,
    spent_usd: Decimal,
    refused: u64,
}

impl Budget {
    /// Nothing is spent yet. With `only_warns` everything is admitted, whatever it costs.
    pub fn new(caps: Vec<Cap>, only_warns: bool) -> Self {
        let account = |cap| Account { cap, spent_usd: Decimal::ZERO, period: None, told: Told::Nothing };
        Budget { accounts: caps.into_iter().map(account).collect(), only_warns, ..Budget::default() }
    }

    /// Adds what an invocation has cost; says which caps are near or reached for the first time in their period.
    pub fn spend(&mut self, wall: Time, function: &Arc<str>, usd: Decimal) -> Vec<Notice> {
        let sums = self.functions.entry(function.clone()).or_default();
        sums.ran += 1;
        sums.spent_usd += usd;
        self.spend_standing(wall, function, usd)
    }

    /// Adds what a function has cost without an invocation, such as instances that it keeps ready: of its caps, but not of what
    /// an invocation costs in the mean.
    pub fn spend_standing(&mut self, wall: Time, function: &Arc<str>, usd: Decimal) -> Vec<Notice> {
        *self.unkept.entry((wall.utc_day(), function.clone())).or_default() += usd;
        let mut notices = Vec::new();
        for account in self.accounts.iter_mut().filter(|account| account.is_of(function)) {
            account.turn(wall);
            account.spent_usd += usd;
            notices.extend(account.notice());
        }
        notices
    }

    /// Counts what was spent before the session began, as far as it is of a cap's present day or month; says which caps are
    /// near or reached by that.
    ///
    /// ```
    /// use faas_core::{budget::{Budget, Spent}, clock::Time};
    ///
    /// let noon = Time::of_utc_day(20_000) + std::time::Duration::from_secs(43_200);
    /// let mut budget = Budget::new(vec!["0.10/day".parse()?], false);
    /// let spent = |day, usd: &str| Spent { day, function: "hello".into(), usd: usd.parse().expect("dollars") };
    /// assert_eq!(budget.recall(noon, [spent(19_999, "5"), spent(20_000, "0.07")]), []);
    /// assert_eq!(budget.recall(noon, [spent(20_000, "0.03")]).len(), 1);
    /// assert!(budget.admit(noon, &"hello".into()).is_err());
    /// # Ok::<(), String>(())
    /// ```
    pub fn recall(&mut self, wall: Time, spent: impl IntoIterator<Item = Spent>) -> Vec<Notice> {
        for Spent { day, function, usd } in spent {
            for account in self.accounts.iter_mut().filter(|account| account.is_of(&function)) {
                account.turn(wall);
                if account.period.is_some_and(|(first, next)| (first..next).contains(&day)) {
                    account.spent_usd += usd;
                }
            }
        }
        self.accounts.iter_mut().filter_map(Account::notice).collect()
    }

    /// What has been spent since this was last asked, for who keeps it.
    pub fn take_unkept(&mut self) -> Vec<Spent> {
        let unkept = std::mem::take(&mut self.unkept);
        unkept.into_iter().map(|((day, function), usd)| Spent { day, function, usd }).collect()
    }

    /// Takes back what could not be kept.
    pub fn give_back_unkept(&mut self, spent: Vec<Spent>) {
        for Spent { day, function, usd } in spent {
            *self.unkept.entry((day, function)).or_default() += usd;
        }
    }

    /// Whether an invocation may run.
    ///
    /// # Errors
    /// When a cap is reached: which, and when it frees. It counts as refused then.
    pub fn admit(&mut self, wall: Time, function: &Arc<str>) -> Result<(), InvocationError> {
        if self.only_warns {
            return Ok(());
        }
        let mut reached = None;
        for account in self.accounts.iter_mut().filter(|account| account.is_of(function)) {
            account.turn(wall);
            if account.is_spent() && reached.is_none() {
                reached = Some(account.refusal(wall));
            }
        }
        let Some(message) = reached else { return Ok(()) };
        self.functions.entry(function.clone()).or_default().refused += 1;
        Err(InvocationError::new(ErrorKind::BudgetExceeded, message))
    }

    /// Whether the function's next invocation would be refused. Counts nothing.
    pub fn is_spent(&mut self, wall: Time, function: &Arc<str>) -> bool {
        !self.only_warns
            && self.accounts.iter_mut().filter(|account| account.is_of(function)).any(|account| {
                account.turn(wall);
                account.is_spent()
            })
    }

    /// What has been refused, by function.
    pub fn refused(&self) -> impl Iterator<Item = Refused> {
        let refused = self.functions.iter().filter(|(_, sums)| sums.refused > 0);
        refused.map(|(function, sums)| Refused {
            function: function.clone(),
            count: sums.refused,
            would_cost_usd: (sums.ran > 0)
                .then(|| (sums.spent_usd / Decimal::from(sums.ran)).saturating_mul(sums.refused.into())),
        })
    }
}

impl Account {
    fn is_of(&self, function: &Arc<str>) -> bool {
        self.cap.function.as_ref().is_none_or(|own| own == function)
    }

    fn is_spent(&self) -> bool {
        self.spent_usd >= self.cap.usd
    }

    /// What is to be told of it, once.
    fn notice(&mut self) -> Option<Notice> {
        let told = match self.spent_usd {
            _ if self.is_spent() => Told::Reached,
            spent if spent >= self.cap.usd * Decimal::new(8, 1) => Told::Near,
            _ => Told::Nothing,
        };
        (told > self.told).then(|| {
            self.told = told;
            let (cap, spent_usd) = (self.cap.clone(), self.spent_usd);
            Notice { cap, spent_usd, is_reached: told == Told::Reached }
        })
    }

    /// Begins anew when the period that was counted is over. A wall clock may be put back: that gives nothing back.
    fn turn(&mut self, wall: Time) {
        let day = wall.utc_day();
        if self.period.is_some_and(|(_, next)| day < next) {
            return;
        }
        let is_new = self.period.is_some();
        self.period = match self.cap.per {
            Per::Session => return,
            Per::Day => Some((day, day + 1)),
            Per::Month => Some(month_of(day)),
        };
        if is_new {
            (self.spent_usd, self.told) = (Decimal::ZERO, Told::Nothing);
        }
    }

    fn refusal(&self, wall: Time) -> String {
        let frees = match self.period {
            None => "it frees when the session ends".to_owned(),
            Some((_, next)) => {
                format!("it frees in {}", hours(Time::of_utc_day(next).since(wall)))
            }
        };
        format!("{} is spent (${:.9}): {frees}, or raise it", self.cap, self.spent_usd)
    }
}

fn hours(time: Duration) -> String {
    let minutes = time.as_secs().div_ceil(60);
    format!("{} h {} min", minutes / 60, minutes % 60)
}

/// The first day of the month that this day is in, and of the next. Days are counted from 1970-01-01.
fn month_of(day: u64) -> (u64, u64) {
    let mut first = 0;
    for year in 1970_u64.. {
        let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let february = if is_leap { 29 } else { 28 };
        for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
            if day < first + days {
                return (first, first + days);
            }
            first += days;
        }
    }
    unreachable!("some month has the day")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: u64, hour: u64) -> Time {
        Time::of_utc_day(day) + Duration::from_secs(hour * 3600)
    }

    fn budget(caps: &[&str]) -> Budget {
        Budget::new(caps.iter().map(|cap| cap.parse().expect("a cap")).collect(), false)
    }

    fn cents(n: i64) -> Decimal {
        Decimal::new(n, 2)
    }

    #[test]
    fn at_the_cap_invocations_are_refused_until_it_frees() {
        let (mut budget, hello, other) = (budget(&["hello=0.10/day"]), "hello".into(), "other".into());
        assert_eq!(budget.spend(at(20_000, 6), &hello, cents(7)), []);
        let near = budget.spend(at(20_000, 7), &hello, cents(1));
        assert!(matches!(&near[..], [Notice { is_reached: false, .. }]), "80 % are told: {near:?}");
        assert_eq!(budget.admit(at(20_000, 7), &hello), Ok(()));
        let reached = budget.spend(at(20_000, 8), &hello, cents(4));
        assert!(matches!(&reached[..], [Notice { is_reached: true, .. }]), "{reached:?}");
        assert_eq!(budget.spend(at(20_000, 8), &hello, cents(0)), [], "and once");

        assert!(budget.is_spent(at(20_000, 9), &hello), "asking is not being refused");
        let refused = budget.admit(at(20_000, 9), &hello).expect_err("it is spent");
        assert_eq!(refused.kind, ErrorKind::BudgetExceeded);
        insta::assert_snapshot!(refused.message, @"the budget of `hello`, $0.10 a day is spent ($0.120000000): it frees in 15 h 0 min, or raise it");
        assert_eq!(budget.admit(at(20_000, 9), &other), Ok(()), "it is not the other's");
        assert!(!budget.is_spent(at(20_000, 9), &other));
        assert!(!budget.is_spent(at(20_001, 0), &hello));
        assert_eq!(budget.admit(at(20_001, 0), &hello), Ok(()), "the next day");
        budget.spend_standing(at(20_001, 1), &hello, cents(4));
        assert_eq!(
            budget.spend_standing(at(20_000, 23), &hello, cents(4)).len(),
            1,
            "a clock that is put back frees nothing"
        );

        assert_eq!(budget.spend_standing(at(20_001, 1), &hello, cents(8)).len(), 1, "it is of the day too");
        let refused: Vec<_> = budget.refused().collect();
        let would = Refused { function: hello, count: 1, would_cost_usd: Some(cents(3)) };
        assert_eq!(refused, [would], "four cost 12 cents");
    }

    #[test]
    fn a_budget_of_all_is_spent_by_all_and_a_session_never_frees() {
        let (mut budget, a, b) = (budget(&["0.02"]), "a".into(), "b".into());
        budget.spend(at(1, 0), &a, cents(1));
        budget.spend(at(400, 0), &b, cents(1));
        insta::assert_snapshot!(budget.admit(at(800, 0), &a).expect_err("spent").message, @"the budget, $0.02 this session is spent ($0.020000000): it frees when the session ends, or raise it");
        let mut warns = Budget::new(vec!["0".parse().expect("a cap")], true);
        assert_eq!(warns.admit(at(1, 0), &a), Ok(()));
        assert!(!warns.is_spent(at(1, 0), &a));
        assert_eq!(budget.accounts[0].told, Told::Reached);
    }

    #[test]
    fn what_one_session_has_spent_the_next_remembers() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        // 2024-02-28 and -29
        let (wednesday, thursday) = (19_781, 19_782);
        let mut first = budget(&["5/day"]);
        first.spend(at(wednesday, 23), &a, cents(3));
        first.spend(at(wednesday, 23), &a, cents(1));
        first.spend(at(thursday, 0), &b, cents(2));
        let kept = first.take_unkept();
        let spent = |day, function: &Arc<str>, usd| Spent { day, function: function.clone(), usd };
        assert_eq!(kept, [spent(wednesday, &a, cents(4)), spent(thursday, &b, cents(2))]);
        assert_eq!(first.take_unkept(), [], "it is taken once");
        first.give_back_unkept(kept.clone());
        assert_eq!(first.take_unkept(), kept, "unless it comes back");

        let caps = ["a=0.05/day", "a=0.04/month", "0.02/day", "0.06", "b=1/day"];
        let mut second = budget(&caps);
        let notices = second.recall(at(thursday, 9), kept);
        let told: Vec<_> = notices.iter().map(|n| (n.cap.to_string(), n.is_reached)).collect();
        assert_eq!(
            told,
            [("the budget of `a`, $0.04 a month".into(), true), ("the budget, $0.02 a day".into(), true)],
            "yesterday is of this month; and no session is another's"
        );
        assert_eq!(second.take_unkept(), [], "it has been kept before");
    }

    #[test]
    fn months_are_the_calendars() {
        // 2024-02-29 is day 19,782; the month has 29 days
        assert_eq!(month_of(19_782), (19_754, 19_783));
        assert_eq!(month_of(0), (0, 31));
        let (mut budget, f) = (budget(&["1/month"]), "f".into());
        budget.spend(at(19_782, 23), &f, Decimal::ONE);
        assert!(budget.admit(at(19_782, 23), &f).is_err());
        assert_eq!(budget.admit(at(19_783, 0), &f), Ok(()), "the first of March");
    }

    #[test]
    fn what_is_no_budget_is_told() {
        for text in ["", "x", "5/year", "hello=", "=5", "-1/day"] {
            assert!(text.parse::<Cap>().is_err_and(|why| why.contains("is no budget")), "{text}");
        }
    }
}
