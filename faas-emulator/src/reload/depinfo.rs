//! Reads cargo's dep-info files: what an artifact was made of.
//!
//! Beside each final artifact cargo writes `<name>.d`, a Makefile rule that names every source file of the
//! package and of the path dependencies it was built with, files of `include_str!` and of a build script's
//! `rerun-if-changed` included. Registry crates are not named: they do not change. Pure.

use std::path::PathBuf;

/// The prerequisites of every rule in `text`, in their order, each once.
///
/// The format is make's as cargo writes it: `target: file file`, with spaces and backslashes in names escaped by a
/// backslash, and comments on lines of their own.
pub fn inputs(text: &str) -> Vec<PathBuf> {
    let mut inputs = Vec::new();
    // make's continuation of a line, which rustc does not write and other tools do
    for line in text.replace("\\\n", " ").lines() {
        if line.starts_with('#') {
            continue;
        }
        let Some((_target, files)) = line.split_once(": ") else { continue };
        for file in words(files) {
            let file = PathBuf::from(file);
            if !inputs.contains(&file) {
                inputs.push(file);
            }
        }
    }
    inputs
}

/// Splits at spaces that no backslash escapes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if matches!(chars.peek(), Some(' ' | '\\' | '#')) => word.extend(chars.next()),
            ' ' if word.is_empty() => {}
            ' ' => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        inputs(text).into_iter().map(|p| p.display().to_string()).collect()
    }

    #[test]
    fn a_rule_names_its_files() {
        assert_eq!(read("/t/hello.wasm: /p/src/main.rs /p/page.html\n"), ["/p/src/main.rs", "/p/page.html"]);
    }

    #[test]
    fn escaped_spaces_and_backslashes_belong_to_the_name() {
        assert_eq!(
            read(r"/t/a.wasm: /my\ project/src/main.rs /p/odd\\name.rs /p/x\#y.rs"),
            ["/my project/src/main.rs", r"/p/odd\name.rs", "/p/x#y.rs"]
        );
    }

    #[test]
    fn a_file_of_several_rules_counts_once() {
        assert_eq!(read("a.wasm: one two\n\nlib.rlib: two three\n\none:\ntwo:\n"), ["one", "two", "three"]);
    }

    #[test]
    fn comments_and_nothing_are_no_files() {
        assert_eq!(read("# env-dep:CARGO_PKG_NAME=hello\n\n"), Vec::<String>::new());
        assert_eq!(read("a.wasm:\n"), Vec::<String>::new());
    }

    #[test]
    fn windows_paths_keep_their_backslashes() {
        assert_eq!(read(r"C:\t\a.wasm: C:\p\src\main.rs"), [r"C:\p\src\main.rs"]);
    }
}
