//! What the emulator says while it runs: calm text for people, JSON lines for programs.
//!
//! ```text
//! observer ─ flood ─▶ queue (bounded) ─▶ one thread: group ─ text | json ─▶ stdout
//! ```
//!
//! Printing never holds up a request: events of invocations are folded when they come too fast, what still does not
//! fit in the queue is counted and said, and only the one thread ever waits for the terminal. What happens once (a
//! build, the bill) always fits. [`text`], [`json`], [`flood`] and [`group`] are pure.

pub mod event;
pub mod flood;
pub mod group;
pub mod json;
mod queue;
pub mod text;
mod writer;

use std::{io::Write, sync::Arc, time::Duration};

use faas_core::{
    billing::Charge,
    clock::{SharedClock, Time},
    delivery::{Progress, What},
    invocation::Record,
    profile::LogLines,
};
use parking_lot::Mutex;
use rust_decimal::Decimal;

use self::{
    event::{Event, Invoked},
    flood::{Due, Floods},
    queue::Queue,
    writer::{UNREAD, Writer},
};

/// Whom the console talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// People.
    Text,
    /// Programs.
    Json,
    /// People who want invocations in the words of the provider's log.
    Provider,
}

/// The console. Cheap to share; ends with [`Console::close`].
#[derive(Debug)]
pub struct Console {
    queue: Arc<Queue>,
    format: Format,
    clock: SharedClock,
    floods: Mutex<Floods>,
    writer: Mutex<Option<Writer>>,
}

impl Console {
    /// A console that writes to `out` from a thread of its own.
    ///
    /// # Errors
    /// When the operating system refuses the thread.
    pub fn start(
        format: Format,
        clock: SharedClock,
        out: impl Write + Send + 'static,
    ) -> std::io::Result<Arc<Self>> {
        let queue = Arc::new(Queue::default());
        let console = Arc::new(Console {
            queue: queue.clone(),
            format,
            clock: clock.clone(),
            floods: Mutex::default(),
            writer: Mutex::new(None),
        });
        // weak: the console's end is told by `close`, not by the thread that it keeps
        let floods = Arc::downgrade(&console);
        let due = move |now| floods.upgrade().map(|c| c.floods.lock().due(now)).unwrap_or_default();
        *console.writer.lock() = Some(Writer::start(queue, format, clock, due, out)?);
        Ok(console)
    }

    /// Says what happens once. Always fits.
    pub fn say(&self, event: Event) {
        self.queue.push_always(event);
    }

    /// Says that an invocation has ended, with others if there are many.
    ///
    /// `lines` is what the provider would write, made only for who reads it.
    pub fn invocation(
        &self,
        record: &Record,
        charge: &Charge,
        total_usd: Decimal,
        lines: impl FnOnce() -> LogLines,
    ) {
        if self.format != Format::Json {
            let mut due = Vec::new();
            let admitted = self.floods.lock().admit(record.ended, record, total_usd, &mut due);
            self.push_due(due);
            if !admitted {
                return;
            }
        }
        self.queue.push(|| {
            let lines = if self.format == Format::Text { LogLines::default() } else { lines() };
            Event::Invocation(Box::new(Invoked { record: record.clone(), charge: *charge, total_usd, lines }))
        });
    }

    /// Passes on what a guest wrote, within reason.
    pub fn log(&self, line: &faas_core::transition::LogLine) {
        if self.format != Format::Json {
            let mut due = Vec::new();
            let admitted = self.floods.lock().admit_log(self.clock.now(), &line.function, &mut due);
            self.push_due(due);
            if !admitted {
                return;
            }
        }
        self.queue.push(|| Event::Log(line.clone()));
    }

    /// Says how far an event is that nobody waits for, within reason.
    pub fn delivery(&self, progress: &Progress) {
        if self.format != Format::Json {
            if matches!(progress.what, What::Delivered { .. }) {
                return; // its invocation has said so
            }
            let mut due = Vec::new();
            let admitted = self.floods.lock().admit_log(self.clock.now(), &progress.function, &mut due);
            self.push_due(due);
            if !admitted {
                return;
            }
        }
        self.queue.push(|| Event::Delivery(progress.clone()));
    }

    /// Says what only programs want to know.
    pub fn detail(&self, event: impl FnOnce() -> Event) {
        if self.format == Format::Json {
            self.queue.push(event);
        }
    }

    fn push_due(&self, due: Vec<Due>) {
        for due in due {
            self.queue.push_always(told(due));
        }
    }

    /// Writes what is left and ends the thread. Blocks until all is written, or until whoever should read it has read
    /// nothing for some seconds.
    pub fn close(&self) {
        self.close_within(UNREAD);
    }

    fn close_within(&self, unread: Duration) {
        let due = self.floods.lock().due(Time::from_unix_nanos(u64::MAX));
        self.push_due(due);
        self.queue.close();
        if let Some(writer) = self.writer.lock().take() {
            writer.wait(unread);
        }
    }
}

fn told(due: Due) -> Event {
    match due {
        Due::Many(many) => Event::Many(many),
        Due::Logs(function, count) => {
            Event::Notice(format!("{count} more lines of `{function}` were not shown this second"))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, mpsc};

    use super::event::{Bill, BillLine, Served, Upcoming};
    use super::*;
    use faas_core::{
        clock::SystemClock,
        delivery::Cause,
        invocation::{End, ErrorKind, FunctionSpec, Injected, InvocationError, Origin, Record, Start, Usage},
        transition::{LogLevel, LogLine},
    };

    pub(crate) fn served() -> Vec<Served> {
        let served = |function: &str, generation, method: &str, route: &str| Served {
            function: function.into(),
            generation,
            method: method.into(),
            route: route.into(),
        };
        vec![served("hello", 3, "*", "/hello"), served("create-order", 1, "POST", "/orders")]
    }

    pub(crate) fn invoked() -> Invoked {
        let micros = Duration::from_micros;
        Invoked {
            record: Record {
                id: "0123456789abcdef".into(),
                function: "hello".into(),
                spec: Some(Arc::new(FunctionSpec { generation: 3, ..FunctionSpec::new("hello") })),
                start: Some(Start::Cold),
                instance: None,
                arrived: Time::EPOCH,
                ended: Time::EPOCH + micros(1520),
                queue: micros(3),
                usage: Usage {
                    origin: Some(Origin::Snapshot),
                    init_wall: micros(1100),
                    init_cpu: micros(900),
                    handler_wall: micros(310),
                    handler_cpu: micros(290),
                    memory_peak_bytes: 1_179_648,
                    bytes_in: 0,
                    bytes_out: 14,
                    ..Usage::default()
                },
                end: End::Replied { status: http::StatusCode::OK, is_fault: false },
            },
            charge: charge(),
            total_usd: Decimal::new(408, 9),
            lines: LogLines {
                before: vec!["START RequestId: 0123456789abcdef".into()],
                after: vec!["REPORT RequestId: 0123456789abcdef".into()],
            },
        }
    }

    pub(crate) fn injected() -> Injected {
        let ms = Duration::from_millis;
        Injected { platform: ms(432), init: ms(16), throttled: Duration::from_micros(119_700) }
    }

    pub(crate) fn charge() -> Charge {
        Charge { billed: Duration::from_millis(2), cost_usd: Decimal::new(204, 9), ..Charge::default() }
    }

    pub(crate) fn failed() -> Invoked {
        let mut invoked = invoked();
        invoked.record.start = Some(Start::Warm);
        invoked.record.end = End::Failed(InvocationError {
            kind: ErrorKind::Panic,
            message: "the function panicked at src/main.rs:7:5: no such order".into(),
            backtrace: vec!["orders::find".into(), "orders::handle".into()],
        });
        invoked
    }

    pub(crate) fn log(id: &str, text: &str) -> Event {
        let level = LogLevel::Stdout;
        Event::Log(LogLine { id: Some(id.into()), function: "f".into(), level, text: text.into() })
    }

    /// Each step that an event may take.
    pub(crate) fn deliveries() -> Vec<Event> {
        let because = || "the function returned an error".to_owned();
        let steps = [
            What::Accepted { cause: Cause::Request, bytes: 7 },
            What::Accepted { cause: Cause::Schedule, bytes: 7 },
            What::Retry { attempt: 1, wait: Duration::from_secs(60), because: because() },
            What::Delivered { attempt: 2 },
            What::Dead { because: because() },
            What::PutBack,
            What::JournalFailed { because: "the disk is full: it is delivered once more".into() },
            What::ThrownAway,
        ];
        let told = |what| Progress { id: "0123456789abcdef".into(), function: "hello".into(), what };
        let at = Time::EPOCH + Duration::from_secs(300);
        let upcoming = vec![Upcoming { function: "tick".into(), schedule: "*/5 * * * *".into(), at }];
        let schedules = Event::Schedules { now: Time::EPOCH + Duration::from_secs(60), upcoming };
        steps.into_iter().map(told).map(Event::Delivery).chain([schedules]).collect()
    }

    pub(crate) fn bill() -> Bill {
        Bill {
            profile: "aws-lambda".into(),
            lines: vec![BillLine {
                function: "hello".into(),
                requests: 2,
                gb_seconds: Decimal::new(5, 4),
                cpu_ms: Decimal::new(119, 2),
                usd: Decimal::new(408, 9),
                kept_usd: Decimal::new(625_005, 9),
            }],
            total_usd: Decimal::new(625_413, 9),
        }
    }

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Page {
        fn plain(&self) -> String {
            let bytes = self.0.lock().clone();
            anstream::adapter::strip_str(std::str::from_utf8(&bytes).expect("text")).to_string()
        }
    }

    #[test]
    fn logs_come_under_their_invocation() {
        let page = Page::default();
        let console = Console::start(Format::Text, SystemClock::shared(), page.clone()).expect("a thread");
        let Event::Log(line) = log("0123456789abcdef", "an order of 7") else { panic!("a log line") };
        console.log(&line);
        console.invocation(&invoked().record, &charge(), Decimal::ZERO, LogLines::default);
        console.close();
        let page = page.plain();
        let lines: Vec<&str> = page.lines().collect();
        assert!(lines[0].starts_with("  hello  cold  200"), "{page}");
        assert!(lines[1].ends_with("01234567 | an order of 7"), "{page}");
    }

    #[test]
    fn the_providers_words_stand_around_what_the_function_wrote() {
        let page = Page::default();
        let console =
            Console::start(Format::Provider, SystemClock::shared(), page.clone()).expect("a thread");
        let Event::Log(line) = log("0123456789abcdef", "an order of 7") else { panic!("a log line") };
        console.log(&line);
        console.invocation(&invoked().record, &charge(), Decimal::ZERO, || invoked().lines);
        // a provider that writes nothing leaves ours
        console.invocation(&invoked().record, &charge(), Decimal::ZERO, LogLines::default);
        console.close();
        let page = page.plain();
        let lines: Vec<&str> = page.lines().collect();
        assert_eq!(lines[0], "START RequestId: 0123456789abcdef", "{page}");
        assert!(lines[1].ends_with("| an order of 7"), "{page}");
        assert_eq!(lines[2], "REPORT RequestId: 0123456789abcdef", "{page}");
        assert!(lines[3].starts_with("  hello  cold  200"), "{page}");
    }

    #[test]
    fn who_reads_nothing_is_not_waited_for_for_ever() {
        /// A pipe that is full.
        struct Unread(mpsc::Receiver<()>);

        impl Write for Unread {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                self.0.recv().map_err(std::io::Error::other)?;
                unreachable!("nothing is sent")
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        let (reader, unread) = mpsc::channel();
        let console = Console::start(Format::Text, SystemClock::shared(), Unread(unread)).expect("a thread");
        console.say(Event::Notice("hello".into()));
        console.close_within(Duration::from_millis(20));
        drop(reader);
    }

    #[test]
    fn nothing_is_lost_silently_in_a_flood() {
        let page = Page::default();
        let console = Console::start(Format::Json, SystemClock::shared(), page.clone()).expect("a thread");
        for _ in 0..50_000 {
            console.invocation(&invoked().record, &charge(), Decimal::ZERO, LogLines::default);
        }
        console.close();
        let mut told = 0;
        for line in page.plain().lines() {
            let event: serde_json::Value = serde_json::from_str(line).expect("an object a line");
            told += if event["event"] == "dropped" { event["count"].as_u64().expect("a number") } else { 1 };
        }
        assert_eq!(told, 50_000);
    }
}
