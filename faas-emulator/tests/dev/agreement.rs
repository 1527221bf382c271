//! What the simulator predicts against what the emulator does: the same policies on the same arrivals, once over HTTP and
//! once in simulated time. When calls came and how long they took is taken from the client: a machine that is busy lets them come
//! late.

use std::{fmt::Write as _, time::Duration};

use serde_json::Value;

use crate::support::{Connection, Dev, Project, block_on, run};

const APPS: u32 = 8;
const LASTS_S: f64 = 12.0;

struct Call {
    app: u32,
    at_s: f64,
    duration_s: f64,
}

/// Some apps that are called often and some that are called seldom, at random; each call takes a moment, so some overlap.
fn calls() -> Vec<Call> {
    let mut rng = fastrand::Rng::with_seed(2026);
    let mut calls = Vec::new();
    for app in 0..APPS {
        let mean_gap_s = 0.15 * 1.5_f64.powi(app as i32);
        let mut at_s = 0.0;
        loop {
            at_s -= mean_gap_s * (1.0 - rng.f64()).ln();
            if at_s > LASTS_S {
                break;
            }
            calls.push(Call { app, at_s, duration_s: f64::from(rng.u32(20..150)) / 1e3 });
        }
    }
    calls.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    calls
}

/// The same in the format of the Azure Functions 2021 data set.
fn trace(calls: &[Call]) -> String {
    let mut trace = String::from("app,func,end_timestamp,duration\n");
    for Call { app, at_s, duration_s } in calls {
        writeln!(trace, "app{app},f,{},{duration_s}", at_s + duration_s).expect("a string grows");
    }
    trace
}

/// A function for each app, which takes as long as it is asked to.
fn source() -> String {
    let mut source = String::from(
        "use faas_core::{Request, function};\n\nasync fn nap(request: Request) {\n    \
         let ms = request.uri().query().and_then(|ms| ms.parse().ok()).unwrap_or(0);\n    \
         faas_core::sleep(std::time::Duration::from_millis(ms)).await;\n}\n\n",
    );
    for app in 0..APPS {
        write!(
            source,
            "#[function(timeout = \"60s\")]\nasync fn app{app}(request: Request) {{\n    nap(request).await;\n}}\n\n"
        )
        .expect("a string grows");
    }
    source + "faas_core::main!();\n"
}

/// What a client has seen: which calls there were, and how many of them were cold.
struct Replayed {
    calls: Vec<Call>,
    cold: usize,
}

#[allow(clippy::disallowed_methods)] // a real client keeps real time
async fn replay(dev: &Dev, calls: &[Call]) -> Replayed {
    let began = tokio::time::Instant::now();
    let mut replies = Vec::new();
    for &Call { app, at_s, duration_s } in calls {
        tokio::time::sleep_until(began + Duration::from_secs_f64(at_s)).await;
        let (addr, path) = (dev.addr, format!("/app{app}?{}", duration_s * 1e3));
        replies.push(tokio::spawn(async move {
            let at_s = began.elapsed().as_secs_f64();
            let reply = Connection::open(addr).await.get(&path).await;
            let duration_s = began.elapsed().as_secs_f64() - at_s;
            reply.map(|reply| (reply, Call { app, at_s, duration_s }))
        }));
    }
    let mut replayed = Replayed { calls: Vec::new(), cold: 0 };
    for reply in replies {
        let (reply, call) = reply.await.expect("no panic").expect("a reply");
        assert_eq!(reply.status, 200, "{}", reply.text);
        replayed.cold += usize::from(reply.start() == "cold");
        replayed.calls.push(call);
    }
    replayed
}

/// How many cold starts there are, by the simulator, in these calls.
fn predicted(policy: &str, calls: &[Call], project: &Project) -> usize {
    project.write("trace.csv", &trace(calls));
    // starts as the emulator's, not as the provider's
    let args = ["simulate", "--policy", policy, "--cold-start-ms", "1", "--format", "json", "trace.csv"];
    let out = run(&args, project.path());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let json: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let count = |name: &str| json["policies"][0][name].as_u64().expect("a count") as usize;
    // whoever runs in an instance that became free meanwhile is warm to the emulator
    count("cold_starts") - count("rescued")
}

#[test]
fn the_emulator_does_what_the_simulator_predicts() {
    let calls = calls();
    let project = Project::new("agreement", &source());
    let policies = ["fixed:250ms", "fixed:750ms", "fixed:3s", "none"];
    let planned = policies.map(|policy| predicted(policy, &calls, &project));
    assert!(planned.is_sorted_by(|more, fewer| more > fewer), "the policies differ: {planned:?}");
    let servers = policies.map(|policy| Dev::serve(project.path(), &["--no-watch", "--policy", policy]));
    // a client each, at the same time
    let replayed: Vec<Replayed> = std::thread::scope(|scope| {
        let clients: Vec<_> =
            servers.iter().map(|dev| scope.spawn(|| block_on(replay(dev, &calls)))).collect();
        clients.into_iter().map(|client| client.join().expect("no panic")).collect()
    });
    let observed: Vec<usize> = replayed.iter().map(|replayed| replayed.cold).collect();
    let predicted: Vec<usize> = policies
        .iter()
        .zip(&replayed)
        .map(|(policy, replayed)| predicted(policy, &replayed.calls, &project))
        .collect();
    let (all, off) = predicted.iter().zip(&observed).fold((0, 0), |(all, off), (predicted, observed)| {
        (all + predicted, off + predicted.abs_diff(*observed))
    });
    let agreement = 1.0 - off as f64 / all as f64;
    println!(
        "{policies:?}: planned {planned:?}, predicted {predicted:?}, observed {observed:?}: {:.1} % agree",
        agreement * 100.0
    );
    // what keeps a request on its way to the server, and its reply from there, no client can know
    assert!(agreement > 0.85, "predicted {predicted:?}, observed {observed:?}");
}
