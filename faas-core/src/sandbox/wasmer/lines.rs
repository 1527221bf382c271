//! A guest's output, cut into lines and bounded: a flood costs the guest its log, and nobody anything else.

/// The longest line passed on; the rest of it is dropped.
pub(super) const MAX_LINE_BYTES: usize = 16 << 10;
/// The most output passed on for one invocation, all its streams together.
pub(super) const MAX_INVOCATION_BYTES: usize = crate::limits::MAX_LOG_BYTES as usize;

/// One stream's unfinished line.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
    dropped: usize,
}

impl Lines {
    /// Takes what the guest wrote and hands each line that it completes to `line`.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(String)) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.append(&bytes[..end]);
            line(self.take());
            bytes = &bytes[end + 1..];
        }
        self.append(bytes);
    }

    /// Hands over an unfinished last line.
    pub(super) fn flush(&mut self, line: impl FnOnce(String)) {
        if !self.partial.is_empty() || self.dropped > 0 {
            line(self.take());
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        let room = MAX_LINE_BYTES - self.partial.len().min(MAX_LINE_BYTES);
        let taken = bytes.len().min(room);
        self.partial.extend_from_slice(&bytes[..taken]);
        self.dropped += bytes.len() - taken;
    }

    fn take(&mut self) -> String {
        if self.partial.last() == Some(&b'\r') {
            self.partial.pop();
        }
        let mut text = String::from_utf8_lossy(&self.partial).into_owned();
        if self.dropped > 0 {
            text.push_str(&format!(" … ({} more bytes)", self.dropped));
        }
        self.partial.clear();
        self.dropped = 0;
        text
    }
}

/// What the shortest event counts as: without text it is a line on the console all the same.
const MIN_EVENT_BYTES: usize = 16;

/// How much of an invocation's output is passed on.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Budget {
    used: usize,
    dropped: usize,
}

impl Budget {
    /// How many of `len` bytes may be passed on; the rest is counted as dropped.
    pub(super) fn take(&mut self, len: usize) -> usize {
        let taken = len.min(MAX_INVOCATION_BYTES - self.used);
        self.used += taken;
        self.dropped += len - taken;
        taken
    }

    /// Whether an event with a text so long may be passed on. It is in whole or not at all.
    pub(super) fn take_event(&mut self, len: usize) -> bool {
        let cost = len.max(MIN_EVENT_BYTES);
        let fits = cost <= MAX_INVOCATION_BYTES - self.used;
        if fits {
            self.used += cost;
        } else {
            self.dropped += len;
            // what comes later would be read as if nothing were missing before it
            self.used = MAX_INVOCATION_BYTES;
        }
        fits
    }

    /// How many bytes there were, those that were dropped included.
    pub(super) fn written(self) -> u64 {
        (self.used + self.dropped) as u64
    }

    /// How many bytes were dropped.
    pub(super) fn dropped(self) -> usize {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pushes: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        for bytes in pushes {
            lines.push(bytes, |line| out.push(line));
        }
        lines.flush(|line| out.push(line));
        out
    }

    #[test]
    fn writes_are_not_lines() {
        assert_eq!(lines(&[b"one\ntw", b"o\r\n\nthree"]), ["one", "two", "", "three"]);
        assert_eq!(lines(&[b"\xff\n"]), ["\u{fffd}"]);
        assert!(lines(&[b""]).is_empty());
    }

    #[test]
    fn a_line_without_end_takes_bounded_room_and_says_what_it_lost() {
        let flood = vec![b'x'; MAX_LINE_BYTES];
        let out = lines(&[&flood, &flood, b"y\nnext\n"]);
        assert_eq!(out.len(), 2);
        assert!(out[0].ends_with("x … (16385 more bytes)"), "{}", &out[0][MAX_LINE_BYTES..]);
        assert_eq!(out[1], "next");
    }

    #[test]
    fn an_invocation_has_one_budget() {
        let mut budget = Budget::default();
        assert_eq!(budget.take(MAX_INVOCATION_BYTES - 1), MAX_INVOCATION_BYTES - 1);
        assert_eq!(budget.take(10), 1);
        assert_eq!(budget.dropped(), 9);
    }

    #[test]
    fn events_are_passed_on_in_whole_and_cost_something_even_when_empty() {
        let mut budget = Budget::default();
        let mut count = 0;
        while budget.take_event(0) {
            count += 1;
        }
        assert_eq!(count, MAX_INVOCATION_BYTES / MIN_EVENT_BYTES);
        let mut budget = Budget::default();
        assert!(budget.take_event(MAX_INVOCATION_BYTES - 20));
        assert!(!budget.take_event(30), "in whole or not at all");
        assert_eq!((budget.take(1), budget.dropped()), (0, 31), "and after a gap nothing");
    }
}
