//! What nobody waits for, in a test: events that are retried, and functions that the clock calls.

use std::sync::Arc;

use serde::Serialize;

use super::{Cloud, served::alive};
use crate::{
    delivery::{Cause, Letter, Listed, NotAccepted},
    http::{HeaderMap, HeaderValue, Method, Uri, header},
    schedule::{Firings, Schedule},
};

impl Cloud {
    /// Hands an event over, as JSON, for a function that nobody waits for. It is accepted when this returns, and delivered
    /// while time passes: again after the profile's backoff if the function fails, until it is a dead letter. The id is
    /// that of every invocation that delivers it.
    ///
    /// ```
    /// use std::{sync::atomic::{AtomicU32, Ordering::Relaxed}, time::Duration};
    /// use faas_core::{Error, function, testing::Cloud};
    ///
    /// static TRIES: AtomicU32 = AtomicU32::new(0);
    ///
    /// #[function]
    /// async fn mail(to: String) -> Result<(), Error> {
    ///     match TRIES.fetch_add(1, Relaxed) {
    ///         2 => Ok(()),
    ///         _ => Err(Error::new("the mail server does not answer")),
    ///     }
    /// }
    ///
    /// # faas_core::testing::run(async {
    /// let cloud = Cloud::new(); // as AWS Lambda: again after one minute, and after two more
    /// cloud.enqueue("mail", &"ada@example.org").await?;
    /// cloud.advance(Duration::from_secs(179)).await;
    /// assert_eq!((TRIES.load(Relaxed), cloud.events().len()), (2, 1));
    /// cloud.advance(Duration::from_secs(2)).await;
    /// assert_eq!((TRIES.load(Relaxed), cloud.events().len()), (3, 0));
    /// # Ok::<(), faas_core::delivery::NotAccepted>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// When as much waits as may.
    ///
    /// # Panics
    /// When the event is not serializable.
    pub async fn enqueue(&self, function: &str, event: &impl Serialize) -> Result<Arc<str>, NotAccepted> {
        let body = serde_json::to_vec(event).expect("the event is serializable");
        let json = HeaderValue::from_static("application/json");
        let letter = Letter {
            id: self.next_id(),
            function: function.into(),
            cause: Cause::Request,
            method: Method::POST,
            uri: Uri::from_static("/"),
            headers: HeaderMap::from_iter([(header::CONTENT_TYPE, json)]),
            body: body.into(),
        };
        let id = letter.id.clone();
        self.shared.courier.accept(letter).await.map(|()| id)
    }

    /// Events that are not delivered: those that wait or are being delivered, and the dead letters, whose
    /// [`status`](Listed::status) says since when.
    pub fn events(&self) -> Vec<Listed> {
        self.shared.courier.list()
    }

    /// Puts all dead letters back, to be delivered as if they had just been accepted; returns how many.
    ///
    /// # Errors
    /// When not all can be taken back.
    pub async fn redrive(&self) -> Result<usize, NotAccepted> {
        self.shared.courier.redrive(None).await
    }

    /// From now on the clock calls every function with a `schedule`, as in the emulator: each firing is an event.
    ///
    /// ```
    /// use std::time::Duration;
    /// use faas_core::{Request, function, testing::Cloud};
    ///
    /// #[function(schedule = "*/5 * * * *")]
    /// async fn sweep(_: Request) -> &'static str {
    ///     "swept"
    /// }
    ///
    /// # faas_core::testing::run(async {
    /// let cloud = Cloud::new();
    /// cloud.start_schedules();
    /// cloud.advance(Duration::from_secs(3600)).await;
    /// assert_eq!(cloud.records().len(), 12);
    /// # });
    /// ```
    pub fn start_schedules(&self) {
        let (scheduler, clock) = (self.scheduler.clone(), self.clock());
        let scheduled = scheduler.snapshot().functions.into_iter().filter_map(|function| {
            let schedule: Arc<Schedule> = function.spec.schedule.clone()?;
            Some((function.spec.name.clone(), schedule))
        });
        let mut firings = Firings::default();
        firings.replace(clock.now(), scheduled);
        let cloud = self.clone();
        tokio::spawn(alive(self.shared.run.clone(), async move {
            while let Some(at) = firings.next_deadline() {
                clock.sleep_until(at).await;
                for firing in firings.due(clock.now()) {
                    // one that is refused is missed
                    let _ = cloud.shared.courier.accept(firing.letter(cloud.next_id())).await;
                }
            }
        }));
    }
}
