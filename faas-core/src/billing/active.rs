//! The time in which an instance is active, for providers that bill that: the union of its invocations, not their sum.
//! Pure. Whoever knows which invocation ran on which instance may feed it.

use std::time::Duration;

use super::usage::rounded;
use crate::{
    clock::Time,
    profile::{Of, TimeRule},
};

/// The spans in which one instance served something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Active {
    // apart from each other, in order
    spans: Vec<(Time, Time)>,
}

impl Active {
    /// Adds an invocation that began and ended then. In any order.
    ///
    /// ```
    /// use std::time::Duration;
    /// use faas_core::{billing::Active, clock::Time, profile::Profile};
    ///
    /// let at = |ms| Time::EPOCH + Duration::from_millis(ms);
    /// let mut active = Active::default();
    /// active.add(at(0), at(250));
    /// active.add(at(200), at(420));
    /// active.add(at(1_000), at(1_010));
    /// // 420 ms in a row and 10 ms later: 500 and 100 on Cloud Run; at least a second each on Azure's Flex plan
    /// let rule = |name| Profile::named(name).map(|p| p.billing.time.expect("wall time is billed"));
    /// assert_eq!(active.billed(&rule("google-cloud-run-functions")?), Duration::from_millis(600));
    /// assert_eq!(active.billed(&rule("azure-functions-flex")?), Duration::from_millis(2_000));
    /// # Ok::<(), faas_core::profile::UnknownProfile>(())
    /// ```
    pub fn add(&mut self, from: Time, to: Time) {
        self.touch(from, to);
    }

    /// Adds an invocation, and says which spans it touches, and what they are now. However many spans there are, only these
    /// are looked at.
    pub(super) fn touch(&mut self, from: Time, to: Time) -> Touched {
        let to = to.max(from);
        // nearly always: invocations end more or less in order
        if self.spans.last().is_none_or(|last| last.1 < from) {
            self.spans.push((from, to));
            return Touched { were: Vec::new(), is: to.since(from) };
        }
        // those that touch it become part of it
        let first = self.spans.partition_point(|span| span.1 < from);
        let last = self.spans.partition_point(|span| span.0 <= to).max(first);
        let touched = &self.spans[first..last];
        let were = touched.iter().map(|(from, to)| to.since(*from)).collect();
        let from = touched.first().map_or(from, |begin| from.min(begin.0));
        let to = touched.last().map_or(to, |end| to.max(end.1));
        self.spans.splice(first..last, [(from, to)]);
        Touched { were, is: to.since(from) }
    }

    /// Forgets spans that ended before this time, which nothing that is added later may reach.
    pub fn forget_before(&mut self, time: Time) {
        let gone = self.spans.partition_point(|span| span.1 < time);
        self.spans.drain(..gone);
    }

    /// How long it was active.
    pub fn time(&self) -> Duration {
        self.spans.iter().map(|(from, to)| to.since(*from)).sum()
    }

    /// How often it became active.
    pub fn spans(&self) -> usize {
        self.spans.len()
    }

    /// The time that is billed: each span rounded by the rule. For a rule [of invocations](Of::Invocation) this is
    /// not what is billed.
    pub fn billed(&self, rule: &TimeRule) -> Duration {
        debug_assert!(rule.of.value == Of::Instance, "invocations are billed one by one");
        self.spans.iter().map(|(from, to)| rounded(to.since(*from), rule)).sum()
    }
}

/// What became of an instance's spans when an invocation was added.
#[derive(Debug)]
pub(super) struct Touched {
    /// How long those were that it touched; mostly there are none.
    were: Vec<Duration>,
    /// How long the one is that they are now.
    is: Duration,
}

impl Touched {
    /// What was billed for them, and what is billed now.
    pub(super) fn billed(&self, rounded: impl Fn(Duration) -> Duration) -> (Duration, Duration) {
        (self.were.iter().map(|time| rounded(*time)).sum(), rounded(self.is))
    }
}
