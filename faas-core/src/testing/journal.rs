//! Keeps what is reported: records, and each step as a line. Decides nothing.

use parking_lot::Mutex;

use super::run::START;
use crate::{
    clock::{Clock as _, VirtualClock},
    delivery::{Progress, Span, What},
    invocation::{Record, Start},
    transition::{Observer, Transition},
};

#[derive(Debug)]
pub(super) struct Journal {
    clock: VirtualClock,
    pub(super) records: Mutex<Vec<Record>>,
    pub(super) lines: Mutex<Vec<String>>,
}

impl Journal {
    pub(super) fn new(clock: VirtualClock) -> Self {
        Journal { clock, records: Mutex::default(), lines: Mutex::default() }
    }
}

impl Observer for Journal {
    fn observe(&self, transition: &Transition<'_>) {
        let text = match transition {
            Transition::Queued { function, depth } => format!("{function} queued as number {depth}"),
            Transition::StartingAhead { spec } => {
                format!("{}.{} is being started ahead", spec.name, spec.generation)
            }
            Transition::Started { spec, took } => {
                format!("{}.{} started in {} ms", spec.name, spec.generation, took.as_millis())
            }
            Transition::StartFailed { spec, error, .. } => {
                format!("{}.{} did not start: {error}", spec.name, spec.generation)
            }
            Transition::Stopped { spec, reason, .. } => {
                format!("{}.{} stopped: {reason:?}", spec.name, spec.generation)
            }
            Transition::Event(progress) => {
                let Progress { id, function, what } = progress;
                match what {
                    What::Accepted { cause, .. } => format!("{function} {id} accepted: {}", cause.as_str()),
                    What::Delivered { attempt } => format!("{function} {id} delivered in attempt {attempt}"),
                    What::Retry { attempt, wait, because } => {
                        format!("{function} {id} again in {} after attempt {attempt}: {because}", Span(*wait))
                    }
                    What::Dead { because } => format!("{function} {id} is a dead letter: {because}"),
                    What::PutBack => format!("{function} {id} put back"),
                    What::JournalFailed { because } => format!("{function} {id}: {because}"),
                    What::ThrownAway => format!("{function} {id} thrown away"),
                }
            }
            Transition::Log(line) => format!("{} says: {}", line.function, line.text),
            Transition::Finished(record) => {
                self.records.lock().push((*record).clone());
                let how = record.end.as_str();
                let start = record.start.map_or("not started", Start::as_str);
                let took_ms = record.ended.since(record.arrived).as_millis();
                format!("{} {} {start}: {how} after {took_ms} ms", record.function, record.id)
            }
        };
        let ms = self.clock.now().since(START).as_millis();
        let (s, ms) = (ms / 1000, ms % 1000);
        self.lines.lock().push(format!("{}:{:02}:{:02}.{ms:03} {text}", s / 3600, s / 60 % 60, s % 60));
    }
}
