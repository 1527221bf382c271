//! Clients on a socket, by TLS: ALPN chooses HTTP/2 or HTTP/1.1; after the handshake it is [`super::http`].
//!
//! ```text
//! authority  signs for this machine alone        store    where it lies
//! leaves     certificates by name                der      when one ends
//! handshakes so many at once                     warming  instances for names in ClientHellos
//! client     the other side, for our commands    plain    who does not speak TLS
//! ```
//!
//! A handshake is a task of its own, bounded in number and time, and delays nobody. TLS 1.2 and 1.3, by rustls with ring.

mod authority;
pub(crate) mod client;
mod der;
mod handshakes;
mod leaves;
mod plain;
mod store;
pub(super) mod warming;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use faas_core::clock::{SharedClock, within};
use hyper_util::server::graceful::GracefulShutdown;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    LazyConfigAcceptor,
    rustls::{
        self, AlertDescription, ServerConfig,
        crypto::CryptoProvider,
        server::{Acceptor, ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
    server::TlsStream,
};

pub use authority::{Authority, Refused};
pub use store::{Origin, Store};

use self::{
    handshakes::Handshakes,
    leaves::Leaves,
    warming::{Knocked, Warming},
};
use super::http;
use crate::{
    console::{Console, event::Event},
    error::Error,
    gateway::Gateway,
};

/// A handshake takes two round trips and some hundred microseconds; who needs more than this is not coming.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How many may be under way: a browser opens six connections to a host.
const HANDSHAKES_MAX: usize = 256;
/// The first byte of a TLS record that holds a ClientHello (RFC 8446, 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// What is needed to shake hands.
#[derive(Debug)]
pub struct Front {
    config: Arc<ServerConfig>,
    warming: Option<Arc<Warming>>,
    clock: SharedClock,
    console: Arc<Console>,
    has_been_told: AtomicBool,
}

impl Front {
    /// A front with certificates of this authority; if `warms`, the name in a ClientHello starts an instance.
    ///
    /// # Errors
    /// When there is no randomness to be had.
    pub fn new(
        authority: Authority,
        gateway: Arc<Gateway>,
        clock: SharedClock,
        console: Arc<Console>,
        warms: bool,
    ) -> Result<Arc<Self>, Error> {
        let config = config(authority, clock.clone())
            .map_err(|why| Error::failed(format!("TLS cannot be set up: {why}")))?;
        let warming = warms.then(|| Warming::new(gateway, clock.clone(), console.clone()));
        Ok(Arc::new(Front { config, warming, clock, console, has_been_told: AtomicBool::new(false) }))
    }

    async fn shake_hands(self: Arc<Self>, stream: TcpStream) -> Option<Secured> {
        let until = self.clock.now() + HANDSHAKE_MAX;
        within(&*self.clock, until, self.shake(stream)).await?
    }

    async fn shake(&self, stream: TcpStream) -> Option<Secured> {
        let mut first = [0];
        // looked at, not taken: TLS reads it again
        if stream.peek(&mut first).await.ok()? == 0 {
            return None;
        }
        if first[0] != HANDSHAKE_RECORD {
            if plain::is_http(first[0]) {
                plain::answer(stream).await;
            }
            return None;
        }
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await.ok()?;
        let knocked = match (&self.warming, hello.client_hello().server_name()) {
            (Some(warming), Some(name)) => warming.knock(name),
            _ => None,
        };
        match hello.into_stream(self.config.clone()).await {
            Ok(stream) => Some(Secured { stream, knocked }),
            Err(why) => {
                self.tell_of_distrust(&why);
                None
            }
        }
    }

    /// A client that hangs up because it does not know our authority shows its person an error that does not say
    /// what to do. Once a session is enough.
    fn tell_of_distrust(&self, why: &io::Error) {
        let error = why.get_ref().and_then(|why| why.downcast_ref::<rustls::Error>());
        let distrusts = matches!(
            error,
            Some(rustls::Error::AlertReceived(
                AlertDescription::UnknownCA
                    | AlertDescription::BadCertificate
                    | AlertDescription::CertificateUnknown
            ))
        );
        if distrusts && !self.has_been_told.swap(true, Ordering::Relaxed) {
            let text =
                "a client does not trust the certificate it was shown: `faas trust` says how it comes to";
            self.console.say(Event::Notice(text.into()));
        }
    }
}

struct Secured {
    stream: TlsStream<TcpStream>,
    knocked: Option<Knocked>,
}

/// As [`http::serve`], behind TLS. Handshakes that are under way when `stop` completes are given up.
pub async fn serve(
    listener: TcpListener,
    front: Arc<Front>,
    gateway: Arc<Gateway>,
    clock: SharedClock,
    stop: impl Future<Output = ()>,
) -> GracefulShutdown {
    let connections = http::Connections::new(gateway);
    let mut handshakes = Handshakes::at_most(HANDSHAKES_MAX);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => return connections.graceful(),
            Secured { stream, knocked } = handshakes.next() => connections.spawn(stream, knocked),
            stream = http::accept(&listener, &clock) => handshakes.begin(front.clone().shake_hands(stream)),
        }
    }
}

fn config(authority: Authority, clock: SharedClock) -> Result<Arc<ServerConfig>, rustls::Error> {
    let resolver = Resolver { leaves: Mutex::new(Leaves::of(authority)), clock };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Finds the certificate for a name.
#[derive(Debug)]
struct Resolver {
    leaves: Mutex<Leaves>,
    clock: SharedClock,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let now = self.clock.wall();
        // a name that no certificate can hold gets none, and the client an alert
        self.leaves.lock().leaf(hello.server_name(), now).ok().map(|leaf| leaf.key)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
mod tests {
    use faas_core::clock::VirtualClock;
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::console::Format;

    #[tokio::test]
    async fn who_says_nothing_more_is_given_up_after_ten_seconds() {
        let clock = VirtualClock::default();
        let shared: SharedClock = Arc::new(clock.clone());
        let authority = Authority::create(shared.now() + 30 * Duration::from_secs(24 * 60 * 60));
        let config = config(authority.expect("an authority"), shared.clone()).expect("a config");
        let console = Console::start(Format::Json, shared.clone(), std::io::sink()).expect("a thread");
        let has_been_told = AtomicBool::new(false);
        let front = Arc::new(Front { config, warming: None, clock: shared, console, has_been_told });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("bound");

        for words in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"] {
            let mut dawdler = TcpStream::connect(addr).await.expect("it listens");
            dawdler.write_all(words).await.expect("sent");
            let (stream, _) = listener.accept().await.expect("a client");
            let handshake = tokio::spawn(front.clone().shake_hands(stream));
            VirtualClock::settle().await;
            clock.run(Duration::from_secs(9)).await;
            assert!(!handshake.is_finished(), "after {words:?}");
            clock.run(Duration::from_secs(1)).await;
            assert!(handshake.await.expect("no panic").is_none());
        }
    }
}
