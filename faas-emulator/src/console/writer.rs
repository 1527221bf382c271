//! The thread that writes, and how long its end is waited for.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use faas_core::clock::{SharedClock, Time};

use super::{
    Format,
    event::Event,
    flood::Due,
    group::Grouping,
    json,
    queue::{Popped, Queue},
    text::Text,
    told,
};

/// Who has read nothing for so long at the end reads no more.
pub(super) const UNREAD: Duration = Duration::from_secs(3);

/// The thread that writes, as seen by who waits for its end.
#[derive(Debug)]
pub(super) struct Writer {
    written_bytes: Arc<AtomicU64>,
    /// Nothing is ever sent: it breaks off when the thread ends.
    ended: mpsc::Receiver<()>,
}

impl Writer {
    /// Writes what comes through `queue` to `out`, until that is closed.
    pub(super) fn start(
        queue: Arc<Queue>,
        format: Format,
        clock: SharedClock,
        floods_due: impl Fn(Time) -> Vec<Due> + Send + 'static,
        out: impl Write + Send + 'static,
    ) -> std::io::Result<Self> {
        let written_bytes = Arc::<AtomicU64>::default();
        let (ends, ended) = mpsc::channel();
        let counted = Counted { out, written_bytes: written_bytes.clone() };
        std::thread::Builder::new().name("console".into()).spawn(move || {
            let _ends: mpsc::Sender<()> = ends;
            write_all(&queue, format, &clock, floods_due, counted);
        })?;
        Ok(Writer { written_bytes, ended })
    }

    /// Until it has written all, has panicked, which it has said already, or is stuck.
    pub(super) fn wait(&self, unread: Duration) {
        let mut written_bytes = self.written_bytes.load(Ordering::Relaxed);
        while self.ended.recv_timeout(unread) == Err(mpsc::RecvTimeoutError::Timeout) {
            let before = std::mem::replace(&mut written_bytes, self.written_bytes.load(Ordering::Relaxed));
            if written_bytes == before {
                return;
            }
        }
    }
}

/// Says how far it is. Writes little at a time, so that this shows whether somebody reads.
struct Counted<W> {
    out: W,
    written_bytes: Arc<AtomicU64>,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(&bytes[..bytes.len().min(4096)])?;
        self.written_bytes.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// How long the writer sleeps at most: held-back seconds are told within this.
const TICK: Duration = Duration::from_millis(250);

fn write_all(
    queue: &Queue,
    format: Format,
    clock: &SharedClock,
    floods_due: impl Fn(Time) -> Vec<Due>,
    mut out: impl Write,
) {
    let (mut text, mut group) = (Text::default(), Grouping::default());
    loop {
        let popped = queue.pop(TICK);
        let now = clock.now();
        let mut page = String::new();
        let mut show = |event: &Event| match format {
            Format::Text | Format::Provider => page.push_str(&text.render(event)),
            Format::Json => page.push_str(&json::render(event)),
        };
        let (events, dropped, closed) = match popped {
            Popped::Events { events, dropped } => (events, dropped, false),
            Popped::Closed => (Vec::new(), 0, true),
        };
        for event in events {
            match event {
                Event::Log(line) if format != Format::Json => {
                    if let Some(line) = group.keep(now, line) {
                        show(&Event::Log(line));
                    }
                }
                Event::Invocation(mut invoked) if format == Format::Provider && invoked.lines.is_some() => {
                    let after = std::mem::take(&mut invoked.lines.after);
                    let logs = group.ended(&invoked.record.id);
                    show(&Event::Provider(std::mem::take(&mut invoked.lines.before)));
                    logs.into_iter().for_each(|line| show(&Event::Log(line)));
                    show(&Event::Provider(after));
                }
                Event::Invocation(invoked) if format != Format::Json => {
                    let lines = group.ended(&invoked.record.id);
                    show(&Event::Invocation(invoked));
                    lines.into_iter().for_each(|line| show(&Event::Log(line)));
                }
                event => show(&event),
            }
        }
        if dropped > 0 {
            show(&Event::Dropped(dropped));
        }
        let patience = if closed { Time::from_unix_nanos(u64::MAX) } else { now };
        group.overdue(patience).into_iter().for_each(|line| show(&Event::Log(line)));
        floods_due(now).into_iter().for_each(|due| show(&told(due)));
        // whoever read us may be gone; the server goes on without
        let _ = out.write_all(page.as_bytes()).and_then(|()| out.flush());
        if closed {
            return;
        }
    }
}
