//! The Azure Functions 2019 data set: invocations counted by the minute, a file a day; durations and memory as
//! percentiles (Shahrad et al., USENIX ATC 2020; CC-BY 4.0).
//!
//! The durations are percentiles of 30-second averages and exclude cold starts: extremes of single invocations are
//! not in them. Memory is an app's average; an app keeps that of the first day that names it.

use std::{
    collections::{HashMap, VecDeque},
    path::{Path, PathBuf},
};

use super::{
    App, Arrivals, Catalog, Counts, Durations, Function, MINUTE_NS, Notes, Strictness, TraceError, Window,
    folder::Day, open, table::Table,
};

const PERCENTILES: [&str; 7] = ["0", "1", "25", "50", "75", "99", "100"];
const MINUTES_A_DAY: u32 = 1440;
const NO_DURATIONS: &str = "without durations: the median of the day's functions is taken";
const NO_MEMORY: &str = "without memory: the median of the day's apps is taken";
const SAME_ROWS: &str = "the same functions and apps in all files of a day";
const NEVER_INVOKED: &str = "with durations of a function that has no row of invocations: not used";
const APP_NEVER_INVOKED: &str = "with memory of an app that has no row of invocations: not used";
const REPEATED: &str = "for a function or an app that has one already: it counts instead of that";
const TOO_LONG: &str = "with durations above a week: a week is taken";
/// Milliseconds. So that no sum overflows.
const WEEK_MS: f64 = 604_800_000.0;
/// As much as instances can be configured to have, and more.
const MAX_MEMORY_MIB: f64 = 1e9;

#[derive(Debug)]
pub(super) struct Azure2019 {
    strictness: Strictness,
    days: VecDeque<Day>,
    /// The minute, counted from the data set's beginning, in which the trace begins.
    begins: Option<u32>,
    apps: HashMap<String, u32>,
    functions: HashMap<String, u32>,
    /// The last day's, for days that have none.
    memory: Memory,
}

#[derive(Debug, Default)]
struct Memory {
    mib: HashMap<String, Row<u32>>,
    median_mib: u32,
    file: PathBuf,
}

struct DayDurations {
    of: HashMap<String, Row<Durations>>,
    median: Durations,
}

/// What a file says, and where.
#[derive(Debug, Clone, Copy)]
struct Row<T> {
    value: T,
    line: u64,
}

/// Where the names are, and the minutes.
struct Columns {
    names: [usize; 3],
    /// The first minute's column, and the number it has there: 1 is a day's first.
    minutes: (usize, u32),
}

impl Azure2019 {
    pub(super) fn of(days: Vec<Day>, strictness: Strictness) -> Self {
        Azure2019 {
            strictness,
            days: days.into(),
            begins: None,
            apps: HashMap::new(),
            functions: HashMap::new(),
            memory: Memory::default(),
        }
    }

    pub(super) fn next_window(
        &mut self,
        catalog: &mut Catalog,
        notes: &mut Notes,
    ) -> Result<Option<Window>, TraceError> {
        let Some(day) = self.days.pop_front() else { return Ok(None) };
        let durations = read_durations(&day.durations, notes)?;
        if let Some(path) = &day.memory {
            self.memory = read_memory(path, notes)?;
        }
        let mut table = Table::new(open(&day.invocations)?, &day.invocations)?;
        let columns = minutes(&table)?;
        let (first_column, first_minute) = columns.minutes;
        let width = table.columns().len() - first_column;
        let start = (day.day - 1) * MINUTES_A_DAY + first_minute - 1;
        let begins = *self.begins.get_or_insert(start);
        let from = u64::from(start - begins) * MINUTE_NS;

        let mut rows: Vec<Counts> = Vec::new();
        let mut row_of: HashMap<u32, usize> = HashMap::new();
        let (mut key, mut minutes, mut counts) = (String::new(), Vec::new(), Vec::new());
        let mut has_durations = false;
        while table.next_row()? {
            minutes.clear();
            counts.clear();
            for n in 0..width {
                let count = table.count(first_column + n)?;
                if count > 0 {
                    minutes.push(u16::try_from(n).expect("a day has 1440 minutes"));
                    counts.push(count);
                }
            }
            let [owner, app, function] = columns.names;
            key.clear();
            key.extend([table.name(owner)?, "/", table.name(app)?]);
            let app_key = key.len();
            key.extend(["/", table.name(function)?]);
            let app = match self.apps.get(&key[..app_key]) {
                Some(app) => *app,
                None => self.add_app(&key[..app_key], catalog, notes, &table)?,
            };
            let drawn = match durations.of.get(&key) {
                Some(row) => {
                    has_durations = true;
                    row.value
                }
                None if self.strictness == Strictness::Strict => {
                    return Err(lacks(&table, table.name(function)?, &day.durations));
                }
                None => {
                    notes.add(NO_DURATIONS, || {
                        format!("{}, line {}", day.invocations.display(), table.line())
                    });
                    durations.median
                }
            };
            let function = match self.functions.get(&key) {
                Some(function) => *function,
                None => {
                    let function = index(catalog.functions.len());
                    catalog.functions.push(Function { app, durations: drawn });
                    self.functions.insert(key.clone(), function);
                    function
                }
            };
            catalog.functions[function as usize].durations = drawn;
            if let Some(row) = row_of.get(&function) {
                notes.add("for a function that has one already: added to it", || {
                    format!("{}, line {}", day.invocations.display(), table.line())
                });
                add_to(&mut rows[*row], &minutes, &counts);
                continue;
            }
            row_of.insert(function, rows.len());
            rows.push(Counts { function, minutes: minutes[..].into(), counts: counts[..].into() });
        }
        if rows.is_empty() {
            return Err(table.wrong("there are no rows").expected("one a function"));
        }
        if !has_durations {
            let what = format!("no row has durations in {}", day.durations.display());
            return Err(TraceError::of_file(&day.invocations, what).expected("the files of one day"));
        }
        let is_invoked = |key: &str| self.functions.get(key).is_some_and(|n| row_of.contains_key(n));
        self.look_for_others(NEVER_INVOKED, &day.durations, &durations.of, is_invoked, notes)?;
        if let Some(path) = &day.memory {
            let is_invoked = |key: &str| self.apps.contains_key(key);
            self.look_for_others(APP_NEVER_INVOKED, path, &self.memory.mib, is_invoked, notes)?;
        }
        let until = from + width as u64 * MINUTE_NS;
        Ok(Some(Window { from, until, arrivals: Arrivals::Counts(rows) }))
    }

    /// Notes the rows of a file that no invocation asks for, or refuses them.
    fn look_for_others<T>(
        &self,
        what: &'static str,
        file: &Path,
        rows: &HashMap<String, Row<T>>,
        is_invoked: impl Fn(&str) -> bool,
        notes: &mut Notes,
    ) -> Result<(), TraceError> {
        let mut others: Vec<u64> =
            rows.iter().filter(|(key, _)| !is_invoked(key)).map(|(_, row)| row.line).collect();
        others.sort_unstable(); // a map has no order, and the first is told
        for line in others {
            if self.strictness == Strictness::Strict {
                let what = "the row has no counterpart among the invocations";
                return Err(TraceError::at(file, line, what).expected(SAME_ROWS));
            }
            notes.add(what, || format!("{}, line {line}", file.display()));
        }
        Ok(())
    }

    fn add_app<R: std::io::BufRead>(
        &mut self,
        key: &str,
        catalog: &mut Catalog,
        notes: &mut Notes,
        table: &Table<R>,
    ) -> Result<u32, TraceError> {
        let memory_mib = match self.memory.mib.get(key) {
            Some(row) => row.value,
            None if self.strictness == Strictness::Strict => {
                let app = key.rsplit('/').next().unwrap_or(key);
                return Err(lacks(table, app, &self.memory.file));
            }
            None => {
                notes.add(NO_MEMORY, || table.wrong("").to_string().trim_end_matches(": ").to_owned());
                self.memory.median_mib
            }
        };
        let app = index(catalog.apps.len());
        catalog.apps.push(App { memory_mib });
        self.apps.insert(key.to_owned(), app);
        Ok(app)
    }
}

fn lacks<R: std::io::BufRead>(table: &Table<R>, name: &str, other: &Path) -> TraceError {
    let short: String = name.chars().take(12).collect();
    table.wrong(format!("`{short}…` has no row in {}", other.display())).expected(SAME_ROWS)
}

fn index(len: usize) -> u32 {
    u32::try_from(len).expect("four thousand million rows do not fit in memory")
}

/// The columns of an invocations file: names, then consecutive minutes to the end.
fn minutes<R: std::io::BufRead>(table: &Table<R>) -> Result<Columns, TraceError> {
    let names = [table.column("HashOwner")?, table.column("HashApp")?, table.column("HashFunction")?];
    let columns = table.columns();
    let first = columns.iter().position(|name| name.parse::<u32>().is_ok());
    let Some(first) = first.filter(|first| names.iter().all(|name| name < first)) else {
        return Err(table.wrong("there are no minutes").expected("columns 1 to 1440 after the names"));
    };
    let first_minute: u32 = columns[first].parse().expect("its position was found by parsing it");
    for (n, name) in columns[first..].iter().enumerate() {
        let wanted = first_minute.saturating_add(index(n));
        let wrong = || table.wrong(format!("column {} is `{name}`", first + n + 1));
        if !(1..=MINUTES_A_DAY).contains(&wanted) {
            return Err(wrong().expected("minutes, which have the numbers 1 to 1440"));
        }
        if *name != wanted.to_string() {
            return Err(wrong().expected(format!("minute {wanted}: minutes follow each other")));
        }
    }
    Ok(Columns { names, minutes: (first, first_minute) })
}

fn add_to(row: &mut Counts, minutes: &[u16], counts: &[u32]) {
    let mut sum: std::collections::BTreeMap<u16, u32> =
        row.minutes.iter().copied().zip(row.counts.iter().copied()).collect();
    for (minute, count) in minutes.iter().zip(counts) {
        let there = sum.entry(*minute).or_default();
        *there = there.saturating_add(*count);
    }
    (row.minutes, row.counts) = (sum.keys().copied().collect(), sum.values().copied().collect());
}

fn read_durations(path: &Path, notes: &mut Notes) -> Result<DayDurations, TraceError> {
    let mut table = Table::new(open(path)?, path)?;
    let names = [table.column("HashOwner")?, table.column("HashApp")?, table.column("HashFunction")?];
    let mut columns = [0; 7];
    for (column, percentile) in columns.iter_mut().zip(PERCENTILES) {
        *column = table.column(&format!("percentile_Average_{percentile}"))?;
    }
    let mut of = HashMap::new();
    while table.next_row()? {
        let mut knots = [0; 7];
        let place = |line: u64| move || format!("{}, line {line}", path.display());
        let (mut falls, mut is_long) = (false, false);
        for n in 0..7 {
            let ms = table.number(columns[n])?;
            is_long |= ms > WEEK_MS;
            let ns = (ms.min(WEEK_MS) * 1e6).round() as u64;
            let before = if n == 0 { 0 } else { knots[n - 1] };
            falls |= ns < before;
            knots[n] = ns.max(before);
        }
        if falls {
            notes.add("with percentiles that fall: each raised to the one before", place(table.line()));
        }
        if is_long {
            notes.add(TOO_LONG, place(table.line()));
        }
        let key = [table.name(names[0])?, table.name(names[1])?, table.name(names[2])?].join("/");
        if of.insert(key, Row { value: Durations(knots), line: table.line() }).is_some() {
            notes.add(REPEATED, place(table.line()));
        }
    }
    let mut median = [0; 7];
    for (n, knot) in median.iter_mut().enumerate() {
        *knot = median_of(of.values().map(|row: &Row<Durations>| row.value.0[n]).collect())
            .ok_or_else(|| table.wrong("there are no rows").expected("one a function"))?;
    }
    Ok(DayDurations { of, median: Durations(median) })
}

fn read_memory(path: &Path, notes: &mut Notes) -> Result<Memory, TraceError> {
    let mut table = Table::new(open(path)?, path)?;
    let names = [table.column("HashOwner")?, table.column("HashApp")?];
    let average = table.column("AverageAllocatedMb")?;
    let mut mib = HashMap::new();
    while table.next_row()? {
        let app_mib = table.number(average)?;
        if app_mib > MAX_MEMORY_MIB {
            return Err(table
                .wrong(format!("an app has {app_mib} MiB"))
                .expected(format!("{MAX_MEMORY_MIB} MiB at most")));
        }
        // whole MiB, as an instance's memory is configured
        let value = (app_mib.ceil() as u32).max(1);
        let key = [table.name(names[0])?, table.name(names[1])?].join("/");
        if mib.insert(key, Row { value, line: table.line() }).is_some() {
            notes.add(REPEATED, || format!("{}, line {}", path.display(), table.line()));
        }
    }
    let median_mib = median_of(mib.values().map(|row: &Row<u32>| row.value).collect())
        .ok_or_else(|| table.wrong("there are no rows").expected("one an app"))?;
    Ok(Memory { mib, median_mib, file: path.to_owned() })
}

fn median_of<T: Ord + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied()
}
