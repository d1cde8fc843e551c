//! The stock playbooks on every release of PostgreSQL that pgbaton knows, on real servers.
//!
//! `scripts/test --all-versions` fetches the servers and runs these; a machine usually has one release.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use pgbaton::lab::{Fault, LabOptions, Writer};
use std::path::PathBuf;
use std::time::Duration;
use support::{Cluster, UnderWay, assert_nothing_lost, stock, swap};

const STARTED: &str = "SELECT pg_postmaster_start_time()::text";
const UPSTREAM: &str = "SELECT string_agg(name || '=' || setting, ';' ORDER BY name) FROM pg_settings \
     WHERE name IN ('primary_conninfo', 'primary_slot_name')";

macro_rules! on_each_release {
    ($($test:ident: $release:literal),+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs servers of every release: scripts/test --all-versions"]
            async fn $test() {
                all_that_the_stock_playbooks_do($release).await;
            }
        )+
    };
}

on_each_release! {
    postgresql_12: 12,
    postgresql_13: 13,
    postgresql_14: 14,
    postgresql_15: 15,
    postgresql_16: 16,
    postgresql_17: 17,
    postgresql_18: 18
}

async fn cluster_of(test: &str, release: u32) -> Cluster {
    let servers = std::env::var_os("PGBATON_PG_VERSIONS")
        .expect("PGBATON_PG_VERSIONS, which scripts/test --all-versions sets");
    let options = LabOptions {
        bin: Some(PathBuf::from(servers).join(format!("{release}/bin"))),
        ..LabOptions::default()
    };
    Cluster::with(test, options).await
}

/// The next runner starts what its predecessor had stopped, or had told to stop.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers of every release: scripts/test --all-versions"]
async fn a_runner_that_dies_in_the_restart_of_a_freeze_is_succeeded() {
    for moment in ["stop", "start"] {
        let cluster = cluster_of(&format!("ver-dies-{moment}"), 12).await;
        let writer = cluster.writer().await;
        cluster.fault("n1", Fault::Kill).await;
        let mut run = UnderWay::start(cluster.lab.site_file(), &["failover"]);
        let started = run.until(|e| e["event"] == "run_started").await;
        run.until(|e| {
            e["event"] == "effect_intended"
                && e["path"].as_str().is_some_and(|p| p.starts_with("freeze["))
                && e["forecast"]["operation"]["operation"] == moment
        })
        .await;
        run.signal(rustix::process::Signal::KILL);
        run.end().await;
        let id = started["run"].as_str().unwrap();
        cluster.pgbaton(&["runs", "resume", id]).await.expect(0);
        let new = cluster.primary().await;
        cluster
            .assert_streams(if new == "n2" { "n3" } else { "n2" }, &new)
            .await;
        assert_nothing_lost(&cluster, &writer.finish().await, &new).await;
    }
}

/// One cluster goes through all of it under load, so that each playbook meets what the one before left behind.
async fn all_that_the_stock_playbooks_do(release: u32) {
    let cluster = cluster_of(&format!("ver-{release}"), release).await;
    let version = cluster.ask("n1", "SHOW server_version_num").await;
    assert_eq!(version.parse::<u32>().unwrap() / 10_000, release);
    with_no_more_rights_than_it_needs(&cluster, release).await;
    let writer = cluster.writer().await;
    there_and_back(&cluster, &writer).await;
    a_follow_reloads_where_the_server_can(&cluster, release >= 13).await;
    a_follow_restarts_where_it_is_told_to(&cluster).await;
    cluster.fault("n1", Fault::Kill).await;
    a_failover_that_fails_leaves_the_standbys_as_they_were(&cluster).await;
    cluster.pgbaton(&["run", "failover"]).await.expect(0);
    let new = cluster.primary().await;
    let other = if new == "n2" { "n3" } else { "n2" };
    cluster.assert_streams(other, &new).await;
    assert!(
        writer.wait_for(20, Duration::from_secs(30)).await,
        "writes go on after the failover"
    );
    assert_nothing_lost(&cluster, &writer.finish().await, &new).await;
}

/// What docs/rights.md says: a superuser only where the release can grant nothing less.
async fn with_no_more_rights_than_it_needs(cluster: &Cluster, release: u32) {
    let role = if release >= 15 {
        "CREATE ROLE pgbaton LOGIN REPLICATION; GRANT pg_monitor, pg_checkpoint TO pgbaton; \
         GRANT ALTER SYSTEM ON PARAMETER primary_conninfo, primary_slot_name, restore_command, \
         synchronous_standby_names TO pgbaton; \
         GRANT EXECUTE ON FUNCTION pg_reload_conf(), pg_promote(boolean, integer) TO pgbaton"
    } else {
        "CREATE ROLE pgbaton LOGIN REPLICATION SUPERUSER"
    };
    cluster.tell("n1", role).await;
    cluster.until_replayed("n1", &["n2", "n3"]).await;
    let file = cluster.lab.site_file();
    let site = std::fs::read_to_string(file).unwrap();
    let ours = "dbname: postgres, sslmode: disable, user: ";
    let site = swap(&site, &format!("{ours}postgres"), &format!("{ours}pgbaton"));
    std::fs::write(file, site).unwrap();
}

async fn there_and_back(cluster: &Cluster, writer: &Writer) {
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
}

async fn a_follow_reloads_where_the_server_can(cluster: &Cluster, it_can: bool) {
    let before = cluster.ask("n3", STARTED).await;
    let arguments = ["run", "follow", "-p", "node=n3", "-p", "upstream=n2"];
    cluster.pgbaton(&arguments).await.expect(0);
    cluster.assert_streams("n3", "n2").await;
    assert_eq!(cluster.ask("n3", STARTED).await == before, it_can);
}

async fn a_follow_restarts_where_it_is_told_to(cluster: &Cluster) {
    let before = cluster.ask("n3", STARTED).await;
    let (node, upstream, apply) = ("node=n3", "upstream=n1", "apply=restart");
    let arguments = ["run", "follow", "-p", node, "-p", upstream, "-p", apply];
    cluster.pgbaton(&arguments).await.expect(0);
    cluster.assert_streams("n3", "n1").await;
    assert_ne!(cluster.ask("n3", STARTED).await, before);
}

/// Frozen, and then not needed: they are to receive from their old upstream again, were it there.
async fn a_failover_that_fails_leaves_the_standbys_as_they_were(cluster: &Cluster) {
    let mut before = Vec::new();
    for node in ["n2", "n3"] {
        before.push(cluster.ask(node, UPSTREAM).await);
    }
    let vetoed = swap(
        &stock("failover"),
        "    needs: [fast_forward, check_candidate,",
        "    needs: [veto, fast_forward, check_candidate,",
    );
    let vetoed = swap(
        &vetoed,
        "  promote:  ",
        "  veto:\n    needs: [choose]\n    action: assert\n    with: { that: \"false\", message: the test says no }\n\n  promote:  ",
    );
    let file = cluster.lab.dir().join("vetoed.yaml");
    std::fs::write(&file, vetoed).unwrap();
    let said = cluster.pgbaton(&["run", file.to_str().unwrap()]).await;
    let said = said.expect(3);
    assert!(said.all().contains("the test says no"), "{}", said.all());
    for (node, before) in ["n2", "n3"].iter().zip(&before) {
        assert!(before.contains("application_name"), "{before}");
        cluster.until(node, UPSTREAM, before).await;
    }
}
