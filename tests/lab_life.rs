//! A lab comes up, says how it is, and leaves nothing behind, whatever was done to it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod lab_support;

use lab_support::{Root, assert_nothing_left, name, up};
use pgbaton::lab::{Fault, Lab, LabError, LabOptions, ProcessState, Role};
use std::time::Duration;

async fn show(client: &tokio_postgres::Client, setting: &str) -> String {
    let row = client.query_one(&format!("SHOW {setting}"), &[]).await;
    row.unwrap().get(0)
}

fn ports(lab: &Lab) -> Vec<u16> {
    lab.endpoints().iter().map(|e| e.port).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn up_streams_status_tells_and_down_leaves_nothing() {
    let root = Root::new();
    let lab = up(&root, "life", 2).await;
    let status = lab.status().await.unwrap();
    let seen: Vec<_> = status
        .nodes
        .iter()
        .map(|n| (n.name.as_str(), n.process, n.role))
        .collect();
    assert_eq!(
        seen,
        [
            ("n1", ProcessState::Running, Some(Role::Primary)),
            ("n2", ProcessState::Running, Some(Role::Standby)),
            ("n3", ProcessState::Running, Some(Role::Standby)),
        ]
    );
    let client = lab_support::client(&lab.endpoint("n1").unwrap()).await;
    let rows = client
        .query(
            "SELECT s.application_name, s.state, s.sync_state, l.slot_name::text
             FROM pg_stat_replication s JOIN pg_replication_slots l ON l.active_pid = s.pid ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    let seen: Vec<[String; 4]> = rows
        .iter()
        .map(|r| [0, 1, 2, 3].map(|i| r.get(i)))
        .collect();
    let expected = |n: &str| {
        let slot = name(n).slot().to_string();
        [
            n.to_owned(),
            "streaming".to_owned(),
            "quorum".to_owned(),
            slot,
        ]
    };
    assert_eq!(seen, [expected("n2"), expected("n3")]);
    for (setting, value) in [
        ("synchronous_standby_names", "ANY 1 (\"n2\", \"n3\")"),
        ("fsync", "on"),
        ("wal_log_hints", "on"),
        ("recovery_target_timeline", "latest"),
        ("listen_addresses", "127.0.0.1"),
    ] {
        assert_eq!(show(&client, setting).await, value, "{setting}");
    }

    // Another process finds it by its name alone, and every command can use its site file.
    let again = Lab::open_in(root.path(), "life").unwrap();
    assert_eq!(again.endpoints(), lab.endpoints());
    let site = pgbaton::site::Site::load(again.site_file()).unwrap();
    let inventory = &site.clusters["life"];
    assert_eq!(inventory.nodes.len(), 3);
    for node in inventory.nodes.values() {
        assert_eq!(node.port, lab.endpoint(node.name.as_str()).unwrap().port);
        assert!(node.data.join("PG_VERSION").exists());
    }
    assert!(matches!(
        Lab::up(root.options("life", 0)).await,
        Err(LabError::Exists { .. })
    ));

    let ports = ports(&lab);
    lab.down().await.unwrap();
    assert_nothing_left(&root, &ports);
    lab.down().await.expect("down twice is as down once");
    assert!(matches!(
        Lab::open_in(root.path(), "life"),
        Err(LabError::Missing { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_labs_side_by_side_never_meet() {
    let root = Root::new();
    let other_root = Root::new();
    let (a, b) = tokio::join!(up(&root, "one", 1), up(&other_root, "one", 1));
    let (of_a, of_b) = (ports(&a), ports(&b));
    assert!(
        of_a.iter().all(|port| !of_b.contains(port)),
        "{of_a:?} {of_b:?}"
    );
    let mut ids = Vec::new();
    for lab in [&a, &b] {
        let client = lab_support::client(&lab.endpoint("n1").unwrap()).await;
        let row = client
            .query_one("SELECT system_identifier FROM pg_control_system()", &[])
            .await
            .unwrap();
        ids.push(row.get::<_, i64>(0));
    }
    assert_ne!(ids[0], ids[1]);
    a.down().await.unwrap();
    let left = b.status().await.unwrap();
    assert!(
        left.nodes
            .iter()
            .all(|n| n.process == ProcessState::Running)
    );
    b.down().await.unwrap();
    assert_nothing_left(&root, &of_a);
    assert_nothing_left(&other_root, &of_b);
}

async fn state(lab: &Lab, node: &str) -> ProcessState {
    let status = lab.status().await.unwrap();
    let node = status.nodes.into_iter().find(|n| n.name.as_str() == node);
    node.unwrap().process
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_told_apart_undone_and_refused_where_they_make_no_sense() {
    let root = Root::new();
    let lab = up(&root, "faults", 2).await;
    for (node, fault, then) in [
        ("n2", Fault::Stop, ProcessState::Down),
        ("n2", Fault::Start, ProcessState::Running),
        ("n3", Fault::Freeze, ProcessState::Frozen),
        ("n3", Fault::Thaw, ProcessState::Running),
    ] {
        lab.fault(&name(node), fault).await.unwrap();
        assert_eq!(state(&lab, node).await, then, "{node} {fault:?}");
    }
    lab.fault(&name("n2"), Fault::Stop).await.unwrap();
    lab.fault(&name("n3"), Fault::Freeze).await.unwrap();
    for (node, fault) in [
        ("n1", Fault::Start),
        ("n2", Fault::Stop),
        ("n2", Fault::Kill),
        ("n2", Fault::Freeze),
        ("n2", Fault::Thaw),
        ("n3", Fault::Stop),
        ("n3", Fault::Start),
    ] {
        let refused = lab.fault(&name(node), fault).await;
        assert!(
            matches!(refused, Err(LabError::State { .. })),
            "{node} {fault}: {refused:?}"
        );
    }
    assert!(matches!(
        lab.fault(&name("n9"), Fault::Kill).await,
        Err(LabError::UnknownNode { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_frozen_servers_can_be_taken_down() {
    let root = Root::new();
    let lab = up(&root, "worst", 3).await;
    let (ports, segments) = (ports(&lab), lab_support::segments(&lab));
    assert_eq!(segments.len(), 4);
    lab.fault(&name("n3"), Fault::Freeze).await.unwrap();
    lab.fault(&name("n2"), Fault::Freeze).await.unwrap();
    lab.fault(&name("n2"), Fault::Kill).await.unwrap();
    assert_eq!(
        state(&lab, "n2").await,
        ProcessState::Frozen,
        "its postmaster is dead and its orphans are stopped"
    );
    lab.fault(&name("n1"), Fault::Kill).await.unwrap();
    assert!(matches!(
        state(&lab, "n1").await,
        ProcessState::Orphaned | ProcessState::Down
    ));
    lab.down().await.unwrap();
    assert_nothing_left(&root, &ports);
    for id in segments {
        assert!(!lab_support::segment_exists(&id), "segment {id} is left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_or_failed_up_leaves_nothing() {
    let root = Root::new();
    // Interrupted at different moments: during initdb, the copies, the starts.
    for millis in [1, 300, 900, 1200, 1500] {
        let making = Lab::up(root.options("cut", 2));
        if let Ok(made) = tokio::time::timeout(Duration::from_millis(millis), making).await {
            made.unwrap().down().await.unwrap();
        }
        assert_nothing_left(&root, &[]);
    }
    // A server that does not start: the error has the end of its log.
    let bad = (
        "shared_preload_libraries".to_owned(),
        "no_such_library".to_owned(),
    );
    let options = LabOptions {
        node_settings: [(name("n2"), vec![bad])].into(),
        ..root.options("broken", 2)
    };
    let error = Lab::up(options).await.unwrap_err().to_string();
    assert!(
        error.contains("`n2`") && error.contains("no_such_library"),
        "{error}"
    );
    assert_nothing_left(&root, &[]);
}

/// Makes a lab in the directory that the environment names; the next test runs it in a process of its own.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "only as the process that the next test kills"]
async fn maker() {
    let root = std::env::var_os("PGBATON_TEST_ROOT").unwrap();
    let options = LabOptions {
        name: "orphan".to_owned(),
        root: Some(root.into()),
        ..LabOptions::default()
    };
    Lab::up(options).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_whose_maker_was_killed_at_any_moment_can_be_taken_down() {
    let root = Root::new();
    let dir = root.path().join("orphan");
    // Each of these appears at its moment of `up`; nothing can be cleaned up by a process that gets a SIGKILL.
    for moment in [
        "",
        "lab.json",
        "n1/data/global",
        "n2/data/global",
        "n1/data/postmaster.pid",
        "n3/data/postmaster.pid",
    ] {
        let mut maker = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "maker"])
            .env("PGBATON_TEST_ROOT", root.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let come = async {
            while !dir.join(moment).exists() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), come)
            .await
            .unwrap();
        maker.kill().unwrap();
        maker.wait().unwrap();
        assert_eq!(Lab::list_in(root.path()).unwrap(), ["orphan"], "{moment}");
        let left = Lab::open_in(root.path(), "orphan").unwrap();
        left.down().await.unwrap();
        assert_nothing_left(&root, &[]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cascade_streams_and_a_rebuilt_node_keeps_its_port() {
    let root = Root::new();
    let options = LabOptions {
        upstreams: [(name("n3"), name("n2"))].into(),
        ..root.options("cascade", 2)
    };
    let lab = Lab::up(options).await.unwrap().disposable();
    let client = lab_support::client(&lab.endpoint("n2").unwrap()).await;
    let row = client
        .query_one("SELECT application_name FROM pg_stat_replication", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "n3");
    // A rebuild copies the configuration of another node: it must not carry that node's port along.
    lab.fault(&name("n3"), Fault::Stop).await.unwrap();
    let conf = |node: &str| lab.data(&name(node)).join("postgresql.conf");
    let other = std::fs::read(conf("n1")).unwrap();
    std::fs::write(conf("n3"), other).unwrap();
    lab.fault(&name("n3"), Fault::Start).await.unwrap();
    let client = lab_support::client(&lab.endpoint("n3").unwrap()).await;
    assert_eq!(show(&client, "cluster_name").await, "n3");
    drop(lab);
    assert_nothing_left(&root, &[]);
}
