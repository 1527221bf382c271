//! `tracing` events and panics, told to the host.
//!
//! The smallest subscriber that serves: events as one line, spans not at all. It is the default of all threads; a
//! function that sets its own for a scope is heard by that one there.

use std::fmt::Write as _;

use tracing_core::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::imports;
use crate::abi;

pub(super) fn install() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("(no message)");
        let text = match panic.location() {
            Some(place) => format!("panicked at {place}: {message}"),
            None => format!("panicked: {message}"),
        };
        imports::log(abi::log::PANIC, &text);
    }));
    // fails only if there is one already
    let _ = tracing_core::dispatcher::set_global_default(tracing_core::Dispatch::new(ToHost));
}

struct ToHost;

impl Subscriber for ToHost {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line = Line { message: String::new(), fields: String::new() };
        event.record(&mut line);
        let level = match *metadata.level() {
            Level::ERROR => abi::log::ERROR,
            Level::WARN => abi::log::WARN,
            Level::INFO => abi::log::INFO,
            Level::DEBUG => abi::log::DEBUG,
            Level::TRACE => abi::log::TRACE,
        };
        imports::log(level, &format!("{}: {}{}", metadata.target(), line.message, line.fields));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // not by `Debug`, whose exact formatting is an eighth of a small function's code
        match serde_json::to_string(&value) {
            Ok(text) if value.is_finite() => self.record_debug(field, &format_args!("{text}")),
            _ => self.record_debug(field, &if value.is_nan() { "NaN" } else { "infinite" }),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // writing to a String cannot fail
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
