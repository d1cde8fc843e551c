//! Notes about clusters, beside their runs: the same on one machine and between several, in trouble too.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends at what it did not expect"
)]

mod etcd_support;
mod live_support;
#[path = "journal_support/mod.rs"]
mod support;

use etcd_support::Members;
use etcd_support::proxy::Proxy;
use pgbaton::journal::{
    EtcdStore, History, HistoryError, Note, SqliteHistory, SqliteJournal, Store,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use support::{Helper, says, told};

/// How many notes the racing processes try to keep.
const RACES: usize = 40;

fn note(cluster: &str, kind: &str, id: &str, second: i64) -> Note {
    Note {
        cluster: cluster.to_owned(),
        kind: kind.to_owned(),
        id: id.to_owned(),
        at: jiff::Timestamp::new(1_795_700_000 + second, 123_456_789).unwrap(),
        body: json!({ "v": 1, "text": "a \"quoted\" Größe\n", "second": second, "none": null, "deep": [[1.5]] }),
    }
}

async fn ids(store: &dyn History, cluster: Option<&str>, kind: &str, newest: usize) -> Vec<String> {
    let notes = store.notes(cluster, kind, newest).await.unwrap();
    notes
        .into_iter()
        .map(|note| format!("{}:{}", note.cluster, note.id))
        .collect()
}

/// What every store does. `other` is the same one, as somebody else has opened it.
async fn keeps_notes(store: &dyn Store, other: &dyn History) {
    assert_eq!(ids(other, None, "told", 10).await, [""; 0]);
    let first = note("orders", "told", "a", 5);
    store.keep_note(&first).await.unwrap();
    assert_eq!(
        other.notes(Some("orders"), "told", 10).await.unwrap(),
        [first]
    );

    // The next of its name takes its place, and says when it was itself.
    let second = note("orders", "told", "a", 1);
    store.keep_note(&second).await.unwrap();
    let there = other.notes(None, "told", 10).await.unwrap();
    assert_eq!(there, std::slice::from_ref(&second));

    // What must be new is not kept where it is not, and changes nothing.
    let late = note("orders", "told", "a", 9);
    assert!(!store.keep_note_if_new(&late).await.unwrap());
    assert_eq!(other.notes(None, "told", 10).await.unwrap(), [second]);
    for (cluster, kind, id, at) in [
        ("orders", "told", "b", 3),
        ("orders", "told", "c", 2),
        ("orders", "tolds", "a", 4),
        ("orders-2", "told", "a", 6),
        // No name reaches into another.
        ("orders/x", "told", "y", 7),
        ("orders", "told", "x/y", 8),
        ("%", "_", "'; DROP TABLE notes", 1),
    ] {
        let new = note(cluster, kind, id, at);
        assert!(store.keep_note_if_new(&new).await.unwrap(), "{new:?}");
        assert!(!store.keep_note_if_new(&new).await.unwrap(), "{new:?}");
    }
    let all = [
        "orders:x/y",
        "orders/x:y",
        "orders-2:a",
        "orders:b",
        "orders:c",
        "orders:a",
    ];
    assert_eq!(ids(other, None, "told", 10).await, all);
    assert_eq!(ids(other, None, "told", usize::MAX).await, all);
    assert_eq!(ids(other, None, "told", 4).await, all[..4]);
    let own = ["orders:x/y", "orders:b", "orders:c", "orders:a"];
    assert_eq!(ids(other, Some("orders"), "told", 10).await, own);
    assert_eq!(ids(other, Some("orders"), "told", 1).await, own[..1]);
    assert_eq!(ids(other, Some("orders"), "tolds", 10).await, ["orders:a"]);
    assert_eq!(
        ids(other, Some("%"), "_", 10).await,
        ["%:'; DROP TABLE notes"]
    );
    for nobody in [
        other.notes(Some("nobody"), "told", 10),
        other.notes(Some("orders"), "tol", 10),
    ] {
        assert_eq!(nobody.await.unwrap(), []);
    }

    // What is taken away is gone, once, and nothing else is.
    assert!(store.discard_note("orders", "told", "x/y").await.unwrap());
    assert!(!store.discard_note("orders", "told", "x/y").await.unwrap());
    assert!(!store.discard_note("orders/x", "tolds", "y").await.unwrap());
    assert_eq!(ids(other, None, "told", 10).await, all[1..]);
    let again = note("orders", "told", "x/y", 0);
    assert!(store.keep_note_if_new(&again).await.unwrap());
    assert!(store.discard_note("orders", "told", "x/y").await.unwrap());

    // What could hide the others is refused, and they are told as before.
    let deep = (0..127).fold(json!(1), |inner, _| json!([inner]));
    for (body, why) in [
        (json!("x".repeat(1 << 20)), "1048576 are the most"),
        (deep, "could not be read back"),
    ] {
        let bad = Note {
            body,
            ..note("orders", "told", "bad", 10)
        };
        for error in [
            store.keep_note(&bad).await.unwrap_err(),
            store.keep_note_if_new(&bad).await.unwrap_err(),
        ] {
            assert!(error.to_string().contains(why), "{error}");
        }
    }
    assert_eq!(ids(other, None, "told", 10).await, all[1..]);

    // More than one answer holds, some of them as large as they may be.
    for second in 0..8 {
        let text = if second % 2 == 0 {
            "x".repeat(1_048_000)
        } else {
            "x".to_owned()
        };
        let large = Note {
            body: json!(text),
            ..note("orders", "plan", &second.to_string(), second)
        };
        store.keep_note(&large).await.unwrap();
    }
    let all = other.notes(Some("orders"), "plan", 100).await.unwrap();
    let lengths = all.iter().map(|note| note.body.as_str().unwrap().len());
    assert!(lengths.eq([1, 1_048_000].into_iter().cycle().take(8)));
    let newest = ["orders:7", "orders:6", "orders:5", "orders:4", "orders:3"];
    assert_eq!(ids(other, None, "plan", 5).await, newest);
}

#[tokio::test]
async fn one_machine_keeps_notes() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    let store = SqliteJournal::open(&path).unwrap();
    let other = SqliteHistory::open(&path).unwrap();
    keeps_notes(&store, &other).await;
    // It is in the file, not in whoever wrote it.
    let (kept, seen) = (ids(&store, None, "told", 10).await, other);
    drop(store);
    assert_eq!(ids(&seen, None, "told", 10).await, kept);
}

#[tokio::test]
async fn several_machines_keep_notes() {
    let members = Members::three();
    keeps_notes(&members.store(), &members.store()).await;
}

/// Processes that try to keep the same notes, each only where it is new. Each is killed as soon as it has said of all of
/// them whether it did.
fn race(part: &str, place: &Path) {
    let mut racers: Vec<Helper> = (0..2)
        .map(|_| Helper::start(part, place, &["race"]))
        .collect();
    for racer in &mut racers {
        assert_eq!(racer.line(), "ready");
    }
    for racer in &mut racers {
        racer.say("go");
    }
    let mut kept: BTreeMap<String, usize> = BTreeMap::new();
    for racer in &mut racers {
        for _ in 0..RACES {
            let said = racer.line();
            let (id, new) = said.split_once(' ').unwrap();
            *kept.entry(id.to_owned()).or_default() += usize::from(new == "true");
        }
        racer.kill();
    }
    assert_eq!(kept.len(), RACES);
    assert!(kept.values().all(|count| *count == 1), "{kept:?}");
}

#[tokio::test]
async fn of_two_processes_one_is_told_that_a_note_is_new_and_it_outlives_both() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    race("sqlite", &path);
    let there = ids(&SqliteHistory::open(&path).unwrap(), None, "told", 1000).await;
    assert_eq!(there.len(), RACES);
}

#[tokio::test]
async fn of_two_machines_one_is_told_that_a_note_is_new() {
    let members = Members::three();
    race("etcd", &members.joined());
    let there = ids(&members.store(), None, "told", 1000).await;
    assert_eq!(there.len(), RACES);
}

/// No test: what the tests above start as a process of its own.
#[tokio::test]
#[ignore = "a part of other tests"]
async fn another_process() {
    let (part, place, _words) = told();
    let store: Box<dyn Store> = if part == "sqlite" {
        Box::new(SqliteJournal::open(place).unwrap())
    } else {
        let members = place.split(',').map(str::to_owned).collect();
        Box::new(EtcdStore::connect(members, None).unwrap())
    };
    says("ready");
    let go = std::io::stdin().lines().next();
    assert_eq!(go.unwrap().unwrap(), "go");
    for id in 0..RACES {
        let mine = Note {
            body: json!(std::process::id()),
            ..note("orders", "told", &id.to_string(), 0)
        };
        says(format!(
            "{id} {}",
            store.keep_note_if_new(&mine).await.unwrap()
        ));
    }
    // Until it is killed.
    std::thread::park();
}

/// etcd has done what was asked, and nobody hears it.
#[tokio::test]
async fn a_lost_answer_makes_nothing_new_old() {
    let members = Members::three();
    let proxy = Proxy::before(members.port(0));
    let store = EtcdStore::connect(vec![proxy.endpoint()], None).unwrap();
    let mine = note("orders", "told", "a", 1);
    let key = "/pgbaton/notes/told/orders/a";
    proxy.lose(1, key);
    assert!(store.keep_note_if_new(&mine).await.unwrap());
    assert_eq!(proxy.lost(), 1);
    assert!(!store.keep_note_if_new(&mine).await.unwrap());
    proxy.lose(1, key);
    let next = note("orders", "told", "a", 2);
    store.keep_note(&next).await.unwrap();
    assert_eq!(proxy.lost(), 1);
    assert_eq!(store.notes(None, "told", 10).await.unwrap(), [next]);
    proxy.lose(1, key);
    assert!(store.discard_note("orders", "told", "a").await.unwrap());
    assert_eq!(proxy.lost(), 1);
    assert!(!store.discard_note("orders", "told", "a").await.unwrap());
}

#[tokio::test]
async fn a_damaged_note_is_named_and_can_be_taken_away() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("journal.db");
    let store = SqliteJournal::open(&path).unwrap();
    store
        .keep_note(&note("orders", "told", "a", 1))
        .await
        .unwrap();
    let file = rusqlite::Connection::open(&path).unwrap();
    for (damage, says) in [
        ("UPDATE notes SET json = '{'", "is damaged: EOF"),
        (
            "UPDATE notes SET json = '1', at = 'noon'",
            "its moment `noon` cannot be read",
        ),
    ] {
        file.execute_batch(damage).unwrap();
        let error = store.notes(None, "told", 10).await.unwrap_err();
        assert!(matches!(error, HistoryError::Note { .. }), "{error}");
        let error = error.to_string();
        assert!(
            error.contains("the note `told` a about cluster orders"),
            "{error}"
        );
        assert!(error.contains(says), "{error}");
    }
    assert!(store.discard_note("orders", "told", "a").await.unwrap());
    assert_eq!(store.notes(None, "told", 10).await.unwrap(), []);

    let members = Members::three();
    let store = members.store();
    let key = "/pgbaton/notes/told/orders/a";
    members.ctl(&["put", key, "{\"v\":2,\"more\":1}"]);
    let error = store.notes(None, "told", 10).await.unwrap_err().to_string();
    let says = "has version 2, this pgbaton knows 1: use the pgbaton that wrote it";
    assert!(error.contains(key) && error.contains(says), "{error}");
    assert!(store.discard_note("orders", "told", "a").await.unwrap());
    assert_eq!(store.notes(None, "told", 10).await.unwrap(), []);
}
