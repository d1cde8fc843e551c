//! Failovers: whatever has become of the primary, and of its standbys.

use crate::situation::Before::{Fault, Rule, Set, Sql, Until, Wal};
use crate::situation::{Before, Hosts, PLAIN, Situation, go_through};
use pgbaton::lab::Fault::{Freeze, Kill, Start, Stop};

const KILLED: Before = Fault("n1", Kill);

/// n3 is behind by what was written while it was down.
const N3_MISSES_SOME: [Before; 4] = [
    Fault("n3", Stop),
    Sql("n1", "CREATE TABLE missed (); SELECT pg_switch_wal()"),
    Fault("n1", Kill),
    Fault("n3", Start),
];

const SITUATIONS: &[Situation] = &[
    Situation {
        name: "killed, and started again",
        synchronous: true,
        // They are still waiting when it is there again, however long its start takes: each is nudged, once.
        settings: &[("wal_retrieve_retry_interval", "60000")],
        before: &[KILLED],
        runs: &[(&["restart"], 0)],
        ..PLAIN
    },
    Situation {
        name: "the candidate lets nobody log in",
        before: &[KILLED, Rule("n2", "host replication replicator all reject")],
        runs: &[(&["failover", "-p", "candidate=n2"], 4)],
        ..PLAIN
    },
    Situation {
        name: "killed, then the others are led on",
        synchronous: true,
        before: &[KILLED],
        runs: &[
            (&["failover"], 0),
            // n1 is still down: it is left out and named.
            (
                &["switchover", "-p", "candidate=n3", "-p", "old_primary=n2"],
                4,
            ),
        ],
        ..PLAIN
    },
    Situation {
        name: "killed, asynchronous, followers restart",
        before: &[KILLED],
        runs: &[(&["failover", "-p", "apply=restart"], 0)],
        ..PLAIN
    },
    Situation {
        name: "killed, with a subscriber's slot that nobody has a copy of",
        settings: &[("wal_level", "logical")],
        before: &[
            Sql(
                "n1",
                "SELECT pg_create_logical_replication_slot('a_subscriber', 'pgoutput')",
            ),
            KILLED,
        ],
        runs: &[(&["failover"], 0)],
        ..PLAIN
    },
    Situation {
        name: "killed, one standby down",
        before: &[Fault("n3", Stop), KILLED],
        runs: &[(&["failover"], 4)],
        ..PLAIN
    },
    Situation {
        name: "killed, one standby killed",
        before: &[Fault("n3", Kill), KILLED],
        runs: &[(&["failover"], 4)],
        ..PLAIN
    },
    Situation {
        name: "killed, one standby hangs",
        before: &[Fault("n3", Freeze), KILLED],
        runs: &[(&["failover"], 4)],
        ..PLAIN
    },
    Situation {
        name: "killed, one standby is behind",
        before: &N3_MISSES_SOME,
        runs: &[(&["failover"], 0)],
        ..PLAIN
    },
    Situation {
        name: "killed, a wish for one that is behind",
        before: &N3_MISSES_SOME,
        runs: &[(&["failover", "-p", "candidate=n3"], 0)],
        ..PLAIN
    },
    Situation {
        name: "killed, a wish for the candidate",
        synchronous: true,
        standbys: 3,
        before: &[KILLED],
        runs: &[(&["failover", "-p", "candidate=n4"], 0)],
        ..PLAIN
    },
    Situation {
        name: "killed, a wish for one that is down",
        before: &[Fault("n3", Stop), KILLED],
        runs: &[(&["failover", "-p", "candidate=n3"], 3)],
        ..PLAIN
    },
    Situation {
        name: "killed, a standby that may not be promoted",
        never: &["n2"],
        before: &[KILLED],
        runs: &[(&["failover", "-p", "candidate=n2"], 3), (&["failover"], 0)],
        ..PLAIN
    },
    Situation {
        name: "killed, a standby of a standby",
        standbys: 3,
        cascade: &[("n4", "n3")],
        before: &[KILLED],
        runs: &[(&["failover", "-p", "candidate=n2"], 0)],
        ..PLAIN
    },
    Situation {
        name: "killed, too few slots on the candidate",
        own: &[("n2", "max_replication_slots", "0")],
        before: &[KILLED],
        runs: &[
            (&["failover", "-p", "candidate=n2"], 3),
            (&["failover", "-p", "candidate=n3"], 0),
        ],
        ..PLAIN
    },
    Situation {
        name: "killed, replay is delayed",
        before: &[
            Set("n3", "recovery_min_apply_delay", "1h"),
            Sql("n1", "CREATE TABLE late ()"),
            Until(
                "n3",
                "SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()",
                "t",
            ),
            KILLED,
        ],
        runs: &[(&["failover"], 4)],
        ..PLAIN
    },
    Situation {
        name: "killed, replay is paused",
        before: &[Sql("n3", "SELECT pg_wal_replay_pause()"), KILLED],
        runs: &[(&["failover"], 4)],
        ..PLAIN
    },
    Situation {
        name: "killed, and nobody has its last WAL",
        before: &[
            Fault("n2", Stop),
            Fault("n3", Stop),
            Wal("n1", 2),
            KILLED,
            Fault("n2", Start),
            Fault("n3", Start),
        ],
        runs: &[
            (&["failover"], 3),
            (&["failover", "-p", "accept_loss=the test"], 0),
            // It is beyond the fork.
            (&["follow", "-p", "node=n1", "-p", "upstream=n2"], 3),
        ],
        ..PLAIN
    },
    Situation {
        name: "stopped cleanly, and back again",
        synchronous: true,
        before: &[Fault("n1", Stop)],
        runs: &[
            (&["failover"], 0),
            (&["follow", "-p", "node=n1", "-p", "upstream=n2"], 0),
            (
                &["switchover", "-p", "candidate=n1", "-p", "old_primary=n2"],
                0,
            ),
        ],
        ..PLAIN
    },
    Situation {
        name: "no standby left",
        before: &[Fault("n2", Stop), Fault("n3", Stop), KILLED],
        runs: &[(&["failover", "-p", "old_primary=n1"], 3)],
        ..PLAIN
    },
    Situation {
        name: "a slot of the follower is there already",
        before: &[
            Sql(
                "n2",
                "SELECT pg_create_physical_replication_slot('pgbaton_n3', true)",
            ),
            KILLED,
        ],
        runs: &[(&["failover", "-p", "candidate=n2"], 0)],
        ..PLAIN
    },
    Situation {
        name: "slots of strangers",
        before: &[
            Sql(
                "n1",
                "SELECT pg_create_physical_replication_slot('a_stranger', true)",
            ),
            Sql(
                "n2",
                "SELECT pg_create_physical_replication_slot('another', false)",
            ),
            KILLED,
        ],
        runs: &[
            (&["failover", "-p", "candidate=n2"], 0),
            (&["follow", "-p", "node=n1", "-p", "upstream=n2"], 0),
        ],
        ..PLAIN
    },
    Situation {
        name: "hangs",
        synchronous: true,
        before: &[Fault("n1", Freeze)],
        runs: &[(&["failover"], 0)],
        ..PLAIN
    },
    Situation {
        name: "killed, and led back",
        synchronous: true,
        before: &[KILLED],
        runs: &[
            (&["failover", "-p", "candidate=n2"], 0),
            (&["follow", "-p", "node=n1", "-p", "upstream=n2"], 0),
        ],
        ..PLAIN
    },
    Situation {
        name: "a standby was frozen before",
        before: &[Set("n3", "primary_conninfo", ""), KILLED],
        runs: &[(&["failover"], 0)],
        ..PLAIN
    },
    Situation {
        name: "over ssh",
        synchronous: true,
        hosts: Hosts::Ssh,
        before: &[KILLED],
        runs: &[(&["failover"], 0)],
        ..PLAIN
    },
    Situation {
        name: "its host does not answer, commits wait",
        synchronous: true,
        hosts: Hosts::Deaf("n1"),
        before: &[KILLED],
        // What they waited for was seen by nobody while it was alive.
        runs: &[(&["failover"], 3)],
        ..PLAIN
    },
    Situation {
        name: "its host does not answer, commits wait for nobody",
        hosts: Hosts::Deaf("n1"),
        before: &[KILLED],
        runs: &[
            (&["failover"], 3),
            (
                &[
                    "failover",
                    "-p",
                    "waive_fence=the test pulled the plug",
                    "-p",
                    "accept_loss=the test",
                ],
                0,
            ),
        ],
        ..PLAIN
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn failovers_end_as_foretold() {
    go_through("fo", SITUATIONS).await;
}
