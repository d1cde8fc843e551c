//! A standby that may not log in to its new upstream: told as what it is, while everything is as it was.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use support::{Cluster, stock, swap};

/// What a standby is set to.
const STATE: &str =
    "SELECT current_setting('primary_conninfo') || current_setting('primary_slot_name')";

/// Whom n2 lets replicate from now on.
async fn admit(cluster: &Cluster, rule: &str) {
    let hba = cluster.data("n2").join("pg_hba.conf");
    let text = std::fs::read_to_string(&hba).unwrap();
    std::fs::write(&hba, format!("{rule}\n{text}")).unwrap();
    cluster.tell("n2", "SELECT pg_reload_conf()").await;
}

/// A line that refuses, and what the standby is told.
const RULES: [(&str, &str); 2] = [
    (
        "host replication replicator all reject",
        "pg_hba.conf rejects replication connection",
    ),
    (
        "host replication replicator all scram-sha-256",
        "no password supplied",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_is_refused_before_anything_is_changed() {
    for (rule, why) in RULES {
        let cluster = Cluster::up("login-follow", 2).await;
        let before = cluster.ask("n3", STATE).await;
        admit(&cluster, rule).await;
        let said = cluster
            .pgbaton(&[
                "--json",
                "run",
                "follow",
                "-p",
                "node=n3",
                "-p",
                "upstream=n2",
            ])
            .await
            .expect(3);
        for words in [
            "n3 cannot log in to n2 for replication",
            why,
            "pg_hba.conf on n2",
        ] {
            assert!(said.all().contains(words), "{words}: {}", said.all());
        }
        assert!(said.intended().is_empty(), "{:?}", said.intended());
        assert_eq!(cluster.ask("n3", STATE).await, before);
        cluster.assert_streams("n3", "n1").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switchover_is_refused_while_the_old_primary_runs() {
    let cluster = Cluster::up("login-switch", 2).await;
    admit(&cluster, RULES[0].0).await;
    let said = cluster
        .pgbaton(&["--json", "run", "switchover", "-p", "candidate=n2"])
        .await
        .expect(3);
    for node in ["n1", "n3"] {
        let words = format!("{node} cannot log in to n2 for replication");
        assert!(said.all().contains(&words), "{words}: {}", said.all());
    }
    let paths: Vec<String> = said.intended().into_iter().map(|(path, _)| path).collect();
    assert!(
        paths.iter().all(|path| path == "check_attached"),
        "nothing but the mark of a check: {paths:?}"
    );
    assert_eq!(cluster.primary().await, "n1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_does_not_attach_is_told_why_it_does_not() {
    let cluster = Cluster::up("login-attach", 2).await;
    let before = cluster.ask("n3", STATE).await;
    admit(&cluster, RULES[0].0).await;
    let impatient = swap(&stock("follow"), "    timeout: 60s\n", "    timeout: 3s\n");
    let file = cluster.lab.dir().join("impatient.yaml");
    std::fs::write(&file, impatient).unwrap();
    let file = file.to_str().unwrap();
    // As a failover calls it, which has no choice left.
    let said = cluster
        .pgbaton(&[
            "run",
            file,
            "-p",
            "node=n3",
            "-p",
            "upstream=n2",
            "-p",
            "alone=false",
        ])
        .await
        .expect(1);
    let words = "a login of n3 there is refused: pg_hba.conf rejects replication connection";
    assert!(said.all().contains(words), "{}", said.all());
    cluster.until("n3", STATE, &before).await;
    cluster.assert_streams("n3", "n1").await;
}
