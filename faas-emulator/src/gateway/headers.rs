//! The headers that tell how a reply came about.
//!
//! | header | says |
//! |---|---|
//! | `faas-request-id` | which invocation it was, as on the console |
//! | `faas-start` | `cold` or `warm` |
//! | `faas-generation` | which generation of the function replied |
//! | `faas-billed-ms`, `faas-cost-usd` | what the profile bills for it |
//! | `server-timing` | milliseconds in queue, start and handler; what was added to be as slow as a provider |
//! | `faas-error` | on replies that are the host's and not the function's: which error it is |
//!
//! A reply that streams has its bill and the handler's time as trailers. All values are written to one buffer and
//! shared from there: this runs once for every reply.

use std::{fmt::Write as _, time::Duration};

use bytes::{Bytes, BytesMut};
use faas_core::{
    billing::Charge,
    invocation::{Record, Start},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use rust_decimal::Decimal;

/// Which invocation it was.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("faas-request-id");
/// `cold` or `warm`; on a request, `cold` asks for a fresh instance.
pub const START: HeaderName = HeaderName::from_static("faas-start");
/// Which generation replied.
pub const GENERATION: HeaderName = HeaderName::from_static("faas-generation");
/// Milliseconds billed; not whole where the provider does not round.
pub const BILLED_MS: HeaderName = HeaderName::from_static("faas-billed-ms");
/// Dollars.
pub const COST_USD: HeaderName = HeaderName::from_static("faas-cost-usd");
/// Which error a reply of the host's own stands for.
pub const ERROR: HeaderName = HeaderName::from_static("faas-error");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Headers that are between two hops, and the length, which follows from the body: a function does not set them.
const NOT_THE_FUNCTIONS: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TRAILER,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Takes away what a function may not set.
pub(super) fn sanitize(headers: &mut HeaderMap) {
    // looked for among the few that there are: nearly always there is none of these
    if !headers.keys().any(|name| NOT_THE_FUNCTIONS.contains(name)) {
        return;
    }
    for name in &NOT_THE_FUNCTIONS {
        headers.remove(name);
    }
}

/// How long a function says that its reply's body is, where it leaves that away; nothing if what it says is no length.
pub(super) fn said_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Values written one after the other, each shared from one allocation.
struct Values {
    buffer: BytesMut,
    ends: [usize; 4],
    count: usize,
}

impl Values {
    fn new() -> Self {
        // an id, two numbers and three timings take some 120 bytes
        Values { buffer: BytesMut::with_capacity(192), ends: [0; 4], count: 0 }
    }

    fn push(&mut self, write: impl FnOnce(&mut BytesMut) -> std::fmt::Result) {
        // writing to a BytesMut grows it and cannot fail
        let _ = write(&mut self.buffer);
        self.ends[self.count] = self.buffer.len();
        self.count += 1;
    }

    fn into_headers<const N: usize>(self) -> [HeaderValue; N] {
        let all: Bytes = self.buffer.freeze();
        let mut begin = 0;
        std::array::from_fn(|i| {
            let end = self.ends[i];
            let value = all.slice(begin..end);
            begin = end;
            HeaderValue::from_maybe_shared(value)
                .expect("digits, letters and punctuation are allowed in headers")
        })
    }
}

fn start(headers: &mut HeaderMap, record: &Record, generation: Option<&HeaderValue>) {
    if let Some(start) = record.start {
        let value = match start {
            Start::Cold => "cold",
            Start::Warm => "warm",
        };
        headers.insert(START, HeaderValue::from_static(value));
    }
    if let Some(spec) = &record.spec {
        let value = generation.cloned().unwrap_or_else(|| HeaderValue::from(spec.generation));
        headers.insert(GENERATION, value);
    }
}

/// The first of the timings: waiting for capacity, and the start, with what the instance was made from.
fn until_started(b: &mut BytesMut, record: &Record) -> std::fmt::Result {
    b.write_str("queue;dur=")?;
    ms(b, record.queue)?;
    b.write_str(", start;")?;
    if let Some(origin) = record.usage.origin {
        write!(b, "desc={};", origin.as_str())?;
    }
    b.write_str("dur=")?;
    ms(b, record.usage.init_wall)?;
    entry(b, "injected", record.usage.injected.start())
}

/// The last of them: the handler, and what of it is due to its share of a CPU.
fn handler(b: &mut BytesMut, record: &Record) -> std::fmt::Result {
    b.write_str("handler;dur=")?;
    ms(b, record.usage.handler_wall)?;
    entry(b, "throttled", record.usage.injected.throttled)
}

/// One more, if there is any of it.
fn entry(b: &mut BytesMut, name: &str, time: Duration) -> std::fmt::Result {
    if time.is_zero() {
        return Ok(());
    }
    write!(b, ", {name};dur=")?;
    ms(b, time)
}

/// Adds the headers of an invocation that has ended. `generation` saves making one, if it is known to fit.
pub(super) fn ended(
    headers: &mut HeaderMap,
    record: &Record,
    charge: &Charge,
    generation: Option<&HeaderValue>,
) {
    start(headers, record, generation);
    let mut values = Values::new();
    values.push(|b| b.write_str(&record.id));
    values.push(|b| billed_ms(b, charge.billed));
    values.push(|b| usd(b, charge.cost_usd));
    values.push(|b| {
        until_started(b, record)?;
        b.write_str(", ")?;
        handler(b, record)
    });
    let [id, billed, cost, timing] = values.into_headers();
    headers.insert(REQUEST_ID, id);
    headers.insert(BILLED_MS, billed);
    headers.insert(COST_USD, cost);
    headers.append(SERVER_TIMING, timing);
}

/// Adds the headers of an invocation whose reply still streams, and announces the [`trailers`].
pub(super) fn streaming(headers: &mut HeaderMap, record: &Record, generation: Option<&HeaderValue>) {
    start(headers, record, generation);
    let mut values = Values::new();
    values.push(|b| b.write_str(&record.id));
    values.push(|b| until_started(b, record));
    let [id, timing] = values.into_headers();
    headers.insert(REQUEST_ID, id);
    headers.append(SERVER_TIMING, timing);
    headers.insert(header::TRAILER, HeaderValue::from_static("faas-billed-ms, faas-cost-usd, server-timing"));
}

/// What is known only when a streaming reply has ended.
pub(super) fn trailers(record: &Record, charge: &Charge) -> HeaderMap {
    let mut values = Values::new();
    values.push(|b| billed_ms(b, charge.billed));
    values.push(|b| usd(b, charge.cost_usd));
    values.push(|b| handler(b, record));
    let [billed, cost, timing] = values.into_headers();
    HeaderMap::from_iter([(BILLED_MS, billed), (COST_USD, cost), (SERVER_TIMING, timing)])
}

/// Milliseconds that are billed: `17`, or to the nanosecond where a provider does not round: `0.204031`.
fn billed_ms(buffer: &mut BytesMut, duration: Duration) -> std::fmt::Result {
    whole_ms(buffer, duration)?;
    match duration.subsec_nanos() % 1_000_000 {
        0 => Ok(()),
        part_ns => fraction::<6>(buffer, part_ns),
    }
}

/// Milliseconds to the microsecond: `12.345`.
fn ms(buffer: &mut BytesMut, duration: Duration) -> std::fmt::Result {
    whole_ms(buffer, duration)?;
    fraction::<3>(buffer, duration.subsec_micros() % 1000)
}

fn whole_ms(buffer: &mut BytesMut, duration: Duration) -> std::fmt::Result {
    let ms = duration.as_secs().saturating_mul(1000).saturating_add(duration.subsec_millis().into());
    buffer.write_str(itoa::Buffer::new().format(ms))
}

/// Dollars, as [`Decimal`] writes itself; by hand where a price is: nothing or more, of nineteen digits at most.
fn usd(buffer: &mut BytesMut, amount: Decimal) -> std::fmt::Result {
    let scale = amount.scale() as usize;
    let Some(mantissa) = u64::try_from(amount.mantissa()).ok().filter(|_| scale > 0) else {
        return write!(buffer, "{amount}");
    };
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(mantissa);
    match digits.split_at_checked(digits.len().saturating_sub(scale)) {
        Some((whole, fraction)) if !whole.is_empty() => {
            buffer.write_str(whole)?;
            buffer.write_char('.')?;
            buffer.write_str(fraction)
        }
        _ => {
            buffer.write_str("0.")?;
            (digits.len()..scale).try_for_each(|_| buffer.write_char('0'))?;
            buffer.write_str(digits)
        }
    }
}

/// A point and `N` digits. By hand: a format string takes several times as long, and there are four of these in each reply.
fn fraction<const N: usize>(buffer: &mut BytesMut, mut part: u32) -> std::fmt::Result {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit += (part % 10) as u8;
        part /= 10;
    }
    buffer.write_char('.')?;
    buffer.write_str(std::str::from_utf8(&digits).expect("digits are ASCII"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::tests::{charge, injected, invoked};

    fn listed(headers: &HeaderMap) -> String {
        let mut lines: Vec<String> =
            headers.iter().map(|(n, v)| format!("{n}: {}\n", v.to_str().expect("ascii"))).collect();
        lines.sort();
        lines.concat()
    }

    #[test]
    fn only_a_length_is_said_as_one() {
        let said = |value| {
            let headers = [(header::CONTENT_LENGTH, HeaderValue::from_static(value))];
            said_length(&headers.into_iter().collect())
        };
        assert_eq!(said("500"), Some(500));
        for value in ["", "-1", "5 ", "many", "99999999999999999999"] {
            assert_eq!(said(value), None, "{value}");
        }
        assert_eq!(said_length(&HeaderMap::new()), None);
    }

    #[test]
    fn a_reply_tells_how_it_came_about() {
        let (invoked, charge) = (invoked(), charge());
        let mut headers = HeaderMap::new();
        ended(&mut headers, &invoked.record, &charge, None);
        insta::assert_snapshot!(listed(&headers), @"
        faas-billed-ms: 2
        faas-cost-usd: 0.000000204
        faas-generation: 3
        faas-request-id: 0123456789abcdef
        faas-start: cold
        server-timing: queue;dur=0.003, start;desc=snapshot;dur=1.100, handler;dur=0.310
        ");
    }

    #[test]
    fn what_was_injected_stands_apart_from_what_was_measured() {
        let (mut invoked, charge) = (invoked(), charge());
        invoked.record.usage.injected = injected();
        let mut headers = HeaderMap::new();
        ended(&mut headers, &invoked.record, &charge, None);
        let timing = headers[SERVER_TIMING].to_str().expect("text");
        insta::assert_snapshot!(timing, @"queue;dur=0.003, start;desc=snapshot;dur=1.100, injected;dur=448.000, handler;dur=0.310, throttled;dur=119.700");
    }

    #[test]
    fn a_streaming_reply_tells_the_rest_in_trailers() {
        let (invoked, charge) = (invoked(), charge());
        let mut headers = HeaderMap::new();
        streaming(&mut headers, &invoked.record, None);
        insta::assert_snapshot!(listed(&headers), @"
        faas-generation: 3
        faas-request-id: 0123456789abcdef
        faas-start: cold
        server-timing: queue;dur=0.003, start;desc=snapshot;dur=1.100
        trailer: faas-billed-ms, faas-cost-usd, server-timing
        ");
        insta::assert_snapshot!(listed(&trailers(&invoked.record, &charge)), @"
        faas-billed-ms: 2
        faas-cost-usd: 0.000000204
        server-timing: handler;dur=0.310
        ");
    }

    proptest::proptest! {
        #[test]
        fn dollars_are_written_as_decimals_write_themselves(
            mantissa in proptest::prop_oneof![0_i128..1_000, 0_i128..1 << 95, -1_000_i128..0], scale in 0_u32..29,
        ) {
            let (amount, mut buffer) = (Decimal::from_i128_with_scale(mantissa, scale), BytesMut::new());
            usd(&mut buffer, amount).expect("a buffer grows");
            proptest::prop_assert_eq!(String::from_utf8_lossy(&buffer), amount.to_string());
        }
    }

    #[test]
    fn times_are_milliseconds_with_as_many_digits_as_they_need() {
        let written = |write: fn(&mut BytesMut, Duration) -> std::fmt::Result, ns| {
            let mut buffer = BytesMut::new();
            write(&mut buffer, Duration::from_nanos(ns)).expect("a buffer grows");
            String::from_utf8(buffer.to_vec()).expect("text")
        };
        assert_eq!(
            [0, 999, 1_000, 1_002_003, 61_000_000_000].map(|ns| written(ms, ns)),
            ["0.000", "0.000", "0.001", "1.002", "61000.000"]
        );
        assert_eq!(
            [0, 17_000_000, 204_031, 1_000_000_000_001].map(|ns| written(billed_ms, ns)),
            ["0", "17", "0.204031", "1000000.000001"]
        );
    }

    #[test]
    fn functions_do_not_frame_messages() {
        let mut headers = HeaderMap::new();
        for name in ["connection", "content-length", "transfer-encoding", "keep-alive", "content-type"] {
            headers.insert(name, HeaderValue::from_static("7"));
        }
        sanitize(&mut headers);
        assert_eq!(listed(&headers), "content-type: 7\n");
    }
}
