//! Whether memory and globals are all the state that a module's instances have.
//!
//! An instance goes back to its image by its memory and the numbers in its globals. What else wasm can change is
//! tables, references in globals, and which segments have been dropped: a module that has an instruction for any of
//! it is started plainly each time. None that rustc makes has one.

use std::fmt;

use wasmer::sys::wasmparser::{BinaryReaderError, Operator, Parser, Payload, ValType};

/// State beside memory and numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Keeps {
    /// It changes a table.
    Table,
    /// It copies from segments, or drops them, while it runs.
    Segments,
    /// A global holds a reference and can change.
    Reference,
    /// It has a start function, which would run over the image.
    StartFunction,
}

impl fmt::Display for Keeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Keeps::Table => "its module changes a table while it runs",
            Keeps::Segments => "its module uses data segments while it runs",
            Keeps::Reference => "its module has a global with a reference that can change",
            Keeps::StartFunction => "its module has a start function",
        })
    }
}

/// What the module's instances keep beside memory and numbers: the first that is found; and whether it changes a table.
pub(in super::super) fn keeps(wasm: &[u8]) -> Result<(Option<Keeps>, bool), BinaryReaderError> {
    let (mut first, mut changes_tables) = (None, false);
    let mut found = |keeps| {
        first.get_or_insert(keeps);
        changes_tables |= keeps == Keeps::Table;
    };
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::StartSection { .. } => found(Keeps::StartFunction),
            Payload::GlobalSection(globals) => {
                for global in globals {
                    let ty = global?.ty;
                    if ty.mutable && matches!(ty.content_type, ValType::Ref(_)) {
                        found(Keeps::Reference);
                    }
                }
            }
            Payload::CodeSectionEntry(body) => {
                for operator in body.get_operators_reader()? {
                    match operator? {
                        Operator::TableSet { .. }
                        | Operator::TableGrow { .. }
                        | Operator::TableFill { .. }
                        | Operator::TableCopy { .. }
                        | Operator::TableInit { .. } => found(Keeps::Table),
                        // `memory.init` reaches a memory as the module's own data does, which an image stands for
                        Operator::ElemDrop { .. }
                        | Operator::DataDrop { .. }
                        | Operator::MemoryInit { .. } => found(Keeps::Segments),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok((first, changes_tables))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(wat: &str) -> Option<Keeps> {
        both(wat).0
    }

    fn both(wat: &str) -> (Option<Keeps>, bool) {
        keeps(&wat::parse_str(wat).expect("valid WAT")).expect("valid wasm")
    }

    #[test]
    fn a_module_of_memory_and_numbers_keeps_nothing_else() {
        assert_eq!(
            of("(module (memory 1) (table 4 funcref) (global (mut i64) (i64.const 1)) (elem (i32.const 0) 0)
                (data (i32.const 0) \"x\")
                (func (param i32) (call_indirect (local.get 0)) (memory.fill (i32.const 0) (i32.const 0) (i32.const 9))))"),
            None
        );
    }

    #[test]
    fn whatever_else_changes_is_found() {
        let table = "(table 4 funcref)";
        for (wat, keeps) in [
            (format!("(module {table} (func (table.set (i32.const 0) (ref.null func))))"), Keeps::Table),
            (
                format!("(module {table} (func (drop (table.grow (ref.null func) (i32.const 1)))))"),
                Keeps::Table,
            ),
            (
                format!("(module {table} (func (table.copy (i32.const 0) (i32.const 0) (i32.const 1))))"),
                Keeps::Table,
            ),
            ("(module (memory 1) (data \"x\") (func (data.drop 0)))".into(), Keeps::Segments),
            ("(module (func) (elem func 0) (func (elem.drop 0)))".into(), Keeps::Segments),
            (
                "(module (memory 1) (data \"x\") (func
                    (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 1))))"
                    .into(),
                Keeps::Segments,
            ),
            ("(module (global (mut funcref) (ref.null func)))".into(), Keeps::Reference),
            ("(module (func) (start 0))".into(), Keeps::StartFunction),
        ] {
            assert_eq!(both(&wat), (Some(keeps), keeps == Keeps::Table), "{wat}");
        }
        let both_kinds =
            format!("(module {table} (func (table.set (i32.const 0) (ref.null func))) (start 0))");
        assert_eq!(both(&both_kinds), (Some(Keeps::StartFunction), true));
    }
}
