//! How events look to a person. Pure: text with ANSI colours, which the writer takes out where they do not belong.

use std::{fmt::Write as _, path::Path, time::Duration};

use anstyle::{AnsiColor, Style};
use faas_core::{
    delivery::{Cause, Progress, Span, What},
    invocation::{End, Injected, Start},
    printable::{self, on_one_line},
    schedule::rfc3339,
    transition::{LogLevel, LogLine},
};
use rust_decimal::Decimal;

use super::event::{Bill, Event, Invoked, Many, Served, Upcoming};

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const COLD: Style = AnsiColor::Cyan.on_default();
const WARN: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// Request ids are shown by so many of their digits.
const SHORT_ID: usize = 8;

/// Renders events; remembers how wide the column of names is.
#[derive(Debug, Default)]
pub struct Text {
    width: usize,
}

impl Text {
    /// The event as lines, each with its newline; empty for what does not concern a person.
    pub fn render(&mut self, event: &Event) -> String {
        let mut out = String::new();
        // writing to a String cannot fail
        let _ = self.write(&mut out, event);
        only_colours(out)
    }

    fn write(&mut self, out: &mut String, event: &Event) -> std::fmt::Result {
        match event {
            Event::Listening { addr, profile, tls } => {
                writeln!(out, "{BOLD}{}://{addr}{BOLD:#} {DIM}as {profile}{DIM:#}", scheme(*tls))
            }
            Event::Progress(line) => writeln!(out, "{}", line.trim_end()),
            Event::Notice(text) => writeln!(out, "{WARN}{text}{WARN:#}"),
            Event::Built { functions, cargo, ours } => {
                self.functions(out, functions)?;
                write!(out, "{GOOD}ready{GOOD:#} in {} ms", whole_ms(cargo.unwrap_or_default() + *ours))?;
                shares(out, *cargo, *ours)
            }
            Event::BuildFailed { message, still_serving } => {
                writeln!(out, "{}", message.trim_end())?;
                let then = if *still_serving {
                    "the last good generation is still served"
                } else {
                    "nothing is served"
                };
                writeln!(out, "{BAD}not reloaded{BAD:#}: {then}; fix it and save")
            }
            Event::Reloaded { changed, functions, retired, since_save, cargo } => {
                let shown: Vec<String> = functions
                    .iter()
                    .map(|f| format!("{BOLD}{}{BOLD:#} (generation {})", f.function, f.generation))
                    .collect();
                let gone = retired.iter().map(|name| format!("{BOLD}{name}{BOLD:#} (gone)"));
                let all: Vec<String> = shown.into_iter().chain(gone).collect();
                let what = if all.is_empty() { "nothing new".into() } else { all.join(", ") };
                write!(out, "{GOOD}reloaded{GOOD:#} {what} {} ms after save", whole_ms(*since_save))?;
                if let [file] = &changed[..] {
                    write!(out, " of {}", file_name(file))?;
                }
                shares(out, *cargo, since_save.saturating_sub(cargo.unwrap_or_default()))
            }
            Event::StartingAhead { .. } | Event::KnockIgnored { .. } => Ok(()),
            Event::Started { .. } | Event::Stopped { .. } => Ok(()),
            Event::Invocation(invoked) => self.invocation(out, invoked),
            Event::Provider(lines) => {
                lines.iter().try_for_each(|line| writeln!(out, "{}", on_one_line(line)))
            }
            Event::Many(many) => self.many(out, many),
            Event::Log(line) => self.log(out, line),
            Event::Delivery(progress) => self.delivery(out, progress),
            Event::Schedules { now, upcoming } => upcoming.iter().try_for_each(|next| {
                let Upcoming { function, schedule, at } = next;
                let wait = Span(Duration::from_secs(at.since(*now).as_secs().max(1)));
                writeln!(
                    out,
                    "  {BOLD}{function}{BOLD:#} at {schedule}: {DIM}next{DIM:#} {} (in {wait})",
                    rfc3339(*at)
                )
            }),
            Event::Dropped(count) => {
                writeln!(out, "{WARN}{count} lines were not shown: there were too many{WARN:#}")
            }
            Event::Draining(0) => writeln!(out, "{DIM}stopping{DIM:#}"),
            Event::Draining(n) => {
                writeln!(out, "{DIM}stopping when {n} connections have ended; Ctrl-C again stops now{DIM:#}")
            }
            Event::Bill(bill) => write_bill(out, bill),
        }
    }

    fn functions(&mut self, out: &mut String, functions: &[Served]) -> std::fmt::Result {
        self.widen(functions.iter().map(|f| f.function.as_str()));
        let width = self.width;
        let methods = functions.iter().map(|f| f.method.len()).max().unwrap_or_default();
        for f in functions {
            writeln!(out, "  {BOLD}{:width$}{BOLD:#}  {:methods$}  {}", f.function, f.method, f.route)?;
        }
        Ok(())
    }

    fn widen<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        self.width = names.map(str::len).max().unwrap_or_default().max(self.width);
    }

    fn invocation(&mut self, out: &mut String, invoked: &Invoked) -> std::fmt::Result {
        let Invoked { record, charge, total_usd, .. } = invoked;
        self.widen([&*record.function].into_iter());
        let width = self.width;
        let (start_style, start) = match record.start {
            Some(Start::Cold) => (COLD, "cold"),
            Some(Start::Warm) => (DIM, "warm"),
            None => (DIM, "-"),
        };
        let (style, status) = match &record.end {
            End::Replied { status, is_fault } => {
                let style = match status.as_u16() {
                    _ if *is_fault => BAD,
                    500.. => BAD,
                    400.. => WARN,
                    _ => GOOD,
                };
                (style, status.as_str().to_owned())
            }
            End::Failed(error) => (BAD, error.kind.as_str().to_owned()),
            End::Cancelled => (WARN, "cancelled".to_owned()),
        };
        write!(
            out,
            "  {BOLD}{:width$}{BOLD:#}  {start_style}{start:4}{start_style:#}  {style}{status:9}{style:#}  {:>9}  \
             {DIM}billed{DIM:#} {:>8}  {:>5.1} MiB  {DIM}{} so far{DIM:#}",
            record.function,
            ms(record.ended.since(record.arrived)),
            billed(charge.billed),
            record.usage.memory_peak_bytes as f64 / f64::from(1 << 20),
            dollars(total_usd),
        )?;
        injected(out, &record.usage.injected)?;
        writeln!(out)?;
        if let End::Failed(error) = &record.end {
            let tag = Tag { width, function: &record.function, id: &record.id };
            for line in error.message.lines() {
                writeln!(out, "{tag}{BAD}{}{BAD:#}", on_one_line(line))?;
            }
            for frame in &error.backtrace {
                writeln!(out, "{tag}  {DIM}at{DIM:#} {}", on_one_line(frame))?;
            }
        }
        Ok(())
    }

    fn many(&mut self, out: &mut String, many: &Many) -> std::fmt::Result {
        self.widen([many.function.as_str()].into_iter());
        let width = self.width;
        let failed_style = if many.failed > 0 { BAD } else { DIM };
        writeln!(
            out,
            "  {BOLD}{:width$}{BOLD:#}  {} more this second: {} cold, {failed_style}{} failed{failed_style:#}, p50 {}, \
             p99 {}  {DIM}{} so far{DIM:#}",
            many.function,
            many.count,
            many.cold,
            many.failed,
            ms(many.p50),
            ms(many.p99),
            dollars(&many.total_usd),
        )
    }

    fn delivery(&mut self, out: &mut String, progress: &Progress) -> std::fmt::Result {
        let Progress { id, function, what } = progress;
        self.widen([&**function].into_iter());
        let tag = Tag { width: self.width, function, id };
        match what {
            What::Accepted { cause: Cause::Request, .. } => {
                writeln!(out, "{tag}{DIM}accepted, to be delivered{DIM:#}")
            }
            What::Accepted { cause: Cause::Schedule, .. } => {
                writeln!(out, "{tag}{DIM}called by its schedule{DIM:#}")
            }
            What::Delivered { attempt } => writeln!(out, "{tag}{DIM}delivered in attempt {attempt}{DIM:#}"),
            What::Retry { attempt, wait, because } => writeln!(
                out,
                "{tag}{WARN}again in {}{WARN:#} after attempt {attempt}: {}",
                Span(*wait),
                on_one_line(because)
            ),
            What::Dead { because } => writeln!(
                out,
                "{tag}{BAD}dead letter{BAD:#}: {}; `faas events --redrive` puts it back",
                on_one_line(because)
            ),
            What::PutBack => writeln!(out, "{tag}{DIM}put back, to be delivered{DIM:#}"),
            What::JournalFailed { because } => writeln!(out, "{tag}{BAD}{}{BAD:#}", on_one_line(because)),
            What::ThrownAway => {
                writeln!(
                    out,
                    "{tag}{WARN}thrown away{WARN:#}: there are too many dead letters, and it is the oldest"
                )
            }
        }
    }

    fn log(&mut self, out: &mut String, line: &LogLine) -> std::fmt::Result {
        self.widen([&*line.function].into_iter());
        let tag =
            Tag { width: self.width, function: &line.function, id: line.id.as_deref().unwrap_or("init") };
        let (style, level) = match line.level {
            LogLevel::Stdout => (Style::new(), ""),
            LogLevel::Stderr => (WARN, ""),
            LogLevel::Error => (BAD, "error "),
            LogLevel::Warn => (WARN, "warn "),
            LogLevel::Info => (GOOD, "info "),
            LogLevel::Debug => (DIM, "debug "),
            LogLevel::Trace => (DIM, "trace "),
            LogLevel::Host => (DIM, "faas: "),
        };
        if level.is_empty() {
            writeln!(out, "{tag}{style}{}{style:#}", on_one_line(&line.text))
        } else {
            writeln!(out, "{tag}{style}{level}{style:#}{}", on_one_line(&line.text))
        }
    }
}

/// How much of the duration nothing ran in, because a provider would have been so slow.
fn injected(out: &mut String, of: &Injected) -> std::fmt::Result {
    let parts = [("start", of.start()), ("CPU share", of.throttled)];
    let told: Vec<String> = parts
        .iter()
        .filter(|(_, time)| !time.is_zero())
        .map(|(name, time)| format!("{} of {name}", ms(*time)))
        .collect();
    if told.is_empty() { Ok(()) } else { write!(out, "  {WARN}injected{WARN:#} {}", told.join(", ")) }
}

/// Begins a line that belongs to an invocation.
struct Tag<'a> {
    width: usize,
    function: &'a str,
    id: &'a str,
}

impl std::fmt::Display for Tag<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (width, id) = (self.width, self.id.get(..SHORT_ID).unwrap_or(self.id));
        write!(f, "  {DIM}{:width$}  {id:SHORT_ID$} |{DIM:#} ", self.function)
    }
}

fn write_bill(out: &mut String, bill: &Bill) -> std::fmt::Result {
    writeln!(out, "\n{BOLD}the bill{BOLD:#} {DIM}as {}{DIM:#}", bill.profile)?;
    let width = bill.lines.iter().map(|l| l.function.len()).max().unwrap_or_default().max("function".len());
    writeln!(
        out,
        "  {DIM}{:width$}  {:>10}  {:>14}  {:>12}  {:>16}{DIM:#}",
        "function", "requests", "GB-s", "CPU ms", "dollars"
    )?;
    for line in &bill.lines {
        writeln!(
            out,
            "  {BOLD}{:width$}{BOLD:#}  {:>10}  {:>14}  {:>12}  {:>16}",
            line.function,
            line.requests,
            format!("{:.6}", line.gb_seconds),
            format!("{:.3}", line.cpu_ms),
            dollars(&line.usd)
        )?;
        if !line.kept_usd.is_zero() {
            let kept = dollars(&line.kept_usd);
            writeln!(out, "  {DIM}{:width$}  {:>40}{DIM:#}  {kept:>16}", "", "instances kept ready")?;
        }
    }
    writeln!(
        out,
        "  {:width$}  {:>10}  {:>14}  {:>12}  {BOLD}{:>16}{BOLD:#}",
        "total",
        "",
        "",
        "",
        dollars(&bill.total_usd)
    )
}

/// What an address begins with.
pub(super) fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}

/// Whose time it was.
fn shares(out: &mut String, cargo: Option<Duration>, ours: Duration) -> std::fmt::Result {
    match cargo {
        Some(cargo) => writeln!(out, "{DIM}: cargo {}, ours {}{DIM:#}", whole_ms(cargo), whole_ms(ours)),
        None => writeln!(out),
    }
}

fn file_name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()
}

fn ms(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

/// Time that is billed: whole milliseconds where they are whole, else to the microsecond.
fn billed(duration: Duration) -> String {
    match duration.subsec_nanos() % 1_000_000 {
        0 => format!("{} ms", duration.as_millis()),
        _ => format!("{:.3} ms", duration.as_secs_f64() * 1e3),
    }
}

fn whole_ms(duration: Duration) -> u128 {
    duration.as_millis()
}

/// Dollars to a billionth, which a single invocation still moves.
pub(crate) fn dollars(usd: &Decimal) -> String {
    format!("${usd:.9}")
}

/// Lines with nothing in them that drives a terminal but the colours of ours and the compiler's: no event is trusted to
/// be made of harmless text alone.
fn only_colours(text: String) -> String {
    let is_harmless = |c: char| matches!(c, '\n' | '\t' | '\x1b') || printable::is_harmless(c);
    let begins_colour = |rest: &str| {
        let parameters = |c: char| c.is_ascii_digit() || c == ';';
        rest.strip_prefix('[').is_some_and(|rest| rest.trim_start_matches(parameters).starts_with('m'))
    };
    let is_colour = |(at, _): (usize, &str)| begins_colour(&text[at + 1..]);
    if text.chars().all(is_harmless) && text.match_indices('\x1b').all(is_colour) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        let stays = if c == '\x1b' { begins_colour(&text[at + 1..]) } else { is_harmless(c) };
        if stays { out.push(c) } else { out.extend(c.escape_default()) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bill, deliveries, failed, injected, invoked, log, served};
    use super::*;

    /// The event without its colours.
    fn plain(text: &mut Text, event: &Event) -> String {
        anstream::adapter::strip_str(&text.render(event)).to_string()
    }

    #[test]
    fn a_session_reads_calmly() {
        let mut text = Text::default();
        let ms = Duration::from_millis;
        let events = [
            Event::Listening {
                addr: ([127, 0, 0, 1], 3000).into(),
                profile: "aws-lambda".into(),
                tls: false,
            },
            Event::Built { functions: served(), cargo: Some(ms(310)), ours: ms(97) },
            Event::Invocation(Box::new(invoked())),
            log("0123456789abcdef", "an order of 7"),
            Event::Invocation(Box::new(failed())),
            Event::Many(Many {
                function: "hello".into(),
                count: 48_231,
                cold: 3,
                failed: 0,
                p50: Duration::from_micros(240),
                p99: Duration::from_micros(1870),
                total_usd: Decimal::new(1012, 5),
            }),
            Event::BuildFailed { message: "error: expected `;`\n".into(), still_serving: true },
            Event::Reloaded {
                changed: vec!["/p/src/main.rs".into()],
                functions: served()[..1].to_vec(),
                retired: vec!["old".into()],
                since_save: ms(212),
                cargo: Some(ms(198)),
            },
            Event::Dropped(7),
            Event::Draining(2),
            Event::Bill(bill()),
        ];
        let page: String = events.iter().map(|event| plain(&mut text, event)).collect();
        insta::assert_snapshot!(page);
    }

    #[test]
    fn what_was_injected_is_marked() {
        let mut slow = invoked();
        slow.record.usage.injected = injected();
        insta::assert_snapshot!(plain(&mut Text::default(), &Event::Invocation(Box::new(slow))), @"  hello  cold  200          1.52 ms  billed     2 ms    1.1 MiB  $0.000000408 so far  injected 448.00 ms of start, 119.70 ms of CPU share");
    }

    #[test]
    fn no_event_does_more_to_the_terminal_than_colour_it() {
        let words = "\u{1b}[1;31mred\u{1b}[0m\n\u{1b}[2J\u{1b}]0;owned\u{7}\r\u{9b}2J\u{202e}";
        let mut text = Text::default();
        insta::assert_snapshot!(
            text.render(&Event::Progress(words.into())).replace('\u{1b}', "ESC"),
            @r"
        ESC[1;31mredESC[0m
        \u{1b}[2J\u{1b}]0;owned\u{7}\r\u{9b}2J\u{202e}
        "
        );
        let mut served = served();
        served[0].route = "/\u{1b}[2J".into();
        let built = Event::Built { functions: served, cargo: None, ours: Duration::ZERO };
        assert!(plain(&mut text, &built).contains(r"/\u{1b}[2J"));
    }

    #[test]
    fn guests_cannot_drive_the_terminal() {
        let shown = plain(&mut Text::default(), &log("id", "\u{1b}[2Jgone\tand\u{7}"));
        insta::assert_snapshot!(shown, @r"f  id       | \u{1b}[2Jgone	and\u{7}");
    }

    #[test]
    fn how_far_an_event_is_is_told_in_a_line() {
        let mut text = Text::default();
        let page: String = deliveries().iter().map(|event| plain(&mut text, event)).collect();
        insta::assert_snapshot!(page);
    }
}
