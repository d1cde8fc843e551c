//! Switchovers: what holds them up, and what they leave.

use crate::situation::Before::{Fault, LongWaiting, Rule, Set, Sql, Until, Wal};
use crate::situation::{HASTY_SWITCHOVER, PLAIN, Situation, go_through};
use pgbaton::lab::Fault::{Freeze, Kill, Stop};

const TO_N2: &[&str] = &["switchover", "-p", "candidate=n2"];

const SITUATIONS: &[Situation] = &[
    Situation {
        name: "the candidate lets nobody log in",
        synchronous: true,
        before: &[Rule("n2", "host replication replicator all reject")],
        runs: &[(TO_N2, 3)],
        ..PLAIN
    },
    Situation {
        name: "alive",
        synchronous: true,
        runs: &[
            (&["failover"], 3),
            (&["follow", "-p", "node=n2", "-p", "upstream=n1"], 0),
            (&["follow", "-p", "node=n3", "-p", "upstream=n2"], 0),
            (TO_N2, 0),
        ],
        ..PLAIN
    },
    Situation {
        name: "there and back, followers restart",
        synchronous: true,
        runs: &[
            (
                &["switchover", "-p", "candidate=n2", "-p", "apply=restart"],
                0,
            ),
            (&["switchover", "-p", "candidate=n1"], 0),
        ],
        ..PLAIN
    },
    Situation {
        name: "a standby is down",
        before: &[Fault("n3", Stop)],
        runs: &[(TO_N2, 4)],
        ..PLAIN
    },
    Situation {
        name: "a standby was killed",
        before: &[Fault("n3", Kill)],
        runs: &[(TO_N2, 4)],
        ..PLAIN
    },
    Situation {
        name: "a standby hangs",
        before: &[Fault("n3", Freeze)],
        runs: &[(TO_N2, 4)],
        ..PLAIN
    },
    Situation {
        name: "the candidate is down",
        before: &[Fault("n2", Stop)],
        runs: &[(TO_N2, 3)],
        ..PLAIN
    },
    Situation {
        name: "the candidate follows a standby",
        cascade: &[("n3", "n2")],
        runs: &[(&["switchover", "-p", "candidate=n3"], 3), (TO_N2, 0)],
        ..PLAIN
    },
    Situation {
        name: "the candidate's replay is paused",
        before: &[Sql("n2", "SELECT pg_wal_replay_pause()")],
        runs: &[(TO_N2, 3)],
        ..PLAIN
    },
    Situation {
        name: "the candidate's replay is delayed",
        before: &[Set("n2", "recovery_min_apply_delay", "1h")],
        runs: &[(TO_N2, 3)],
        ..PLAIN
    },
    Situation {
        name: "the primary hangs",
        before: &[Fault("n1", Freeze)],
        runs: &[(
            &["switchover", "-p", "candidate=n2", "-p", "old_primary=n1"],
            3,
        )],
        ..PLAIN
    },
    Situation {
        name: "commits wait in another form",
        before: &[Set("n1", "synchronous_standby_names", "FIRST 1 (n2)")],
        runs: &[(&["switchover", "-p", "candidate=n3"], 0)],
        ..PLAIN
    },
    Situation {
        name: "it archives",
        settings: &[("archive_mode", "on"), ("archive_command", "true")],
        before: &[Wal("n1", 1)],
        runs: &[(TO_N2, 0)],
        ..PLAIN
    },
    Situation {
        name: "its archive fails",
        settings: &[("archive_mode", "on"), ("archive_command", "false")],
        before: &[
            Wal("n1", 1),
            Until("n1", "SELECT failed_count > 0 FROM pg_stat_archiver", "t"),
        ],
        runs: &[
            (TO_N2, 3),
            (
                &["switchover", "-p", "candidate=n2", "-p", "archiving=ignore"],
                0,
            ),
        ],
        ..PLAIN
    },
    Situation {
        name: "its archive hangs",
        synchronous: true,
        settings: &[("archive_mode", "on"), ("archive_command", "sleep 100000")],
        before: &[
            Wal("n1", 1),
            Until(
                "n1",
                "SELECT count(*) > 0 FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'",
                "t",
            ),
            LongWaiting("n1"),
        ],
        runs: &[
            (TO_N2, 3),
            (
                &[
                    HASTY_SWITCHOVER,
                    "-p",
                    "candidate=n2",
                    "-p",
                    "archiving=ignore",
                ],
                1,
            ),
        ],
        ..PLAIN
    },
    Situation {
        name: "a subscriber's slot that nobody has a copy of",
        settings: &[("wal_level", "logical")],
        before: &[Sql(
            "n1",
            "SELECT pg_create_logical_replication_slot('a_subscriber', 'pgoutput')",
        )],
        runs: &[
            (TO_N2, 3),
            (
                &[
                    "switchover",
                    "-p",
                    "candidate=n2",
                    "-p",
                    "logical_slots=ignore",
                ],
                0,
            ),
        ],
        ..PLAIN
    },
    Situation {
        name: "too few slots on the candidate",
        own: &[("n2", "max_replication_slots", "1")],
        runs: &[(TO_N2, 3)],
        ..PLAIN
    },
    Situation {
        name: "as many slots as followers",
        own: &[("n2", "max_replication_slots", "2")],
        runs: &[(TO_N2, 0)],
        ..PLAIN
    },
    Situation {
        name: "a standby of a standby, and slots that nobody needs",
        synchronous: true,
        standbys: 3,
        cascade: &[("n4", "n3")],
        before: &[
            Sql(
                "n2",
                "SELECT pg_create_physical_replication_slot('pgbaton_n4', true)",
            ),
            Sql(
                "n1",
                "SELECT pg_create_physical_replication_slot('a_stranger', true)",
            ),
        ],
        runs: &[(TO_N2, 0)],
        ..PLAIN
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn switchovers_end_as_foretold() {
    go_through("sw", SITUATIONS).await;
}
