//! What is wrong with a trace is told with file, line, reason, and what belongs there.

use std::path::Path;

use faas_core::sim::{Strictness, Trace, replay};

use crate::support::{DURATIONS, folder, options};

const INVOCATIONS: &str = "HashOwner,HashApp,HashFunction,Trigger,1,2,3\no,a,f,http,1,0,2\n";
const MEMORY: &str = "HashOwner,HashApp,SampleCount,AverageAllocatedMb\no,a,1,128\n";

fn durations() -> String {
    format!("{DURATIONS}o,a,f,5,1,5,5,1,2,3,4,5,6,7\n")
}

/// What is told of the trace at this path, without its folder.
fn told_of(path: &Path, folder: &Path, strictness: Strictness) -> String {
    let report = Trace::open(path, strictness)
        .and_then(|mut trace| replay(&mut trace, &options(&["fixed:10m"], 0), &|_| ()));
    match report {
        Err(error) => error.to_string(),
        Ok(report) => format!("replayed\n{}", report.notes.join("\n")),
    }
    .replace(&folder.display().to_string(), "DIR")
}

fn told(invocations: &str, durations: &str, memory: &str, strictness: Strictness) -> String {
    let folder =
        folder(&[("invocations.csv", invocations), ("durations.csv", durations), ("memory.csv", memory)]);
    told_of(folder.path(), folder.path(), strictness)
}

fn invocations(text: &str) -> String {
    told(text, &durations(), MEMORY, Strictness::Strict)
}

#[test]
fn a_good_trace_is_replayed() {
    assert_eq!(invocations(INVOCATIONS), "replayed\n");
    assert_eq!(invocations(&INVOCATIONS.replace('\n', "\r\n")), "replayed\n");
    assert_eq!(invocations(&format!("\u{feff}{INVOCATIONS}\n\n")), "replayed\n");
}

#[test]
fn counts_are_whole_numbers() {
    insta::assert_snapshot!(invocations(&INVOCATIONS.replace("1,0,2", "1,-5,2")), @"
    DIR/invocations.csv, line 2: column `2` holds `-5`
    Expected a whole number, from 0 to 10,000,000.
    ");
    insta::assert_snapshot!(invocations(&INVOCATIONS.replace("1,0,2", "1,NaN,2")), @"
    DIR/invocations.csv, line 2: column `2` holds `NaN`
    Expected a whole number, from 0 to 10,000,000.
    ");
    insta::assert_snapshot!(invocations(&INVOCATIONS.replace("1,0,2", "1,,2")), @"
    DIR/invocations.csv, line 2: column `2` holds ``
    Expected a whole number, from 0 to 10,000,000.
    ");
    insta::assert_snapshot!(invocations(&INVOCATIONS.replace("1,0,2", "1,99999999999,2")), @"
    DIR/invocations.csv, line 2: column `2` holds `99999999999`
    Expected a whole number, from 0 to 10,000,000.
    ");
}

#[test]
fn columns_are_those_of_the_data_set() {
    insta::assert_snapshot!(invocations(&INVOCATIONS.replace("HashApp", "App")), @"
    DIR/invocations.csv, line 1: there is no column `HashApp`
    Expected it in the header, which begins `HashOwner,App,HashFunction,Trigger,1,2,3`.
    ");
    insta::assert_snapshot!(invocations(&INVOCATIONS.replace("1,2,3\n", "1,3,4\n")), @"
    DIR/invocations.csv, line 1: column 6 is `3`
    Expected minute 2: minutes follow each other.
    ");
    insta::assert_snapshot!(invocations(&INVOCATIONS.replace("1,2,3\n", "1,2,2\n")), @"DIR/invocations.csv, line 1: there are two columns `2`");
    insta::assert_snapshot!(invocations(&INVOCATIONS.replace(",1,2,3\n", "\n")), @"
    DIR/invocations.csv, line 1: there are no minutes
    Expected columns 1 to 1440 after the names.
    ");
    insta::assert_snapshot!(invocations(&INVOCATIONS.replace("1,0,2", "1,0")), @"
    DIR/invocations.csv, line 2: the row has 6 fields
    Expected 7, as the header has.
    ");
    insta::assert_snapshot!(invocations(""), @"
    DIR/invocations.csv: the file is empty
    Expected a line with column names.
    ");
    let without =
        |column: &str| told(INVOCATIONS, &durations().replace(column, "x"), MEMORY, Strictness::Lenient);
    insta::assert_snapshot!(without("percentile_Average_99"), @"
    DIR/durations.csv, line 1: there is no column `percentile_Average_99`
    Expected it in the header, which begins `HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0`.
    ");
    let without = MEMORY.replace("AverageAllocatedMb", "Mb");
    insta::assert_snapshot!(told(INVOCATIONS, &durations(), &without, Strictness::Lenient), @"
    DIR/memory.csv, line 1: there is no column `AverageAllocatedMb`
    Expected it in the header, which begins `HashOwner,HashApp,SampleCount,Mb`.
    ");
}

#[test]
fn lines_are_text_and_end() {
    insta::assert_snapshot!(invocations(&INVOCATIONS.replace("o,a", "\"o\",a")), @"
    DIR/invocations.csv, line 2: there is a quotation mark
    Expected fields without quotes.
    ");
    insta::assert_snapshot!(invocations(&INVOCATIONS.replace("1,0,2", &"1".repeat(600_000))), @"
    DIR/invocations.csv, line 2: the line does not end
    Expected lines of 524288 bytes at most, if this is a trace.
    ");
    let folder = folder(&[]);
    std::fs::write(folder.path().join("t.csv"), b"app,func,end_timestamp,duration\na,f,\xff,1\n")
        .expect("written");
    insta::assert_snapshot!(told_of(&folder.path().join("t.csv"), folder.path(), Strictness::Strict), @"
    DIR/t.csv, line 2: this is no text
    Expected a table of comma-separated values.
    ");
    std::fs::write(folder.path().join("t.csv.gz"), b"\x1f\x8b\x08\x00\xff\xff").expect("written");
    insta::assert_snapshot!(told_of(&folder.path().join("t.csv.gz"), folder.path(), Strictness::Strict), @"
    DIR/t.csv.gz, line 1: the file is compressed
    Expected it unpacked, as gunzip does.
    ");
}

#[test]
fn measures_are_numbers() {
    let wrong = durations().replace("3,4,5", "3,NaN,5");
    insta::assert_snapshot!(told(INVOCATIONS, &wrong, MEMORY, Strictness::Lenient), @"
    DIR/durations.csv, line 2: column `percentile_Average_50` holds `NaN`
    Expected a number, 0 or more.
    ");
    let wrong = MEMORY.replace("128", "inf");
    insta::assert_snapshot!(told(INVOCATIONS, &durations(), &wrong, Strictness::Lenient), @"
    DIR/memory.csv, line 2: column `AverageAllocatedMb` holds `inf`
    Expected a number, 0 or more.
    ");
}

#[test]
fn rows_that_other_files_lack_are_refused_or_told() {
    let more = format!("{INVOCATIONS}o,b,g,http,0,1,0\no,b,h,http,0,1,0\n");
    let both = |strictness| told(&more, &durations(), MEMORY, strictness);
    insta::assert_snapshot!(both(Strictness::Strict), @"
    DIR/invocations.csv, line 3: `b…` has no row in DIR/memory.csv
    Expected the same functions and apps in all files of a day.
    ");
    insta::assert_snapshot!(both(Strictness::Lenient), @"
    replayed
    1 row without memory: the median of the day's apps is taken (first: DIR/invocations.csv, line 3)
    2 rows without durations: the median of the day's functions is taken (first: DIR/invocations.csv, line 3)
    ");
    let all = format!(
        "{DURATIONS}o,a,f,5,1,5,5,1,2,3,4,5,6,7\no,b,g,5,1,5,5,1,2,3,4,5,6,7\no,b,h,5,1,5,5,1,2,3,4,5,6,7\n"
    );
    insta::assert_snapshot!(told(&more, &all, MEMORY, Strictness::Strict), @"
    DIR/invocations.csv, line 3: `b…` has no row in DIR/memory.csv
    Expected the same functions and apps in all files of a day.
    ");
    // nothing in common: the files are not of one day
    insta::assert_snapshot!(told(INVOCATIONS, &durations().replace("o,a,f", "o,a,x"), MEMORY, Strictness::Lenient), @"
    DIR/invocations.csv: no row has durations in DIR/durations.csv
    Expected the files of one day.
    ");
    let twice = format!("{INVOCATIONS}o,a,f,timer,1,1,1\n");
    insta::assert_snapshot!(invocations(&twice), @"
    replayed
    1 row for a function that has one already: added to it (first: DIR/invocations.csv, line 3)
    ");
    let falls = durations().replace("3,4,5", "4,3,5");
    insta::assert_snapshot!(told(INVOCATIONS, &falls, MEMORY, Strictness::Lenient), @"
    replayed
    1 row with percentiles that fall: each raised to the one before (first: DIR/durations.csv, line 2)
    ");
}

#[test]
fn rows_that_no_invocation_asks_for_are_refused_or_told() {
    let more = format!("{}o,a,h,5,1,5,5,1,2,3,4,5,6,7\no,a,g,5,1,5,5,1,2,3,4,5,6,7\n", durations());
    let both = |strictness| told(INVOCATIONS, &more, &format!("{MEMORY}o,b,1,128\n"), strictness);
    insta::assert_snapshot!(both(Strictness::Strict), @"
    DIR/durations.csv, line 3: the row has no counterpart among the invocations
    Expected the same functions and apps in all files of a day.
    ");
    insta::assert_snapshot!(both(Strictness::Lenient), @"
    replayed
    2 rows with durations of a function that has no row of invocations: not used (first: DIR/durations.csv, line 3)
    1 row with memory of an app that has no row of invocations: not used (first: DIR/memory.csv, line 3)
    ");
    let memory = format!("{MEMORY}o,b,1,128\n");
    insta::assert_snapshot!(told(INVOCATIONS, &durations(), &memory, Strictness::Strict), @"
    DIR/memory.csv, line 3: the row has no counterpart among the invocations
    Expected the same functions and apps in all files of a day.
    ");
}

#[test]
fn what_a_file_says_twice_or_too_large_is_told() {
    let twice = format!("{}o,a,f,5,1,5,5,1,2,3,4,5,6,7e9\n", durations());
    insta::assert_snapshot!(told(INVOCATIONS, &twice, &format!("{MEMORY}o,a,1,256\n"), Strictness::Lenient), @"
    replayed
    1 row with durations above a week: a week is taken (first: DIR/durations.csv, line 3)
    2 rows for a function or an app that has one already: it counts instead of that (first: DIR/durations.csv, line 3)
    ");
    insta::assert_snapshot!(told(INVOCATIONS, &durations(), &MEMORY.replace("128", "1e18"), Strictness::Lenient), @"
    DIR/memory.csv, line 2: an app has 1000000000000000000 MiB
    Expected 1000000000 MiB at most.
    ");
    insta::assert_snapshot!(invocations(&INVOCATIONS.replace("1,0,2", "1,10000001,2")), @"
    DIR/invocations.csv, line 2: column `2` holds `10000001`
    Expected a whole number, from 0 to 10,000,000.
    ");
    insta::assert_snapshot!(invocations(&INVOCATIONS.replace("1,2,3\n", "1439,1440,1441\n")), @"
    DIR/invocations.csv, line 1: column 7 is `1441`
    Expected minutes, which have the numbers 1 to 1440.
    ");
}

#[test]
fn files_are_all_there() {
    let without = |names: &[(&str, &str)]| {
        let folder = folder(names);
        told_of(folder.path(), folder.path(), Strictness::Lenient)
    };
    insta::assert_snapshot!(without(&[]), @"
    DIR: there is no trace here
    Expected files of the Azure 2019 data set, invocations_per_function_md.anon.d01.csv and so on, or invocations.csv, durations.csv and memory.csv, or one file of the 2021 data set's form.
    ");
    assert_eq!(without(&[("durations.csv", &durations())]), without(&[]));
    insta::assert_snapshot!(without(&[("invocations.csv", INVOCATIONS)]), @"
    DIR/durations.csv: there is no such file
    Expected it beside invocations.csv.
    ");
    let first = "invocations_per_function_md.anon.d01.csv";
    insta::assert_snapshot!(without(&[(first, INVOCATIONS)]), @"
    DIR/app_memory_percentiles.anon.d01.csv: there is no such file
    Expected it beside the invocations of that day.
    ");
    let folder = folder(&[(first, INVOCATIONS)]);
    insta::assert_snapshot!(told_of(&folder.path().join(first), folder.path(), Strictness::Lenient), @"
    DIR/invocations_per_function_md.anon.d01.csv, line 1: this is one file of an Azure 2019 trace
    Expected the folder that holds it and its companions.
    ");
    let gone = folder.path().join("gone");
    assert!(told_of(&gone, folder.path(), Strictness::Lenient).starts_with("DIR/gone: cannot be read: "));
}

#[test]
fn a_folder_with_one_table_is_that_table() {
    let row = "app,func,end_timestamp,duration\na,f,5,1\n";
    let of = |files: &[(&str, &str)]| {
        let folder = folder(files);
        told_of(folder.path(), folder.path(), Strictness::Lenient)
    };
    assert_eq!(of(&[("trace.txt", row), ("README.md", "")]), "replayed\n");
    assert!(of(&[("a.csv", row), ("b.csv", row)]).starts_with("DIR: there is no trace here\n"));
}

#[test]
fn a_2021_trace_has_four_columns_of_sane_times() {
    let told = |text: &str| {
        let folder = folder(&[("t.csv", text)]);
        told_of(&folder.path().join("t.csv"), folder.path(), Strictness::Lenient)
    };
    insta::assert_snapshot!(told("app,func,end_timestamp\n"), @"
    DIR/t.csv, line 1: there is no column `duration`
    Expected it in the header, which begins `app,func,end_timestamp`.
    ");
    insta::assert_snapshot!(told("app,func,end_timestamp,duration\n"), @"
    DIR/t.csv, line 2: there are no rows
    Expected one an invocation.
    ");
    insta::assert_snapshot!(told("app,func,end_timestamp,duration\na,f,5,1\na,f,6,-1\n"), @"
    DIR/t.csv, line 3: column `duration` holds `-1`
    Expected a number, 0 or more.
    ");
    insta::assert_snapshot!(told("app,func,end_timestamp,duration\na,f,5,1\n,f,6,1\n"), @"
    DIR/t.csv, line 3: `app` is empty
    Expected a name.
    ");
    insta::assert_snapshot!(told("app,func,end_timestamp,duration\na,f,1e300,1\n"), @"
    DIR/t.csv, line 2: a time lies beyond a century
    Expected seconds since the trace began.
    ");
}
