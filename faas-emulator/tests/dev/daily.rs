//! A plan's requests of a day: enforced in the provider's words, and remembered by who comes after.

use serde_json::Value;

use crate::support::{Dev, Project, block_on, repository, says};

fn notice(dev: &Dev, text: &str) -> String {
    let of = |told: &Value| told["text"].as_str().is_some_and(|told| told.contains(text));
    dev.event_where("notice", of)["text"].as_str().expect("text").to_owned()
}

#[test]
fn a_plans_requests_of_a_day_end_with_its_error_and_a_restart_gives_none_back() {
    // should midnight come meanwhile, there are more: then all of it is said again
    let today = || std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs() / 86_400;
    for attempt in 1.. {
        let day = today();
        let project = Project::new(&format!("is-of-a-day-{attempt}"), &says("hello", "hi"));
        let free = repository().join("faas-core/src/profile/cloudflare-workers-free.toml");
        let free = std::fs::read_to_string(free).expect("the profile");
        project.write("plan.toml", &free.replace("value = 100000\n", "value = 5\n"));
        let plan = project.path().join("plan.toml");
        let args = ["--no-watch", "--as", plan.to_str().expect("text")];

        let dev = Dev::serve(project.path(), &args);
        block_on(async {
            for _ in 0..4 {
                assert_eq!(dev.get("/hello").await.status, 200);
            }
        });
        if today() != day {
            continue;
        }
        let near = notice(&dev, "requests a day, are used to 80 %: 4 so far");
        assert!(near.contains("'s 5 requests a day"), "{near}");
        dev.stop();

        let dev = Dev::serve(project.path(), &args);
        let (last, refused) = block_on(async { (dev.get("/hello").await, dev.get("/hello").await) });
        if today() != day {
            continue;
        }
        assert_eq!(last.status, 200, "the fifth");
        assert_eq!((refused.status.as_u16(), refused.text.as_str()), (429, "error code: 1027"));
        assert_eq!(refused.header("faas-error"), "daily_cap");
        let retry_after: u64 = refused.header("retry-after").parse().expect("seconds");
        assert!((1..=86_400).contains(&retry_after), "{retry_after}");
        notice(&dev, "requests a day, are used up: until midnight UTC there are no more");
        let told = dev.event_where("invocation", |event| event["error"] == "daily_cap");
        let message = told["message"].as_str().expect("a message");
        assert!(message.contains("they begin anew at midnight UTC, in "), "{message}");
        dev.interrupt();
        let (status, events, stderr) = dev.wait();
        assert!(status.success(), "{stderr}");
        let refused = "the daily cap refused 1 invocations of `hello`";
        assert!(events.iter().any(|event| event["text"] == refused), "{events:?}");
        return;
    }
}
