//! Text of strangers for a terminal: what a module, a function or a client wrote must not drive it.
//!
//! Control characters move the cursor, clear the screen and forge lines; C1 controls do so without an escape, and bidirectional
//! controls let a line read as another. They are shown as what they are. Pure; used by whoever puts such text into words.

use std::borrow::Cow;

/// Whether a character shows what it is, and does nothing.
pub fn is_harmless(c: char) -> bool {
    let is_bidi = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    // the separators of lines and paragraphs break lines in some terminals
    !c.is_control() && !is_bidi && !matches!(c, '\u{2028}' | '\u{2029}')
}

/// The text on one line, with what is not harmless escaped: `\u{1b}` for ESC, `\n` for a newline. Tabs stay.
///
/// ```
/// # use faas_core::printable::on_one_line;
/// assert_eq!(on_one_line("an order\tof 7"), "an order\tof 7");
/// assert_eq!(on_one_line("\u{1b}[2Jgone\r\n"), r"\u{1b}[2Jgone\r\n");
/// ```
pub fn on_one_line(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\t')
}

/// The text on its own lines, else as [`on_one_line`].
pub fn on_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| matches!(c, '\t' | '\n'))
}

fn escaped(text: &str, is_allowed: impl Fn(char) -> bool) -> Cow<'_, str> {
    let stays = |c: char| is_harmless(c) || is_allowed(c);
    if text.chars().all(&stays) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if stays(c) { out.push(c) } else { out.extend(c.escape_default()) }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_is_shown_and_what_people_write_is_not_touched() {
        for people in ["", "naïve – 注文\t7", "🦀 \u{a0}"] {
            assert_eq!(on_one_line(people), people);
        }
        let driven = "\u{1b}[2J\r\n\u{7f}\u{9b}2J\u{202e}gnp.exe\u{2066}\u{200f}\u{61c}\u{2028}";
        assert_eq!(
            on_one_line(driven),
            r"\u{1b}[2J\r\n\u{7f}\u{9b}2J\u{202e}gnp.exe\u{2066}\u{200f}\u{61c}\u{2028}"
        );
        assert_eq!(on_lines("one\ntwo\r\n"), "one\ntwo\\r\n");
    }
}
