//! What the shell does where the parts around it fail: a journal that cannot write, a layer that panics, a stop.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    time::Duration,
};

use http::{HeaderMap, Method, Uri};
use tower::{service_fn, util::BoxCloneSyncService};

use super::*;
use crate::{
    clock::{BoxFuture, Clock as _, Time, VirtualClock},
    delivery::{Backoff, Cause, Change, MemoryJournal},
    invocation::{End, ErrorKind, Failure, Invocation, InvocationError, Reply},
    transition::Unobserved,
};

/// A journal that writes nothing while its disk is full.
#[derive(Debug, Default)]
struct Disk {
    journal: MemoryJournal,
    is_full: AtomicBool,
}

impl Journal for Disk {
    fn write(&self, change: Change) -> BoxFuture<'static, Result<(), JournalError>> {
        if self.is_full.load(SeqCst) {
            return Box::pin(std::future::ready(Err(JournalError("the disk is full".into()))));
        }
        self.journal.write(change)
    }

    fn read(&self, key: Key) -> BoxFuture<'static, Result<Option<Letter>, JournalError>> {
        self.journal.read(key)
    }

    fn list(&self) -> BoxFuture<'static, Result<Vec<Listed>, JournalError>> {
        self.journal.list()
    }
}

const SECOND: Duration = Duration::from_secs(1);

struct World {
    clock: VirtualClock,
    disk: Arc<Disk>,
    courier: Courier,
}

impl World {
    /// What is invoked ends as `end` says for the number of the invocation.
    async fn new(end: fn(u32) -> End) -> Self {
        let clock = VirtualClock::default();
        let backoff = Backoff { first: SECOND, max: SECOND, jitter_percent: 0 };
        let rules = Rules { max_retries: 1, max_age: 60 * SECOND, retry: backoff, unserved: backoff };
        let count = Arc::new(AtomicU32::new(0));
        let stack = service_fn(move |invocation: Invocation| {
            let number = count.fetch_add(1, SeqCst) + 1;
            async move {
                match end(number) {
                    End::Failed(error) => Err::<Reply, Failure>(invocation.tally.fail(error)),
                    end => {
                        let record = invocation.tally.finish(end);
                        let body = crate::invocation::ReplyBody::Whole(Default::default());
                        Ok(Reply { response: http::Response::new(body), record })
                    }
                }
            }
        });
        let disk = Arc::new(Disk::default());
        let config = Config { rules, limits: Limits::default(), seed: 0 };
        let courier = Courier::start(
            config,
            BoxCloneSyncService::new(stack),
            disk.clone(),
            Arc::new(clock.clone()),
            Arc::new(Unobserved),
        );
        World { courier: courier.await.expect("nothing is written yet"), clock, disk }
    }

    async fn accept(&self) -> Result<(), NotAccepted> {
        let letter = Letter {
            id: "id".into(),
            function: "f".into(),
            cause: Cause::Request,
            method: Method::POST,
            uri: Uri::from_static("/"),
            headers: HeaderMap::new(),
            body: Default::default(),
        };
        self.courier.accept(letter).await
    }
}

fn ok(_: u32) -> End {
    End::Replied { status: http::StatusCode::OK, is_fault: false }
}

fn failed(_: u32) -> End {
    End::Failed(InvocationError::new(ErrorKind::Panic, "it panicked"))
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_accepted() {
    let world = World::new(ok).await;
    world.disk.is_full.store(true, SeqCst);
    assert_eq!(
        world.accept().await.expect_err("full").to_string(),
        "the event cannot be written down: the disk is full"
    );
    assert!(world.courier.list().is_empty());
    world.disk.is_full.store(false, SeqCst);
    world.accept().await.expect("there is room");
    world.clock.run(SECOND).await;
    assert!(world.courier.list().is_empty(), "delivered");
}

#[tokio::test]
async fn a_layer_that_panics_loses_no_event() {
    let world = World::new(|n| if n == 1 { panic!("a layer's mistake") } else { ok(n) }).await;
    world.accept().await.expect("there is room");
    world.clock.run(Duration::ZERO).await;
    assert_eq!(world.courier.list().len(), 1);
    world.clock.run(SECOND).await;
    assert!(world.courier.list().is_empty());
}

#[tokio::test]
async fn an_attempt_that_is_broken_off_is_made_again_after_a_while() {
    // a scheduler that is shut down, as long as the courier is not
    let shut_down =
        |n| if n <= 3 { End::Failed(InvocationError::new(ErrorKind::ShuttingDown, "it is")) } else { ok(n) };
    for end in [shut_down, |n| if n <= 3 { End::Cancelled } else { ok(n) }] {
        let world = World::new(end).await;
        world.accept().await.expect("there is room");
        world.clock.run(2 * SECOND).await;
        let waiting = world.courier.list();
        assert_eq!(waiting.len(), 1, "three attempts, a second apart, and not all at once");
        assert_eq!((waiting[0].status.failures, waiting[0].status.due), (0, Time::EPOCH + 3 * SECOND));
        world.clock.run(SECOND).await;
        assert!(world.courier.list().is_empty());
    }
}

#[tokio::test]
async fn a_dead_letter_that_cannot_be_put_back_stays_one() {
    let world = World::new(|n| if n <= 2 { failed(n) } else { ok(n) }).await;
    world.accept().await.expect("there is room");
    world.clock.run(2 * SECOND).await;
    let dead = world.courier.list();
    assert!(dead[0].status.dead.is_some());
    world.disk.is_full.store(true, SeqCst);
    assert!(world.courier.redrive(None).await.is_err());
    assert_eq!(world.courier.list(), dead);
    world.disk.is_full.store(false, SeqCst);
    assert_eq!(world.courier.redrive(Some("other")).await, Ok(0));
    let (one, other) = tokio::join!(world.courier.redrive(Some("id")), world.courier.redrive(None));
    assert_eq!((one, other), (Ok(1), Ok(0)), "both wanted it, and one has done it");
    world.clock.run(Duration::ZERO).await;
    assert!(world.courier.list().is_empty(), "and it was delivered once");
}

#[tokio::test]
async fn what_waits_when_it_stops_is_the_next_ones() {
    let world = World::new(failed).await;
    world.accept().await.expect("there is room");
    world.clock.run(Duration::ZERO).await;
    world.courier.stop().await;
    assert_eq!(world.accept().await, Err(NotAccepted::Stopping));
    world.clock.run(10 * SECOND).await;
    let left = world.disk.list().await.expect("it can be read");
    assert_eq!((left[0].status.failures, left[0].status.dead), (1, None), "one attempt, and no more since");
    assert!(left[0].status.due <= world.clock.now());
}

#[tokio::test]
async fn only_so_many_dead_letters_are_kept() {
    let world = World::new(failed).await;
    for _ in 0..MAX_DEAD + 2 {
        world.accept().await.expect("there is room");
    }
    for _ in 0..200 {
        world.clock.run(SECOND / 10).await;
    }
    let left = world.disk.list().await.expect("it can be read");
    assert_eq!((left.len(), left[0].key), (MAX_DEAD, Key(3)), "the oldest are gone");
    assert_eq!(world.courier.list(), left);
}
