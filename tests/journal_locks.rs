//! Processes are kept apart by locks on the journal's file, and a lock ends when its process closes the file anywhere.
#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

#[path = "journal_support/mod.rs"]
mod support;

use pgbaton::engine::{Durability, Outcome};
use pgbaton::journal::{Filter, History, SqliteHistory, SqliteJournal};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use support::{Helper, ended, record, run, started};

/// What SQLite locks of a file for as long as it has it open in this mode: the bytes that readers share (its file format,
/// section "Lock-Byte Page").
const SHARED: std::ops::RangeInclusive<u64> = 0x4000_0002..=0x4000_01ff;

/// Whether this process has all of them.
fn is_locked(path: &Path) -> bool {
    let inode = format!(":{}", path.metadata().unwrap().ino());
    let own = std::process::id().to_string();
    let all = std::fs::read_to_string("/proc/locks").unwrap();
    all.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words.len() > 7 && words[4] == own && words[5].ends_with(&inode))
        .any(|words| {
            let (first, last) = (words[6].parse(), words[7].parse());
            first.is_ok_and(|first: u64| first <= *SHARED.start())
                && last.is_ok_and(|last: u64| last >= *SHARED.end())
        })
}

#[tokio::test]
async fn who_looks_at_a_journal_takes_no_lock_from_who_writes_it() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    let journal = SqliteJournal::open(&path).unwrap();
    let one = run("20261123-014607-aaaa");
    let begins = [started(&one, "orders")];
    record(&journal, &one, &begins, Durability::Synced).await;
    assert!(is_locked(&path));
    let history = SqliteHistory::open(&path).unwrap();
    assert!(is_locked(&path), "after a look at it");
    assert_eq!(history.runs(&Filter::default()).await.unwrap().len(), 1);
    assert!(is_locked(&path), "after a question");
    let second = SqliteJournal::open(&path).unwrap();
    drop(second);
    assert!(is_locked(&path), "after a second one was opened to write");
    record(&journal, &one, &[ended(1, Outcome::Ok)], Durability::Synced).await;
}

#[tokio::test]
async fn processes_that_make_a_journal_at_once_and_look_at_it_all_record_in_it() {
    let place = tempfile::tempdir().unwrap();
    let mut helpers = [(); 3].map(|()| Helper::start("crowd", place.path(), &[]));
    for round in 0..20 {
        let name = format!("{round}.db");
        for helper in &mut helpers {
            helper.say(&name);
        }
        for helper in &mut helpers {
            assert_eq!(helper.line(), "recorded", "round {round}");
        }
        let history = SqliteHistory::open(place.path().join(&name)).unwrap();
        let all = history.runs(&Filter::default()).await.unwrap();
        assert_eq!(all.len(), helpers.len(), "round {round}: {all:?}");
    }
}

#[tokio::test]
#[ignore = "no test: what those above start as a process of its own"]
async fn another_process() {
    support::play().await;
}
