//! KingbaseES, as far as PostgreSQL 12 can be dressed as it ([`kingbase_support`]). The product itself was never run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod kingbase_support;
mod live_support;
mod rejoin_support;
mod support;

use kingbase_support::Dressed;
use pgbaton::lab::Fault;
use rejoin_support::{beside, entries, operations, owner, rejoin};
use std::path::Path;
use std::time::Duration;
use support::{assert_nothing_lost, swap};

const STARTED: &str = "SELECT pg_postmaster_start_time()::text";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server of PostgreSQL 12: scripts/test --all-versions"]
async fn after_kill_9_nothing_is_lost_and_everybody_follows_by_a_restart() {
    let dressed = Dressed::up("kb-fo").await;
    let cluster = &dressed.cluster;
    let writer = cluster.writer().await;
    cluster.fault("n1", Fault::Kill).await;
    cluster.pgbaton(&["run", "failover"]).await.expect(0);
    let new = cluster.primary().await;
    assert_ne!(new, "n1");
    let other = if new == "n2" { "n3" } else { "n2" };
    cluster.assert_streams(other, &new).await;
    assert!(
        writer.wait_for(20, Duration::from_secs(30)).await,
        "writes go on after the failover"
    );
    assert_nothing_lost(cluster, &writer.finish().await, &new).await;
    let data = cluster.data("n1");
    assert!(data.join("standby.signal").exists());
    assert!(data.join("sys_wal").is_dir() && data.join("kingbase.conf").is_file());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server of PostgreSQL 12: scripts/test --all-versions"]
async fn a_follow_is_a_restart() {
    let dressed = Dressed::up("kb-fw").await;
    let cluster = &dressed.cluster;
    let before = cluster.ask("n3", STARTED).await;
    let arguments = ["run", "follow", "-p", "node=n3", "-p", "upstream=n2"];
    cluster.pgbaton(&arguments).await.expect(0);
    cluster.assert_streams("n3", "n2").await;
    let after = cluster.ask("n3", STARTED).await;
    assert_ne!(after, before);
    cluster.pgbaton(&arguments).await.expect(0);
    assert_eq!(
        cluster.ask("n3", STARTED).await,
        after,
        "it follows already"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server of PostgreSQL 12: scripts/test --all-versions"]
async fn there_and_back_under_load_loses_no_acknowledged_row() {
    let dressed = Dressed::up("kb-sw").await;
    let cluster = &dressed.cluster;
    let writer = cluster.writer().await;
    for (candidate, others) in [("n2", ["n1", "n3"]), ("n1", ["n2", "n3"])] {
        let candidate_is = format!("candidate={candidate}");
        cluster
            .pgbaton(&["run", "switchover", "-p", &candidate_is])
            .await
            .expect(0);
        for node in others {
            cluster.assert_streams(node, candidate).await;
        }
        assert!(
            writer.wait_for(20, Duration::from_secs(30)).await,
            "writes go on with {candidate}"
        );
    }
    assert_nothing_lost(cluster, &writer.finish().await, "n1").await;
}

/// The status of the connection is told from that of a command.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server of PostgreSQL 12: scripts/test --all-versions"]
async fn a_host_that_securecmd_cannot_reach_is_left_as_it_is() {
    let dressed = Dressed::up("kb-255").await;
    let cluster = &dressed.cluster;
    dressed.connect(false);
    let candidate = ["run", "switchover", "-p", "candidate=n2"];
    let said = cluster.pgbaton(&candidate).await.expect(1);
    assert!(said.all().contains("No route to host"), "{}", said.all());
    dressed.connect(true);
    assert_eq!(cluster.primary().await, "n1");
    cluster.assert_streams("n2", "n1").await;
    cluster.pgbaton(&candidate).await.expect(0);
}

/// A primary that was killed with WAL that nobody had received, and a tablespace of its own.
async fn diverged(test: &str) -> Dressed {
    let dressed = Dressed::up(test).await;
    let cluster = &dressed.cluster;
    let space = cluster.data("n1").parent().unwrap().join("space");
    std::fs::create_dir(&space).unwrap();
    let owner = owner(cluster);
    std::os::unix::fs::chown(&space, Some(owner), Some(owner)).unwrap();
    cluster
        .tell("n1", "ALTER SYSTEM SET synchronous_standby_names = ''")
        .await;
    cluster.tell("n1", "SELECT pg_reload_conf()").await;
    let site = std::fs::read_to_string(cluster.lab.site_file()).unwrap();
    let site = swap(&site, "mode: quorum, acks: 1", "mode: off");
    std::fs::write(cluster.lab.site_file(), site).unwrap();
    for standby in ["n2", "n3"] {
        dressed.control(standby, "stop");
    }
    cluster
        .tell("n1", "CREATE TABLE lost AS SELECT generate_series(1, 5000)")
        .await;
    cluster.fault("n1", Fault::Kill).await;
    for standby in ["n2", "n3"] {
        dressed.control(standby, "start");
    }
    let candidate = [
        "run",
        "failover",
        "-p",
        "candidate=n2",
        "-p",
        "accept_loss=the test",
    ];
    cluster.pgbaton(&candidate).await.expect(0);
    let made = format!("CREATE TABLESPACE far LOCATION '{}'", space.display());
    cluster.assert_streams("n3", "n2").await;
    // On one machine its tablespace would be at the same place.
    dressed.control("n3", "stop");
    dressed.forget("n3");
    cluster.tell("n2", &made).await;
    let there = "CREATE TABLE there TABLESPACE far AS SELECT generate_series(1, 999)";
    cluster.tell("n2", there).await;
    dressed
}

/// Its programs, files, functions and tables have the product's names in all that is asked and done.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server of PostgreSQL 12: scripts/test --all-versions"]
async fn an_old_primary_comes_back_as_a_copy_where_that_is_allowed() {
    let dressed = diverged("kb-copy").await;
    let cluster = &dressed.cluster;
    let before = entries(cluster, "n1");
    let said = cluster.pgbaton(&rejoin(&[])).await.expect(3);
    assert!(
        said.all().contains("the program that rewinds is not"),
        "{}",
        said.all()
    );
    assert_eq!(operations(&said), Vec::<String>::new());
    assert_eq!(entries(cluster, "n1"), before);
    let said = cluster
        .pgbaton(&rejoin(&["-p", "rebuild=auto"]))
        .await
        .expect(0);
    assert!(operations(&said).contains(&"clone".to_owned()));
    cluster.assert_streams("n1", "n2").await;
    assert_eq!(cluster.ask("n1", "SELECT count(*) FROM there").await, "999");
    let location = "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'far'";
    let (mine, theirs) = (
        cluster.ask("n1", location).await,
        cluster.ask("n2", location).await,
    );
    assert!(mine.starts_with(&format!("{theirs}.pgbaton.")), "{mine}");
    assert_eq!(beside(cluster, "n1").len(), 1, "the former data alone");
    // Once more, and the former data with their tablespace go.
    dressed.control("n1", "stop");
    let again = "playbook: again\nsteps:\n  \
         clone: { action: clone, node: n1, timeout: 90s, with: { upstream: n2, keep: false } }\n  \
         follow: { needs: [clone], playbook: follow, timeout: 90s, with: { node: n1, upstream: n2 } }\n";
    let file = cluster.lab.dir().join("again.yaml");
    std::fs::write(&file, again).unwrap();
    cluster
        .pgbaton(&["run", file.to_str().unwrap()])
        .await
        .expect(0);
    cluster.assert_streams("n1", "n2").await;
    assert!(
        !Path::new(&mine).exists(),
        "the tablespace of the data that are gone"
    );
    assert_eq!(cluster.ask("n1", "SELECT count(*) FROM there").await, "999");
    assert_eq!(beside(cluster, "n1").len(), 1);
}

/// A program that is made for another release tells so itself, before it writes anything.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server of PostgreSQL 12: scripts/test --all-versions"]
async fn a_rewind_that_its_program_refuses_leaves_the_node_as_it_was() {
    let dressed = diverged("kb-rewind").await;
    let cluster = &dressed.cluster;
    dressed.give_a_newer_rewind();
    let said = cluster.pgbaton(&rejoin(&[])).await.expect(3);
    assert!(
        said.all()
            .contains("it cannot be rewound, and is as it was"),
        "{}",
        said.all()
    );
    assert!(!entries(cluster, "n1").contains(&rejoin_support::MARK.to_owned()));
    assert_eq!(beside(cluster, "n1"), Vec::<String>::new());
    let said = cluster
        .pgbaton(&rejoin(&["-p", "rebuild=auto"]))
        .await
        .expect(0);
    assert!(operations(&said).contains(&"clone".to_owned()));
    cluster.assert_streams("n1", "n2").await;
}
