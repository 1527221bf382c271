//! A token bucket as one imagines it, a level that time raises, to check the pool's against, which holds a time.

use crate::{clock::Time, pool::StartRate};

/// Its level in nanoseconds of refilling.
pub(super) struct Bucket {
    level: u64,
    at: Time,
}

impl Bucket {
    pub(super) fn token(rate: StartRate) -> u64 {
        (rate.per.as_nanos() as u64).div_ceil(u64::from(rate.burst))
    }

    pub(super) fn full(rate: StartRate) -> Self {
        Bucket { level: Bucket::token(rate) * u64::from(rate.burst), at: Time::EPOCH }
    }

    pub(super) fn level(&self, now: Time, rate: StartRate) -> u64 {
        (self.level + now.since(self.at).as_nanos() as u64).min(Bucket::full(rate).level)
    }

    pub(super) fn take(&mut self, now: Time, rate: StartRate) {
        let level = self.level(now, rate).checked_sub(Bucket::token(rate));
        *self = Bucket { level: level.expect("no more starts than tokens"), at: now };
    }
}
