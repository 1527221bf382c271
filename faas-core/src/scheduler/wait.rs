//! An invocation in the queue. Dropping it gives its place up, and gives back an instance that reached it too late.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::oneshot;

use super::shared::Shared;
use crate::{
    invocation::{ErrorKind, FunctionSpec, Init, InvocationError, Start},
    pool::{Lease, TicketId},
    sandbox::Instance,
};

/// An instance to run in.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) instance: Arc<dyn Instance>,
    pub(super) spec: Arc<FunctionSpec>,
    pub(super) start: Start,
    /// The instance's number.
    pub(super) number: u64,
    /// Whether its function must have it.
    pub(super) is_provisioned: bool,
    /// How long the invocation waited for capacity.
    pub(super) queue: Duration,
    /// What the start took, for the first invocation that waited for it.
    pub(super) init: Option<Init>,
    /// Taken by whoever runs.
    pub(super) lease: Option<Lease>,
}

impl Drop for Grant {
    fn drop(&mut self) {
        // nobody ran in it, so it is as healthy as it was
        if let Some(lease) = self.lease.take() {
            lease.release();
        }
    }
}

/// What a waiting invocation is told in the end.
pub(super) type Answer = Result<Grant, InvocationError>;

/// A place in the queue.
pub(super) struct Waiting {
    pub(super) shared: Arc<Shared>,
    pub(super) ticket: TicketId,
    pub(super) answer: oneshot::Receiver<Answer>,
}

impl Future for Waiting {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        Pin::new(&mut self.answer).poll(cx).map(|answer| {
            answer.unwrap_or_else(|_| {
                let message = "the scheduler forgot an invocation that waited: please report this as a bug";
                Err(InvocationError::new(ErrorKind::Platform, message))
            })
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // does nothing once the answer is on its way; an unread answer then goes with the receiver
        if !self.answer.is_terminated() {
            self.shared.cancel(self.ticket);
        }
    }
}
