//! A TLS client that trusts what `faas trust` tells it to.

use std::{io, net::SocketAddr, sync::Arc};

use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ALL_VERSIONS, ClientConfig, RootCertStore, SupportedProtocolVersion, crypto,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
        version,
    },
};

use crate::support::{data_dir, faas};

/// How a client shakes hands.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) alpn: &'static [&'static str],
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    pub(crate) trusts: bool,
}

pub(crate) const CLIENT: Client = Client { alpn: &["http/1.1"], versions: ALL_VERSIONS, trusts: true };

/// A client of some years ago.
pub(crate) static TLS12: &[&SupportedProtocolVersion] = &[&version::TLS12];

pub(crate) fn authority_pem() -> String {
    let output = faas().args(["trust", "--print"]).output().expect("the command runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("PEM")
}

impl Client {
    fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        if self.trusts {
            let file = data_dir().join("ca/ca.pem");
            roots.add(CertificateDer::from_pem_file(file).expect("made by now")).expect("a certificate");
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_protocol_versions(self.versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    /// Shakes hands, and sends nothing yet.
    pub(crate) async fn connect(&self, addr: SocketAddr, name: &str) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(addr).await.expect("it listens");
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        TlsConnector::from(Arc::new(self.config())).connect(name, stream).await
    }

    /// Shakes hands and asks.
    pub(crate) async fn get(&self, addr: SocketAddr, name: &str, path: &str) -> Got {
        let stream = self.connect(addr, name).await.expect("they shake hands");
        get(stream, &format!("https://{name}:{}{path}", addr.port())).await
    }
}

/// A reply that has come whole.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) start: String,
    pub(crate) version: Version,
    pub(crate) text: String,
}

/// Asks by a connection, in the protocol that was agreed on.
pub(crate) async fn get(stream: TlsStream<TcpStream>, url: &str) -> Got {
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let url: http::Uri = url.parse().expect("an address");
    let io = TokioIo::new(stream);
    let response = if is_h2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
        tokio::spawn(connection);
        let request = Request::get(url).body(Empty::<bytes::Bytes>::new()).expect("a request");
        sender.send_request(request).await.expect("a reply")
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        let host = url.authority().expect("a host").as_str();
        let target = url.path_and_query().expect("a path").as_str();
        let request = Request::get(target).header("host", host).body(Empty::<bytes::Bytes>::new());
        sender.send_request(request.expect("a request")).await.expect("a reply")
    };
    got(response).await
}

async fn got(response: Response<Incoming>) -> Got {
    let start = response.headers().get("faas-start").map_or("", |start| start.to_str().expect("text"));
    let (status, start, version) = (response.status().as_u16(), start.to_owned(), response.version());
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    Got { status, start, version, text: String::from_utf8_lossy(&body).into_owned() }
}
