//! Starts an instance of the function that a ClientHello names, while the handshake goes on.
//!
//! Which functions there are, the gateway knows; how many starts a name is worth, [`Knocks`]; whether one is needed at
//! all, the scheduler. This asks them in that order.

use std::sync::Arc;

use faas_core::{
    clock::SharedClock,
    knock::{Knock, Knocks, Limits},
};
use http::{Request, header};
use parking_lot::Mutex;

use crate::{
    console::{Console, event::Event},
    gateway::Gateway,
};

#[derive(Debug)]
pub(super) struct Warming {
    gateway: Arc<Gateway>,
    knocks: Mutex<Knocks>,
    clock: SharedClock,
    console: Arc<Console>,
}

impl Warming {
    pub(super) fn new(gateway: Arc<Gateway>, clock: SharedClock, console: Arc<Console>) -> Arc<Self> {
        let knocks = Mutex::new(Knocks::new(Limits::LAPTOP));
        Arc::new(Warming { gateway, knocks, clock, console })
    }

    /// Somebody has named a host. `None` if nothing was started for them.
    pub(super) fn knock(self: &Arc<Self>, server_name: &str) -> Option<Knocked> {
        let function = self.gateway.function_of_host(server_name)?;
        let (knock, unused) = {
            let mut knocks = self.knocks.lock();
            (knocks.admit(self.clock.now(), &function), knocks.limits().unused)
        };
        let Some(knock) = knock else {
            self.console.detail(|| Event::KnockIgnored { function: function.to_string() });
            return None;
        };
        if self.gateway.prewarm_for(&function, unused) {
            return Some(Knocked { knock: Mutex::new(Some(knock)), warming: self.clone() });
        }
        self.knocks.lock().was_needless(self.clock.now(), knock);
        None
    }
}

/// An instance was started for who knocked. Kept by their connection until they ask for it.
#[derive(Debug)]
pub(in crate::trigger) struct Knocked {
    knock: Mutex<Option<Knock>>,
    warming: Arc<Warming>,
}

impl Knocked {
    /// A request has come by the connection.
    pub(in crate::trigger) fn followed_by<B>(&self, request: &Request<B>) {
        let mut knock = self.knock.lock();
        let Some(function) = knock.as_ref().map(Knock::name) else { return };
        let gateway = &self.warming.gateway;
        let host = match request.uri().authority() {
            Some(authority) => Some(authority.as_str()),
            None => request.headers().get(header::HOST).and_then(|host| host.to_str().ok()),
        };
        if host.and_then(|host| gateway.function_of_host(host)).is_some_and(|asked| asked == *function)
            && let Some(knock) = knock.take()
        {
            self.warming.knocks.lock().came_in(self.warming.clock.now(), knock);
        }
    }
}
