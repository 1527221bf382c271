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
use tokio::net::{TcpListener, TcpStream};

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
    // no timer: it would be armed for each request, against clients that trickle, of whom a laptop has none
    let server = auto::Builder::new(TokioExecutor::new());
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => return graceful,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => spawn(&server, &graceful, stream, gateway.clone()),
            // the client left before it was let in
            Err(why) if is_of_one_connection(&why) => {}
            Err(_) => clock.sleep_until(clock.now() + BREATH).await,
        }
    }
}

fn spawn(
    server: &auto::Builder<TokioExecutor>,
    graceful: &GracefulShutdown,
    stream: TcpStream,
    gateway: Arc<Gateway>,
) {
    // replies are written whole: waiting for more to send would only delay them
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let gateway = gateway.clone();
        async move { Ok::<_, std::convert::Infallible>(gateway.handle(request).await) }
    });
    let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        // a client that left, or spoke no HTTP: its invocations are told as cancelled, there is nobody else to tell
        let _ = connection.await;
    });
}

fn is_of_one_connection(why: &io::Error) -> bool {
    matches!(
        why.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
