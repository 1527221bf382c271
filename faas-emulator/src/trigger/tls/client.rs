//! The other side: what a client that trusts our authority does. For the commands that ask a running `faas dev`.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, Error, RootCertStore,
        client::WebPkiServerVerifier,
        client::danger::ServerCertVerifier as _,
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    },
};

use super::provider;

/// Shakes hands with a server on this machine, which must show a certificate of the authority that this PEM is of.
/// `None` if it cannot.
pub(crate) async fn connect(stream: TcpStream, authority_pem: &str) -> Option<TlsStream<TcpStream>> {
    let authority = CertificateDer::from_pem_slice(authority_pem.as_bytes()).ok()?;
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(roots(&authority).ok()?)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").ok()?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()
}

/// Whether a client that trusts this authority and no other accepts this certificate under this name.
pub(super) fn verify(
    authority: &CertificateDer<'static>,
    leaf: &CertificateDer<'_>,
    name: &ServerName<'_>,
    at: UnixTime,
) -> Result<(), Error> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(authority)?), provider())
        .build()
        .map_err(|why| Error::General(why.to_string()))?;
    verifier.verify_server_cert(leaf, &[], name, &[], at).map(|_| ())
}

fn roots(authority: &CertificateDer<'static>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    Ok(roots)
}
