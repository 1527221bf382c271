//! Hot reload: what is saved is served, what does not compile is told, and nobody's request fails meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use crate::support::{Connection, Dev, Project, block_on, says};

#[test]
fn an_edit_is_served_and_a_broken_one_is_told() {
    let project = Project::new("edited", &says("edited", "one"));
    let dev = Dev::serve(project.path(), &[]);
    block_on(async {
        assert_eq!(dev.get("/edited").await.text, "one");

        project.main(&says("edited", "two"));
        let reloaded = dev.event("reloaded");
        assert_eq!(reloaded["functions"][0]["generation"], 2, "{reloaded}");
        let reply = dev.get("/edited").await;
        assert_eq!((reply.text.as_str(), reply.header("faas-generation")), ("two", "2"));

        project.main(&says("edited", "three").replace("\"three\"", "3"));
        let failed = dev.event("build_failed");
        let words = failed["message"].as_str().expect("the compiler's words");
        assert!(words.contains("mismatched types") && words.contains("src/main.rs:5"), "{words}");
        assert_eq!(failed["still_serving"], true);
        assert_eq!(dev.get("/edited").await.text, "two");

        // mended: what was saved in between is served
        project.main(&says("edited", "four"));
        dev.event("reloaded");
        let reply = dev.get("/edited").await;
        assert_eq!((reply.text.as_str(), reply.header("faas-generation")), ("four", "3"));
    });
    dev.stop();
}

#[test]
fn a_first_build_that_fails_is_mended_by_an_edit() {
    let project = Project::new("mended", "faas_core::main!(;");
    let dev = Dev::start(project.path(), &[]);
    let failed = dev.event("build_failed");
    assert_eq!(failed["still_serving"], false);
    project.main(&says("mended", "it works"));
    dev.event("built");
    assert_eq!(block_on(dev.get("/mended")).text, "it works");
}

#[test]
fn functions_appear_vanish_and_are_renamed() {
    let project = Project::new("changing", &says("first", "first"));
    let dev = Dev::serve(project.path(), &[]);
    block_on(async {
        let both = says("first", "first").replace(
            "faas_core::main",
            "#[function]\nasync fn second() -> &'static str {\n    \"second\"\n}\n\nfaas_core::main",
        );
        project.main(&both);
        dev.event("reloaded");
        assert_eq!(dev.get("/second").await.text, "second");
        assert_eq!(dev.get("/first").await.text, "first");

        project.main(&both.replace("async fn first", "async fn renamed"));
        let reloaded = dev.event("reloaded");
        assert_eq!(reloaded["retired"][0], "first", "{reloaded}");
        assert_eq!(dev.get("/first").await.status, 404);
        assert_eq!(dev.get("/renamed").await.text, "first");
        assert_eq!(dev.get("/second").await.text, "second");

        // a route that two functions want is refused, and what there was is kept
        project.main(&both.replace("#[function]", "#[function(route = \"/same\")]"));
        let failed = dev.event("build_failed");
        assert!(failed["message"].as_str().is_some_and(|m| m.contains("/same")), "{failed}");
        assert_eq!(dev.get("/renamed").await.text, "first");
    });
}

#[test]
fn only_what_a_function_is_made_of_triggers() {
    let project =
        Project::new("watched", &says("watched", "TEXT").replace("\"TEXT\"", "include_str!(\"text.txt\")"));
    project.write("src/text.txt", "one");
    project.write("notes.md", "one");
    let dev = Dev::serve(project.path(), &[]);
    project.write("notes.md", "two");
    project.write("src/unused.rs", "fn f() {}");
    // the same content, saved again
    project.write("src/text.txt", "one");
    project.write("src/text.txt", "two");
    let reloaded = dev.event("reloaded");
    let changed = reloaded["changed"].as_array().expect("files");
    assert_eq!(changed.len(), 1, "{reloaded}");
    assert!(changed[0].as_str().is_some_and(|file| file.ends_with("src/text.txt")), "{reloaded}");
    let reply = block_on(dev.get("/watched"));
    assert_eq!((reply.text.as_str(), reply.header("faas-generation")), ("two", "2"));
}

#[test]
fn ten_reloads_under_load_fail_no_request() {
    const CONNECTIONS: usize = 8;
    const RELOADS: usize = 10;
    let project = Project::new("loaded", &says("loaded", "v1"));
    let main = project.path().join("src/main.rs");
    let dev = Dev::serve(project.path(), &[]);
    block_on(async {
        let (is_over, replies) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let (is_over, replies, addr) = (is_over.clone(), replies.clone(), dev.addr);
                tokio::spawn(async move {
                    let mut connection = Connection::open(addr).await;
                    let mut last = 0;
                    loop {
                        let is_last = is_over.load(Ordering::Relaxed);
                        let reply = connection.get("/loaded").await.expect("a reply");
                        assert_eq!(reply.status, 200, "{reply:?}");
                        let generation: usize = reply.header("faas-generation").parse().expect("a number");
                        assert_eq!(
                            reply.text,
                            format!("v{generation}"),
                            "the code is that of the generation"
                        );
                        assert!(generation >= last, "generation {generation} after {last}");
                        last = generation;
                        replies.fetch_add(1, Ordering::Relaxed);
                        if is_last {
                            return last;
                        }
                    }
                })
            })
            .collect();
        for reload in 2..=RELOADS + 1 {
            let before = replies.load(Ordering::Relaxed);
            // As some editors save: first it is empty. Who looks at that moment, and builds what is there a moment later, looks and
            // builds once more, and finds nothing new.
            std::fs::write(&main, says("loaded", &format!("v{reload}"))).expect("it can be written");
            tokio::task::block_in_place(|| {
                dev.event_where("reloaded", |event| event["functions"][0]["generation"] == reload)
            });
            // requests come between any two reloads
            while replies.load(Ordering::Relaxed) < before + CONNECTIONS {
                tokio::task::yield_now().await;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        for client in clients {
            assert_eq!(client.await.expect("no request failed"), RELOADS + 1);
        }
    });
    dev.stop();
}
