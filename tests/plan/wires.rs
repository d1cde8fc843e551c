//! Hosts of their own, with wires that are cut: what cannot be reached, and what cannot be known.

use crate::situation::Before::Fault;
use crate::situation::{Hosts, PLAIN, Situation, go_through};
use pgbaton::lab::Fault::{Cut, CutSsh, Kill};

const N3_TO_N2: &[&str] = &["follow", "-p", "node=n3", "-p", "upstream=n2"];
const ACCEPTED: &[&str] = &[
    "failover",
    "-p",
    "waive_fence=the test pulled the plug",
    "-p",
    "accept_loss=the test",
];

const SITUATIONS: &[Situation] = &[
    Situation {
        name: "the primary's host is cut off",
        synchronous: true,
        hosts: Hosts::Own,
        before: &[Fault("n1", Cut)],
        // What commits waited for was seen by nobody while it could be seen.
        runs: &[(&["failover"], 3), (ACCEPTED, 0)],
        ..PLAIN
    },
    Situation {
        name: "ssh to the primary's host is cut",
        hosts: Hosts::Own,
        before: &[Fault("n1", Kill), Fault("n1", CutSsh)],
        runs: &[(&["failover"], 3)],
        ..PLAIN
    },
    Situation {
        name: "a standby's host is cut off, and the primary dies",
        synchronous: true,
        hosts: Hosts::Own,
        before: &[Fault("n3", Cut), Fault("n1", Kill)],
        runs: &[(&["failover"], 4)],
        ..PLAIN
    },
    Situation {
        name: "a standby's host is cut off, and is to follow",
        hosts: Hosts::Own,
        // When the sender that talks to it gives up depends on when it last heard of it.
        settings: &[("wal_sender_timeout", "0")],
        before: &[Fault("n3", Cut)],
        runs: &[(N3_TO_N2, 1)],
        ..PLAIN
    },
    Situation {
        name: "a standby's host is cut off, and the primary is handed over",
        hosts: Hosts::Own,
        before: &[Fault("n3", Cut)],
        runs: &[(&["switchover", "-p", "candidate=n2"], 4)],
        ..PLAIN
    },
    Situation {
        name: "ssh to a standby's host is cut",
        hosts: Hosts::Own,
        before: &[Fault("n3", CutSsh)],
        // What is kept there for an undo cannot be taken away.
        runs: &[(N3_TO_N2, 4)],
        ..PLAIN
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_off_is_as_foretold() {
    if !rustix::process::geteuid().is_root() {
        // Who is not root can have no hosts; `tests/hosts.rs` tells what that says.
        return;
    }
    go_through("w", SITUATIONS).await;
}
