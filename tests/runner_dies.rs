//! The runner dies after every record of its journal, and between everything that happens and its record; another one
//! resumes the run. All of them, not a sample: no invariant breaks, and the run ends as it would have without.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

use pgbaton::actions::catalog;
use pgbaton::document::Diagnostics;
use pgbaton::playbook::{Checked, check};
use pgbaton::rehearse::{Kind, Planned, Played, Point, Scenario, Subject, Want, play};
use pgbaton::runs::Shelves;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

fn stock(name: &str) -> Checked {
    let shelves = Shelves::beside(None);
    let source = shelves.open(name).unwrap();
    check(&source, &catalog(), &shelves, &mut Diagnostics::default()).unwrap()
}

fn at(situation: &str, faults: Vec<Planned>) -> Scenario {
    Scenario {
        faults,
        ..format!("{situation}.1").parse().unwrap()
    }
}

/// What differs from the run that nothing happened to.
fn difference(plain: &Played, scenario: &Scenario, played: &Played) -> Option<String> {
    let broken: Vec<String> = played
        .violations
        .iter()
        .map(|v| format!("{}: {}", v.invariant, v.detail))
        .collect();
    if !broken.is_empty() {
        return Some(format!("{scenario}: {}", broken.join("; ")));
    }
    if played.met == 0 {
        return Some(format!("{scenario}: nobody died"));
    }
    (played.outcome != plain.outcome || played.promoted != plain.promoted).then(|| {
        format!(
            "{scenario}: ends {:?} (promoted: {}) and not {:?}",
            played.outcome, played.promoted, plain.outcome
        )
    })
}

/// Every record of this run, on all cores.
fn dies_everywhere(playbook: &str, situation: &str) {
    let subject = Subject::without_site(stock(playbook), Some(stock("follow")));
    let plain = play(&subject, &at(situation, Vec::new()), Want::Outcome).unwrap();
    assert!(plain.violations.is_empty(), "{:?}", plain.violations);
    assert!(plain.records > 20, "{}", plain.records);
    let next = AtomicU64::new(0);
    let found = Mutex::new(Vec::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let record = number / 2 + 1;
            if record > plain.records {
                return;
            }
            let point = match number % 2 {
                0 => Point::Recorded(record),
                // Before its first record a run has not begun.
                _ if record == 1 => continue,
                _ => Point::Unrecorded(record),
            };
            let kind = Kind::Dies;
            let scenario = at(situation, vec![Planned { point, kind }]);
            let played = play(&subject, &scenario, Want::Outcome).unwrap();
            let difference = difference(&plain, &scenario, &played);
            found.lock().unwrap().extend(difference);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(work);
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort();
    assert!(
        found.is_empty(),
        "{playbook} in {situation}, {} records, {} deaths with a difference:\n{}",
        plain.records,
        found.len(),
        found.join("\n")
    );
}

#[test]
fn in_a_failover_of_a_dead_server() {
    dies_everywhere("failover", "server-dead-sync");
}

#[test]
fn in_a_failover_whose_host_is_gone() {
    dies_everywhere("failover", "host-dead-sync");
}

#[test]
fn in_a_switchover() {
    dies_everywhere("switchover", "healthy-sync");
}

#[test]
fn in_a_follow() {
    dies_everywhere("follow", "promoted-async");
}

#[test]
fn before_its_first_record_nothing_has_happened() {
    let subject = Subject::without_site(stock("failover"), Some(stock("follow")));
    let dies = Planned {
        point: Point::Unrecorded(1),
        kind: Kind::Dies,
    };
    let played = play(&subject, &at("server-dead-sync", vec![dies]), Want::Outcome).unwrap();
    assert!(!played.promoted);
    assert!(played.violations.is_empty(), "{:?}", played.violations);
}
