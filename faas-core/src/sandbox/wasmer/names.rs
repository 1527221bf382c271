//! Names of a guest's functions as a backtrace shows them: demangled, and never long.
//!
//! wasmer makes a copy of a function's name for each frame of a trap, of which there may be thousands, and each error keeps some. So a
//! module with a long name has its names made readable and short before wasmer sees it: [`bounded`]. No other module is
//! touched; their short names are demangled when they are shown: [`readable`].

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    ops::Range,
};

use wasmer::sys::wasmparser::{BinaryReader, Name, NameSectionReader, Parser, Payload};

/// The longest name: some two lines of a terminal. Longer ones end in an ellipsis.
const MAX_NAME_BYTES: usize = 256;
/// A mangled name that is longer is not demangled: rustc's are some kilobytes at the most.
const MAX_MANGLED_BYTES: usize = 64 << 10;
const ELLIPSIS: char = '…';
/// Its size is what wasm says of a custom section, see the specification's appendix on them.
const CUSTOM_SECTION: u8 = 0;
const SECTION: &str = "name";
const MODULE_SUBSECTION: u8 = 0;
const FUNCTIONS_SUBSECTION: u8 = 1;

/// The name for people, cut.
pub(super) fn readable(name: &str) -> String {
    let mut text = Text { text: String::new(), is_cut: false };
    // whoever writes is told to stop when there is no more room
    let written = if name.len() <= MAX_MANGLED_BYTES {
        write!(text, "{:#}", rustc_demangle::demangle(name))
    } else {
        text.write_str(name)
    };
    if written.is_err() || text.is_cut {
        let end = text.text.floor_char_boundary(MAX_NAME_BYTES - ELLIPSIS.len_utf8());
        text.text.truncate(end);
        text.text.push(ELLIPSIS);
    }
    text.text
}

/// Text that takes no more than a name may have.
struct Text {
    text: String,
    is_cut: bool,
}

impl fmt::Write for Text {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = MAX_NAME_BYTES - self.text.len();
        self.text.push_str(&more[..more.floor_char_boundary(room)]);
        self.is_cut |= more.len() > room;
        if self.is_cut { Err(fmt::Error) } else { Ok(()) }
    }
}

/// The module with no name longer than a backtrace shows. What is not a module is given back as it is.
pub(super) fn bounded(wasm: &[u8]) -> Cow<'_, [u8]> {
    let long = sections_of_long_names(wasm);
    if long.is_empty() {
        return Cow::Borrowed(wasm);
    }
    let (mut bounded, mut copied) = (Vec::with_capacity(wasm.len()), 0);
    for (section, names) in long {
        bounded.extend_from_slice(&wasm[copied..section.start]);
        bounded.extend(names.section());
        copied = section.end;
    }
    bounded.extend_from_slice(&wasm[copied..]);
    Cow::Owned(bounded)
}

/// Where sections are that give long names, and what they give.
fn sections_of_long_names(wasm: &[u8]) -> Vec<(Range<usize>, Names<'_>)> {
    let (mut sections, mut end) = (Vec::new(), 0);
    // a broken module is the compiler's to refuse
    for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
        if let Payload::CustomSection(section) = &payload
            && section.name() == SECTION
        {
            let names = Names::of(section.data());
            if names.is_long {
                sections.push((end..section.range().end as usize, names));
            }
        }
        // sections follow one another; positions in a slice fit into its index
        end = match &payload {
            Payload::Version { range, .. } => range.end as usize,
            other => other.as_section().map_or(end, |(_, range)| range.end as usize),
        };
    }
    sections
}

/// What a name section says that anybody asks for.
#[derive(Default)]
struct Names<'a> {
    module: Option<&'a str>,
    functions: Vec<(u32, &'a str)>,
    is_long: bool,
}

impl<'a> Names<'a> {
    /// As wasmer reads it: past what is broken.
    fn of(data: &'a [u8]) -> Self {
        let mut names = Names::default();
        for part in NameSectionReader::new(BinaryReader::new(data, 0)).flatten() {
            match part {
                Name::Module { name, .. } => names.module = Some(name),
                Name::Function(map) => {
                    names
                        .functions
                        .extend(map.into_iter().flatten().map(|naming| (naming.index, naming.name)));
                }
                _ => {}
            }
        }
        let is_long = |name: &str| name.len() > MAX_NAME_BYTES;
        names.is_long =
            names.module.is_some_and(is_long) || names.functions.iter().any(|(_, name)| is_long(name));
        names
    }

    /// A section that says the same in short.
    fn section(&self) -> Vec<u8> {
        let mut content = sized(SECTION.as_bytes());
        if let Some(name) = self.module {
            content.push(MODULE_SUBSECTION);
            content.extend(sized(&sized(short(name).as_bytes())));
        }
        let mut map = leb(self.functions.len());
        for (index, name) in &self.functions {
            map.extend(leb(*index as usize));
            map.extend(sized(short(name).as_bytes()));
        }
        content.push(FUNCTIONS_SUBSECTION);
        content.extend(sized(&map));
        let mut section = vec![CUSTOM_SECTION];
        section.extend(sized(&content));
        section
    }
}

fn short(name: &str) -> Cow<'_, str> {
    if name.len() > MAX_NAME_BYTES { readable(name).into() } else { name.into() }
}

/// Bytes after their number, as wasm has them everywhere.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let mut sized = leb(bytes.len());
    sized.extend_from_slice(bytes);
    sized
}

/// A number in LEB128.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let seven = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(seven);
            return bytes;
        }
        bytes.push(seven | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_demangled_and_cut() {
        assert_eq!(readable("_ZN5hello5greet17h0123456789abcdefE"), "hello::greet");
        assert_eq!(readable("main"), "main");
        let longest = "x".repeat(MAX_NAME_BYTES);
        assert_eq!(readable(&longest), longest);
        // three bytes each, and 255 is a boundary of theirs, 253 is none
        for (name, begin) in [("x".repeat(5 << 20), "x".repeat(253)), ("語".repeat(1000), "語".repeat(84))]
        {
            let cut = readable(&name);
            assert_eq!(cut, format!("{begin}…"));
            assert_eq!(readable(&cut), cut, "cut once, it stays");
        }
        let mangled = format!("_ZN5hello300{}17h0123456789abcdefE", "y".repeat(300));
        assert_eq!(readable(&mangled), format!("hello::{}…", "y".repeat(246)));
    }

    #[test]
    fn a_short_name_that_means_a_long_one_is_cut_as_well() {
        // v0's mangling refers back: each argument of `a::f` is a pair of the one before, so that the last means 2^30 numbers
        let digits: Vec<char> = ('0'..='9').chain('a'..='z').chain('A'..='Z').collect();
        let back = |at: usize| match at - 1 {
            n @ 0..62 => format!("B{}_", digits[n]),
            n => format!("B{}{}_", digits[n / 62], digits[n % 62]),
        };
        let (mut path, mut last) = ("INvC1a1fTllE".to_owned(), "INvC1a1f".len());
        for _ in 0..30 {
            let pair = format!("T{0}{0}E", back(last));
            last = path.len();
            path += &pair;
        }
        let shown = readable(&format!("_R{path}E"));
        assert!(shown.starts_with("a::f::<(i32, i32), ((i32, i32), (i32, i32)), "), "{shown}");
        assert!(shown.ends_with('…') && shown.len() <= MAX_NAME_BYTES, "{shown}");
    }

    fn names_of(wasm: &[u8]) -> (Option<String>, Vec<(u32, String)>) {
        let engine = super::super::engine::Tier::Fast.engine();
        let module = wasmer::Module::new(&engine, wasm).expect("a module");
        let names = &module.info().function_names;
        let mut names: Vec<_> = names.iter().map(|(i, name)| (i.as_u32(), name.clone())).collect();
        names.sort();
        (module.info().name.clone(), names)
    }

    #[test]
    fn a_module_of_long_names_gets_short_ones() {
        let mangled = format!("_ZN5hello300{}17h0123456789abcdefE", "y".repeat(300));
        let wat = |module: &str, name: &str| {
            let wat = format!(
                r#"(module (@name "{module}") (@custom "before" "1") (memory 1) (func $short (param $p i32))
                    (func (@name "{name}") (call $short (i32.const 1))) (data (i32.const 0) "x") (@custom "after" "2"))"#
            );
            wat::parse_str(wat).expect("valid WAT")
        };
        let plain = wat("m", "f");
        assert!(matches!(bounded(&plain), Cow::Borrowed(_)), "nothing is long");
        let short = |name: &str| (0, name.to_owned());
        let long = bounded(&wat("m", &mangled)).into_owned();
        let name = format!("hello::{}…", "y".repeat(246));
        assert_eq!(names_of(&long), (Some("m".into()), vec![short("short"), (1, name)]));
        let long = bounded(&wat(&"m".repeat(70_000), "f")).into_owned();
        assert_eq!(
            names_of(&long),
            (Some(format!("{}…", "m".repeat(253))), vec![short("short"), (1, "f".into())])
        );
        // all else is as it was
        let others = |wasm: &[u8]| {
            let payloads = Parser::new(0).parse_all(wasm).map(|payload| payload.expect("valid"));
            let sections = payloads.filter_map(|payload| {
                let is_names =
                    matches!(&payload, Payload::CustomSection(section) if section.name() == SECTION);
                payload
                    .as_section()
                    .filter(|_| !is_names)
                    .map(|(id, range)| (id, wasm[range.start as usize..range.end as usize].to_vec()))
            });
            sections.collect::<Vec<_>>()
        };
        assert_eq!(others(&long), others(&plain));
    }

    #[test]
    fn what_is_no_module_is_left_to_the_compiler() {
        let wasm =
            wat::parse_str(format!(r#"(module (func (@name "{}")))"#, "x".repeat(1000))).expect("valid WAT");
        for bytes in [&b""[..], b"#!/bin/sh", b"\0asm", &wasm[..wasm.len() - 1], &wasm[..20]] {
            assert!(matches!(bounded(bytes), Cow::Borrowed(same) if same == bytes));
        }
    }

    #[test]
    fn of_a_name_section_that_is_broken_what_can_be_read_is_cut() {
        let mut map = leb(2);
        map.push(0);
        map.extend(sized("x".repeat(1000).as_bytes()));
        map.push(0xff);
        let mut data = vec![FUNCTIONS_SUBSECTION];
        data.extend(sized(&map));
        let names = Names::of(&data);
        assert!(names.is_long);
        assert_eq!(names.functions, [(0, &*"x".repeat(1000))]);
        assert!(names.section().len() < MAX_NAME_BYTES + 20);
    }
}
