//! A project on disk, a `faas dev` that serves it, and a client.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

/// Nothing here takes so long, a first build on a slow machine included.
const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's root").to_owned()
}

/// The command, with caches and builds kept apart from the user's own.
pub(crate) fn faas() -> Command {
    let mut faas = Command::new(env!("CARGO_BIN_EXE_faas"));
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR"));
    faas.env("FAAS_CACHE_DIR", shared.join("cache"))
        .env("FAAS_DATA_DIR", data_dir())
        // dependencies are built once for all tests: their projects have names of their own
        .env("CARGO_TARGET_DIR", shared.join("functions"))
        .env("CARGO_TERM_PROGRESS_WHEN", "never")
        .env_remove("RUST_BACKTRACE")
        .env_remove("CARGO_INCREMENTAL");
    faas
}

/// Where all tests have their certificate authority.
pub(crate) fn data_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("data")
}

/// Runs it to its end.
pub(crate) fn run(args: &[&str], dir: &Path) -> Output {
    faas().args(args).current_dir(dir).output().expect("the command runs")
}

/// A crate in a folder of its own.
pub(crate) struct Project {
    dir: TempDir,
}

/// The names of the projects of this process.
static NAMES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

impl Project {
    /// A crate of this name with this `src/main.rs`. All tests build into one folder, and a module's file there has the name
    /// of its crate: so no other test may have that name.
    pub(crate) fn new(name: &str, main: &str) -> Self {
        assert!(NAMES.lock().insert(name.to_owned()), "two projects are called `{name}`");
        let project = Project { dir: tempfile::tempdir().expect("a folder") };
        let faas_core = repository().join("faas-core");
        project.write(
            "Cargo.toml",
            &format!(
                "[workspace]\n[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[dependencies]\n\
                 faas-core = {{ path = {:?} }}\n",
                faas_core
            ),
        );
        // the versions that the workspace is tested with
        std::fs::copy(repository().join("Cargo.lock"), project.path().join("Cargo.lock"))
            .expect("a lock file");
        project.main(main);
        project
    }

    /// Adds a line to the dependencies, which come last.
    pub(crate) fn add(&self, dependency: &str) {
        let file = self.path().join("Cargo.toml");
        let text = std::fs::read_to_string(&file).expect("a manifest");
        self.write("Cargo.toml", &format!("{text}{dependency}\n"));
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn main(&self, text: &str) {
        self.write("src/main.rs", text);
    }

    /// Writes a file, or puts another in its place: at no moment is it there and empty, so whoever watches sees one change.
    pub(crate) fn write(&self, file: &str, text: &str) {
        let file = self.path().join(file);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("it can be made");
        let mut new = file.clone().into_os_string();
        new.push("~");
        std::fs::write(&new, text).expect("it can be written");
        std::fs::rename(&new, file).expect("it can be put in its place");
    }
}

/// The source of a crate with one function that replies with this text.
pub(crate) fn says(function: &str, text: &str) -> String {
    format!(
        "use faas_core::function;\n\n#[function]\nasync fn {function}() -> &'static str {{\n    {text:?}\n}}\n\n\
         faas_core::main!();\n"
    )
}

/// A running `faas dev --json`. Killed on drop.
pub(crate) struct Dev {
    child: Child,
    pub(crate) addr: SocketAddr,
    events: Mutex<Receiver<Value>>,
    seen: Mutex<Vec<Value>>,
    readers: Vec<JoinHandle<()>>,
    stderr: Arc<Mutex<String>>,
}

impl Dev {
    /// Serves `path` and waits until it is served.
    pub(crate) fn serve(path: &Path, args: &[&str]) -> Self {
        let dev = Self::start(path, args);
        dev.event("built");
        dev
    }

    /// Serves `path` and waits for its address only.
    pub(crate) fn start(path: &Path, args: &[&str]) -> Self {
        Self::start_by(&mut faas(), path, args)
    }

    /// The same by a command that has been prepared.
    pub(crate) fn start_by(faas: &mut Command, path: &Path, args: &[&str]) -> Self {
        let mut child = faas
            .args(["dev", "--json", "--port", "0"])
            .args(args)
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command runs");
        let (sender, events) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let out = std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or_else(|why| panic!("{why}: {line}"));
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let stderr = Arc::<Mutex<String>>::default();
        let mut pipe = child.stderr.take().expect("it is piped");
        let text = stderr.clone();
        let err = std::thread::spawn(move || {
            let mut all = String::new();
            let _ = pipe.read_to_string(&mut all);
            *text.lock() = all;
        });
        let mut dev = Dev {
            child,
            addr: ([127, 0, 0, 1], 0).into(),
            events: Mutex::new(events),
            seen: Mutex::default(),
            readers: vec![out, err],
            stderr,
        };
        let first = dev.next("the first event");
        assert_eq!(first["event"], "listening", "the first event names the address: {first}");
        let url = first["url"].as_str().expect("a string");
        let (_, addr) = url.split_once("://").expect("it is one");
        dev.addr = addr.parse().expect("an address");
        dev
    }

    fn next(&self, what: &str) -> Value {
        match self.events.lock().recv_timeout(PATIENCE) {
            Ok(event) => {
                self.seen.lock().push(event.clone());
                event
            }
            Err(why) => {
                let seen: Vec<String> = self.seen.lock().iter().map(ToString::to_string).collect();
                let gone = why == RecvTimeoutError::Disconnected;
                panic!("{what} did not come (server gone: {gone}); this did:\n{}", seen.join("\n"))
            }
        }
    }

    /// The next event of this kind; those before it are passed over.
    pub(crate) fn event(&self, kind: &str) -> Value {
        self.event_where(kind, |_| true)
    }

    /// The next event of this kind for which this holds.
    pub(crate) fn event_where(&self, kind: &str, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.next(kind);
            if event["event"] == kind && holds(&event) {
                return event;
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn interrupt(&self) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-INT", &pid]).status().expect("kill runs");
        assert!(status.success(), "process {pid} is there");
    }

    /// Kills it, with SIGKILL where there is one: it has no chance to do anything more.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is there");
        self.child.wait().expect("it ends");
    }

    /// Waits for its end; what it said last and its standard error come with the status.
    pub(crate) fn wait(mut self) -> (ExitStatus, Vec<Value>, String) {
        let status = self.child.wait().expect("it ends");
        for reader in self.readers.drain(..) {
            reader.join().expect("it does not panic");
        }
        let rest: Vec<Value> = self.events.lock().try_iter().collect();
        let stderr = self.stderr.lock().clone();
        (status, rest, stderr)
    }

    /// Interrupts it, expects a clean end, and returns the bill.
    pub(crate) fn stop(self) -> Value {
        self.interrupt();
        let (status, events, stderr) = self.wait();
        assert!(status.success(), "{status}: {stderr}");
        let bill = events.into_iter().next_back().expect("the bill is the last word");
        assert_eq!(bill["event"], "bill", "{bill}");
        bill
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path).body(Full::default()).expect("a request")).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.send(Request::post(path).body(Full::new(body.into())).expect("a request")).await
    }

    /// Sends a request on a connection of its own.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Reply {
        Connection::open(self.addr).await.send(request).await.expect("a reply")
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that is kept open.
pub(crate) struct Connection(http1::SendRequest<Full<Bytes>>);

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("it listens");
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        Connection(sender)
    }

    pub(crate) async fn send(&mut self, mut request: Request<Full<Bytes>>) -> hyper::Result<Reply> {
        request.headers_mut().insert("host", http::HeaderValue::from_static("localhost"));
        self.0.ready().await?;
        let (parts, body) = self.0.send_request(request).await?.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Ok(Reply { status: parts.status, headers: parts.headers, trailers, text })
    }

    pub(crate) async fn get(&mut self, path: &str) -> hyper::Result<Reply> {
        self.send(Request::get(path).body(Full::default()).expect("a request")).await
    }
}

/// A call whose client has sent less of its body than it said: one that reads all of it runs until the client goes on, or goes.
pub(crate) struct Held<S>(S);

impl Held<TcpStream> {
    /// Asks for `path`, and says no more yet.
    pub(crate) async fn open(addr: SocketAddr, path: &str) -> Self {
        Self::over(TcpStream::connect(addr).await.expect("it listens"), "localhost", path).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Held<S> {
    /// The same by a connection that there is.
    pub(crate) async fn over(mut stream: S, host: &str, path: &str) -> Self {
        let head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 4\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("sent");
        stream.flush().await.expect("sent");
        Held(stream)
    }

    /// Sends the rest; all that comes back until the server hangs up.
    pub(crate) async fn end(mut self) -> String {
        self.0.write_all(b"body").await.expect("sent");
        self.0.flush().await.expect("sent");
        let mut reply = String::new();
        self.0.read_to_string(&mut reply).await.expect("a reply");
        reply
    }
}

/// A reply that has come whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    /// A header's text; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub(crate) fn start(&self) -> &str {
        self.header("faas-start")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|why| panic!("{why}: {}", self.text))
    }
}

/// A connection that speaks HTTP/2 from its first byte.
pub(crate) async fn h2c(addr: SocketAddr) -> http2::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(addr).await.expect("it listens");
    let (requests, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2c");
    tokio::spawn(connection);
    requests
}

/// Runs async test code.
pub(crate) fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(test)
}
