//! What a client is told that speaks plain HTTP where TLS is spoken.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const TOLD: &str = "this port speaks TLS: ask for https:// instead of http://\n";
/// So much of what the client still says is read, so that it hears the answer instead of a reset.
const HEARD: u64 = 64 * 1024;

/// Whether it begins as a request does.
pub(super) fn is_http(first: u8) -> bool {
    first.is_ascii_uppercase()
}

/// Answers and hangs up.
pub(super) async fn answer(mut stream: TcpStream) {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{TOLD}",
        TOLD.len()
    );
    if stream.write_all(answer.as_bytes()).await.is_ok() && stream.shutdown().await.is_ok() {
        // whether it goes on is its own affair
        let _ = tokio::io::copy(&mut stream.take(HEARD), &mut tokio::io::sink()).await;
    }
}
