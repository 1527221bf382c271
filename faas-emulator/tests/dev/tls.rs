//! TLS, as clients of all kinds meet it: those that behave, those that do not, and those that other people wrote.

use std::process::{Command, Stdio};

use http::Version;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    hosts::SOURCE,
    support::{Dev, Held, Project, block_on, data_dir, faas, run},
    tls_client::{CLIENT, Client, TLS12, authority_pem, get},
};

#[test]
fn both_protocols_are_spoken_by_path_and_by_name() {
    let project = Project::new("secure", SOURCE);
    let dev = Dev::serve(project.path(), &["--no-watch", "--tls"]);
    let port = dev.addr.port();
    block_on(async {
        for (alpn, version) in [
            (&["h2", "http/1.1"][..], Version::HTTP_2),
            (&["http/1.1"][..], Version::HTTP_11),
            // who does not say
            (&[][..], Version::HTTP_11),
        ] {
            let client = Client { alpn, ..CLIENT };
            let by_name = client.get(dev.addr, "hello.localhost", "/a?b=c").await;
            assert_eq!((by_name.status, by_name.version), (200, version));
            assert_eq!(by_name.text, format!("hello /a?b=c of hello.localhost:{port}"));
            for name in ["localhost", "127.0.0.1"] {
                let by_path = client.get(dev.addr, name, "/users/7").await;
                assert_eq!((by_path.status, by_path.version, &*by_path.text), (200, version, "GET /users/7"));
            }
            let nobody = client.get(dev.addr, "nobody.localhost", "/").await;
            assert_eq!((nobody.status, &*nobody.start), (404, ""));
            assert!(nobody.text.starts_with("no function is called `nobody`"), "{}", nobody.text);
        }
        // a name that no certificate here may be for: the client says which it was shown
        let stranger = CLIENT.connect(dev.addr, "example.com").await.expect_err("not us");
        assert!(stranger.to_string().contains("not valid for name"), "{stranger}");
    });
    let invoked = run(&["invoke", "hello", "--path", project.path().to_str().expect("text")], project.path());
    let told = String::from_utf8_lossy(&invoked.stderr).into_owned();
    assert!(invoked.status.success() && told.contains(&format!("at https://127.0.0.1:{port}")), "{told}");
    let billed = run(&["bill", "--format", "json"], project.path());
    assert!(billed.status.success(), "{billed:?}");
    let bill = dev.stop();
    assert_eq!(bill["functions"][0]["requests"], 4, "three by name and one by `faas invoke`: {bill}");
}

#[test]
fn who_does_not_speak_tls_is_told_or_dropped_and_disturbs_nobody() {
    let project = Project::new("insecure", SOURCE);
    let dev = Dev::serve(project.path(), &["--no-watch", "--tls"]);
    block_on(async {
        let mut plain = TcpStream::connect(dev.addr).await.expect("it listens");
        let body = "x".repeat(20_000);
        let head = format!("POST /hello HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        plain.write_all(head.as_bytes()).await.expect("sent");
        let mut reply = String::new();
        plain.read_to_string(&mut reply).await.expect("a reply, not a reset");
        assert!(reply.starts_with("HTTP/1.1 400 ") && reply.contains("this port speaks TLS"), "{reply}");

        // half of them wait for more, and are more than the 256 that may be under way
        let mut dawdlers = Vec::new();
        for n in 0..600 {
            let mut dawdler = TcpStream::connect(dev.addr).await.expect("it listens");
            let words: &[u8] = match n % 4 {
                0 => b"",
                1 => b"\x16\x03\x01\x02\x00\x01",
                2 => b"\x16garbage that is no ClientHello, and long enough to be told from one\0\0\0\0\0\0\0\0\0\0",
                _ => b"\0\0\0\0",
            };
            dawdler.write_all(words).await.expect("sent");
            dawdlers.push(dawdler);
        }
        let served = CLIENT.get(dev.addr, "hello.localhost", "/").await;
        assert_eq!(served.status, 200);
        // the first has made room for others, or its time was over
        let mut rest = Vec::new();
        let _ = dawdlers[0].read_to_end(&mut rest).await;
        assert_eq!(rest, b"");

        let half = TcpStream::connect(dev.addr).await.expect("it listens");
        let stream = CLIENT.connect(dev.addr, "hello.localhost").await.expect("they shake hands");
        assert_eq!(get(stream, "https://hello.localhost/").await.status, 200);
        drop(half);
    });
    dev.stop();
}

#[test]
fn a_client_that_does_not_trust_us_is_mentioned_once() {
    let project = Project::new("distrusted", SOURCE);
    let dev = Dev::serve(project.path(), &["--no-watch", "--tls"]);
    block_on(async {
        let suspicious = Client { trusts: false, ..CLIENT };
        for _ in 0..3 {
            suspicious.connect(dev.addr, "hello.localhost").await.expect_err("it knows no authority");
        }
        // a connection that ends well, so that the others have been dealt with
        assert_eq!(CLIENT.get(dev.addr, "hello.localhost", "/").await.status, 200);
    });
    let tells = |e: &serde_json::Value| e["text"].as_str().is_some_and(|t| t.contains("does not trust"));
    dev.event_where("notice", tells);
    dev.interrupt();
    let (_, events, _) = dev.wait();
    assert!(!events.iter().any(tells), "{events:?}");
}

#[test]
fn what_runs_ends_first_and_who_only_shakes_hands_is_not_waited_for() {
    let reads = r#"
use faas_core::{Request, Result, function};

#[function(timeout = "60s")]
async fn reads(request: Request) -> Result<String> {
    request.into_body().bytes().await?;
    Ok("read".into())
}

faas_core::main!();
"#;
    let project = Project::new("drained-tls", reads);
    let dev = Dev::serve(project.path(), &["--tls", "--no-handshake-warming"]);
    block_on(async {
        let _dawdler = TcpStream::connect(dev.addr).await.expect("it listens");
        let stream = CLIENT.connect(dev.addr, "reads.localhost").await.expect("they shake hands");
        let held = Held::over(stream, "reads.localhost", "/").await;
        tokio::task::block_in_place(|| dev.event("started"));
        dev.interrupt();
        let draining = tokio::task::block_in_place(|| dev.event("draining"));
        assert_eq!(draining["connections"], 1);
        let reply = held.end().await;
        assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("read"), "{reply}");
    });
    let (status, ..) = dev.wait();
    assert!(status.success(), "{status}");
}

#[test]
fn those_that_start_at_once_make_one_authority() {
    let data = tempfile::tempdir().expect("a folder");
    let children: Vec<_> = (0..6)
        .map(|_| {
            let mut trust = faas();
            trust.args(["trust", "--print"]).env("FAAS_DATA_DIR", data.path()).stdout(Stdio::piped());
            trust.spawn().expect("the command runs")
        })
        .collect();
    let printed: Vec<_> =
        children.into_iter().map(|child| child.wait_with_output().expect("it ends")).collect();
    assert!(printed.iter().all(|output| output.status.success()));
    assert!(printed[0].stdout.starts_with(b"-----BEGIN CERTIFICATE-----"));
    assert!(printed.iter().all(|output| output.stdout == printed[0].stdout));

    let told = faas().arg("trust").env("FAAS_DATA_DIR", data.path()).output().expect("the command runs");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let file = data.path().join("ca/ca.pem");
    assert!(told.contains(file.to_str().expect("text")) && told.contains("SHA-256"), "{told}");
}

/// Clients that we have not written, where they are installed.
#[test]
fn other_peoples_clients_agree() {
    let project = Project::new("curled", SOURCE);
    let dev = Dev::serve(project.path(), &["--no-watch", "--tls"]);
    let port = dev.addr.port();
    let authority = data_dir().join("ca/ca.pem");
    assert!(!authority_pem().is_empty());
    let has = |tool: &str, arg: &str| {
        let found = Command::new(tool).arg(arg).output().is_ok_and(|output| output.status.success());
        if !found {
            eprintln!("{tool} is not installed: what it would say of our certificates is not known");
        }
        found
    };
    if has("curl", "--version") {
        for extra in [&["--http1.1"][..], &["--http2"], &["--tls-max", "1.2"]] {
            let curl = Command::new("curl")
                .args(["--silent", "--show-error", "--noproxy", "*", "--cacert"])
                .arg(&authority)
                .args(["--resolve", &format!("hello.localhost:{port}:127.0.0.1")])
                .args(extra)
                .arg(format!("https://hello.localhost:{port}/by-curl"))
                .output()
                .expect("it runs");
            let text = String::from_utf8_lossy(&curl.stdout).into_owned();
            assert_eq!(text, format!("hello /by-curl of hello.localhost:{port}"), "{extra:?} {curl:?}");
        }
    }
    if has("openssl", "version") {
        for name in ["hello.localhost", "localhost"] {
            let openssl = Command::new("openssl")
                .args([
                    "s_client",
                    "-verify_return_error",
                    "-strict",
                    "-verify_hostname",
                    name,
                    "-servername",
                    name,
                ])
                .args(["-connect", &dev.addr.to_string(), "-x509_strict", "-CAfile"])
                .arg(&authority)
                .stdin(Stdio::null())
                .output()
                .expect("it runs");
            let text = String::from_utf8_lossy(&openssl.stdout).into_owned();
            assert!(text.contains("Verify return code: 0 (ok)"), "{name}: {openssl:?}");
        }
    }
}

#[test]
fn old_versions_of_tls_are_spoken_with_who_has_no_newer() {
    let project = Project::new("tls12", SOURCE);
    let dev = Dev::serve(project.path(), &["--no-watch", "--tls"]);
    block_on(async {
        let client = Client { versions: TLS12, alpn: &["h2"], ..CLIENT };
        let got = client.get(dev.addr, "user.localhost", "/").await;
        assert_eq!((got.status, got.version), (200, Version::HTTP_2));
    });
}
