//! Events that nobody waits for: accepted, delivered, retried, given up, put back, and not lost when the process is killed.

use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::Value;

use crate::support::{Dev, Project, Reply, block_on, run, says};

/// Fails until the attempt that it is told, takes as long as it is told, and says
/// in its log which attempt it was.
const FLAKY: &str = r#"
use faas_core::{Error, Request, Result, function};

#[function(timeout = "60s")]
async fn flaky(request: Request) -> Result<String> {
    let (head, body) = request.into_parts();
    let header = |name: &str| head.headers.get(name).map_or("", |v| v.to_str().unwrap_or("?")).to_owned();
    let (kind, attempt) = (header("faas-invocation"), header("faas-attempt"));
    let body = body.bytes().await?;
    let text = String::from_utf8_lossy(&body);
    let (succeeds_at, ms) = text.split_once(' ').unwrap_or((&text, "0"));
    println!("{kind} attempt {attempt} of {text}");
    faas_core::sleep(std::time::Duration::from_millis(ms.parse()?)).await;
    if attempt.parse::<u32>().unwrap_or(0) < succeeds_at.parse()? {
        return Err(Error::new("not yet"));
    }
    Ok("done".into())
}

faas_core::main!();
"#;

fn asynchronous(path: &str, body: &'static str) -> Request<Full<bytes::Bytes>> {
    Request::post(path).header("faas-invocation", "async").body(Full::from(body)).expect("a request")
}

fn send(dev: &Dev, body: &'static str) -> Reply {
    let reply = block_on(dev.send(asynchronous("/flaky", body)));
    assert_eq!((reply.status, reply.text.as_str()), (StatusCode::ACCEPTED, ""));
    reply
}

/// The next step of this event's delivery, with this name.
fn step(dev: &Dev, step: &str, id: &str) -> Value {
    dev.event_where("delivery", |event| event["step"] == step && event["id"] == id)
}

/// What `faas events` lists.
fn events(project: &Project, args: &[&str]) -> Vec<Value> {
    let output = run(&[&["events", "--json"], args].concat(), project.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("an array")
}

#[test]
fn an_event_is_accepted_at_once_and_retried_until_it_is_delivered() {
    let project = Project::new("retried", FLAKY);
    let dev = Dev::serve(project.path(), &["--async-backoff", "50ms"]);
    let id = send(&dev, "3").header("faas-request-id").to_owned();
    assert_eq!(id.len(), 32);
    assert_eq!(step(&dev, "accepted", &id)["cause"], "async");
    let is_attempt = |event: &Value| {
        event["id"] == id.as_str() && event["text"].as_str().is_some_and(|t| t.contains("attempt"))
    };
    let logs: Vec<Value> = (1..=3).map(|_| dev.event_where("log", is_attempt)).collect();
    let texts: Vec<&str> = logs.iter().filter_map(|log| log["text"].as_str()).collect();
    assert_eq!(texts, ["async attempt 1 of 3", "async attempt 2 of 3", "async attempt 3 of 3"]);
    assert_eq!(step(&dev, "delivered", &id)["attempt"], 3);
    assert_eq!(events(&project, &[]), [] as [Value; 0]);

    // a client cannot say that it is the third attempt, and AWS's header asks for the same
    let faked = Request::post("/flaky").header("faas-attempt", "3").body(Full::from("1")).expect("a request");
    assert_eq!(block_on(dev.send(faked)).status, StatusCode::INTERNAL_SERVER_ERROR);
    let aws = Request::post("/flaky").header("x-amz-invocation-type", "Event").body(Full::from("1"));
    assert_eq!(block_on(dev.send(aws.expect("a request"))).status, StatusCode::ACCEPTED);
    step(
        &dev,
        "delivered",
        dev.event_where("delivery", |e| e["step"] == "accepted")["id"].as_str().expect("an id"),
    );

    let bill = dev.stop();
    assert_eq!(bill["functions"][0]["requests"], 5, "each attempt is one");
}

#[test]
fn what_cannot_be_delivered_is_listed_and_can_be_put_back() {
    let project = Project::new("buried", FLAKY);
    let args = ["--async-backoff", "10ms", "--async-retries", "1"];
    let dev = Dev::serve(project.path(), &args);
    let id = send(&dev, "3").header("faas-request-id").to_owned();
    let retry = step(&dev, "retry", &id);
    assert_eq!(retry["because"], "the function returned an error");
    let dead = step(&dev, "dead", &id);
    assert_eq!(dead["because"], "all 2 attempts failed; the last time: the function returned an error");
    let listed = events(&project, &[]);
    assert_eq!(
        (listed.len(), &listed[0]["id"], &listed[0]["state"]),
        (1, &id.as_str().into(), &"dead".into())
    );
    assert_eq!(listed[0]["failures"], 2);

    events(&project, &["--redrive"]);
    step(&dev, "put_back", &id);
    step(&dev, "dead", &id);
    dev.stop();

    // without a server too: the file is read
    assert_eq!(events(&project, &[])[0]["state"], "dead");
    assert_eq!(events(&project, &[&format!("--redrive={id}")])[0]["state"], "waiting");
    let none = run(&["events", "--redrive=0000"], project.path());
    assert_eq!(none.status.code(), Some(2));
    let dev = Dev::serve(project.path(), &["--async-backoff", "10ms"]);
    assert_eq!(step(&dev, "delivered", &id)["attempt"], 3);
    dev.stop();
}

#[test]
fn what_was_accepted_is_delivered_after_a_kill() {
    let project = Project::new("survives-a-kill", FLAKY);
    let mut dev = Dev::serve(project.path(), &["--async-backoff", "60s"]);
    // one is delivered, one waits for its second attempt, one is under way, and many have just been accepted
    let delivered = send(&dev, "1").header("faas-request-id").to_owned();
    step(&dev, "delivered", &delivered);
    let waits = send(&dev, "2").header("faas-request-id").to_owned();
    step(&dev, "retry", &waits);
    let runs = send(&dev, "1 30000").header("faas-request-id").to_owned();
    dev.event_where("log", |event| event["id"] == runs.as_str());
    dev.kill();
    assert_eq!(events(&project, &[]).len(), 2, "what is delivered is not there any more");

    let mut dev = Dev::serve(project.path(), &[]);
    dev.event_where("log", |event| {
        event["id"] == runs.as_str() && event["text"] == "async attempt 1 of 1 30000"
    });
    let mut accepted = vec![waits.clone(), runs];
    for _ in 0..20 {
        accepted.push(send(&dev, "1 100").header("faas-request-id").to_owned());
    }
    dev.kill();

    let dev = Dev::serve(project.path(), &["--async-backoff", "10ms"]);
    let listed: Vec<String> =
        events(&project, &[]).iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect();
    let mut left: Vec<&String> = accepted.iter().filter(|id| listed.contains(id) && **id != waits).collect();
    // the one that sleeps for half a minute is under way; all others come soon
    left.retain(|id| **id != accepted[1]);
    while !left.is_empty() {
        let event = dev.event_where("delivery", |event| event["step"] == "delivered");
        left.retain(|id| event["id"] != id.as_str());
    }
    assert!(
        listed.contains(&waits) || listed.contains(&accepted[1]),
        "the others are not forgotten: {listed:?}"
    );
}

#[test]
fn too_large_and_nowhere_are_told_at_once() {
    let project = Project::new("refuses", &says("refused", "x"));
    let dev = Dev::serve(project.path(), &["--errors", "own"]);
    let large = Request::post("/refused").header("faas-invocation", "async");
    let large = large.body(Full::from(vec![0; 1_048_577])).expect("a request");
    let reply = block_on(dev.send(large));
    assert_eq!(
        (reply.status, &reply.json()["error"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &"request_too_large".into())
    );
    let nowhere = block_on(dev.send(asynchronous("/nowhere", "")));
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
    let bill = dev.stop();
    assert_eq!(bill["functions"].as_array().map_or(0, Vec::len), 0, "nothing has run: {bill}");
}

#[test]
fn faas_invoke_does_not_wait_either() {
    let project = Project::new("unawaited", FLAKY);
    let args = ["invoke", "flaky", "--async", "--data", "1"];
    let alone = run(&args, project.path());
    assert_eq!(alone.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&alone.stderr).contains("nobody is here to deliver it later"));
    let dev = Dev::serve(project.path(), &[]);
    // who answers has said where it is
    block_on(dev.get("/"));
    let output = run(&args, project.path());
    assert!(output.status.success() && output.stdout.is_empty());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let id = told.split_once("to be delivered as ").and_then(|(_, rest)| rest.get(..32)).expect("an id");
    step(&dev, "delivered", id);
    dev.stop();
}

#[test]
fn a_second_server_of_the_project_says_that_it_delivers_nothing() {
    let project = Project::new("shared", FLAKY);
    let first = Dev::serve(project.path(), &[]);
    send(&first, "1");
    let second = Dev::serve(project.path(), &["--errors", "own"]);
    let notice = second.event_where("notice", |event| {
        event["text"].as_str().is_some_and(|t| t.contains("another process has"))
    });
    assert!(notice["text"].as_str().expect("text").contains("nothing is invoked asynchronously"));
    let reply = block_on(second.send(asynchronous("/flaky", "1")));
    assert_eq!(
        (reply.status, &reply.json()["error"]),
        (StatusCode::INTERNAL_SERVER_ERROR, &"platform".into())
    );
}

#[test]
fn the_clock_calls_functions_that_have_a_schedule() {
    let main = r#"
use faas_core::function;

#[derive(serde::Deserialize)]
struct Firing { schedule: String, time: String }

#[function(schedule = "* * * * *")]
async fn tick(firing: Firing) -> String {
    println!("{} at {}", firing.schedule, firing.time);
    firing.time
}

faas_core::main!();
"#;
    let project = Project::new("ticking", main);
    project.add("serde = { version = \"1\", features = [\"derive\"] }");
    let dev = Dev::serve(project.path(), &["--warm-ahead", "5s"]);
    let schedules = dev.event("schedules");
    let next = schedules["functions"][0]["next"].as_str().expect("a time").to_owned();
    assert!(next.ends_with(":00Z"), "{next}");
    let accepted = dev.event_where("delivery", |event| event["step"] == "accepted");
    assert_eq!((&accepted["function"], &accepted["cause"]), (&"tick".into(), &"schedule".into()));
    let log = dev.event("log");
    assert_eq!(log["text"].as_str(), Some(format!("* * * * * at {next}").as_str()));
    dev.stop();
}
