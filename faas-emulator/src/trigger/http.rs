//! Clients on a socket: HTTP/1.1 and, with prior knowledge, HTTP/2 without TLS (h2c).
//!
//! One task a connection. Knows requests and connections, and nothing of functions.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use faas_core::clock::SharedClock;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

use super::tls::warming::Knocked;
use crate::{error::Error, gateway::Gateway};

/// After an error of the operating system (no file descriptors left) so long until the next try.
const BREATH: Duration = Duration::from_millis(50);

/// Takes a port.
///
/// # Errors
/// When it cannot be had; names its owner where the operating system tells.
pub async fn bind(host: IpAddr, port: u16) -> Result<TcpListener, Error> {
    let addr = SocketAddr::new(host, port);
    TcpListener::bind(addr).await.map_err(|why| {
        Error::bad_input(match why.kind() {
            io::ErrorKind::AddrInUse => {
                let owner = super::owner::of_port(port)
                    .map_or_else(|| "another process".to_owned(), |owner| owner.to_string());
                format!(
                    "port {port} of {host} is taken by {owner}\nStop it, or choose another port with --port (0 takes \
                     any that is free)."
                )
            }
            io::ErrorKind::PermissionDenied => {
                format!("port {port} may not be taken ({why})\nChoose one above 1023 with --port.")
            }
            io::ErrorKind::AddrNotAvailable => {
                format!("{host} is no address of this machine\nGive one that is with --host.")
            }
            _ => format!("{addr} cannot be listened on: {why}"),
        })
    })
}

/// Serves connections until `stop` completes, then returns those that are still open, told to end after the request
/// that they are at.
pub async fn serve(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    clock: SharedClock,
    stop: impl Future<Output = ()>,
) -> GracefulShutdown {
    let connections = Connections::new(gateway);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => return connections.graceful(),
            stream = accept(&listener, &clock) => connections.spawn(stream, None),
        }
    }
}

/// The next client. May be dropped while it waits.
pub(super) async fn accept(listener: &TcpListener, clock: &SharedClock) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // replies are written whole: waiting for more to send would only delay them
                let _ = stream.set_nodelay(true);
                return stream;
            }
            // the client left before it was let in
            Err(why) if is_of_one_connection(&why) => {}
            Err(_) => clock.sleep_until(clock.now() + BREATH).await,
        }
    }
}

/// Connections that are being served.
pub(super) struct Connections {
    server: auto::Builder<TokioExecutor>,
    graceful: GracefulShutdown,
    gateway: Arc<Gateway>,
}

impl Connections {
    pub(super) fn new(gateway: Arc<Gateway>) -> Self {
        // no timer: it would be armed for each request, against clients that trickle, of whom a laptop has none
        let server = auto::Builder::new(TokioExecutor::new());
        Connections { server, graceful: GracefulShutdown::new(), gateway }
    }

    /// Serves a client. `knocked` is told of its requests.
    pub(super) fn spawn<S>(&self, stream: S, knocked: Option<Knocked>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (gateway, knocked) = (self.gateway.clone(), knocked.map(Arc::new));
        let service = service_fn(move |request: http::Request<Incoming>| {
            if let Some(knocked) = &knocked {
                knocked.followed_by(&request);
            }
            let gateway = gateway.clone();
            async move { Ok::<_, std::convert::Infallible>(gateway.handle(request).await) }
        });
        let connection = self.server.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = self.graceful.watch(connection);
        tokio::spawn(async move {
            // a client that left, or spoke no HTTP: its invocations are told as cancelled, there is nobody else to tell
            let _ = connection.await;
        });
    }

    /// Those that are open.
    pub(super) fn graceful(self) -> GracefulShutdown {
        self.graceful
    }
}

fn is_of_one_connection(why: &io::Error) -> bool {
    matches!(
        why.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
