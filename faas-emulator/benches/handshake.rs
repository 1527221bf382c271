//! The client's first byte after an idle hour, with and without an instance being started during the TLS handshake. Over
//! HTTPS, against the real command; the book's page on cold starts quotes it.
//!
//! `cargo bench -p faas-emulator --bench handshake`, with `INIT_MS=100` and `ROUNDS=9` unless told otherwise. What takes so
//! long is the guest's init, which reads the clock and therefore runs at every start; each invocation uses its instance
//! up, so that every connection finds none, as after an hour. `FAAS_DEV_ARGS` are further arguments of `faas dev`: for a
//! start that is injected, say so there, and `INIT_MS=0`.
//!
//! Loopback has no distance, so there is a proxy that has: it passes on what it gets, each way, half a round trip late.
//! A connection costs the client a round trip before its first byte.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion, crypto,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
        version,
    },
};

const ROUND_TRIPS_MS: [u64; 4] = [0, 20, 50, 100];

/// A function whose init takes so long, by the clock.
fn module(init_ms: u64) -> Vec<u8> {
    let look = "(drop (call $clock (i32.const 1) (i64.const 0) (i32.const 64)))";
    let init_ns = init_ms * 1_000_000;
    let wat = format!(
        r#"(module
            (@custom "faas.manifest"
                "{{\"abi\":1,\"name\":\"slow\",\"handler\":\"slow\",\"kind\":\"http\",\"isolation\":\"request\"}}\n")
            (import "faas_v1" "response_head" (func $response_head (param i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\c8\00\00\00\00\00\00")
            (func (export "faas_v1_init") (result i32) (local $until i64)
                {look}
                (local.set $until (i64.add (i64.load (i32.const 64)) (i64.const {init_ns})))
                (loop $again {look} (br_if $again (i64.lt_u (i64.load (i32.const 64)) (local.get $until))))
                (i32.const 0))
            (func (export "faas_v1_poll") (param $call i32) (result i32)
                (drop (call $response_head (local.get $call) (i32.const 0) (i32.const 7))) (i32.const 1))
            (func (export "faas_v1_cancel") (param i32)))"#
    );
    wat::parse_str(wat).expect("valid WAT")
}

/// A `faas dev --tls` that is killed on drop.
struct Server(Child, SocketAddr);

impl Server {
    fn start(dir: &Path, args: &[&str]) -> Self {
        let more = std::env::var("FAAS_DEV_ARGS").unwrap_or_default();
        let mut child = Command::new(env!("CARGO_BIN_EXE_faas"))
            .args(["dev", "--json", "--no-watch", "--release", "--port", "0", "--tls"])
            .args(args)
            .args(more.split_whitespace())
            .arg(dir.join("modules"))
            .env("FAAS_CACHE_DIR", dir.join("cache"))
            .env("FAAS_DATA_DIR", dir.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command runs");
        let mut lines =
            BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        let address = lines
            .find_map(|line| Some(line.split_once("https://")?.1.split('"').next()?.to_owned()))
            .expect("it says where it listens");
        lines.find(|line| line.contains(r#""event":"built""#)).expect("it serves");
        // what it says from now on is read, and not looked at
        thread::spawn(move || lines.for_each(drop));
        Server(child, address.parse().expect("an address"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Passes bytes on, each so long after it came.
async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, late: Duration) {
    let (sender, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            let _ = sender.send((Instant::now() + late, buffer[..n].to_vec()));
        }
    };
    let write = async move {
        while let Some((at, bytes)) = due.recv().await {
            tokio::time::sleep_until(at.into()).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}

/// A way to `server` that is so long.
async fn far(server: SocketAddr, round_trip: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let here = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(server).await.expect("it listens");
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(carry(from_client, to_server, round_trip / 2));
            tokio::spawn(carry(from_server, to_client, round_trip / 2));
        }
    });
    here
}

/// From nothing to the first byte of the reply.
async fn first_byte(addr: SocketAddr, round_trip: Duration, config: Arc<ClientConfig>) -> Duration {
    let began = Instant::now();
    let stream = TcpStream::connect(addr).await.expect("it listens");
    let _ = stream.set_nodelay(true);
    // a SYN and its answer, which the proxy has not delayed
    tokio::time::sleep(round_trip).await;
    let name = ServerName::try_from("slow.localhost").expect("a name");
    let mut stream = TlsConnector::from(config).connect(name, stream).await.expect("they shake hands");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: slow.localhost\r\n\r\n").await.expect("it is open");
    stream.flush().await.expect("it is open");
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.expect("a reply");
    let took = began.elapsed();
    assert_eq!(&first, b"HTTP/1.1 200", "it is served");
    took
}

/// Nothing is kept from one connection to the next.
fn config(dir: &Path, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(dir.join("data/ca/ca.pem")).expect("it was made");
    roots.add(authority).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() {
    let (init_ms, rounds) = (setting("INIT_MS", 100), setting("ROUNDS", 9));
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    std::fs::create_dir(dir.join("modules")).expect("a folder");
    std::fs::write(dir.join("modules/slow.wasm"), module(init_ms)).expect("written");
    let without = Server::start(dir, &["--no-handshake-warming"]);
    let with = Server::start(dir, &[]);
    println!("first byte, ms, median of {rounds}; an init of {init_ms} ms at every start\n");
    println!("{:>10}  {:7}  {:>8}  {:>8}  {:>8}", "round trip", "TLS", "without", "with", "saved");
    for round_trip_ms in ROUND_TRIPS_MS {
        let round_trip = Duration::from_millis(round_trip_ms);
        let ways = [far(without.1, round_trip).await, far(with.1, round_trip).await];
        for (name, version) in [("1.3", &version::TLS13), ("1.2", &version::TLS12)] {
            let mut took = [Vec::new(), Vec::new()];
            for _ in 0..rounds {
                // in turn, so that a noisy minute is everybody's
                for (way, took) in ways.iter().zip(&mut took) {
                    took.push(first_byte(*way, round_trip, config(dir, version)).await);
                }
            }
            let [without, with] = took.map(|mut took| {
                took.sort_unstable();
                took[took.len() / 2].as_secs_f64() * 1e3
            });
            println!("{round_trip_ms:>10}  {name:7}  {without:>8.1}  {with:>8.1}  {:>8.1}", without - with);
        }
    }
}
