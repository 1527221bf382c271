//! Who waits for an instance of one function, in order of arrival.
//!
//! Three kinds of waiting: `pending` invocations are covered by instances being started, `queued` ones wait for
//! capacity, and `forced` ones wait for capacity to start an instance of their own. All that are pending arrived
//! before all that are queued.

use std::collections::BTreeSet;

use super::{InstanceId, TicketId};

/// How an invocation waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// One of the instances being started will serve it.
    Pending,
    /// For capacity.
    Queued,
    /// For capacity to start an instance of its own.
    Forced,
    /// For this very instance, which is being started.
    Bound(InstanceId),
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) pending: BTreeSet<TicketId>,
    pub(super) queued: BTreeSet<TicketId>,
    pub(super) forced: BTreeSet<TicketId>,
}

impl Queue {
    /// How many wait for capacity.
    #[inline]
    pub(super) fn depth(&self) -> usize {
        self.queued.len() + self.forced.len()
    }

    /// The next that a free instance may serve.
    #[inline]
    pub(super) fn next(&self) -> Option<TicketId> {
        self.pending.first().or(self.queued.first()).copied()
    }

    /// Whether the one that has waited longest wants an instance of its own.
    pub(super) fn is_forced_next(&self) -> bool {
        match (self.forced.first(), self.next()) {
            (Some(forced), Some(next)) => *forced < next,
            (forced, _) => forced.is_some(),
        }
    }

    /// The next that wants an instance started, and whether it wants it for itself.
    pub(super) fn next_start(&self) -> Option<(TicketId, bool)> {
        match (self.forced.first(), self.queued.first()) {
            (Some(forced), Some(queued)) if queued < forced => Some((*queued, false)),
            (Some(forced), _) => Some((*forced, true)),
            (None, queued) => queued.map(|ticket| (*ticket, false)),
        }
    }

    pub(super) fn remove(&mut self, ticket: TicketId, place: Place) {
        match place {
            Place::Pending => self.pending.remove(&ticket),
            Place::Queued => self.queued.remove(&ticket),
            Place::Forced => self.forced.remove(&ticket),
            Place::Bound(_) => false,
        };
    }
}
