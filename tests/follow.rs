//! Follow on a real cluster: idempotent, refused where it cannot work, by reload and by restart.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use pgbaton::lab::Fault;
use support::Cluster;

const STATE: &str = "SELECT string_agg(name || '=' || setting, ';' ORDER BY name) FROM pg_settings \
     WHERE name IN ('primary_conninfo', 'primary_slot_name', 'restore_command', 'synchronous_standby_names')";

#[tokio::test(flavor = "multi_thread")]
async fn the_second_run_changes_nothing() {
    let cluster = Cluster::up("fw-twice", 2).await;
    let arguments = [
        "--json",
        "run",
        "follow",
        "-p",
        "node=n3",
        "-p",
        "upstream=n2",
    ];
    cluster.pgbaton(&arguments).await.expect(0);
    cluster.assert_streams("n3", "n2").await;
    let started = "SELECT pg_postmaster_start_time()::text";
    let receiver = "SELECT pid FROM pg_stat_wal_receiver";
    let before = (
        cluster.ask("n3", STATE).await,
        cluster.ask("n3", started).await,
        cluster.ask("n3", receiver).await,
        cluster
            .ask(
                "n2",
                "SELECT string_agg(slot_name, ',') FROM pg_replication_slots",
            )
            .await,
    );
    let said = cluster.pgbaton(&arguments).await.expect(0);
    let after = (
        cluster.ask("n3", STATE).await,
        cluster.ask("n3", started).await,
        cluster.ask("n3", receiver).await,
        cluster
            .ask(
                "n2",
                "SELECT string_agg(slot_name, ',') FROM pg_replication_slots",
            )
            .await,
    );
    assert_eq!(before, after);
    let operations: Vec<String> = said
        .intended()
        .iter()
        .map(|(_, o)| o["operation"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        operations,
        ["mark"],
        "the mark that proves the attachment is all that is written"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_ahead_of_the_fork_is_refused_before_any_change() {
    let cluster = Cluster::up("fw-ahead", 2).await;
    // n2 receives nothing more while n3 acknowledges more than the buffers on the way to n2 hold; then n2 is promoted
    // behind n3's back.
    let receiver: i32 = cluster
        .ask("n2", "SELECT pid FROM pg_stat_wal_receiver")
        .await
        .parse()
        .unwrap();
    let pid = rustix::process::Pid::from_raw(receiver).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    cluster
        .tell(
            "n1",
            "CREATE TABLE ahead AS SELECT repeat('x', 1000) FROM generate_series(1, 60000)",
        )
        .await;
    cluster
        .until(
            "n3",
            "SELECT count(*) FROM pg_tables WHERE tablename = 'ahead'",
            "1",
        )
        .await;
    cluster.fault("n1", Fault::Kill).await;
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    cluster.tell("n2", "SELECT pg_promote(true)").await;
    let before = cluster.ask("n3", STATE).await;
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
    assert!(
        said.all()
            .contains("beyond the point where n2 left its timeline"),
        "{}",
        said.all()
    );
    assert!(said.intended().is_empty(), "{:?}", said.intended());
    assert_eq!(cluster.ask("n3", STATE).await, before);
    assert_eq!(
        cluster
            .ask("n2", "SELECT count(*) FROM pg_replication_slots")
            .await,
        "0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_follow_restarts_and_attaches() {
    let cluster = Cluster::up("fw-restart", 2).await;
    let started = "SELECT pg_postmaster_start_time()::text";
    let before = cluster.ask("n3", started).await;
    let arguments = [
        "run",
        "follow",
        "-p",
        "node=n3",
        "-p",
        "upstream=n2",
        "-p",
        "apply=restart",
    ];
    cluster.pgbaton(&arguments).await.expect(0);
    cluster.assert_streams("n3", "n2").await;
    assert_ne!(cluster.ask("n3", started).await, before);
}

/// The seed's failure: a backend of the standby does not react, so that a fast stop does not end.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_does_not_stop_is_stopped_harder_and_comes_back() {
    let cluster = Cluster::up("fw-stuck", 2).await;
    let client = cluster.client("n3").await;
    let backend: i32 = client
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    let pid = rustix::process::Pid::from_raw(backend).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let stock = include_str!("../playbooks/follow.yaml");
    let hasty = stock.replace(
        "escalate: [terminate, immediate, kill] }\n    timeout: 90s",
        "escalate: [terminate, immediate, kill] }\n    timeout: 12s",
    );
    assert_ne!(hasty, stock);
    let file = cluster.lab.dir().join("hasty.yaml");
    std::fs::write(&file, hasty).unwrap();
    let arguments = [
        "run",
        file.to_str().unwrap(),
        "-p",
        "node=n3",
        "-p",
        "upstream=n2",
        "-p",
        "apply=restart",
    ];
    let said = cluster.pgbaton(&arguments).await.expect(0);
    assert!(
        said.all().contains("did not stop"),
        "the escalation is told: {}",
        said.all()
    );
    cluster.assert_streams("n3", "n2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_that_fails_leaves_the_standby_as_it_was() {
    let cluster = Cluster::up("fw-undo", 2).await;
    let before = cluster.ask("n3", STATE).await;
    let stock = include_str!("../playbooks/follow.yaml");
    let vetoed = stock.replace(
        "  verify_attach:\n    needs: [start]",
        "  veto:\n    needs: [start]\n    action: assert\n    with: { that: \"false\", message: the test says no }\n\n  verify_attach:\n    needs: [start, veto]",
    );
    assert_ne!(vetoed, stock);
    let file = cluster.lab.dir().join("vetoed.yaml");
    std::fs::write(&file, vetoed).unwrap();
    for apply in ["auto", "restart"] {
        let apply = format!("apply={apply}");
        let arguments = [
            "run",
            file.to_str().unwrap(),
            "-p",
            "node=n3",
            "-p",
            "upstream=n2",
            "-p",
            &apply,
        ];
        let said = cluster.pgbaton(&arguments).await.expect(3);
        assert!(said.all().contains("the test says no"), "{}", said.all());
        cluster.until("n3", STATE, &before).await;
        cluster.assert_streams("n3", "n1").await;
        assert_eq!(
            cluster
                .ask("n2", "SELECT count(*) FROM pg_replication_slots")
                .await,
            "0",
            "{apply}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_the_old_conninfo_never_shows() {
    let cluster = Cluster::up("fw-secret", 2).await;
    let conninfo = cluster.ask("n3", "SHOW primary_conninfo").await;
    let secret = "s3cr3t-hunter2";
    cluster
        .tell(
            "n3",
            &format!(
                "ALTER SYSTEM SET primary_conninfo = '{} password={secret}'",
                conninfo.replace('\'', "''")
            ),
        )
        .await;
    cluster.tell("n3", "SELECT pg_reload_conf()").await;
    cluster.assert_streams("n3", "n1").await;
    let arguments = [
        "--json",
        "--log-level",
        "trace",
        "run",
        "follow",
        "-p",
        "node=n3",
        "-p",
        "upstream=n2",
    ];
    let said = cluster.pgbaton(&arguments).await.expect(0);
    assert!(!said.all().contains(secret));
    let journals = std::process::Command::new("grep")
        .args(["-rl", secret])
        .arg(cluster.lab.dir().join("journal"))
        .output();
    assert_eq!(
        String::from_utf8_lossy(&journals.unwrap().stdout),
        "",
        "no journal holds it"
    );
}
