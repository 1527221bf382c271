//! `faas dev --record`: what functions are asked over a socket, and `faas tune` asks again.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;

use crate::support::{Dev, Project, block_on, run};

const FUNCTIONS: &str = r#"
use faas_core::{Request, Response, StatusCode, function};

/// Knows two paths, one of them with a password.
#[function(route = "/shop/{*rest}")]
async fn shop(request: Request) -> faas_core::Result<Response> {
    let (parts, body) = request.into_parts();
    let body = body.bytes().await?;
    let has = |name: &str| parts.headers.contains_key(name);
    let is_known = match parts.uri.path() {
        "/shop/open" => parts.uri.query() == Some("page=2") && body == "an order" && has("content-type"),
        "/shop/own" => has("authorization"),
        _ => false,
    };
    let mut reply = Response::new(format!("{is_known}\n").into());
    *reply.status_mut() = if is_known { StatusCode::OK } else { StatusCode::FORBIDDEN };
    Ok(reply)
}

/// Takes so many MiB, however long that takes with little of a CPU.
#[function(timeout = "60s")]
async fn work(mib: usize) -> usize {
    std::hint::black_box(vec![1_u8; mib << 20]).len()
}

faas_core::main!();
"#;

fn request(path: &str, headers: &[(&str, &str)], body: &'static str) -> Request<Full<Bytes>> {
    let request = Request::post(path).header("content-type", "text/plain");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Full::from(body)).expect("a request")
}

fn tune(project: &Project, args: &[&str]) -> (Option<i32>, String, String) {
    let output = run(&[&["tune"], args].concat(), project.path());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Every file of this project's folder that has it, of those that the emulator keeps.
fn recorded(text: &str) -> Vec<std::path::PathBuf> {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("functions/faas/recorded");
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|file| file.path());
    files.filter(|file| std::fs::read_to_string(file).is_ok_and(|all| all.contains(text))).collect()
}

#[test]
fn what_a_session_is_asked_tune_asks_again() {
    let project = Project::new("is-recorded", FUNCTIONS);
    let secret = format!("secret-{}", std::process::id());
    let bearer = format!("Bearer {secret}");

    // nothing was asked for, so nothing is recorded
    let dev = Dev::serve(project.path(), &["--no-watch"]);
    block_on(async { assert_eq!(dev.post("/work", "1").await.status, 200) });
    dev.stop();
    let (_, told, _) = tune(&project, &["work", "--memory-mb", "128", "--requests", "1"]);
    assert!(
        told.contains("asked nothing in particular: --data gives it events, and `faas dev --record`"),
        "{told}"
    );

    let dev = Dev::start(project.path(), &["--no-watch", "--record"]);
    let notice =
        dev.event_where("notice", |told| told["text"].as_str().is_some_and(|t| t.contains("recorded")));
    assert!(notice["text"].as_str().is_some_and(|t| !t.contains("authorization")), "{notice}");
    dev.event("built");
    block_on(async {
        let own = [("authorization", bearer.as_str()), ("cookie", secret.as_str())];
        for (path, headers, body, status) in [
            ("/shop/open?page=2", &own[..], "an order", 200),
            ("/shop/own", &own[..], "", 200),
            ("/shop/own", &[], "", 403),
        ] {
            assert_eq!(dev.send(request(path, headers, body)).await.status, status, "{path}");
        }
        // the second is killed by a limit, the third is no event of its
        for (body, status) in [("1", 200), ("200", 502), ("no number", 502)] {
            assert_eq!(dev.post("/work", body).await.status.is_success(), status == 200, "{body}");
        }
        let later =
            Request::post("/work").header("faas-invocation", "async").body(Full::from("3")).expect("one");
        assert_eq!(dev.send(later).await.status, 202);
        dev.event_where("delivery", |told| told["step"] == "delivered");
    });
    dev.interrupt();
    let (status, events, stderr) = dev.wait();
    assert!(status.success(), "{stderr}");
    let told = |text: &str| events.iter().any(|event| event["text"] == text);
    assert!(told("recorded 2 of 2 requests of `shop`: `faas tune shop` uses them"), "{events:?}");
    assert!(told("recorded 3 of 3 requests of `work`: `faas tune work` uses them"), "{events:?}");
    assert_eq!(recorded(&secret), [""; 0].map(std::path::PathBuf::from), "no header that says who asks");

    let (code, stdout, stderr) = tune(&project, &["work", "--memory-mb", "128,512", "--format", "json"]);
    assert_eq!(code, Some(0), "{stderr}");
    let tuned: Value = serde_json::from_str(&stdout).expect("one object");
    assert_eq!(
        (&tuned["events"]["from"], &tuned["events"]["count"]),
        (&"recorded".into(), &3.into()),
        "{tuned}"
    );
    assert!(tuned["events"]["first"].as_str() <= tuned["events"]["last"].as_str(), "{tuned}");
    assert_eq!(tuned["memories"][0]["error"], "out_of_memory", "one needs more: {tuned}");
    assert_eq!(tuned["cheapest_mib"], 512, "{tuned}");
    let (_, stdout, _) = tune(&project, &["work", "--memory-mb", "512", "--data", "1", "--format", "json"]);
    let tuned: Value = serde_json::from_str(&stdout).expect("one object");
    assert_eq!(tuned["events"]["from"], "given", "what is said counts");

    // one of the two has been allowed by a header that is not recorded
    let (code, stdout, _) = tune(&project, &["shop", "--memory-mb", "128"]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("recorded: 2 requests, from 20"), "{stdout}");
    assert!(stdout.contains("`faas dev --record-header NAME` records one"), "{stdout}");

    let named = ["--no-watch", "--record", "--record-header", "authorization"];
    let dev = Dev::serve(project.path(), &named);
    block_on(async {
        let headers = [("authorization", bearer.as_str())];
        assert_eq!(dev.send(request("/shop/own", &headers, "")).await.status, 200);
    });
    dev.stop();
    let files = recorded(&secret);
    assert_eq!(files.len(), 1, "it was asked for: {files:?}");
    #[cfg(unix)]
    {
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&files[0].metadata().expect("it is there").permissions());
        assert_eq!(mode & 0o777, 0o600, "nobody else reads it");
    }
    let (code, stdout, _) = tune(&project, &["shop", "--memory-mb", "128"]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("recorded: 1 request, from 20"), "of the last session: {stdout}");

    let text = std::fs::read_to_string(&files[0]).expect("it is there");
    std::fs::write(&files[0], text.replace("POST", "NO METHOD")).expect("it can be written");
    let (code, _, stderr) = tune(&project, &["shop", "--memory-mb", "128"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("line 2: `NO METHOD` is no method\nMend the file, or delete it"), "{stderr}");
}
