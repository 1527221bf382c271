//! `faas trust`: which certificate authority `faas dev --tls` uses, and how clients come to trust it.
//!
//! It says what to do and does none of it: whom a system trusts is for its owner to decide.

use std::{fmt::Write as _, io::Write as _, path::Path};

use faas_core::clock::{SystemClock, Time};

use crate::{
    error::Error,
    trigger::tls::{Authority, Origin, Store},
};

/// Options of `faas trust`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Print the certificate (PEM) and nothing else
    #[arg(long)]
    print: bool,
}

/// Prints the certificate, or what to do with it. Makes the authority if there is none.
///
/// # Errors
/// When the authority cannot be kept.
pub async fn run(options: Options) -> Result<(), Error> {
    let now = SystemClock::shared().now();
    let (store, authority, _) = super::blocking(move || open(now)).await?;
    let text = match options.print {
        true => authority.certificate_pem().to_owned(),
        false => instructions(&store.certificate_file(), &authority.fingerprint(), &authority.last_day()),
    };
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|why| Error::failed(format!("standard output cannot be written: {why}")))
}

/// The user's authority, and what they should hear of it.
pub(super) async fn authority(now: Time) -> Result<(Authority, Option<String>), Error> {
    let (store, authority, origin) = super::blocking(move || open(now)).await?;
    let file = store.certificate_file();
    let told = match origin {
        Origin::Found => return Ok((authority, None)),
        Origin::Made => "a certificate authority for this machine was made",
        Origin::Renewed => "the certificate authority had reached its end and was replaced",
    };
    let told =
        format!("{told}: {}\n`faas trust` says how browsers and tools come to trust it.", file.display());
    Ok((authority, Some(told)))
}

fn open(now: Time) -> Result<(Store, Authority, Origin), Error> {
    let store = Store::of_user()?;
    let (authority, origin) = store.open(now)?;
    Ok((store, authority, origin))
}

/// Ways to trust `{file}`, each under the name of who is to trust it.
const WAYS: [(&str, &str); 10] = [
    ("Nobody but one command", "curl --cacert {file} https://hello.localhost:3000/"),
    ("Node.js, for one command", "NODE_EXTRA_CA_CERTS={file} node client.js"),
    (
        "Python (requests, httpx), for one command",
        "REQUESTS_CA_BUNDLE={file} SSL_CERT_FILE={file} python client.py",
    ),
    (
        "Rust: reqwest",
        "Client::builder().add_root_certificate(Certificate::from_pem(&std::fs::read({file})?)?)",
    ),
    ("Rust: rustls", "RootCertStore::add(CertificateDer::from_pem_file({file})?)"),
    (
        "Debian, Ubuntu, for all users (back: delete the copy, and update with --fresh)",
        "sudo cp {file} /usr/local/share/ca-certificates/faas-dev.crt && sudo update-ca-certificates",
    ),
    ("Fedora, RHEL, Arch, for all users (back: trust anchor --remove)", "sudo trust anchor --store {file}"),
    (
        "macOS, for you (back: security remove-trusted-cert, with the same file)",
        "security add-trusted-cert -r trustRoot -k ~/Library/Keychains/login.keychain-db {file}",
    ),
    ("Windows, for you (back: certutil -user -delstore Root)", "certutil -user -addstore Root {file}"),
    (
        "Chrome and Chromium on Linux, for you (back: certutil -D -n faas-dev)",
        "certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n faas-dev -i {file}",
    ),
];

fn instructions(file: &Path, fingerprint: &str, last_day: &str) -> String {
    let file = file.display().to_string();
    let quoted = format!("\"{file}\"");
    let mut text = format!(
        "The certificate authority of `faas dev --tls`:\n\n  file         {file}\n  SHA-256      {fingerprint}\n  \
         good until   {last_day}\n  signs for    localhost, names below it, loopback addresses; clients refuse all else\n\n\
         Nothing trusts it yet because of this command. Choose who is to:\n"
    );
    for (who, how) in WAYS {
        // writing to a String cannot fail
        let _ = write!(text, "\n{who}:\n  {}\n", how.replace("{file}", &quoted));
    }
    text.push_str(
        "\nFirefox:\n  Settings, Privacy & Security, View Certificates, Authorities, Import; tick \"identify websites\"\n\
         \nThe key beside it is for you alone: whoever has it can pretend to be this machine to this machine.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_told_what_to_type() {
        let text = instructions(Path::new("/home/ada/.local/share/faas/ca/ca.pem"), "AB:CD", "2031-11-25");
        insta::assert_snapshot!(text);
    }
}
