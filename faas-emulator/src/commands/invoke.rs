//! `faas invoke`: one invocation, its reply, and what it cost.
//!
//! Asks the `faas dev` that serves the project, if one runs; otherwise builds the functions and runs the one here.
//! Either way the request takes the same path: the gateway's own one to a function by its name.

use std::{
    io::{Read as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use bytes::Bytes;
use faas_core::{abi::manifest::is_name, delivery::INVOCATION};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;

use crate::{
    console::Format,
    error::Error,
    gateway::{headers, routes::INVOKE_PREFIX},
    host::{DEFAULT_PROFILE, Host, Setup},
    paths::{Connection, Running},
    reload::{
        project::{self, Project},
        session::Session,
    },
};

/// Options of `faas invoke`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The function
    name: String,
    /// Where it is: a crate, a workspace, a folder of .wasm files or one .wasm file
    #[arg(long)]
    path: Option<PathBuf>,
    /// What to send: text, @FILE, or @- for standard input
    #[arg(long, value_name = "DATA")]
    data: Option<String>,
    /// Start a fresh instance for it
    #[arg(long)]
    cold: bool,
    /// Do not wait for it: the running `faas dev` accepts it, and delivers it
    #[arg(long = "async", conflicts_with_all = ["cold", "profile"])]
    asynchronous: bool,
    /// Run it here under this profile, even if `faas dev` serves it
    #[arg(long = "as", value_name = "PROFILE")]
    profile: Option<String>,
}

/// Invokes the function and prints its reply. The exit code is 1 if that is an error.
///
/// # Errors
/// When there is no such function, or it cannot be asked.
pub async fn run(options: Options) -> Result<ExitCode, Error> {
    let path = options.path.clone();
    let project = super::blocking(move || project::find(path.as_deref())).await?;
    let request = request(&options)?;
    if options.profile.is_none()
        && let Some(running) = Running::find(&project)
        && let Some(connection) = running.connect().await
    {
        return ask(connection, request, &options.name, &running).await;
    }
    if options.asynchronous {
        return Err(Error::bad_input(
            "nobody is here to deliver it later\nServe the project with `faas dev`, and say this again beside it.",
        ));
    }
    here(options, project, request).await
}

fn request(options: &Options) -> Result<Request<Full<Bytes>>, Error> {
    let name = &options.name;
    if !is_name(name) {
        return Err(Error::bad_input(format!(
            "`{name}` cannot name a function\nA name has letters, digits, - and _, 64 at most: see `faas list`."
        )));
    }
    let data = options.data.as_deref().map(read).transpose()?;
    let mut request = Request::builder()
        .method(if data.is_some() { "POST" } else { "GET" })
        .uri(format!("{INVOKE_PREFIX}{name}"))
        .header(header::HOST, "localhost");
    if let Some(data) = &data {
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok();
        let kind = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
        request = request.header(header::CONTENT_TYPE, kind);
    }
    if options.asynchronous {
        request = request.header(INVOCATION, "async");
    }
    if options.cold {
        request = request.header(headers::START, "cold");
    }
    request
        .body(Full::from(data.unwrap_or_default()))
        .map_err(|why| Error::bad_input(format!("`{name}` cannot be asked: {why}")))
}

/// What is to be sent: the text itself, or what is in a file.
pub(super) fn read(data: &str) -> Result<Bytes, Error> {
    let Some(file) = data.strip_prefix('@') else { return Ok(Bytes::copy_from_slice(data.as_bytes())) };
    let mut bytes = Vec::new();
    let (what, result) = match file {
        "-" => ("standard input", std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)),
        file => (file, std::fs::read(file)),
    };
    result.map(Bytes::from).map_err(|why| Error::bad_input(format!("{what} cannot be read: {why}")))
}

async fn ask(
    stream: Box<dyn Connection>,
    request: Request<Full<Bytes>>,
    name: &str,
    running: &Running,
) -> Result<ExitCode, Error> {
    let lost = |why: hyper::Error| Error::failed(format!("the server at {} broke off: {why}", running.url));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(lost)?;
    let told = print(response, name).await;
    connection.abort();
    let (status, figures) = told?;
    let summary = summary(status, &figures);
    // the figures are for the person who waits; without standard error there is none
    let _ = writeln!(anstream::stderr(), "{summary} at {}", running.url);
    Ok(code(status))
}

async fn here(options: Options, project: Project, request: Request<Full<Bytes>>) -> Result<ExitCode, Error> {
    let profile = options.profile.unwrap_or_else(|| DEFAULT_PROFILE.to_owned());
    let host = Host::new(Setup::new(profile, Format::Text, Box::new(anstream::stderr())))?;
    let loader = super::loader(&host, project);
    let mut session =
        Session::new(host.clone(), host.console().clone(), host.clock().clone(), loader, options.path);
    let result = match session.first(false).await {
        Ok(()) => {
            let response = host.gateway().handle(request).await;
            print(response, &options.name).await.map(|(status, _)| code(status))
        }
        Err(error) => Err(error),
    };
    host.shutdown().await;
    let console = host.console().clone();
    super::close(console).await?;
    result
}

fn code(status: StatusCode) -> ExitCode {
    ExitCode::from(u8::from(status.is_client_error() || status.is_server_error()))
}

/// Writes the reply's body to standard output as it comes; status, headers and trailers are returned.
async fn print<B>(response: Response<B>, name: &str) -> Result<(StatusCode, HeaderMap), Error>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let (parts, mut body) = response.into_parts();
    if parts.status == StatusCode::NOT_FOUND && !parts.headers.contains_key(headers::REQUEST_ID) {
        // the gateway's own words, which list the functions there are
        let list = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
        let list = String::from_utf8_lossy(&list);
        let list = list.split_once('\n').map_or("", |(_, rest)| rest).trim_end();
        return Err(Error::bad_input(format!("there is no function `{name}`\n{list}")));
    }
    let mut figures = parts.headers;
    let mut out = std::io::stdout().lock();
    let mut write = |bytes: &[u8]| {
        out.write_all(bytes)
            .and_then(|()| out.flush())
            .map_err(|why| Error::failed(format!("standard output cannot be written: {why}")))
    };
    let mut last = b'\n';
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|why| Error::failed(format!("the reply broke off: {why}")))?;
        match frame.into_data() {
            Ok(data) => {
                write(&data)?;
                last = data.last().copied().unwrap_or(last);
            }
            Err(frame) => figures.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    use std::io::IsTerminal as _;
    if last != b'\n' && std::io::stdout().is_terminal() {
        write(b"\n")?;
    }
    Ok((parts.status, figures))
}

/// `200 OK: warm, billed 2 ms, $0.000000204, generation 3`
fn summary(status: StatusCode, figures: &HeaderMap) -> String {
    let get = |name| figures.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if status == StatusCode::ACCEPTED
        && !figures.contains_key(headers::START)
        && let Some(id) = get(headers::REQUEST_ID)
    {
        return format!("{status}: to be delivered as {id},");
    }
    let parts: Vec<String> = [
        get(headers::START).map(ToOwned::to_owned),
        get(headers::BILLED_MS).map(|ms| format!("billed {ms} ms")),
        get(headers::COST_USD).map(|usd| format!("${usd}")),
        get(headers::GENERATION).map(|generation| format!("generation {generation}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    format!("{status}: {}", parts.join(", "))
}
