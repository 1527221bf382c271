//! `faas dev --as aws-lambda`, to the letter: log lines and errors as AWS writes them, where somebody has quoted them.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{Dev, Held, Project, block_on};

const SOURCE: &str = r#"
use std::time::Duration;
use faas_core::{Request, Result, function};

#[function]
async fn hello() -> &'static str {
    "hi"
}

#[function]
async fn panics() -> String {
    panic!("no such order")
}

#[function(timeout = "1s")]
async fn late() {
    faas_core::sleep(Duration::from_secs(60)).await;
}

#[function(memory = 128)]
async fn hungry() -> String {
    std::hint::black_box(vec![1_u8; 300 << 20]).len().to_string()
}

fn fails() -> Result<()> {
    "ten".parse::<u32>()?;
    Ok(())
}

#[function(init = fails)]
async fn never() {}

#[function(timeout = "60s")]
async fn reads(request: Request) -> Result<()> {
    println!("it runs");
    request.into_body().bytes().await?;
    Ok(())
}

faas_core::main!();
"#;

/// The lines of the provider's log for the next invocation of this function.
fn log(dev: &Dev, function: &str) -> (Value, Vec<String>) {
    let told = dev.event_where("invocation", |event| event["function"] == function);
    let lines = told["provider_log"].as_array().expect("lines").iter();
    let lines = lines.map(|line| line.as_str().expect("text").to_owned()).collect();
    (told, lines)
}

/// What stands after a name in a field of a line, in hundredths of a millisecond: `Duration: 1.43 ms` is 143.
fn hundredths(field: &str, name: &str) -> u64 {
    let ms = field.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")?.strip_suffix(" ms"));
    let ms = ms.unwrap_or_else(|| panic!("{field:?} is no {name}"));
    let (whole, part) = ms.split_once('.').unwrap_or_else(|| panic!("{ms} has two places"));
    assert_eq!(part.len(), 2, "{field}");
    whole.parse::<u64>().expect("whole") * 100 + part.parse::<u64>().expect("hundredths")
}

/// Looks at all lines of an invocation; its duration, in hundredths of a millisecond.
fn look(dev: &Dev, function: &str, is_cold: bool, status: &[&str]) -> u64 {
    let (told, lines) = log(dev, function);
    let id = told["id"].as_str().expect("an id");
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[0], format!("START RequestId: {id} Version: $LATEST"));
    assert_eq!(lines[1], format!("END RequestId: {id}"));
    let fields: Vec<&str> = lines[2].split('\t').collect();
    assert_eq!(fields[0], format!("REPORT RequestId: {id}"));
    let duration = hundredths(fields[1], "Duration");
    assert_eq!(fields[3], "Memory Size: 128 MB");
    let used = fields[4].strip_prefix("Max Memory Used: ").and_then(|rest| rest.strip_suffix(" MB"));
    assert!(
        used.is_some_and(|used| used.parse::<u32>().is_ok_and(|mb| (1..=128).contains(&mb))),
        "{fields:?}"
    );
    let (init, rest) = if is_cold { (hundredths(fields[5], "Init Duration"), 6) } else { (0, 5) };
    assert_eq!(fields[rest..], *status, "{lines:?}");
    // one sum, rounded up once; both were rounded to hundredths for the line
    let billed = told["billed_ms"].as_u64().expect("whole milliseconds");
    assert_eq!(fields[2], format!("Billed Duration: {billed} ms"));
    let sum = duration + init;
    assert!(billed * 100 + 1 >= sum && billed * 100 <= sum + 101, "{lines:?}");
    duration
}

#[test]
fn log_lines_and_errors_are_those_that_aws_writes() {
    let project = Project::new("is-lambda", SOURCE);
    let dev = Dev::serve(
        project.path(),
        &["--no-watch", "--as", "aws-lambda", "--reserve", "reads=1", "--rate", "late=1/h"],
    );
    block_on(async {
        // what went well ends in a tab
        assert_eq!(dev.get("/hello").await.text, "hi");
        look(&dev, "hello", true, &[""]);
        assert_eq!(dev.get("/hello").await.text, "hi");
        look(&dev, "hello", false, &[""]);

        // what failed is one and the same to a client; the log knows more
        let failed = |reply: &crate::support::Reply, error: &str| {
            assert_eq!((reply.status.as_u16(), &*reply.text), (502, "Internal Server Error"), "{reply:?}");
            assert_eq!(reply.header("faas-error"), error, "ours says what it was");
        };
        failed(&dev.get("/panics").await, "panic");
        look(&dev, "panics", true, &[""]);
        failed(&dev.get("/hungry").await, "out_of_memory");
        look(&dev, "hungry", true, &["Status: error", "Error Type: Runtime.OutOfMemory"]);
        failed(&dev.get("/late").await, "timed_out");
        assert_eq!(
            look(&dev, "late", true, &["Status: timeout"]),
            100_000,
            "a second, whenever it was stopped"
        );
        failed(&dev.get("/never").await, "init_failed");
        let (_, lines) = log(&dev, "never");
        let fields: Vec<&str> = lines[0].split('\t').collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        hundredths(fields[0].strip_prefix("INIT_REPORT ").expect("INIT_REPORT"), "Init Duration");
        assert_eq!(fields[1..], ["Phase: init", "Status: error", "Error Type: Runtime.ExitError"]);

        // turned away: by what is reserved, by a rate, by its size
        let refused = |reply: &crate::support::Reply, reason: &str| {
            assert_eq!(reply.status.as_u16(), 429, "{reply:?}");
            assert_eq!(
                reply.text,
                format!(r#"{{"Reason":"{reason}","Type":"User","message":"Rate Exceeded."}}"#)
            );
            assert_eq!(reply.header("content-type"), "application/json");
            assert_eq!(reply.header("x-amzn-errortype"), "TooManyRequestsException");
        };
        let held = Held::open(dev.addr, "/reads").await;
        tokio::task::block_in_place(|| dev.event_where("log", |line| line["text"] == "it runs"));
        let throttled = dev.get("/reads").await;
        refused(&throttled, "ReservedFunctionConcurrentInvocationLimitExceeded");
        assert_eq!(throttled.header("faas-error"), "throttled");
        drop(held);
        refused(&dev.get("/late").await, "FunctionInvocationRateLimitExceeded");
        // by its length: a client that goes on to send it may find the connection closed, so it sends the head
        let mut large = TcpStream::connect(dev.addr).await.expect("it listens");
        let head =
            "POST /hello HTTP/1.1\r\nhost: localhost\r\ncontent-length: 6291457\r\nconnection: close\r\n\r\n";
        large.write_all(head.as_bytes()).await.expect("sent");
        let mut reply = String::new();
        large.read_to_string(&mut reply).await.expect("a reply");
        assert!(reply.starts_with("HTTP/1.1 413 "), "{reply}");
        assert!(reply.contains("x-amzn-errortype: RequestEntityTooLargeException"), "{reply}");
        let body =
            r#"{"Message":"Request must be smaller than 6291456 bytes for the InvokeFunction operation"}"#;
        assert!(reply.ends_with(body), "{reply}");
        for (function, error) in [("late", "rate_limited"), ("hello", "request_too_large")] {
            let of = |event: &Value| event["function"] == function && event["error"] == error;
            let told = dev.event_where("invocation", of);
            assert_eq!(told["provider_log"], Value::Array(Vec::new()), "it never ran");
        }
    });
    dev.stop();
}
