//! Follows: standbys that run, that are down, that are ahead, and that come too late for the WAL they need.

use crate::situation::Before::{Fault, Rule, Set, Sql, Stranger, Until, Wal};
use crate::situation::{HASTY, PLAIN, Situation, go_through};
use pgbaton::lab::Fault::{Freeze, Kill, Start, Stop};

const N3_TO_N1: &[&str] = &["follow", "-p", "node=n3", "-p", "upstream=n1"];
const N3_TO_N2: &[&str] = &["follow", "-p", "node=n3", "-p", "upstream=n2"];
const HASTY_N3_TO_N1: &[&str] = &[HASTY, "-p", "node=n3", "-p", "upstream=n1"];
const HASTY_N3_TO_N2: &[&str] = &[HASTY, "-p", "node=n3", "-p", "upstream=n2"];

/// As little WAL is kept as can be.
const LITTLE_WAL: &[(&str, &str)] = &[
    ("wal_keep_size", "0"),
    ("min_wal_size", "32MB"),
    ("max_wal_size", "32MB"),
];

const SITUATIONS: &[Situation] = &[
    Situation {
        name: "a login that is refused",
        before: &[Rule("n2", "host replication replicator all reject")],
        runs: &[(N3_TO_N2, 3), (N3_TO_N1, 0)],
        ..PLAIN
    },
    Situation {
        name: "a standby that is down",
        before: &[Fault("n3", Stop)],
        runs: &[(N3_TO_N1, 0)],
        ..PLAIN
    },
    Situation {
        name: "a standby that was killed goes elsewhere",
        before: &[Fault("n3", Kill)],
        runs: &[(N3_TO_N2, 0)],
        ..PLAIN
    },
    Situation {
        name: "a standby that hangs",
        before: &[Fault("n3", Freeze)],
        runs: &[(N3_TO_N2, 1)],
        ..PLAIN
    },
    Situation {
        name: "by a restart",
        synchronous: true,
        runs: &[(
            &[
                "follow",
                "-p",
                "node=n3",
                "-p",
                "upstream=n2",
                "-p",
                "apply=restart",
            ],
            0,
        )],
        ..PLAIN
    },
    Situation {
        name: "a standby without a slot",
        before: &[Set("n3", "primary_slot_name", "")],
        runs: &[(N3_TO_N1, 0), (&["switchover", "-p", "candidate=n2"], 0)],
        ..PLAIN
    },
    Situation {
        name: "a standby that lags is led by a reload",
        before: &[Fault("n3", Stop), Wal("n1", 2), Fault("n3", Start)],
        runs: &[(N3_TO_N2, 0)],
        ..PLAIN
    },
    Situation {
        name: "replay is paused",
        before: &[Sql("n3", "SELECT pg_wal_replay_pause()")],
        runs: &[(HASTY_N3_TO_N2, 1)],
        ..PLAIN
    },
    Situation {
        name: "the upstream is down",
        before: &[Fault("n2", Stop)],
        runs: &[(N3_TO_N2, 1)],
        ..PLAIN
    },
    Situation {
        name: "the upstream hangs",
        before: &[Fault("n2", Freeze)],
        runs: &[(N3_TO_N2, 1)],
        ..PLAIN
    },
    Situation {
        name: "the upstream has no sender left",
        standbys: 3,
        own: &[("n1", "max_wal_senders", "2")],
        cascade: &[("n4", "n2")],
        runs: &[(&[HASTY, "-p", "node=n4", "-p", "upstream=n1"], 1)],
        ..PLAIN
    },
    Situation {
        name: "the upstream of a cascade is dead",
        standbys: 3,
        cascade: &[("n4", "n3")],
        before: &[Fault("n3", Kill)],
        runs: &[(&["follow", "-p", "node=n4", "-p", "upstream=n1"], 0)],
        ..PLAIN
    },
    Situation {
        name: "its own standby as upstream",
        standbys: 3,
        cascade: &[("n4", "n3")],
        runs: &[(&[HASTY, "-p", "node=n3", "-p", "upstream=n4"], 1)],
        ..PLAIN
    },
    Situation {
        name: "a slot that has lost its WAL",
        settings: &[
            ("wal_keep_size", "0"),
            ("min_wal_size", "32MB"),
            ("max_wal_size", "32MB"),
            ("max_slot_wal_keep_size", "16MB"),
        ],
        before: &[
            Fault("n3", Stop),
            Wal("n1", 6),
            Until(
                "n1",
                "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'pgbaton_n3'",
                "lost",
            ),
        ],
        runs: &[(HASTY_N3_TO_N1, 3)],
        ..PLAIN
    },
    Situation {
        name: "a slot elsewhere that has lost its WAL",
        settings: &[
            ("wal_keep_size", "0"),
            ("min_wal_size", "32MB"),
            ("max_wal_size", "32MB"),
        ],
        own: &[("n2", "max_slot_wal_keep_size", "16MB")],
        before: &[
            Sql(
                "n2",
                "SELECT pg_create_physical_replication_slot('pgbaton_n3', true)",
            ),
            Wal("n1", 6),
            Until(
                "n2",
                "SELECT pg_last_wal_replay_lsn() > redo_lsn FROM pg_control_checkpoint()",
                "t",
            ),
            Sql("n2", "CHECKPOINT"),
            Until(
                "n2",
                "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'pgbaton_n3'",
                "lost",
            ),
        ],
        runs: &[(N3_TO_N2, 0)],
        ..PLAIN
    },
    Situation {
        name: "the WAL is gone",
        settings: LITTLE_WAL,
        before: &[
            Fault("n3", Stop),
            Sql("n1", "SELECT pg_drop_replication_slot('pgbaton_n3')"),
            Wal("n1", 6),
        ],
        runs: &[(HASTY_N3_TO_N1, 3)],
        ..PLAIN
    },
    Situation {
        name: "ahead of the fork, still to be replayed",
        before: &[
            Sql("n3", "SELECT pg_wal_replay_pause()"),
            Fault("n2", Stop),
            Sql("n1", "CREATE TABLE ahead ()"),
            Until(
                "n3",
                "SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()",
                "t",
            ),
            Fault("n1", Kill),
            Fault("n2", Start),
            Sql("n2", "SELECT pg_promote(true)"),
        ],
        runs: &[(N3_TO_N2, 3)],
        ..PLAIN
    },
    Situation {
        name: "another promotion",
        before: &[Sql("n2", "SELECT pg_promote(true)")],
        runs: &[(N3_TO_N2, 0)],
        ..PLAIN
    },
    Situation {
        name: "a stranger holds the slot",
        before: &[
            Sql(
                "n2",
                "SELECT pg_create_physical_replication_slot('pgbaton_n3', true)",
            ),
            Stranger("n2", "pgbaton_n3"),
        ],
        runs: &[(N3_TO_N2, 3)],
        ..PLAIN
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn follows_end_as_foretold() {
    go_through("fl", SITUATIONS).await;
}
