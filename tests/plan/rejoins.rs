//! Nodes that come back: rewound, copied, refused.

use crate::situation::Before::{self, Fault, Sql, Wal};
use crate::situation::{PLAIN, Situation, go_through};
use pgbaton::lab::Fault::{Kill, Start, Stop};

const N1: &[&str] = &["rejoin", "-p", "node=n1"];
const N1_AUTO: &[&str] = &["rejoin", "-p", "node=n1", "-p", "rebuild=auto"];
const N3: &[&str] = &["rejoin", "-p", "node=n3"];
const N3_AUTO: &[&str] = &["rejoin", "-p", "node=n3", "-p", "rebuild=auto"];

/// n1 is killed with a table that nobody else has, and n2 is promoted.
const AHEAD: &[Before] = &[
    Fault("n2", Stop),
    Sql("n1", "CREATE TABLE ahead ()"),
    Fault("n1", Kill),
    Fault("n2", Start),
    Sql("n2", "SELECT pg_promote(true)"),
];

const SITUATIONS: &[Situation] = &[
    Situation {
        name: "an old primary that is ahead is rewound",
        standbys: 1,
        before: AHEAD,
        runs: &[(N1, 0), (N1, 0)],
        ..PLAIN
    },
    Situation {
        name: "an old primary that cannot be rewound is refused, and copied where that is allowed",
        standbys: 1,
        settings: &[("wal_log_hints", "off")],
        before: AHEAD,
        runs: &[(N1, 3), (N1_AUTO, 0)],
        ..PLAIN
    },
    Situation {
        name: "an old primary that still runs is stopped and rewound",
        standbys: 1,
        before: &[Sql("n2", "SELECT pg_promote(true)")],
        runs: &[(&["rejoin", "-p", "node=n1", "-p", "upstream=n2"], 0)],
        ..PLAIN
    },
    Situation {
        name: "the only primary is not given up for a standby",
        standbys: 1,
        runs: &[(&["rejoin", "-p", "node=n1", "-p", "upstream=n2"], 3)],
        ..PLAIN
    },
    Situation {
        name: "a standby whose WAL is gone is refused, and copied where that is allowed",
        settings: &[
            ("wal_keep_size", "0"),
            ("min_wal_size", "32MB"),
            ("max_wal_size", "32MB"),
        ],
        before: &[
            Fault("n3", Stop),
            Sql("n1", "SELECT pg_drop_replication_slot('pgbaton_n3')"),
            Wal("n1", 6),
        ],
        runs: &[(N3, 3), (N3_AUTO, 0)],
        ..PLAIN
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn rejoins_end_as_foretold() {
    go_through("rj", SITUATIONS).await;
}
