//! The Azure Functions 2021 data set: one row an invocation, with its end and its duration (Zhang et al., SOSP 2021;
//! CC-BY 4.0).
//!
//! Rows are in order of neither arrival nor end. The file is read twice: first to learn by how much arrivals are
//! out of order, then to give them out in order, holding back no more rows than that takes. It names no memory.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    fs::File,
    io::BufReader,
    path::Path,
};

use super::{App, Arrivals, Catalog, Durations, Exact, Function, TraceError, Window, open, table::Table};

/// The median app of the 2019 data set (Shahrad et al., USENIX ATC 2020).
const MEMORY_MIB: u32 = 170;
const ROWS_A_WINDOW: usize = 1 << 16;
const COLUMNS: [&str; 4] = ["app", "func", "end_timestamp", "duration"];
/// A century: beyond any trace, and no sum overflows.
const MOST_S: f64 = 3e9;

#[derive(Debug)]
pub(super) struct Azure2021 {
    table: Table<BufReader<File>>,
    columns: [usize; 4],
    functions: HashMap<String, u32>,
    /// Added to every moment, so that the first is not before zero.
    shift_ns: i64,
    /// How much earlier a row may have arrived than one above it.
    lateness_ns: i64,
    until: u64,
    newest_ns: i64,
    held: BinaryHeap<Reverse<(u64, u64, u64, u32)>>,
    has_ended: bool,
    rows: u64,
}

impl Azure2021 {
    pub(super) fn open(path: &Path, catalog: &mut Catalog) -> Result<Self, TraceError> {
        let (mut table, columns) = start(path)?;
        let (mut functions, mut apps) = (HashMap::new(), HashMap::new());
        let (mut earliest, mut newest, mut lateness, mut until) = (0, i64::MIN, 0, i64::MIN);
        let mut key = String::new();
        while table.next_row()? {
            let (at, duration) = times(&table, columns)?;
            earliest = earliest.min(at);
            newest = newest.max(at);
            lateness = lateness.max(newest - at);
            until = until.max(at + duration);
            key.clear();
            key.push_str(table.name(columns[0])?);
            let app_key = key.len();
            key.extend(["/", table.name(columns[1])?]);
            if !functions.contains_key(&key) {
                let app = *apps.entry(key[..app_key].to_owned()).or_insert_with(|| {
                    catalog.apps.push(App { memory_mib: MEMORY_MIB });
                    index(catalog.apps.len() - 1)
                });
                functions.insert(key.clone(), index(catalog.functions.len()));
                catalog.functions.push(Function { app, durations: Durations([0; 7]) });
            }
        }
        if functions.is_empty() {
            return Err(table.wrong("there are no rows").expected("one an invocation"));
        }
        let (table, columns) = start(path)?;
        Ok(Azure2021 {
            table,
            columns,
            functions,
            shift_ns: -earliest,
            lateness_ns: lateness,
            // an invocation that arrives as the last one ends counts, too
            until: u64::try_from(until - earliest).expect("no end is before the first beginning") + 1,
            newest_ns: i64::MIN,
            held: BinaryHeap::new(),
            has_ended: false,
            rows: 0,
        })
    }

    pub(super) fn next_window(&mut self) -> Result<Option<Window>, TraceError> {
        let mut rows: Vec<Exact> = Vec::new();
        let mut key = String::new();
        while !self.has_ended && rows.len() < ROWS_A_WINDOW {
            if !self.table.next_row()? {
                self.has_ended = true;
                break;
            }
            let (at, duration) = times(&self.table, self.columns)?;
            self.newest_ns = self.newest_ns.max(at);
            key.clear();
            key.extend([self.table.name(self.columns[0])?, "/", self.table.name(self.columns[1])?]);
            let changed = || self.table.wrong("the file has changed while it was read");
            let function = *self.functions.get(&key).ok_or_else(changed)?;
            let at = u64::try_from(at + self.shift_ns).map_err(|_| changed())?;
            let duration = u64::try_from(duration).expect("times() gives none below zero");
            self.rows += 1;
            self.held.push(Reverse((at, self.rows, duration, function)));
            let safe = self.newest_ns - self.lateness_ns + self.shift_ns;
            while let Some(Reverse((at, ..))) = self.held.peek()
                && i64::try_from(*at).is_ok_and(|at| at < safe)
            {
                rows.extend(self.held.pop().map(exact));
            }
        }
        while self.has_ended
            && let Some(row) = self.held.pop()
        {
            rows.push(exact(row));
        }
        let Some(first) = rows.first() else { return Ok(None) };
        Ok(Some(Window { from: first.at, until: self.until, arrivals: Arrivals::Exact(rows) }))
    }
}

fn exact(Reverse((at, _, duration_ns, function)): Reverse<(u64, u64, u64, u32)>) -> Exact {
    Exact { at, duration_ns, function }
}

fn start(path: &Path) -> Result<(Table<BufReader<File>>, [usize; 4]), TraceError> {
    let table = Table::new(open(path)?, path)?;
    if table.columns().iter().any(|name| name == "HashFunction") {
        return Err(table
            .wrong("this is one file of an Azure 2019 trace")
            .expected("the folder that holds it and its companions"));
    }
    let mut columns = [0; 4];
    for (column, name) in columns.iter_mut().zip(COLUMNS) {
        *column = table.column(name)?;
    }
    Ok((table, columns))
}

/// When the row's invocation arrived, and how long it took, in nanoseconds.
fn times(table: &Table<BufReader<File>>, columns: [usize; 4]) -> Result<(i64, i64), TraceError> {
    let [end, duration] = [table.number(columns[2])?, table.number(columns[3])?];
    if end > MOST_S || duration > MOST_S {
        return Err(table.wrong("a time lies beyond a century").expected("seconds since the trace began"));
    }
    let [end, duration] = [end, duration].map(|seconds| (seconds * 1e9).round() as i64);
    Ok((end - duration, duration))
}

fn index(len: usize) -> u32 {
    u32::try_from(len).expect("four thousand million rows do not fit in memory")
}
