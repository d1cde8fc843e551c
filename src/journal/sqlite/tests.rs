//! What cannot be seen from outside: steps between versions that do not exist yet, and leases in the table.

use super::super::belief::{Term, now_ms};
use super::lease::{Granted, give_back, renew, take};
use super::open::{MIGRATIONS, bring_up_to_date, open_to_read, open_to_write};
use super::process::Process;
use super::worker::transact;
use super::*;
use rusqlite::Connection;
use std::path::Path;
use std::time::Duration;

const NEXT: &str =
    "ALTER TABLE runs ADD COLUMN mood TEXT; UPDATE runs SET mood = 'good: ' || playbook;";

fn with_a_run(path: &Path) -> Connection {
    let connection = open_to_write(path).unwrap();
    let run = "INSERT INTO runs (id, cluster, playbook, trigger, started, last_seq) \
               VALUES ('one', 'orders', 'failover', 'cli', '2026', 0)";
    connection.execute_batch(run).unwrap();
    connection
}

fn version(connection: &Connection) -> i64 {
    connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap()
}

#[test]
fn an_older_journal_is_brought_up_to_date_with_what_stands_in_it() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    let mut connection = with_a_run(&path);
    let known = i64::try_from(MIGRATIONS.len()).unwrap();
    let steps: Vec<&str> = MIGRATIONS.iter().copied().chain([NEXT]).collect();
    for _ in 0..2 {
        bring_up_to_date(&mut connection, &path, &steps).unwrap();
        assert_eq!(version(&connection), known + 1);
    }
    let mood: String = connection
        .query_row("SELECT mood FROM runs", [], |row| row.get(0))
        .unwrap();
    assert_eq!(mood, "good: failover");
    // This program knows only what MIGRATIONS has.
    drop(connection);
    let refused = SqliteJournal::open(&path).unwrap_err();
    assert!(matches!(refused, JournalError::Newer { version, .. } if version == known + 1));
}

/// `runs list` while `serve` writes its first line: the file is there before anything is in it.
#[test]
fn who_reads_waits_for_a_journal_that_is_just_being_made() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    std::fs::File::create(&path).unwrap();
    let told = open_to_read(&path).unwrap_err().to_string();
    assert!(told.contains("it has version 0"), "nobody makes it: {told}");
    let (begun, begins) = std::sync::mpsc::channel();
    let reads = path.clone();
    let reader = std::thread::spawn(move || {
        begun.send(()).unwrap();
        open_to_read(&reads).map(|connection| version(&connection))
    });
    begins.recv().unwrap();
    drop(with_a_run(&path));
    let known = i64::try_from(MIGRATIONS.len()).unwrap();
    assert!((1..=known).contains(&reader.join().unwrap().unwrap()));
}

#[test]
fn a_step_that_fails_changes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    let mut connection = with_a_run(&path);
    let fails = "DELETE FROM runs; INSERT INTO nowhere VALUES (1);";
    let steps: Vec<&str> = MIGRATIONS.iter().copied().chain([fails]).collect();
    let error = bring_up_to_date(&mut connection, &path, &steps).unwrap_err();
    let says = error.to_string();
    let known = i64::try_from(MIGRATIONS.len()).unwrap();
    let next = known + 1;
    let expected = format!("stays at version {known}, it could not be brought to version {next}");
    assert!(says.contains(&expected), "{says}");
    assert_eq!(version(&connection), known);
    let runs: i64 = connection
        .query_row("SELECT count(*) FROM runs", [], |row| row.get(0))
        .unwrap();
    assert_eq!(runs, 1);
}

/// Takes the lease; the run that has it, when it is not free.
fn try_take(
    connection: &Connection,
    run: &str,
    term: Term,
) -> Result<(super::lease::Grant, i64), String> {
    let here = Process::current().unwrap();
    match take(connection, "orders", run, &here, term).unwrap() {
        Granted::Taken(grant, expires) => Ok((grant, expires)),
        Granted::Busy(holder) => Err(holder),
    }
}

#[test]
fn a_lease_that_ran_out_is_not_renewed_even_if_nobody_took_it() {
    let place = tempfile::tempdir().unwrap();
    let connection = open_to_write(&place.path().join("journal.db")).unwrap();
    let (short, long) = (
        Term::new(Duration::from_millis(10)),
        Term::new(Duration::from_mins(10)),
    );
    let (grant, expires) = try_take(&connection, "one", short).unwrap();
    while now_ms() < expires {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(renew(&connection, &grant, long).unwrap(), None);
    let (second, _) = try_take(&connection, "two", long).unwrap();
    assert_eq!((grant.token, second.token), (1, 2));
    // The first can neither renew nor give back what is not its own any more.
    assert_eq!(renew(&connection, &grant, long).unwrap(), None);
    give_back(&connection, &grant).unwrap();
    assert_eq!(try_take(&connection, "three", long).unwrap_err(), "two");
    assert!(renew(&connection, &second, long).unwrap().is_some());
    give_back(&connection, &second).unwrap();
    let (third, _) = try_take(&connection, "three", long).unwrap();
    assert_eq!(third.token, 3);
}

#[test]
fn a_restart_of_the_machine_ends_all_leases() {
    let place = tempfile::tempdir().unwrap();
    let connection = open_to_write(&place.path().join("journal.db")).unwrap();
    let term = Term::new(Duration::from_mins(10));
    try_take(&connection, "one", term).unwrap();
    assert_eq!(try_take(&connection, "two", term).unwrap_err(), "one");
    let here = Process::current().unwrap().to_string();
    let (process, _boot) = here.rsplit_once(' ').unwrap();
    connection
        .execute("UPDATE leases SET process = ?1 || ' earlier'", [process])
        .unwrap();
    assert_eq!(try_take(&connection, "two", term).unwrap().0.token, 2);
}

#[test]
fn only_what_must_survive_the_loss_of_power_waits_for_the_disk() {
    let place = tempfile::tempdir().unwrap();
    let mut connection = open_to_write(&place.path().join("journal.db")).unwrap();
    let mode: String = connection
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "wal");
    // 1 is NORMAL, 2 is FULL.
    for (synced, expected) in [(true, 2), (false, 1), (true, 2)] {
        let level: i64 = transact(&mut connection, synced, |change| {
            change.pragma_query_value(None, "synchronous", |row| row.get(0))
        })
        .unwrap();
        assert_eq!(level, expected);
    }
}

/// A commit that lengthens the log waits for everything else that is being written to the disk.
#[test]
fn the_log_is_as_long_as_a_failover_needs_and_stays_so() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    let log = place.path().join("journal.db-wal");
    let length = || std::fs::metadata(&log).unwrap().len();
    let connection = open_to_write(&path).unwrap();
    let made = length();
    assert!(made >= 256 << 10, "{made}");
    let note = "INSERT INTO messages VALUES ('one', ?1, '{}')";
    for number in 0..20 {
        connection.execute(note, [number]).unwrap();
    }
    assert_eq!(length(), made, "it is written over from its beginning");
    drop(connection);
    assert_eq!(length(), made, "it stays when the last one closes it");
    let again = open_to_write(&path).unwrap();
    again.execute(note, [20]).unwrap();
    assert_eq!(length(), made);
}
