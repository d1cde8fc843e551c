//! Journals and leases on a real file system.

use super::file::{Journal, append};
use super::*;
use crate::engine::{Durability, Envelope, Event, Lease, LeaseError, Outcome, Recorder, RunId};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn run(name: &str) -> RunId {
    RunId(name.into())
}

fn envelope(seq: u64, last: bool) -> Envelope {
    let event = if last {
        Event::RunEnded {
            outcome: Outcome::Ok,
            failure: None,
            at: None,
            outputs: std::collections::BTreeMap::new(),
            debts: vec!["line\nbreak".to_owned()],
        }
    } else {
        Event::CancelRequested {
            accepted: false,
            reason: Some("because".to_owned()),
        }
    };
    Envelope {
        v: 1,
        seq,
        at_ms: 0.25,
        event,
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path)
        .expect("it is there")
        .permissions()
        .mode()
        & 0o777
}

#[tokio::test]
async fn what_is_recorded_can_be_read_back() {
    let place = tempfile::tempdir().expect("a directory");
    let directory = place.path().join("state/runs");
    let recorder = FileRecorder::new(&directory).expect("a journal");
    let (one, two) = (run("one"), run("two"));
    let all = [envelope(0, false), envelope(1, false), envelope(2, true)];
    recorder
        .record(&one, &all[..1], Durability::Synced)
        .await
        .unwrap();
    recorder
        .record(&two, &all[..1], Durability::Ordered)
        .await
        .unwrap();
    recorder
        .record(&one, &all[1..], Durability::Ordered)
        .await
        .unwrap();
    let path = recorder.path(&one);
    assert_eq!(path, directory.join("one.jsonl"));
    assert_eq!(read(&path).unwrap(), all);
    assert_eq!(read(&recorder.path(&two)).unwrap(), all[..1]);
    assert_eq!((mode(&directory), mode(&path)), (0o700, 0o600));
}

#[tokio::test]
async fn a_second_run_of_the_same_id_is_refused() {
    let place = tempfile::tempdir().expect("a directory");
    let first = FileRecorder::new(place.path()).unwrap();
    let second = FileRecorder::new(place.path()).unwrap();
    let events = [envelope(0, false)];
    first
        .record(&run("one"), &events, Durability::Synced)
        .await
        .unwrap();
    let refused = second
        .record(&run("one"), &events, Durability::Synced)
        .await;
    let error = refused.expect_err("the file is there");
    assert!(error.place.ends_with("one.jsonl"), "{error}");
    assert_eq!(read(&first.path(&run("one"))).unwrap(), events);
}

#[test]
fn a_full_disk_is_an_error_and_it_stays_one() {
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    let mut journal = Journal::Open(full);
    for again in [false, true] {
        let error = append(&mut journal, b"{}\n", Durability::Ordered).expect_err("no space");
        assert!(error.contains("No space left"), "{error}");
        assert_eq!(error.contains("an earlier write failed"), again);
    }
}

#[tokio::test]
async fn a_journal_that_cannot_be_opened_is_named() {
    let place = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::symlink("/dev/full", place.path().join("odd.jsonl")).unwrap();
    let recorder = FileRecorder::new(place.path()).unwrap();
    let events = [envelope(1, false)];
    let refused = recorder
        .record(&run("odd"), &events, Durability::Synced)
        .await;
    let error = refused.expect_err("no file").to_string();
    assert!(
        error.contains("odd.jsonl cannot be written: it is no regular file"),
        "{error}"
    );
}

#[tokio::test]
async fn a_torn_last_line_is_left_out_and_cut_off_before_going_on() {
    let whole = serde_json::to_string(&envelope(0, false)).unwrap() + "\n";
    let next = serde_json::to_string(&envelope(1, false)).unwrap();
    for torn in [
        "",
        "{",
        &next[..next.len() - 1],
        &next,
        "\0\0\0\0",
        "\0\0\n",
    ] {
        let place = tempfile::tempdir().expect("a directory");
        let path = journal_path(place.path(), &run("torn"));
        fs::write(&path, format!("{whole}{torn}")).unwrap();
        assert_eq!(read(&path).unwrap(), [envelope(0, false)], "{torn:?}");
        let recorder = FileRecorder::new(place.path()).unwrap();
        let more = [envelope(1, true)];
        recorder
            .record(&run("torn"), &more, Durability::Synced)
            .await
            .unwrap();
        let expected = [envelope(0, false), envelope(1, true)];
        assert_eq!(read(&path).unwrap(), expected, "{torn:?}");
    }
}

#[test]
fn damage_elsewhere_is_an_error_with_its_line() {
    let line = |seq| serde_json::to_string(&envelope(seq, false)).unwrap();
    let other = line(1).replace("\"v\":1", "\"v\":9");
    let strange = r#"{"v":1,"seq":1,"at_ms":0.0,"event":{"event":"dreamt"}}"#;
    for (text, says) in [
        (
            format!("{}\nrubbish\n{}\n", line(0), line(1)),
            "line 2 of the journal",
        ),
        (
            format!("{}\n{}\n", line(0), line(2)),
            "is event 2, expected 1",
        ),
        (format!("{}\n{other}\n", line(0)), "has version 9"),
        (format!("{}\n{strange}\n", line(0)), "line 2 of the journal"),
    ] {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("damaged.jsonl");
        fs::write(&path, text).unwrap();
        let error = read(&path).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
    let missing = read(Path::new("/nowhere/x.jsonl")).expect_err("not there");
    assert_eq!(
        missing.to_string(),
        "the journal /nowhere/x.jsonl cannot be read"
    );
}

async fn busy(lease: &dyn Lease, cluster: &str) -> LeaseError {
    match lease.acquire(cluster, &run("late")).await {
        Ok(_) => panic!("`{cluster}` was free"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn one_run_at_a_time_holds_a_cluster_and_tokens_grow() {
    let lease = MemoryLease::new();
    let first = lease.acquire("orders", &run("first")).await.unwrap();
    assert!(first.is_valid());
    let expected = LeaseError::Busy {
        cluster: "orders".to_owned(),
        holder: "first".to_owned(),
    };
    assert_eq!(busy(&lease, "orders").await, expected);
    let other = lease.acquire("billing", &run("other")).await.unwrap();
    let before = first.token();
    drop(first);
    let second = lease.acquire("orders", &run("second")).await.unwrap();
    assert!(second.token() > before);
    assert!(other.is_valid());
}
