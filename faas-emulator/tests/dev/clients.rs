//! Clients that leave, stall or send too much: a clear status where there is still somebody to tell, and nothing held
//! for those who are gone.

use http::Request;
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{Dev, Project, block_on};

const SOURCE: &str = r#"
use faas_core::{Request, function};

// one instance, one invocation: what leaks would be missed by the next
#[function(timeout = "60s")]
async fn slow(request: Request) -> String {
    println!("it runs");
    faas_core::sleep(std::time::Duration::from_secs(50)).await;
    request.uri().to_string()
}

#[function(timeout = "60s")]
async fn length(request: Request) -> faas_core::Result<String> {
    Ok(request.into_body().bytes().await?.len().to_string())
}

faas_core::main!();
"#;

#[test]
fn who_leaves_is_not_waited_for() {
    let project = Project::new("left", SOURCE);
    let dev = Dev::serve(project.path(), &["--no-watch"]);
    block_on(async {
        let mut stream = TcpStream::connect(dev.addr).await.expect("it listens");
        stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
        // not just `started`: an instance is ready a moment before its invocation runs
        tokio::task::block_in_place(|| dev.event("log"));
        drop(stream);
    });
    let told = dev.event("invocation");
    assert_eq!((told["error"].as_str(), told["status"].as_u64()), (Some("cancelled"), None), "{told}");
    // what ran is billed, and nothing runs on: the server drains at once, long before the 50 s are over
    let bill = dev.stop();
    assert_eq!(bill["functions"][0]["requests"], 1, "{bill}");
}

#[test]
fn half_a_body_is_the_clients_fault() {
    let project = Project::new("half", SOURCE);
    let dev = Dev::serve(project.path(), &["--no-watch"]);
    block_on(async {
        let mut stream = TcpStream::connect(dev.addr).await.expect("it listens");
        stream
            .write_all(b"POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nonly this")
            .await
            .expect("sent");
        stream.shutdown().await.expect("the end of what is sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.expect("a reply");
        assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 400"), "{reply}");
    });
    let told = dev.event("invocation");
    assert!(matches!(told["error"].as_str(), Some("client_gone" | "cancelled")), "{told}");
    let reply = block_on(dev.post("/length", "four"));
    assert_eq!((reply.status.as_u16(), reply.text.as_str()), (200, "4"));
    dev.stop();
}

#[test]
fn too_much_is_refused_with_and_without_a_length() {
    let project = Project::new("much", SOURCE);
    // 6 MiB are Lambda's limit
    let dev = Dev::serve(project.path(), &["--no-watch"]);
    block_on(async {
        let reply = dev.post("/length", vec![b'x'; 6 << 20]).await;
        assert_eq!((reply.status.as_u16(), reply.text.as_str()), (200, "6291456"));

        // it says how much comes: refused before anything starts or is sent
        let mut stream = TcpStream::connect(dev.addr).await.expect("it listens");
        stream
            .write_all(b"POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: 10000000\r\n\r\n")
            .await
            .expect("sent");
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.expect("a reply");
        assert_eq!(&head, b"HTTP/1.1 413");

        // it does not say, and is stopped on the way
        let mut stream = TcpStream::connect(dev.addr).await.expect("it listens");
        let (mut receive, mut send) = stream.split();
        let sending = async {
            let head = b"POST /length HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
            send.write_all(head).await?;
            for _ in 0..10 {
                send.write_all(b"f4240\r\n").await?;
                send.write_all(&vec![b'x'; 1_000_000]).await?;
                send.write_all(b"\r\n").await?;
            }
            send.write_all(b"0\r\n\r\n").await
        };
        let receiving = async {
            let mut head = [0; 12];
            receive.read_exact(&mut head).await.map(|_| head)
        };
        let (_, head) = tokio::join!(sending, receiving);
        assert_eq!(&head.expect("a reply"), b"HTTP/1.1 413");

        let fresh = Request::post("/length").body(Full::from("four")).expect("a request");
        let reply = dev.send(fresh).await;
        assert_eq!((reply.status.as_u16(), reply.text.as_str()), (200, "4"));
    });
    dev.stop();
}
