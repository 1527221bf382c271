//! The file: what is written is there after a restart, and what is none is told and left alone.

use faas_core::{
    clock::{SystemClock, Time},
    delivery::Status,
};

use super::*;
use crate::events::record::tests::letter;

fn clock() -> SharedClock {
    SystemClock::shared()
}

fn status() -> Status {
    let at = Time::from_unix_nanos(1_767_225_600_000_000_000);
    Status { accepted: at, failures: 0, due: at, error: None, dead: None }
}

fn add(key: u64) -> Change {
    Change::Add(Key(key), Box::new(letter(&format!("id-{key}"))), status())
}

#[tokio::test]
async fn what_is_written_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("deep/events.redb");
    let journal = FileJournal::open(file.clone(), &clock()).await.expect("a journal");
    assert_eq!(journal.list().await.expect("it can be read"), []);
    assert!(!file.exists(), "made with the first event");
    let writes: Vec<_> = (1..=300).map(|key| journal.write(add(key))).collect();
    for write in writes {
        write.await.expect("written");
    }
    let failed = Status { failures: 2, error: Some("why".into()), dead: Some(status().due), ..status() };
    journal.write(Change::Update(Key(2), failed.clone())).await.expect("written");
    journal.write(Change::Remove(Key(1))).await.expect("written");
    journal.close().await;
    assert!(journal.write(add(1000)).await.is_err(), "closed");

    let journal = FileJournal::open(file, &clock()).await.expect("a journal");
    let events = journal.list().await.expect("it can be read");
    assert_eq!(events.len(), 299);
    assert_eq!((&*events[0].id, &events[0].status), ("id-2", &failed));
    assert_eq!(journal.read(Key(2)).await.expect("it can be read"), Some(letter("id-2")));
    assert_eq!(journal.read(Key(1)).await.expect("it can be read"), None);
}

#[tokio::test]
async fn one_process_has_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("events.redb");
    let journal = FileJournal::open(file.clone(), &clock()).await.expect("a journal");
    journal.write(add(1)).await.expect("written");
    let second = FileJournal::open(file, &clock()).await.expect_err("it is taken").to_string();
    assert!(second.contains("another process has this project's events"), "{second}");
}

#[tokio::test]
async fn what_another_process_wrote_meanwhile_is_not_overwritten() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("events.redb");
    let early = FileJournal::open(file.clone(), &clock()).await.expect("a journal");
    let other = FileJournal::open(file, &clock()).await.expect("a journal");
    other.write(add(1)).await.expect("written");
    let taken = early.write(add(1)).await.expect_err("it is taken").to_string();
    assert!(taken.contains("another process has"), "{taken}");
    other.close().await;
    let why = early.write(add(1)).await.expect_err("it has events").to_string();
    assert!(why.contains("since this one began"), "{why}");
}

#[tokio::test]
async fn a_file_that_is_none_is_told_and_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("events.redb");
    let text = "these are somebody's notes, and not events\n".repeat(500);
    fs::write(&file, &text).expect("written");
    let why = FileJournal::open(file.clone(), &clock()).await.expect_err("no journal").to_string();
    assert!(why.contains("is no journal of events, or is damaged") && why.contains("Move it away"), "{why}");
    assert_eq!(fs::read_to_string(&file).expect("still there"), text);
}

#[tokio::test]
async fn a_torn_file_is_told_or_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("events.redb");
    let journal = FileJournal::open(file.clone(), &clock()).await.expect("a journal");
    for key in 1..=50 {
        journal.write(add(key)).await.expect("written");
    }
    journal.close().await;
    let whole = fs::read(&file).expect("a file");
    for share in 1..8 {
        let torn = dir.path().join(format!("torn-{share}.redb"));
        let bytes = &whole[..whole.len() * share / 8];
        fs::write(&torn, bytes).expect("written");
        if let Err(why) = FileJournal::open(torn.clone(), &clock()).await {
            assert!(why.to_string().contains("Move it away"), "{why}");
            assert!(fs::read(&torn).expect("still there").starts_with(&bytes[..8]));
        }
    }
}
