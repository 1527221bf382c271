//! [`RateLayer`].

use tower::Layer;

use super::{RateLimited, SharedRates};
use crate::clock::SharedClock;

/// Refuses invocations that come faster than rates allow.
#[derive(Clone)]
pub struct RateLayer {
    rates: SharedRates,
    clock: SharedClock,
}

impl RateLayer {
    /// A layer that keeps to these rates.
    pub fn new(rates: SharedRates, clock: SharedClock) -> Self {
        RateLayer { rates, clock }
    }
}

impl<S> Layer<S> for RateLayer {
    type Service = RateLimited<S>;

    fn layer(&self, service: S) -> RateLimited<S> {
        RateLimited::new(service, self.rates.clone(), self.clock.clone())
    }
}
