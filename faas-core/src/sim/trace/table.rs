//! Comma-separated tables, line by line: bounded memory, and for everything that is wrong its line.
//!
//! The data sets quote nothing, so a comma always separates, and quotes are refused.

use std::{
    io::{BufRead, Read as _},
    ops::Range,
    path::{Path, PathBuf},
};

use super::TraceError;

/// Longer than any row of the data sets (1,440 counts) by a factor of thirty.
const MAX_LINE_BYTES: u64 = 1 << 19;
/// A minute's invocations lie in memory at once, with 32 bytes each.
const MAX_COUNT: u32 = 10_000_000;

/// A table whose rows are read one at a time.
#[derive(Debug)]
pub(super) struct Table<R> {
    reader: R,
    file: PathBuf,
    line: u64,
    text: Vec<u8>,
    columns: Vec<String>,
    fields: Vec<Range<usize>>,
}

impl<R: BufRead> Table<R> {
    /// Reads the header.
    pub(super) fn new(reader: R, file: &Path) -> Result<Self, TraceError> {
        let (columns, fields) = (Vec::new(), Vec::new());
        let mut table = Table { reader, file: file.to_owned(), line: 0, text: Vec::new(), columns, fields };
        if !table.next_line()? {
            return Err(TraceError::of_file(file, "the file is empty").expected("a line with column names"));
        }
        table.columns = (0..table.fields.len()).map(|n| table.field(n).trim().to_owned()).collect();
        for (n, name) in table.columns.iter().enumerate() {
            if table.columns[..n].contains(name) {
                return Err(table.wrong(format!("there are two columns `{name}`")));
            }
        }
        Ok(table)
    }

    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The line that was read last; the header's is 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Where a column is.
    pub(super) fn column(&self, name: &str) -> Result<usize, TraceError> {
        self.columns.iter().position(|column| column == name).ok_or_else(|| {
            let mut there = self.columns.iter().take(8).cloned().collect::<Vec<_>>().join(",");
            there.truncate(120);
            self.wrong(format!("there is no column `{name}`"))
                .expected(format!("it in the header, which begins `{there}`"))
        })
    }

    /// Goes to the next row; false at the end.
    pub(super) fn next_row(&mut self) -> Result<bool, TraceError> {
        if !self.next_line()? {
            return Ok(false);
        }
        if self.fields.len() != self.columns.len() {
            let (found, wanted) = (self.fields.len(), self.columns.len());
            return Err(self
                .wrong(format!("the row has {found} fields"))
                .expected(format!("{wanted}, as the header has")));
        }
        Ok(true)
    }

    /// A field of the row.
    pub(super) fn field(&self, column: usize) -> &str {
        // every line was checked as a whole, and commas are characters of their own
        std::str::from_utf8(&self.text[self.fields[column].clone()])
            .expect("next_line() has checked the text")
    }

    /// A field that names something.
    pub(super) fn name(&self, column: usize) -> Result<&str, TraceError> {
        let name = self.field(column).trim();
        if name.is_empty() {
            return Err(self.wrong(format!("`{}` is empty", self.columns[column])).expected("a name"));
        }
        Ok(name)
    }

    /// A field that counts.
    pub(super) fn count(&self, column: usize) -> Result<u32, TraceError> {
        let bytes = &self.text[self.fields[column].clone()];
        let value = bytes.iter().try_fold(0_u32, |sum, byte| {
            let digit = byte.wrapping_sub(b'0');
            if digit < 10 { sum.checked_mul(10)?.checked_add(u32::from(digit)) } else { None }
        });
        value
            .filter(|count| !bytes.is_empty() && *count <= MAX_COUNT)
            .ok_or_else(|| self.not(column, "a whole number, from 0 to 10,000,000"))
    }

    /// A field that measures.
    pub(super) fn number(&self, column: usize) -> Result<f64, TraceError> {
        let value: Option<f64> = self.field(column).trim().parse().ok();
        value
            .filter(|value| value.is_finite() && *value >= 0.0)
            .ok_or_else(|| self.not(column, "a number, 0 or more"))
    }

    fn not(&self, column: usize, expected: &str) -> TraceError {
        let found: String = self.field(column).chars().take(40).collect();
        self.wrong(format!("column `{}` holds `{found}`", self.columns[column])).expected(expected)
    }

    /// Something that is wrong here.
    pub(super) fn wrong(&self, what: impl Into<String>) -> TraceError {
        TraceError::at(&self.file, self.line, what)
    }

    /// Reads the next line that is not empty, and finds its fields.
    fn next_line(&mut self) -> Result<bool, TraceError> {
        loop {
            self.text.clear();
            self.line += 1;
            let mut limited = (&mut self.reader).take(MAX_LINE_BYTES + 1);
            if let Err(why) = limited.read_until(b'\n', &mut self.text) {
                return Err(self.wrong(format!("cannot be read: {why}")));
            }
            if self.text.is_empty() {
                return Ok(false);
            }
            if self.text.len() as u64 > MAX_LINE_BYTES {
                return Err(self
                    .wrong("the line does not end")
                    .expected(format!("lines of {MAX_LINE_BYTES} bytes at most, if this is a trace")));
            }
            while matches!(self.text.last(), Some(b'\n' | b'\r')) {
                self.text.pop();
            }
            if self.line == 1 && self.text.starts_with(b"\xef\xbb\xbf") {
                self.text.drain(..3);
            }
            if !self.text.is_empty() {
                break;
            }
        }
        if self.line == 1 && self.text.starts_with(b"\x1f\x8b") {
            return Err(self.wrong("the file is compressed").expected("it unpacked, as gunzip does"));
        }
        if std::str::from_utf8(&self.text).is_err() {
            return Err(self.wrong("this is no text").expected("a table of comma-separated values"));
        }
        if self.text.contains(&b'"') {
            return Err(self.wrong("there is a quotation mark").expected("fields without quotes"));
        }
        self.fields.clear();
        let mut from = 0;
        for (at, _) in self.text.iter().enumerate().filter(|(_, byte)| **byte == b',') {
            self.fields.push(from..at);
            from = at + 1;
        }
        self.fields.push(from..self.text.len());
        Ok(true)
    }
}
