//! How long others wait while guests spin until their deadlines, and how late those deadlines fire. Over HTTP, against
//! the real command, on loopback; the book's page on the sandbox quotes it.
//!
//! `cargo bench -p faas-emulator --bench isolation`, with `SECONDS_EACH=10` and `SPINNERS=8` unless told otherwise.
//!
//! Clients are threads with blocking sockets, so that nothing in this process queues behind anything else.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

const TIMEOUT_MS: u64 = 100;
/// Ways to spin: in registers, in bulk memory instructions, in calls of the host; and after having been quick for long
/// enough to run where others run too.
const SPINS: [(&str, &str); 4] = [
    ("spin", "(loop $l (br $l))"),
    ("fill", "(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br $l))"),
    ("wake", "(loop $l (call $wake (local.get $call)) (br $l))"),
    (
        "earned",
        "(i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (i32.const 1)))
         (if (i32.eqz (i32.rem_u (i32.load (i32.const 64)) (i32.const 75))) (then (loop $l (br $l))))
         (drop (call $response_head (local.get $call) (i32.const 0) (i32.const 7)))",
    ),
];

/// For whoever does not spin: how long it waits is measured, however long.
const PATIENT_MS: u64 = 60_000;

fn module(name: &str, poll: &str, timeout_ms: u64) -> Vec<u8> {
    let wat = format!(
        r#"(module
            (@custom "faas.manifest"
                "{{\"abi\":1,\"name\":\"{name}\",\"handler\":\"{name}\",\"kind\":\"http\",\"timeout_ms\":{timeout_ms}}}\n")
            (import "faas_v1" "response_head" (func $response_head (param i32 i32 i32) (result i32)))
            (import "faas_v1" "wake" (func $wake (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\c8\00\00\00\00\00\00")
            (func (export "faas_v1_init") (result i32) (i32.const 0))
            (func (export "faas_v1_poll") (param $call i32) (result i32) {poll} (i32.const 1))
            (func (export "faas_v1_cancel") (param i32)))"#
    );
    wat::parse_str(wat).expect("valid WAT")
}

/// A `faas dev` that is killed on drop.
struct Server(Child, String);

impl Server {
    fn start(dir: &std::path::Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_faas"))
            .args(["dev", "--json", "--no-watch", "--release", "--port", "0"])
            .arg(dir)
            .env("FAAS_CACHE_DIR", dir.join("cache"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command runs");
        let mut lines =
            BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        let address = lines
            .find_map(|line| Some(line.split_once("http://")?.1.split('"').next()?.to_owned()))
            .expect("it says where it listens");
        lines.find(|line| line.contains(r#""event":"built""#)).expect("it serves");
        // what it says from now on is read, and not looked at
        thread::spawn(move || lines.for_each(drop));
        Server(child, address)
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(&self.1).expect("it listens");
        stream.set_nodelay(true).expect("a TCP socket");
        Client(BufReader::new(stream))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    /// The reply's status, and how long its handler ran, in ms.
    fn get(&mut self, path: &str) -> (u16, f64) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).expect("it is open");
        let (mut status, mut length, mut handler) = (0, 0, 0.0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("it replies");
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest[..3].parse().expect("a number");
            } else if let Some(rest) = line.strip_prefix("content-length: ") {
                length = rest.parse().expect("a number");
            } else if line.starts_with("server-timing: ")
                && let Some((_, rest)) = line.split_once("handler;dur=")
            {
                handler = rest.split([',', ';']).next().and_then(|ms| ms.parse().ok()).expect("a number");
            }
        }
        self.0.read_exact(&mut vec![0; length]).expect("a body");
        (status, handler)
    }
}

/// Asks for `path` again and again until told to stop; gives what `each` makes of a reply.
fn ask<T>(
    server: &Server,
    path: &str,
    stop: &AtomicBool,
    each: impl Fn(Duration, (u16, f64)) -> T,
) -> Vec<T> {
    let mut client = server.connect();
    let mut all = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let reply = client.get(path);
        all.push(each(began.elapsed(), reply));
    }
    all
}

fn table_row(what: &str, mut ms: Vec<f64>) {
    ms.sort_by(f64::total_cmp);
    let at = |q: f64| ms[((ms.len() - 1) as f64 * q) as usize];
    println!(
        "{what:<44} {:>7} {:>8.3} {:>8.3} {:>8.3} {:>8.3}",
        ms.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn main() {
    let (seconds, spinners) = (setting("SECONDS_EACH", 10), setting("SPINNERS", 8));
    let dir = tempfile::tempdir().expect("a folder");
    let quick =
        ("quick", "(drop (call $response_head (local.get $call) (i32.const 0) (i32.const 7)))", PATIENT_MS);
    let spins = SPINS.map(|(name, poll)| (name, poll, TIMEOUT_MS));
    for (name, poll, timeout_ms) in spins.into_iter().chain([quick]) {
        let wasm = module(name, poll, timeout_ms);
        std::fs::write(dir.path().join(format!("{name}.wasm")), wasm).expect("written");
    }
    let server = Server::start(dir.path());
    let cores = thread::available_parallelism().map_or(0, usize::from);
    println!("{cores} cores, {spinners} guests that spin, {seconds} s each; ms\n");
    println!("{:<44} {:>7} {:>8} {:>8} {:>8} {:>8}", "", "count", "p50", "p99", "p99.9", "max");
    // by itself first
    for spin in std::iter::once(None).chain(SPINS.map(|(name, _)| Some(name))) {
        let stop = AtomicBool::new(false);
        let (server, stop) = (&server, &stop);
        let (waits, late) = thread::scope(|scope| {
            let spinning: Vec<_> = spin
                .iter()
                .flat_map(|name| (0..spinners).map(move |_| name))
                .map(|name| {
                    scope.spawn(move || {
                        ask(server, &format!("/{name}"), stop, |_, (status, handler)| {
                            let is_quick = status == 200 && *name == "earned";
                            assert!(
                                is_quick || status == 502,
                                "it ends with the timeout's own error: {status}"
                            );
                            (!is_quick).then_some(handler - TIMEOUT_MS as f64)
                        })
                    })
                })
                .collect();
            let asking = scope.spawn(move || {
                ask(server, "/quick", stop, |took, (status, _)| {
                    assert_eq!(status, 200, "it is served");
                    took.as_secs_f64() * 1e3
                })
            });
            thread::sleep(Duration::from_secs(seconds));
            stop.store(true, Ordering::Relaxed);
            let late: Vec<f64> =
                spinning.into_iter().flat_map(|s| s.join().expect("no panic")).flatten().collect();
            (asking.join().expect("no panic"), late)
        });
        match spin {
            None => table_row("quick replies, nobody else", waits),
            Some(name) => {
                table_row(&format!("quick replies beside {spinners} × {name}"), waits);
                table_row(&format!("{name}: stopped after its deadline"), late);
            }
        }
    }
}
