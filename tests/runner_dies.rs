//! The runner dies after every record of its journal, and between everything that happens and its record; another one
//! resumes the run. All of them, not a sample: no invariant breaks, and the run ends as it would have without.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

use pgbaton::actions::catalog;
use pgbaton::document::{Diagnostics, Source};
use pgbaton::engine::Outcome;
use pgbaton::playbook::{Checked, check};
use pgbaton::rehearse::{Kind, Planned, Played, Point, Scenario, Subject, Want, play};
use pgbaton::runs::Shelves;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

fn stock(name: &str) -> Checked {
    let shelves = Shelves::beside(None);
    checked(&shelves.open(name).unwrap())
}

fn checked(source: &Source) -> Checked {
    let shelves = Shelves::beside(None);
    check(source, &catalog(), &shelves, &mut Diagnostics::default()).unwrap()
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
fn dies_everywhere(playbook: Checked, situation: &str, ends: Outcome) {
    let name = playbook.playbook.name.value.clone();
    let subject = Subject::without_site(playbook, Some(stock("follow")));
    let plain = play(&subject, &at(situation, Vec::new()), Want::Outcome).unwrap();
    assert!(plain.violations.is_empty(), "{:?}", plain.violations);
    assert_eq!(plain.outcome, Some(ends));
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
        "{name} in {situation}, {} records, {} deaths with a difference:\n{}",
        plain.records,
        found.len(),
        found.join("\n")
    );
}

#[test]
fn in_a_failover_of_a_dead_server() {
    dies_everywhere(stock("failover"), "server-dead-sync", Outcome::Ok);
}

#[test]
fn in_a_failover_whose_host_is_gone() {
    dies_everywhere(stock("failover"), "host-dead-sync", Outcome::Ok);
}

#[test]
fn in_a_switchover() {
    dies_everywhere(stock("switchover"), "healthy-sync", Outcome::Ok);
}

#[test]
fn in_a_follow() {
    dies_everywhere(stock("follow"), "promoted-async", Outcome::Ok);
}

/// Refused in the last moment before the promotion: all that was done is undone, the old primary is started again.
#[test]
fn in_a_run_that_undoes_what_it_did() {
    let stock = include_str!("../playbooks/switchover.yaml");
    let promote = "  promote:                      # the point of no return\n    needs: [fence,";
    let veto = "  veto:\n    needs: [fence, verify_handover]\n    action: assert\n    with: { that: \"false\", message: no }\n\n  \
                promote:\n    needs: [veto, fence,";
    let text = stock.replace(promote, veto);
    assert_ne!(text, stock);
    dies_everywhere(
        checked(&Source::new("veto.yaml", text)),
        "healthy-sync",
        Outcome::Refused,
    );
}

/// Steps that are tried again, a playbook that is, a rescue and a finally.
#[test]
fn in_a_run_that_tries_again_and_is_rescued() {
    let text = "\
playbook: rescued
version: 1.0.0
summary: Fails in several ways and is made up for.
steps:
  slot:
    action: create_slot
    node: '{{ cluster.primary }}'
    with: { for: n3 }
    retry: { attempts: 2, delay: 1s }
  again:
    needs: [slot]
    action: assert
    with: { that: 'steps.slot.slot == null', message: not yet }
    retry: { attempts: 3, delay: 2s, if: 'true' }
    on_failure: degrade
  nested:
    needs: [again]
    playbook: follow
    with: { node: n2, upstream: '{{ cluster.primary }}' }
    retry: { attempts: 2, delay: 1s }
  each:
    needs: [nested]
    for_each: { items: [a, b, c], max_failures: 1 }
    action: assert
    with: { that: \"item != 'b'\", message: not b }
  doomed:
    needs: [each]
    action: assert
    with: { that: 'false', message: it fails }
    rescue:
      mark:
        action: checkpoint
        node: '{{ cluster.primary }}'
  done:
    needs: [doomed]
    action: wait
    with: { for: 1s }
    timeout: 10s
finally:
  last:
    action: checkpoint
    node: '{{ cluster.primary }}'
";
    dies_everywhere(
        checked(&Source::new("rescued.yaml", text)),
        "healthy-sync",
        Outcome::Degraded,
    );
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
