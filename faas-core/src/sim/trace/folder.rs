//! Which files of a folder make up a trace: of the Azure 2019 data set's form, or the one file that there is.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::TraceError;

const INVOCATIONS: &str = "invocations_per_function_md.anon.d";
const DURATIONS: &str = "function_durations_percentiles.anon.d";
const MEMORY: &str = "app_memory_percentiles.anon.d";

/// The files of one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Day {
    /// Counts from 1.
    pub(super) day: u32,
    pub(super) invocations: PathBuf,
    pub(super) durations: PathBuf,
    /// The data set has none for its last two days.
    pub(super) memory: Option<PathBuf>,
}

/// What a folder holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// The days of a trace of 2019, in order: the data set's own names, or one day as `invocations.csv`, `durations.csv`
    /// and `memory.csv`.
    Days(Vec<Day>),
    /// The only table there is.
    File(PathBuf),
}

/// Looks what it holds.
pub(super) fn find(folder: &Path) -> Result<Found, TraceError> {
    let unreadable = |why| TraceError::of_file(folder, format!("cannot be listed: {why}"));
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        names.extend(entry.map_err(unreadable)?.file_name().to_str().map(str::to_owned));
    }
    let of_days = |prefix: &str| -> BTreeMap<u32, PathBuf> {
        names
            .iter()
            .filter_map(|name| {
                let day = name.strip_prefix(prefix)?.strip_suffix(".csv")?.parse().ok()?;
                Some((day, folder.join(name)))
            })
            .collect()
    };
    let has = |name: &str| names.iter().any(|n| n == name).then(|| folder.join(name));
    let missing = |name: &str, beside: &str| {
        TraceError::of_file(&folder.join(name), "there is no such file")
            .expected(format!("it beside {beside}"))
    };

    let (invocations, mut durations, mut memory) =
        (of_days(INVOCATIONS), of_days(DURATIONS), of_days(MEMORY));
    if let Some(first) = invocations.keys().next().copied() {
        if !memory.contains_key(&first) {
            return Err(missing(&format!("{MEMORY}{first:02}.csv"), "the invocations of that day"));
        }
        return invocations
            .into_iter()
            .map(|(day, invocations)| {
                let durations = durations.remove(&day).ok_or_else(|| {
                    missing(&format!("{DURATIONS}{day:02}.csv"), "the invocations of that day")
                })?;
                Ok(Day { day, invocations, durations, memory: memory.remove(&day) })
            })
            .collect::<Result<_, _>>()
            .map(Found::Days);
    }
    let Some(invocations) = has("invocations.csv") else {
        let mut tables = names.iter().filter(|name| name.ends_with(".csv") || name.ends_with(".txt"));
        return match (tables.next(), tables.next()) {
            (Some(only), None) if !names.iter().any(|name| is_of_2019(name)) => {
                Ok(Found::File(folder.join(only)))
            }
            _ => Err(TraceError::of_file(folder, "there is no trace here").expected(format!(
                "files of the Azure 2019 data set, {INVOCATIONS}01.csv and so on, or invocations.csv, durations.csv \
                 and memory.csv, or one file of the 2021 data set's form"
            ))),
        };
    };
    let durations = has("durations.csv").ok_or_else(|| missing("durations.csv", "invocations.csv"))?;
    let memory = Some(has("memory.csv").ok_or_else(|| missing("memory.csv", "invocations.csv"))?);
    Ok(Found::Days(vec![Day { day: 1, invocations, durations, memory }]))
}

/// Whether a file is a part of a trace of 2019, which is none without the others.
fn is_of_2019(name: &str) -> bool {
    [DURATIONS, MEMORY].iter().any(|prefix| name.starts_with(prefix))
        || ["durations.csv", "memory.csv"].contains(&name)
}
