//! How a call ends: what it has used is counted, and its instance given back, whoever ends it and however.

use std::{future::poll_fn, time::Duration};

use super::{
    super::{Pace, instance::Step},
    Driver,
};
use crate::{
    abi::envelope::ResponseHead,
    invocation::{End, Failure, Fault, InvocationError, Record, Usage},
};

impl Driver {
    pub(super) fn replied(self, head: &ResponseHead) -> Box<Record> {
        self.finish(End::Replied { status: head.status, is_fault: head.is_fault })
    }

    /// Who fails by their own fault is not asked again: the next invocation gets a fresh instance.
    pub(super) fn fail(mut self, error: InvocationError) -> Failure {
        self.is_healthy &= error.kind.fault() != Fault::Function;
        self.give_back();
        self.count();
        self.tally.take().expect("taken only here and in finish").fail(error)
    }

    pub(super) fn finish(mut self, end: End) -> Box<Record> {
        self.give_back();
        self.count();
        self.tally.take().expect("taken only here and in fail").finish(end)
    }

    fn count(&mut self) {
        let (used, cpu) = (self.used, self.cpu);
        if let Some(tally) = &mut self.tally {
            let now = self.instance.function.runtime.clock.now();
            let wall = (now.since(self.began) + self.skipped).saturating_sub(self.excess);
            // who leaves during a pause leaves it unfinished
            let throttled = self.throttled + self.pausing.map_or(Duration::ZERO, |since| now.since(since));
            tally.used(|usage: &mut Usage| {
                usage.handler_wall = wall;
                usage.handler_cpu = cpu;
                usage.memory_peak_bytes = used.memory_bytes;
                usage.bytes_in = used.bytes_in;
                usage.bytes_out = used.bytes_out;
                usage.log_bytes = used.log_bytes;
                usage.injected.throttled = throttled;
            });
        }
    }

    /// Gives the instance back: at once when the guest has let go of the call, else when it has been told to.
    fn give_back(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        // a lease that is dropped condemns the instance
        let is_healthy = self.is_healthy;
        match self.call.take() {
            None if is_healthy => lease.release(),
            None => drop(lease),
            Some(ticket) if self.instance.function.runtime.pace == Pace::Virtual => {
                if self.instance.cancel(ticket) && is_healthy {
                    lease.release();
                }
            }
            Some(ticket) => {
                // It may be running at this moment, on another thread, perhaps for long: no thread waits for it. And
                // cancelling runs the guest's own code, on a thread that may be held.
                let instance = self.instance.clone();
                self.instance.function.runtime.handle.spawn(async move {
                    let turn = instance.turn().await;
                    poll_fn(|cx| instance.try_with(cx.waker(), |_| ())).await;
                    let function = instance.function.clone();
                    let place = function.places.take().await;
                    function.runtime.compute.spawn(place, move || {
                        let _turn = turn;
                        if instance.cancel(ticket) && is_healthy {
                            lease.release();
                        }
                    });
                });
            }
        }
    }
}

/// Nobody waits any more. What the guest computes at this moment nobody can take back before it ends, or is stopped at its
/// deadline: its invocation is not over until then, and what it uses is counted.
impl Drop for Driver {
    fn drop(&mut self) {
        let is_real = self.instance.function.runtime.pace == Pace::Real;
        if let Some(running) = self.running.take_if(|_| is_real) {
            running.abort(); // in case that it has not begun
            let mut rest = Driver {
                instance: self.instance.clone(),
                call: self.call.take(),
                wakeup: self.wakeup.clone(),
                running: None,
                timer: None,
                tally: self.tally.take(),
                lease: self.lease.take(),
                ..*self
            };
            self.instance.function.runtime.handle.spawn(async move {
                if let Ok(Step { event, used }) = running.await {
                    rest.use_up(used);
                    rest.let_go(&event);
                }
                drop(rest);
            });
            return;
        }
        self.give_back();
        // reports itself as cancelled
        self.count();
    }
}
