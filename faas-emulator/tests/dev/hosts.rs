//! Functions by host name, on plain HTTP.

use http::Request;
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{Dev, Project, block_on};

pub(crate) const SOURCE: &str = r#"
use faas_core::{Request, function};

#[function]
async fn hello(request: Request) -> String {
    let host = request.headers().get("host").map_or("", |host| host.to_str().unwrap_or("?"));
    format!("hello {} of {host}", request.uri())
}

#[function(route = "GET /users/{id}")]
async fn user(request: Request) -> String {
    format!("{} {}", request.method(), request.uri())
}

faas_core::main!();
"#;

/// What a client gets that sends just this.
async fn raw(dev: &Dev, head: &str) -> String {
    let mut stream = TcpStream::connect(dev.addr).await.expect("it listens");
    stream.write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes()).await.expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.expect("a reply");
    let (head, body) = reply.split_once("\r\n\r\n").expect("a reply");
    format!("{} {body}", head.split(' ').nth(1).expect("a status"))
}

#[test]
fn a_function_has_all_paths_of_its_host() {
    let project = Project::new("hosted", SOURCE);
    let dev = Dev::serve(project.path(), &["--no-watch"]);
    block_on(async {
        for host in ["hello.localhost", "hello.localhost:3000", "HELLO.LocalHost:1", "hello.localhost."] {
            let reply = raw(&dev, &format!("GET /a/b?c=d HTTP/1.1\r\nhost: {host}")).await;
            assert_eq!(reply, format!("200 hello /a/b?c=d of {host}"));
        }
        // the target's host goes before the header's
        let absolute = raw(&dev, "GET http://hello.localhost/x HTTP/1.1\r\nhost: localhost").await;
        assert_eq!(absolute, "200 hello /x of localhost");
        // whatever its route and method
        let user = raw(&dev, "PUT /anything HTTP/1.1\r\nhost: user.localhost\r\ncontent-length: 0").await;
        assert_eq!(user, "200 PUT /anything");
        // every other host is served by path
        for host in ["localhost", "127.0.0.1:3000", "example.com", "hello.example.com"] {
            let reply = raw(&dev, &format!("GET /hello/a HTTP/1.1\r\nhost: {host}")).await;
            assert_eq!(reply, format!("200 hello /a of {host}"));
        }
        assert_eq!(raw(&dev, "GET /hello HTTP/1.0\r\nx: y").await, "200 hello / of ");
    });
}

#[test]
fn an_unknown_name_is_told_with_the_known_ones() {
    let project = Project::new("hosted-nobody", SOURCE);
    let dev = Dev::serve(project.path(), &["--no-watch"]);
    block_on(async {
        insta::assert_snapshot!(raw(&dev, "GET / HTTP/1.1\r\nhost: nobody.localhost:3000").await, @r"
        404 no function is called `nobody`, as in nobody.localhost
        functions:
          hello  *    /hello
          user   GET  /users/{id}
        ");
        let deep = raw(&dev, "GET /hello HTTP/1.1\r\nhost: a.hello.localhost").await;
        assert!(deep.starts_with("404 no function is called `a.hello`"), "{deep}");
        // what is the emulator's own is so on every host
        let own = raw(&dev, "GET /_faas/invoke/hello/z HTTP/1.1\r\nhost: nobody.localhost").await;
        assert_eq!(own, "200 hello /z of nobody.localhost");
        // browsers get links to both, by the port they came by
        let page = Request::get("/").header("accept", "text/html").body(Full::default()).expect("a request");
        assert!(dev.send(page).await.text.contains("<a href=\"/hello\">"));
        let page = raw(&dev, "GET / HTTP/1.1\r\naccept: text/html\r\nhost: localhost:3000").await;
        assert!(page.contains("<a href=\"//hello.localhost:3000/\">"), "{page}");
    });
}
