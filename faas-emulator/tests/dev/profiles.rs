//! The emulator acts as the provider whose profile it runs under: how much runs at once, what errors look like, who shares
//! an instance's bill.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{Connection, Dev, Held, Project, block_on};

const SOURCE: &str = r#"
use std::time::Duration;
use faas_core::{Request, Result, function};

#[function(timeout = "60s", concurrency = 4)]
async fn nap() {
    faas_core::sleep(Duration::from_secs(1)).await;
}

#[function(timeout = "60s")]
async fn reads(request: Request) -> Result<()> {
    println!("it runs");
    request.into_body().bytes().await?;
    Ok(())
}

#[function]
async fn fail() -> String {
    panic!("no such order")
}

faas_core::main!();
"#;

#[test]
fn errors_and_log_lines_are_the_providers() {
    let project = Project::new("acts-as-aws", SOURCE);
    let dev = Dev::serve(project.path(), &["--no-watch", "--reserve", "reads=1"]);
    block_on(async {
        let failed = dev.get("/fail").await;
        assert_eq!((failed.status.as_u16(), &*failed.text), (502, "Internal Server Error"));
        assert_eq!(failed.header("faas-error"), "panic", "ours says what it was");
        let told = dev.event("invocation");
        let lines: Vec<&str> =
            told["provider_log"].as_array().expect("lines").iter().filter_map(|l| l.as_str()).collect();
        assert!(lines[0].starts_with("START RequestId: "), "{lines:?}");
        assert!(
            lines[2].starts_with("REPORT RequestId: ") && lines[2].contains("Init Duration: "),
            "{lines:?}"
        );
        assert!(told["message"].as_str().is_some_and(|m| m.contains("no such order")), "{told}");

        // two at once where one may run: the second is turned away at once, as Lambda does it
        let held = Held::open(dev.addr, "/reads").await;
        tokio::task::block_in_place(|| dev.event_where("log", |line| line["text"] == "it runs"));
        let refused = dev.get("/reads").await;
        assert_eq!((refused.status.as_u16(), refused.header("faas-error")), (429, "throttled"));
        assert_eq!(refused.header("x-amzn-errortype"), "TooManyRequestsException");
        assert_eq!(refused.json()["Reason"], "ReservedFunctionConcurrentInvocationLimitExceeded");
        drop(held);

        // refused by its length: a client that goes on to send it may find the connection closed, so it sends the head
        let mut large = TcpStream::connect(dev.addr).await.expect("it listens");
        let head =
            "POST /fail HTTP/1.1\r\nhost: localhost\r\ncontent-length: 6291457\r\nconnection: close\r\n\r\n";
        large.write_all(head.as_bytes()).await.expect("sent");
        let mut reply = String::new();
        large.read_to_string(&mut reply).await.expect("a reply");
        assert!(reply.starts_with("HTTP/1.1 413 "), "{reply}");
        assert!(reply.contains("x-amzn-errortype: RequestEntityTooLargeException"), "{reply}");
    });
    dev.stop();

    // the same under Cloud Run: who shares an instance shares its time
    let run = ["--no-watch", "--as", "google-cloud-run-functions"];
    let dev = Dev::serve(project.path(), &run);
    block_on(async {
        dev.get("/nap").await;
        let alone = dev.event("invocation");
        let mut open = Vec::new();
        for _ in 0..4 {
            open.push(Connection::open(dev.addr).await);
        }
        let asked: Vec<_> = open
            .into_iter()
            .map(|mut connection| tokio::spawn(async move { connection.get("/nap").await.expect("a reply") }))
            .collect();
        let mut billed_ms = 0;
        for reply in asked {
            billed_ms += reply.await.expect("no panic").header("faas-billed-ms").parse::<u64>().expect("ms");
        }
        assert!(alone["billed_ms"].as_u64().is_some_and(|ms| ms >= 1_000), "{alone}");
        // Each took a second or more; if instances were not shared, four would be billed for 4,000 ms at least. On a slow machine
        // one may come some time after the other: the sum is a second and that.
        assert!(billed_ms < 4_000, "{billed_ms} ms");
    });
    dev.stop();
}
