//! Functions of your own process behind your own tower stack, scheduled as a cloud would: cold and warm starts,
//! limits, a queue, keep-alive. No wasm, no sockets. Start from here when you embed the scheduler.
//!
//! ```text
//! main       sends a few invocations and prints what became of each
//! host       the stack: a layer of yours, then the scheduler
//! functions  what runs: any tower service of HTTP requests
//! api_key    the layer of yours
//! ```

mod api_key;
mod functions;
mod host;

use std::{sync::Arc, time::Duration};

use faas_core::clock::{SharedClock, SystemClock};
use host::Host;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "printing is what this program is for")]
async fn main() {
    demo(SystemClock::shared(), |line| println!("{line}")).await;
}

/// What the program shows. The test below runs the same in virtual time.
async fn demo(clock: SharedClock, print: impl Fn(String) + Send + Sync + 'static) {
    let print = Arc::new(print);
    let say = {
        let print = print.clone();
        move |line: &str| print(line.to_owned())
    };
    let host = Host::new(clock.clone(), move |line| print(line));

    say("one after another: the first start is cold, then the instance is warm");
    for name in ["World", "Ferris"] {
        host.invoke("greet", name).await;
    }

    say("three at once: each needs an instance of its own, and one is warm");
    tokio::join!(host.invoke("greet", "a"), host.invoke("greet", "b"), host.invoke("greet", "c"));

    say("four at once where two may run and one may wait");
    let report = |n| host.invoke("report", n);
    tokio::join!(report("1"), report("2"), report("3"), report("4"));

    say("a new generation takes over; a stranger does not get past the layer");
    host.deploy_greeting(2, "Good evening");
    host.invoke("greet", "World").await;
    host.invoke_as("stranger", "greet", "World").await;

    say("three seconds later nothing is kept warm any more");
    let standing = host.standing();
    clock.sleep_until(clock.now() + host::KEEP_ALIVE + Duration::from_millis(10)).await;
    say(&format!("{standing}, then {}", host.standing()));
    host.shutdown().await;
}

#[cfg(test)]
mod tests {
    use faas_core::clock::VirtualClock;
    use parking_lot::Mutex;

    use super::*;

    /// The whole program in virtual time: exact to the millisecond, and done at once.
    #[tokio::test]
    async fn the_demo_shows_what_the_readme_says() {
        let clock = VirtualClock::default();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = lines.clone();
        let demo = tokio::spawn(demo(Arc::new(clock.clone()), move |line| seen.lock().push(line)));
        clock.run(Duration::from_secs(120)).await;
        demo.await.expect("it ends within two minutes");
        insta::assert_snapshot!(lines.lock().join("\n"));
    }
}
