//! One journal for all runs of an installation, in trouble: other processes, deaths, sleep, full and read-only disks,
//! damage, other versions.
#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

#[path = "journal_support/mod.rs"]
mod support;

use pgbaton::engine::{
    Ask, Durability, Held, Inbox, Lease, LeaseError, Letter, Outcome, Owed, Recorder,
};
use pgbaton::journal::{
    Announced, FileRecorder, Filter, History, HistoryError, Imported, JournalError, Note,
    SqliteHistory, SqliteJournal, Standing, Store, Which, open_debts,
};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{
    Helper, Mount, PATIENCE, ended, kept_note, leave_something_to_do, lengthy, note, record, run,
    started, until,
};

/// So long that no lease of a test runs out by itself.
const LONG: Duration = Duration::from_mins(10);

/// So short that a test can wait for its end, and so long that a busy machine renews in time.
const SHORT: Duration = Duration::from_secs(2);

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The file by itself, with no log beside it, once the writer's thread has ended: it does so in its own time.
fn alone(path: &Path) -> rusqlite::Connection {
    until(|| {
        let connection = rusqlite::Connection::open(path).unwrap();
        let turned = connection.pragma_update_and_check(None, "journal_mode", "delete", |row| {
            row.get::<_, String>(0)
        });
        turned
            .is_ok_and(|mode| mode == "delete")
            .then_some(connection)
    })
}

#[tokio::test]
async fn what_is_recorded_can_be_read_back_and_listed_by_others() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("state/journal.db");
    let journal = SqliteJournal::open(&path).unwrap();
    let (one, two) = (run("20261123-014607-aaaa"), run("20261123-014608-bbbb"));
    let first = [
        started(&one, "orders"),
        note(1),
        ended(2, Outcome::Degraded),
    ];
    record(&journal, &one, &first[..1], Durability::Synced).await;
    record(
        &journal,
        &two,
        &[started(&two, "billing")],
        Durability::Synced,
    )
    .await;
    record(&journal, &one, &first[1..], Durability::Ordered).await;

    let history = SqliteHistory::open(&path).unwrap();
    assert_eq!(history.events(&one).await.unwrap(), first);
    let all = history.runs(&Filter::default()).await.unwrap();
    let ids: Vec<_> = all.iter().map(|run| &run.run).collect();
    assert_eq!(ids, [&two, &one]);
    assert_eq!(all[1].standing, Standing::Ended(Outcome::Degraded));
    assert_eq!(all[1].started, "2026-11-23T01:46:07.000Z");
    assert_eq!(all[1].ended.as_deref(), Some("2026-11-23T01:46:07.002Z"));
    assert_eq!((all[0].standing, all[0].last_seq), (Standing::UnderWay, 0));

    let ids = async |filter: Filter| -> Vec<String> {
        let runs = history.runs(&filter).await.unwrap();
        runs.iter().map(|run| run.run.to_string()).collect()
    };
    let which = |which| Filter {
        which,
        ..Filter::default()
    };
    assert_eq!(ids(which(Which::Unended)).await, [two.to_string()]);
    assert_eq!(
        ids(which(Which::Ended(Outcome::Degraded))).await,
        [one.to_string()]
    );
    assert!(ids(which(Which::Ended(Outcome::Ok))).await.is_empty());
    let of_orders = Filter {
        cluster: Some("orders".to_owned()),
        ..Filter::default()
    };
    assert_eq!(ids(of_orders).await, [one.to_string()]);
    let newest = Filter {
        limit: Some(1),
        ..Filter::default()
    };
    assert_eq!(ids(newest).await, [two.to_string()]);

    assert_eq!(history.run("20261123-014608").await.unwrap().run, two);
    let error = history.run("20261123").await.unwrap_err().to_string();
    assert!(
        error.contains("014607-aaaa, 20261123-014608-bbbb: give more"),
        "{error}"
    );
    for unknown in ["2025", "%", "20261123-014608-bbbbb"] {
        let error = history.run(unknown).await.unwrap_err();
        assert!(matches!(error, HistoryError::Unknown { .. }), "{error}");
    }
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for ending in ["", "-wal", "-shm"] {
        assert_eq!(mode(&beside(&path, ending)), 0o600, "{ending}");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_so_is_all_that_follows() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    let (one, other) = (run("one"), run("other"));
    let begin = started(&one, "orders");
    let end = ended(1, Outcome::Ok);
    for (before, batch, says) in [
        (
            vec![],
            vec![note(0)],
            "the beginning of this run does not stand in it",
        ),
        (
            vec![],
            vec![started(&other, "orders")],
            "its first event is that of run other",
        ),
        (
            vec![begin.clone()],
            vec![note(2)],
            "event 2 came where 1 was due",
        ),
        (
            vec![begin.clone(), note(1)],
            vec![note(1)],
            "event 1 came where 2 was due",
        ),
        (
            vec![begin.clone()],
            vec![note(1), note(3)],
            "event 3 came where 2 was due",
        ),
        (
            vec![begin.clone()],
            vec![begin.clone()],
            "a run of this id stands in it already",
        ),
        (
            vec![begin.clone(), end.clone()],
            vec![note(2)],
            "this run has ended",
        ),
        (
            vec![begin.clone()],
            vec![end.clone(), note(2)],
            "event 2 came after the end",
        ),
    ] {
        let _ = fs::remove_dir_all(place.path());
        let journal = SqliteJournal::open(&path).unwrap();
        record(&journal, &one, &before, Durability::Ordered).await;
        let refused = journal.record(&one, &batch, Durability::Synced).await;
        let error = refused.expect_err(says).to_string();
        assert!(
            error.contains("journal.db cannot be written") && error.contains(says),
            "{error}"
        );
        // What would have fitted before does not now.
        let due = u64::try_from(before.len()).unwrap();
        let next = if due == 0 { begin.clone() } else { note(due) };
        let refused = journal.record(&one, &[next], Durability::Synced).await;
        let error = refused.expect_err("it is broken").to_string();
        assert!(error.contains("an earlier write failed"), "{error}");
        let there = match journal.events(&one).await {
            Ok(events) => events,
            Err(HistoryError::Unknown { .. }) => Vec::new(),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(there, before, "{says}");
        // Others are not concerned.
        record(
            &journal,
            &other,
            &[started(&other, "orders")],
            Durability::Synced,
        )
        .await;
    }
}

#[tokio::test]
async fn processes_write_at_once_and_nobody_waits_in_vain() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    // They meet at a file that is not there yet.
    let mut helpers: Vec<Helper> = (0..3)
        .map(|n| Helper::start("write", &path, &[&format!("run-{n}"), "60"]))
        .collect();
    for helper in &mut helpers {
        assert!(helper.wait().success());
    }
    let journal = SqliteHistory::open(&path).unwrap();
    for n in 0..3 {
        let events = journal.events(&run(&format!("run-{n}"))).await.unwrap();
        assert_eq!(events.len(), 60);
    }
}

#[tokio::test]
async fn a_killed_writer_loses_nothing_that_was_acknowledged() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    for (n, after) in [1_u64, 20, 75].into_iter().enumerate() {
        let killed = run(&format!("killed-{n}"));
        let mut helper = Helper::start("write", &path, &[&killed.to_string(), "1000000"]);
        while helper.line().parse::<u64>().unwrap() < after {}
        helper.kill();
        // Some more were acknowledged before the signal arrived.
        let acknowledged: u64 = helper
            .rest()
            .last()
            .map_or(after, |line| line.parse().unwrap());
        let journal = SqliteJournal::open(&path).unwrap();
        let events = journal.events(&killed).await.unwrap();
        assert!(events.len() > usize::try_from(acknowledged).unwrap());
        for (expected, event) in (0..).zip(&events) {
            assert_eq!(event.seq, expected);
        }
        let interrupted = journal.interrupted().await.unwrap();
        assert!(interrupted.iter().any(|run| run.run == killed));
        // Somebody else goes on where it ended.
        let due = u64::try_from(events.len()).unwrap();
        record(&journal, &killed, &[note(due)], Durability::Synced).await;
        let there = journal.run(&killed.to_string()).await.unwrap();
        assert_eq!((there.standing, there.last_seq), (Standing::UnderWay, due));
    }
}

#[tokio::test]
async fn a_run_that_was_taken_over_is_written_by_its_new_owner_only() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    let mut helper = Helper::start("answer", &path, &["one"]);
    assert_eq!(helper.line(), "0");
    let journal = SqliteJournal::open(&path).unwrap();
    record(&journal, &run("one"), &[note(1)], Durability::Synced).await;
    // The number fits, the writer does not.
    helper.say("2");
    let answer = helper.line();
    assert!(
        answer.contains("another process has taken this run over"),
        "{answer}"
    );
    assert_eq!(journal.events(&run("one")).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_full_disk_stops_the_run_and_says_where_and_what_to_do() {
    let Some(disk) = Mount::small() else {
        return;
    };
    let path = disk.path().join("journal.db");
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 300 << 10]).unwrap();
    let journal = SqliteJournal::open(&path).unwrap();
    let (one, other) = (run("one"), run("other"));
    record(
        &journal,
        &one,
        &[started(&one, "orders")],
        Durability::Synced,
    )
    .await;
    let mut acknowledged = 0;
    let error = loop {
        let next = [note(acknowledged + 1)];
        match journal.record(&one, &next, Durability::Synced).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 100_000, "the disk never fills");
    };
    assert_eq!(error.place, path.display().to_string());
    assert!(
        error.why.contains("its disk is full: make room there"),
        "{error}"
    );
    // What was acknowledged is there, and can be read although nothing can be written.
    let events = journal.events(&one).await.unwrap();
    assert_eq!(u64::try_from(events.len()).unwrap(), acknowledged + 1);
    // With room others go on; the run that missed an event does not.
    fs::remove_file(ballast).unwrap();
    record(
        &journal,
        &other,
        &[started(&other, "orders")],
        Durability::Synced,
    )
    .await;
    let next = [note(acknowledged + 1)];
    let error = journal
        .record(&one, &next, Durability::Synced)
        .await
        .unwrap_err();
    assert!(error.why.contains("an earlier write failed"), "{error}");
    assert!(journal.acquire("orders", &other).await.is_ok());
}

#[tokio::test]
async fn a_limit_on_files_stops_the_run_like_a_full_disk() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    let mut helper = Helper::limited("write", &path, &["one", "1000000"]);
    let mut lines: Vec<String> = helper.rest().collect();
    assert!(!helper.wait().success());
    let error = lines.pop().unwrap();
    assert!(error.contains("journal.db cannot be written"), "{error}");
    assert!(
        error.contains("see to its disk, or its limits") || error.contains("make room"),
        "{error}"
    );
    let events = SqliteHistory::open(&path)
        .unwrap()
        .events(&run("one"))
        .await
        .unwrap();
    assert_eq!(events.len(), lines.len());
}

#[tokio::test]
async fn a_journal_that_may_only_be_read_is_refused_before_anything_begins() {
    let Some(disk) = Mount::small() else {
        return;
    };
    let path = disk.path().join("state/journal.db");
    let one = run("one");
    let journal = SqliteJournal::open(&path).unwrap();
    record(
        &journal,
        &one,
        &[started(&one, "orders")],
        Durability::Synced,
    )
    .await;
    let held = journal.acquire("orders", &one).await.unwrap();
    drop((held, journal));
    disk.remount("ro");
    let error = until(|| SqliteJournal::open(&path).err());
    assert!(matches!(error, JournalError::ReadOnly { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("allow it to the user who runs pgbaton"),
        "{error}"
    );
    let missing = disk.path().join("other/journal.db");
    let error = SqliteJournal::open(&missing).unwrap_err();
    assert!(matches!(error, JournalError::ReadOnly { .. }), "{error}");
}

#[tokio::test]
async fn the_log_does_not_grow_with_the_journal() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    let journal = SqliteJournal::open(&path).unwrap();
    let one = run("one");
    let length = |ending: &str| fs::metadata(beside(&path, ending)).unwrap().len() >> 20;
    record(
        &journal,
        &one,
        &[started(&one, "orders")],
        Durability::Ordered,
    )
    .await;
    for seq in 1..=400 {
        let batch = [lengthy(seq, 100 << 10)];
        record(&journal, &one, &batch, Durability::Ordered).await;
        assert!(length("-wal") < 20, "{} MiB", length("-wal"));
    }
    journal.tidy().await.unwrap();
    assert!(length("") >= 39);
    // It starts anew, and is cut.
    record(
        &journal,
        &one,
        &[ended(401, Outcome::Ok)],
        Durability::Synced,
    )
    .await;
    assert!(length("-wal") <= 4, "{} MiB", length("-wal"));
}

async fn take(journal: &SqliteJournal, name: &str) -> Result<Box<dyn Held>, LeaseError> {
    journal.acquire("orders", &run(name)).await
}

#[tokio::test]
async fn a_cluster_is_held_by_one_run_and_free_when_its_process_was_killed() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    let journal = SqliteJournal::open_with_ttl(&path, LONG).unwrap();
    let first = take(&journal, "first").await.unwrap();
    assert!(first.is_valid());
    let other = journal.acquire("billing", &run("other")).await.unwrap();
    assert_eq!((first.token(), other.token()), (1, 1));
    let busy = |holder: &str| LeaseError::Busy {
        cluster: "orders".to_owned(),
        holder: holder.to_owned(),
    };
    assert_eq!(take(&journal, "late").await.err(), Some(busy("first")));
    drop(first);

    let mut helper = Helper::start("hold", &path, &["theirs", &LONG.as_millis().to_string()]);
    assert_eq!(helper.line(), "2");
    assert_eq!(take(&journal, "late").await.err(), Some(busy("theirs")));
    helper.kill();
    let third = take(&journal, "third").await.unwrap();
    assert!(third.is_valid());
    assert_eq!(third.token(), 3);
    drop(third);
    // The counter is in the file.
    drop(journal);
    let again = SqliteJournal::open(&path).unwrap();
    assert_eq!(take(&again, "fourth").await.unwrap().token(), 4);
    assert!(other.is_valid());
}

#[tokio::test]
async fn a_lease_that_is_held_is_renewed() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    let journal = SqliteJournal::open_with_ttl(&path, SHORT).unwrap();
    let held = take(&journal, "first").await.unwrap();
    tokio::time::sleep(SHORT * 2).await;
    assert!(held.is_valid());
    let late = take(&SqliteJournal::open(&path).unwrap(), "late").await;
    assert!(matches!(late.err(), Some(LeaseError::Busy { .. })));
}

#[tokio::test]
async fn a_runner_that_slept_too_long_has_lost_its_lease_when_it_wakes() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    let journal = SqliteJournal::open_with_ttl(&path, LONG).unwrap();
    let ttl = SHORT.as_millis().to_string();
    for is_taken in [true, false] {
        let mut sleeper = Helper::start("hold", &path, &["sleeper", &ttl]);
        let token: u64 = sleeper.line().parse().unwrap();
        sleeper.say("?");
        assert_eq!(sleeper.line(), "true");
        sleeper.stop(&path);
        let second = if is_taken {
            let begun = std::time::Instant::now();
            Some(loop {
                match take(&journal, "second").await {
                    Ok(held) => break held,
                    Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            })
        } else {
            tokio::time::sleep(SHORT * 2).await;
            None
        };
        sleeper.say("?");
        sleeper.go_on();
        assert_eq!(sleeper.line(), "false");
        // Its renewals come, and change nothing.
        tokio::time::sleep(SHORT).await;
        sleeper.say("?");
        assert_eq!(sleeper.line(), "false");
        if let Some(second) = second {
            assert!(second.is_valid());
            assert_eq!(second.token(), token + 1);
            let late = take(&journal, "late").await.err().unwrap().to_string();
            assert_eq!(late, "cluster orders is held by run second");
        } else {
            assert_eq!(take(&journal, "third").await.unwrap().token(), token + 1);
        }
    }
}

#[tokio::test]
async fn nobody_is_left_with_a_lease_that_was_not_waited_for() {
    let place = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open_with_ttl(place.path().join("journal.db"), LONG).unwrap();
    for n in 1..=20 {
        let asked = take(&journal, "gave up");
        let _ = tokio::time::timeout(Duration::from_micros(n * 50), asked).await;
    }
    assert!(take(&journal, "last").await.is_ok());
}

#[tokio::test]
async fn a_run_is_interrupted_when_its_process_is_gone_or_its_lease() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    let journal = SqliteJournal::open(&path).unwrap();
    let standing = async |name: &str| journal.run(name).await.unwrap().standing;
    let held = take(&journal, "changes").await.unwrap();
    for name in ["changes", "reads"] {
        record(
            &journal,
            &run(name),
            &[started(&run(name), "orders")],
            Durability::Synced,
        )
        .await;
        assert_eq!(standing(name).await, Standing::UnderWay);
    }
    drop(held);
    // The lease is given back in its own time, before whatever is asked afterwards over the same journal.
    let next = take(&journal, "next").await.unwrap();
    assert_eq!(standing("changes").await, Standing::Interrupted);
    assert_eq!(standing("reads").await, Standing::UnderWay);
    drop(next);
    let mut helper = Helper::start("answer", &path, &["dies"]);
    assert_eq!(helper.line(), "0");
    assert_eq!(standing("dies").await, Standing::UnderWay);
    helper.kill();
    assert_eq!(standing("dies").await, Standing::Interrupted);
}

#[tokio::test]
async fn a_key_leads_to_the_run_that_had_it_first() {
    let place = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(place.path().join("journal.db")).unwrap();
    let (dead, one, two) = (run("dead"), run("one"), run("two"));
    let announce = async |run, cluster| journal.announce(run, cluster, "alert-7").await.unwrap();
    // It died before it began: the key is free.
    assert_eq!(announce(&dead, "orders").await, Announced::New);
    assert_eq!(announce(&one, "orders").await, Announced::New);
    assert_eq!(journal.by_key("orders", "alert-7").await.unwrap(), None);
    record(
        &journal,
        &one,
        &[started(&one, "orders")],
        Durability::Synced,
    )
    .await;
    assert_eq!(
        announce(&two, "orders").await,
        Announced::Before(one.clone())
    );
    assert_eq!(announce(&two, "billing").await, Announced::New);
    let found = journal.by_key("orders", "alert-7").await.unwrap().unwrap();
    assert_eq!((found.run, found.key.as_deref()), (one, Some("alert-7")));
}

#[tokio::test]
async fn journals_of_json_lines_can_be_brought_in() {
    let place = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(place.path().join("journal.db")).unwrap();
    let files = FileRecorder::new(place.path().join("runs")).unwrap();
    let (whole, torn) = (run("whole"), run("torn"));
    let events = [started(&whole, "orders"), note(1), ended(2, Outcome::Ok)];
    record(&files, &whole, &events, Durability::Synced).await;
    record(
        &files,
        &torn,
        &[started(&torn, "orders"), note(1)],
        Durability::Synced,
    )
    .await;
    for expected in [
        Imported::New(whole.clone()),
        Imported::Before(whole.clone()),
    ] {
        assert_eq!(journal.import(&files.path(&whole)).await.unwrap(), expected);
    }
    journal.import(&files.path(&torn)).await.unwrap();
    assert_eq!(journal.events(&whole).await.unwrap(), events);
    let interrupted = journal.interrupted().await.unwrap();
    assert_eq!(interrupted.len(), 1);
    assert_eq!(interrupted[0].run, torn);
    let odd = place.path().join("odd.jsonl");
    fs::write(&odd, serde_json::to_string(&note(0)).unwrap() + "\n").unwrap();
    let error = journal.import(&odd).await.unwrap_err().to_string();
    assert!(
        error.contains("odd.jsonl does not begin with the start of a run"),
        "{error}"
    );
}

/// What each version of this program has written stays readable. The dumps are of real files.
#[tokio::test]
async fn journals_of_every_version_are_read() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journal");
    let mut versions = 0;
    for fixture in fs::read_dir(fixtures).unwrap() {
        let fixture = fixture.unwrap().path();
        let version = fixture.file_stem().unwrap().to_str().unwrap().to_owned();
        let dump = fs::read_to_string(&fixture).unwrap();
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("journal.db");
        rusqlite::Connection::open(&path)
            .unwrap()
            .execute_batch(&dump)
            .unwrap();
        // Whoever only looks reads it as it is; who writes brings it up to date.
        let looked = SqliteHistory::open(&path).unwrap();
        let seen = looked.runs(&Filter::default()).await.unwrap();
        let at_first = looked.notes(Some("orders"), "pause", 10).await.unwrap();
        let journal = SqliteJournal::open(&path).unwrap();
        let runs = journal.runs(&Filter::default()).await.unwrap();
        assert_eq!(runs, seen, "version {version}");
        let owed = looked.ledger("orders").await.unwrap();
        let has_debts = matches!(version.as_str(), "3" | "4");
        assert_eq!(owed.len(), usize::from(has_debts), "version {version}");
        assert_eq!(journal.ledger("orders").await.unwrap(), owed);
        let mut notes = if version == "4" {
            vec![kept_note()]
        } else {
            vec![]
        };
        assert_eq!(at_first, notes, "version {version}");
        let next = Note {
            id: "next".to_owned(),
            ..kept_note()
        };
        assert!(journal.keep_note_if_new(&next).await.unwrap());
        notes.insert(0, next);
        assert_eq!(looked.notes(None, "pause", 10).await.unwrap(), notes);
        let standing: Vec<_> = runs.iter().map(|run| (&*run.run.0, run.standing)).collect();
        assert_eq!(
            standing,
            [
                ("20261123-014609-v003", Standing::Ended(Outcome::Held)),
                ("20261123-014608-v002", Standing::Interrupted),
                ("20261123-014607-v001", Standing::Ended(Outcome::Ok)),
            ]
        );
        let events = journal.events(&run("20261123-014607-v001")).await.unwrap();
        let expected = [
            started(&run("20261123-014607-v001"), "orders"),
            note(1),
            ended(2, Outcome::Ok),
        ];
        assert_eq!(events, expected);
        let by_key = journal.by_key("orders", "alert-7").await.unwrap().unwrap();
        assert_eq!(&*by_key.run.0, "20261123-014608-v002");
        let second = run("20261123-014608-v002");
        let messages = journal.messages(&second, 0).await.unwrap();
        let asked: Vec<_> = messages.iter().map(|m| (m.number, &m.letter.ask)).collect();
        let name = journal.name().unwrap();
        if version == "1" {
            assert_eq!((asked, name.len()), (vec![], 16));
        } else {
            assert_eq!(asked, [(1, &Ask::Cancel)]);
            assert_eq!(name, "9f86d081884c7d65");
        }
        // Tokens go on, and so do runs.
        assert_eq!(take(&journal, "next").await.unwrap().token(), 3);
        record(
            &journal,
            &run("20261123-014608-v002"),
            &[note(1)],
            Durability::Synced,
        )
        .await;
        versions += 1;
    }
    assert_eq!(versions, 4);
}

#[tokio::test]
async fn what_is_not_a_journal_of_this_program_is_left_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    let of = |name: &str| place.path().join(name);
    fs::write(
        of("text"),
        "not a database, but longer than a hundred bytes: ".repeat(4),
    )
    .unwrap();
    fs::write(of("short"), "SQLite").unwrap();
    let foreign = rusqlite::Connection::open(of("foreign")).unwrap();
    foreign.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(foreign);
    let later = of("later");
    drop(SqliteJournal::open(&later).unwrap());
    let connection = alone(&later);
    connection.pragma_update(None, "user_version", 999).unwrap();
    drop(connection);
    for (name, says) in [
        ("text", "is no journal of pgbaton"),
        ("short", "is no journal of pgbaton"),
        ("foreign", "is no journal of pgbaton"),
        (
            "later",
            "has version 999, this pgbaton knows up to 4: use the pgbaton that wrote it",
        ),
    ] {
        let before = fs::read(of(name)).unwrap();
        for error in [
            SqliteJournal::open(of(name)).unwrap_err(),
            SqliteHistory::open(of(name)).unwrap_err(),
        ] {
            assert!(error.to_string().contains(says), "{error}");
        }
        assert_eq!(fs::read(of(name)).unwrap(), before, "{name}");
        for ending in ["-wal", "-shm"] {
            assert!(!beside(&of(name), ending).exists(), "{name}{ending}");
        }
    }
    let error = SqliteHistory::open(of("nowhere")).unwrap_err().to_string();
    assert!(
        error.contains("nowhere cannot be opened: No such file"),
        "{error}"
    );
    assert!(!of("nowhere").exists());
}

#[tokio::test]
async fn damage_is_said_and_nothing_is_recorded_on_top_of_it() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    let one = run("one");
    let journal = SqliteJournal::open(&path).unwrap();
    record(
        &journal,
        &one,
        &[started(&one, "orders")],
        Durability::Synced,
    )
    .await;
    drop(journal);
    let store = alone(&path);
    let page = "SELECT rootpage FROM sqlite_schema WHERE name = 'store'";
    let named: usize = store.query_row(page, [], |row| row.get(0)).unwrap();
    drop(store);
    // All but the first page, which has the tables' names, and that of the store's own name.
    let mut content = fs::read(&path).unwrap();
    for (number, page) in (1..).zip(content.chunks_mut(4096)) {
        if number != 1 && number != named {
            page.fill(0xA5);
        }
    }
    fs::write(&path, content).unwrap();
    let journal = SqliteJournal::open(&path).unwrap();
    let error = journal
        .runs(&Filter::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("is damaged") && error.contains(".recover"),
        "{error}"
    );
    let two = run("two");
    let refused = journal
        .record(&two, &[started(&two, "orders")], Durability::Synced)
        .await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("it is damaged"), "{error}");
    let refused = take(&journal, "two").await.err().unwrap().to_string();
    assert!(
        refused.contains("an earlier write failed: it is damaged"),
        "{refused}"
    );
}

/// No test: what the tests above start as a process of its own.
#[tokio::test]
#[ignore = "a part of other tests"]
async fn another_process() {
    support::play().await;
}

/// What somebody asks of a run from another process is there for the runner, and for the next one.
#[tokio::test]
async fn messages_to_a_run_are_kept_in_order() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    let (runner, person) = (
        SqliteJournal::open(&path).unwrap(),
        SqliteJournal::open(&path).unwrap(),
    );
    let (one, two) = (run("20261123-014607-aaaa"), run("20261123-014608-bbbb"));
    let letter = |ask: Ask| Letter {
        at: "2026-11-23T01:46:09Z".to_owned(),
        by: "dba@runner".to_owned(),
        reason: "OPS-4711".to_owned(),
        ask,
    };
    let approve = Ask::Approve {
        step: "follow[n3]/ask".to_owned(),
    };
    assert_eq!(
        person.post(&one, &letter(approve.clone())).await.unwrap(),
        1
    );
    assert_eq!(person.post(&two, &letter(Ask::Cancel)).await.unwrap(), 1);
    assert_eq!(person.post(&one, &letter(Ask::Cancel)).await.unwrap(), 2);
    let asked = async |after| -> Vec<(u64, Ask)> {
        let messages = runner.messages(&one, after).await.unwrap();
        messages
            .into_iter()
            .map(|m| (m.number, m.letter.ask))
            .collect()
    };
    assert_eq!(asked(0).await, [(1, approve), (2, Ask::Cancel)]);
    assert_eq!(asked(1).await, [(2, Ask::Cancel)]);
    assert!(asked(2).await.is_empty());
    assert_eq!(runner.name(), person.name());
}

#[tokio::test]
async fn what_runs_leave_to_do_is_told_until_another_has_done_it() {
    let place = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(place.path().join("journal.db")).unwrap();
    let left = leave_something_to_do(&journal).await;
    let ledger = journal.ledger("orders").await.unwrap();
    let told: Vec<(&str, bool)> = ledger.iter().map(|e| (e.text.as_str(), e.paid)).collect();
    let expected = [
        ("about 1", false),
        ("about 2", false),
        ("about 3", false),
        ("about 1", true),
    ];
    assert_eq!(told, expected);
    let open: Vec<Owed> = open_debts(ledger).into_iter().map(|e| e.owed).collect();
    assert_eq!(open, left);
    assert_eq!(journal.ledger("nobody").await.unwrap(), []);
}
