//! What is done to real servers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod live_support;

use live_support::{BIN, Pair, name, run, slot};
use pgbaton::cluster::{
    Cluster, ControlState, CustomEffect, ExecPlace, HttpRequest, NodeName, Observe, Operation,
    Outcome, Rendered, StopMode, SyncNames, Timeline, TroubleKind, UpstreamRoute,
};
use pgbaton::postgres::{LiveCluster, renderer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

async fn done(live: &LiveCluster, operation: Operation) -> Value {
    match live.perform(&operation, None).await {
        Outcome::Done(value) => value,
        other => panic!("{operation:?}: {other:?}"),
    }
}

async fn failed(live: &LiveCluster, operation: Operation) -> pgbaton::cluster::Trouble {
    match live.perform(&operation, None).await {
        Outcome::Failed(trouble) => trouble,
        other => panic!("{operation:?}: {other:?}"),
    }
}

fn stop(node: &NodeName, mode: StopMode) -> Operation {
    Operation::Stop {
        node: node.clone(),
        mode,
        deadline: LIMIT,
    }
}

fn start(node: &NodeName) -> Operation {
    Operation::Start {
        node: node.clone(),
        deadline: LIMIT,
    }
}

fn restore(node: &NodeName, archive_only: bool, route: UpstreamRoute) -> Operation {
    Operation::RestoreSettings {
        node: node.clone(),
        tag: "run-1".into(),
        archive_only,
        route,
    }
}

fn shown(pair: &Pair, operation: &Operation) -> Vec<Rendered> {
    renderer(pair.inventory.product).render(&pair.inventory, operation)
}

#[tokio::test]
async fn a_frozen_standby_receives_no_more_and_gets_back_exactly_what_it_had() {
    let pair = Pair::new().await;
    let live = pair.live();
    let n2 = name("n2");
    let port = pair.port("n1");
    // A password with everything that quoting can trip over, and a setting that is not in the server's own file.
    let conninfo = format!(
        r"host=127.0.0.1 port={port} user=postgres application_name=n2 password='hun\'ter \\2'"
    );
    let quoted = conninfo.replace('\\', r"\\").replace('\'', r"\'");
    pair.sql(
        "n2",
        &format!("ALTER SYSTEM SET primary_conninfo = E'{quoted}'"),
    );
    pair.append("n2", "postgresql.conf", "restore_command = 'false'\n");
    pair.sql("n2", "SELECT pg_reload_conf()");
    let before = pair.file("n2", "postgresql.auto.conf");

    let save = Operation::SaveSettings {
        node: n2.clone(),
        tag: "run-1".into(),
        owner: "a".into(),
    };
    let saved = done(&live, save.clone()).await;
    let path = saved["path"].as_str().unwrap().to_owned();
    assert_eq!(path, format!("{}/pgbaton.saved.run-1", pair.data("n2")));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    let freeze = Operation::Freeze {
        node: n2.clone(),
        former: None,
    };
    done(&live, freeze.clone()).await;
    pair.until("the receiver is gone", async |live| {
        live.server(&n2)
            .await
            .is_ok_and(|s| s.receiver_pid.is_none())
    })
    .await;
    let settings = live
        .settings(&n2, &["primary_conninfo", "restore_command"])
        .await
        .unwrap();
    assert!(settings.values().all(|s| !s.set), "{settings:?}");
    assert_eq!(live.upstream(&n2).await.unwrap(), None);
    // Saving again after a crash must not keep the frozen state.
    assert_eq!(done(&live, save.clone()).await, saved);

    let archive_back = restore(&n2, false, UpstreamRoute::Sql);
    done(&live, archive_back.clone()).await;
    let after = pair.file("n2", "postgresql.auto.conf");
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&before), sorted(&after));
    assert_eq!(pair.sql("n2", "SHOW primary_conninfo"), conninfo);
    assert_eq!(pair.sql("n2", "SHOW restore_command"), "false");
    assert!(!std::path::Path::new(&path).exists());
    let again = failed(&live, archive_back.clone()).await;
    assert_eq!(again.kind, TroubleKind::Conflict, "{again}");
    // The archive settings alone: nothing kept is nothing missing.
    let settled = done(&live, restore(&n2, true, UpstreamRoute::Sql)).await;
    assert_eq!(settled, json!({"restored": false}));

    for operation in [save, freeze, archive_back] {
        assert!(!format!("{:?}", shown(&pair, &operation)).contains("hun"));
    }
    assert!(!format!("{saved}{live:?}{again:?}").contains("hun"));
}

#[tokio::test]
async fn what_another_run_kept_is_replaced_and_the_synchronous_setting_is_not_kept() {
    let pair = Pair::new().await;
    let live = pair.live();
    let n2 = name("n2");
    let save = |owner: &str| Operation::SaveSettings {
        node: n2.clone(),
        tag: "run-1".into(),
        owner: owner.into(),
    };
    pair.sql("n2", "ALTER SYSTEM SET synchronous_standby_names = 'a'");
    pair.sql("n2", "ALTER SYSTEM SET primary_slot_name = 'old'");
    let first = done(&live, save("a")).await;
    pair.sql("n2", "ALTER SYSTEM SET primary_slot_name = 'new'");
    assert_eq!(done(&live, save("a")).await, first);
    assert!(pair.file("n2", "pgbaton.saved.run-1").contains("'old'"));
    assert_ne!(done(&live, save("b")).await, first);
    let kept = pair.file("n2", "pgbaton.saved.run-1");
    assert!(kept.contains("'new'") && !kept.contains("'old'"), "{kept}");
    pair.sql("n2", "ALTER SYSTEM SET synchronous_standby_names = 'b'");
    pair.sql("n2", "ALTER SYSTEM SET primary_slot_name = 'newer'");
    let restored = done(&live, restore(&n2, false, UpstreamRoute::Sql)).await;
    assert_eq!(restored, json!({"restored": true}));
    let conf = pair.file("n2", "postgresql.auto.conf");
    assert!(conf.contains("synchronous_standby_names = 'b'"), "{conf}");
    assert!(conf.contains("primary_slot_name = 'new'"), "{conf}");
}

/// A run dies between its change of the file and the reload; the next one takes back what it did itself.
async fn what_a_dead_run_left_half_done_is_taken_back_to_what_is_in_force_on(pair: &Pair) {
    let live = pair.live();
    let n2 = name("n2");
    let save = |owner: &str| Operation::SaveSettings {
        node: n2.clone(),
        tag: "run-1".into(),
        owner: owner.into(),
    };
    let conninfo = "SELECT setting FROM pg_settings WHERE name = 'primary_conninfo'";
    let before = pair.sql("n2", conninfo);
    assert!(!before.is_empty());
    done(&live, save("a")).await;
    pair.sql("n2", "ALTER SYSTEM SET primary_conninfo = ''");
    done(&live, save("b")).await;
    let freeze = Operation::Freeze {
        node: n2.clone(),
        former: None,
    };
    done(&live, freeze).await;
    assert!(pair.file("n2", "pgbaton.saved.run-1").contains("# run: b"));
    done(&live, restore(&n2, false, UpstreamRoute::Sql)).await;
    assert_eq!(pair.sql("n2", conninfo), before);
    // What came into force is kept as it is now, whatever another run kept before.
    done(&live, save("a")).await;
    pair.sql("n2", "ALTER SYSTEM SET primary_slot_name = 'newer'");
    pair.sql("n2", "SELECT pg_reload_conf()");
    pair.until("the reload has been heard", async |_| {
        pair.sql("n2", "SHOW primary_slot_name") == "newer"
    })
    .await;
    done(&live, save("b")).await;
    let kept = pair.file("n2", "pgbaton.saved.run-1");
    assert!(kept.contains("'newer'"), "{kept}");
}

#[tokio::test]
async fn what_a_dead_run_left_half_done_is_taken_back_to_what_is_in_force() {
    let pair = Pair::new().await;
    what_a_dead_run_left_half_done_is_taken_back_to_what_is_in_force_on(&pair).await;
}

#[tokio::test]
async fn what_a_dead_run_left_half_done_is_taken_back_by_scripts_too() {
    let mut pair = Pair::new().await;
    by_commands(&mut pair);
    what_a_dead_run_left_half_done_is_taken_back_to_what_is_in_force_on(&pair).await;
}

/// From here on the hosts are reached by commands alone.
fn by_commands(pair: &mut Pair) {
    let mut argv = vec!["sh".to_owned(), "-c".to_owned()];
    if rustix::process::geteuid().is_root() {
        let user = ["runuser", "-u", "postgres", "--"].map(str::to_owned);
        argv = user.into_iter().chain(argv).collect();
    }
    for node in pair.inventory.nodes.values_mut() {
        node.transport = pgbaton::cluster::Transport::Template { argv: argv.clone() };
    }
}

/// The same work where the host is reached by commands alone.
#[tokio::test]
async fn another_host_is_looked_at_and_acted_on_by_scripts() {
    let mut pair = Pair::new().await;
    by_commands(&mut pair);
    let live = pair.live();
    let (n1, n2) = (name("n1"), name("n2"));
    let host = live.host(&n1).await.unwrap();
    assert_eq!(host.postmaster, u32::try_from(pair.postmaster("n1")).ok());
    let footing = live.footing(&n2, true).await.unwrap();
    assert!(footing.data_free > 0 && footing.wal_free > 0, "{footing:?}");
    assert_eq!(footing.settings_file, None);
    let limits = footing.start.unwrap();
    assert_eq!(limits.least.len(), 5, "{limits:?}");
    assert_eq!(limits.least, limits.files);
    let save = |owner: &str| Operation::SaveSettings {
        node: n2.clone(),
        tag: "run-1".into(),
        owner: owner.into(),
    };
    let before = pair.file("n2", "postgresql.auto.conf");
    let first = done(&live, save("a")).await;
    done(
        &live,
        Operation::Freeze {
            node: n2.clone(),
            former: None,
        },
    )
    .await;
    assert_eq!(done(&live, save("a")).await, first);
    let words = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    done(&live, restore(&n2, false, UpstreamRoute::Sql)).await;
    assert_eq!(
        words(&before),
        words(&pair.file("n2", "postgresql.auto.conf"))
    );
    let settled = done(&live, restore(&n2, true, UpstreamRoute::Sql)).await;
    assert_eq!(settled, json!({"restored": false}));

    for mode in [StopMode::Fast, StopMode::Immediate, StopMode::Kill] {
        let was = |was: &str| json!({"was": was});
        assert_eq!(done(&live, stop(&n1, mode)).await, was("running"));
        assert_eq!(live.host(&n1).await.unwrap().postmaster, None);
        let control = live.host(&n1).await.unwrap().control.unwrap();
        let end = live
            .wal_end(&n1, Timeline(1), control.checkpoint)
            .await
            .unwrap();
        assert!(end > control.checkpoint);
        assert_eq!(done(&live, stop(&n1, mode)).await, was("stopped"));
        done(&live, Operation::ForbidReturn { node: n1.clone() }).await;
        assert!(live.host(&n1).await.unwrap().standby_signal);
        done(&live, Operation::AllowReturn { node: n1.clone() }).await;
        assert_eq!(done(&live, start(&n1)).await, was("stopped"));
        assert_eq!(done(&live, start(&n1)).await, was("running"));
    }
    done(&live, stop(&n1, StopMode::Fast)).await;
    pair.append("n1", "postgresql.conf", "no_such_setting = 1\n");
    let trouble = failed(&live, start(&n1)).await;
    assert!(trouble.to_string().contains("no_such_setting"), "{trouble}");
}

#[tokio::test]
async fn a_server_that_is_down_gets_its_settings_by_its_file() {
    let pair = Pair::new().await;
    let live = pair.live();
    let n2 = name("n2");
    let before = pair.file("n2", "postgresql.auto.conf");
    done(
        &live,
        Operation::SaveSettings {
            node: n2.clone(),
            tag: "run-1".into(),
            owner: "a".into(),
        },
    )
    .await;
    done(
        &live,
        Operation::Freeze {
            node: n2.clone(),
            former: None,
        },
    )
    .await;
    done(&live, stop(&n2, StopMode::Fast)).await;
    done(&live, restore(&n2, false, UpstreamRoute::File)).await;
    assert_eq!(before, pair.file("n2", "postgresql.auto.conf"));
    let upstream = live.upstream(&n2).await.unwrap();
    assert_eq!(upstream, Some(("127.0.0.1".to_owned(), pair.port("n1"))));
    done(&live, start(&n2)).await;
    pair.until("n2 streams again", async |live| {
        live.senders(&name("n1"))
            .await
            .is_ok_and(|s| s.iter().any(|s| s.state == "streaming"))
    })
    .await;
}

#[tokio::test]
async fn a_standby_is_promoted_and_the_old_primary_follows_it() {
    let pair = Pair::new().await;
    let live = pair.live();
    let (n1, n2) = (name("n1"), name("n2"));
    assert_eq!(
        done(&live, stop(&n1, StopMode::Fast)).await,
        json!({"was": "running"})
    );
    assert_eq!(
        done(&live, stop(&n1, StopMode::Fast)).await,
        json!({"was": "stopped"})
    );
    let control = live.host(&n1).await.unwrap().control.unwrap();
    assert_eq!(control.state, ControlState::ShutDown);
    done(&live, Operation::ForbidReturn { node: n1.clone() }).await;
    assert!(live.host(&n1).await.unwrap().standby_signal);

    done(
        &live,
        Operation::CreateSlot {
            node: n2.clone(),
            slot: n1.slot(),
        },
    )
    .await;
    done(&live, Operation::Promote { node: n2.clone() }).await;
    pair.until("n2 is primary", async |live| {
        live.server(&n2).await.is_ok_and(|s| !s.in_recovery)
    })
    .await;
    assert_eq!(live.identify(&n2).await.unwrap().timeline, Timeline(2));
    let history = live.history(&n2, Timeline(2)).await.unwrap();
    assert_eq!(history.forks[0].timeline, Timeline(1));
    let again = failed(&live, Operation::Promote { node: n2.clone() }).await;
    assert_eq!(again.kind, TroubleKind::Conflict, "{again}");

    let follow = Operation::SetUpstream {
        node: n1.clone(),
        upstream: n2.clone(),
        slot: Some(n1.slot()),
        route: UpstreamRoute::File,
        dbname: None,
        former: None,
    };
    done(&live, follow).await;
    assert_eq!(done(&live, start(&n1)).await, json!({"was": "stopped"}));
    assert_eq!(done(&live, start(&n1)).await, json!({"was": "running"}));
    let mark = done(&live, Operation::Mark { node: n2.clone() }).await;
    let mark: pgbaton::cluster::Lsn = mark["lsn"].as_str().unwrap().parse().unwrap();
    pair.until("n1 has flushed the mark", async |live| {
        live.senders(&n2).await.is_ok_and(|s| {
            s.iter()
                .any(|s| s.application == "n1" && s.flushed >= Some(mark))
        })
    })
    .await;
    let standby = live.server(&n1).await.unwrap();
    assert_eq!(standby.receiver.unwrap().slot, Some(n1.slot()));
    done(&live, Operation::AllowReturn { node: n1.clone() }).await;
    assert!(!live.host(&n1).await.unwrap().standby_signal);
}

#[tokio::test]
async fn the_upstream_of_a_running_standby_is_set_by_sql() {
    let mut pair = Pair::new().await;
    pair.inventory.replication.options = BTreeMap::from([
        ("connect_timeout".into(), "3".into()),
        ("sslmode".into(), "disable".into()),
    ]);
    let live = pair.live();
    let (n1, n2) = (name("n1"), name("n2"));
    let set = |slot| Operation::SetUpstream {
        node: n2.clone(),
        upstream: n1.clone(),
        slot,
        route: UpstreamRoute::Sql,
        dbname: None,
        former: None,
    };
    done(&live, set(None)).await;
    done(&live, Operation::Reload { node: n2.clone() }).await;
    pair.until("n2 streams without a slot", async |live| {
        let server = live.server(&n2).await.ok();
        server
            .and_then(|s| s.receiver)
            .is_some_and(|r| r.slot.is_none() && r.status == "streaming")
    })
    .await;
    assert!(
        pair.sql("n2", "SHOW primary_conninfo")
            .contains("application_name=n2 connect_timeout=3 sslmode=disable")
    );
    let text = format!("{:?}", shown(&pair, &set(Some(n2.slot()))));
    assert!(text.contains("primary_slot_name = 'pgbaton_n2'"), "{text}");

    pair.inventory.replication.options = BTreeMap::from([("password".into(), "hunter2".into())]);
    let trouble = failed(&pair.live(), set(None)).await;
    assert!(trouble.to_string().contains("password") && !trouble.to_string().contains("hunter2"));
}

#[tokio::test]
async fn slots_are_made_once_and_dropped_only_when_nobody_holds_them() {
    let pair = Pair::new().await;
    let live = pair.live();
    let n1 = name("n1");
    let create = |s: &str| Operation::CreateSlot {
        node: n1.clone(),
        slot: slot(s),
    };
    let drop = |s: &str| Operation::DropSlot {
        node: n1.clone(),
        slot: slot(s),
    };
    done(&live, create("spare")).await;
    done(&live, create("spare")).await;
    let (slots, _) = live.slots(&n1).await.unwrap();
    let spare = slots.iter().find(|s| s.name == slot("spare")).unwrap();
    assert!(
        spare.physical && spare.restart.is_some(),
        "it reserves WAL at once"
    );
    done(&live, drop("spare")).await;
    done(&live, drop("spare")).await;
    let held = failed(&live, drop("pgbaton_n2")).await;
    assert_eq!(held.kind, TroubleKind::Conflict, "{held}");
    // A session that the server ended in the meantime is noticed before an effect is sent on it.
    run(&[
        &format!("{BIN}/pg_ctl"),
        "-D",
        &pair.data("n1"),
        "-m",
        "fast",
        "-w",
        "-s",
        "-l",
        "/dev/null",
        "restart",
    ]);
    done(&live, create("spare")).await;
    // A slot of another kind under that name is not the one that was asked for.
    pair.sql("n1", "ALTER SYSTEM SET wal_level = logical");
    run(&[
        &format!("{BIN}/pg_ctl"),
        "-D",
        &pair.data("n1"),
        "-m",
        "fast",
        "-w",
        "-s",
        "-l",
        "/dev/null",
        "restart",
    ]);
    pair.sql(
        "n1",
        "SELECT pg_create_logical_replication_slot('l', 'pgoutput')",
    );
    let other = failed(&live, create("l")).await;
    assert_eq!(other.kind, TroubleKind::Conflict, "{other}");
}

#[tokio::test]
async fn sessions_that_outlive_their_postmaster_are_found_and_ended() {
    let pair = Pair::new().await;
    let live = pair.live();
    let n1 = name("n1");
    // A session that is busy keeps on working after its postmaster is gone.
    let port = pair.port("n1").to_string();
    let address = format!("host=127.0.0.1 port={port} user=postgres");
    let busy = tokio::spawn(async move {
        let (client, connection) = tokio_postgres::connect(&address, tokio_postgres::NoTls)
            .await
            .unwrap();
        let driver = tokio::spawn(connection);
        let _ = client
            .simple_query("SELECT count(*) FROM generate_series(1, 100000000000)")
            .await;
        let _ = driver.await;
    });
    pair.until("the session is busy", async |_| {
        pair.sql("n1", "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%generate_series%' AND pid <> pg_backend_pid()") == "1"
    })
    .await;
    let postmaster = pair.postmaster("n1");
    let refused = {
        let server = u32::try_from(postmaster).unwrap();
        failed(
            &live,
            Operation::EndOrphans {
                node: n1.clone(),
                pids: vec![server],
            },
        )
        .await
    };
    assert_eq!(refused.kind, TroubleKind::Conflict, "{refused}");
    run(&["kill", "-KILL", &postmaster.to_string()]);
    pair.until("the postmaster is gone", async |live| {
        live.host(&n1).await.is_ok_and(|h| h.postmaster.is_none())
    })
    .await;
    let host = live.host(&n1).await.unwrap();
    let orphan = host.orphans.iter().find(|p| p.title.contains("SELECT"));
    assert!(orphan.is_some(), "{host:?}");
    assert!(host.shared_memory_attached.unwrap() >= 1);
    let pids = host.orphans.iter().map(|p| p.pid).collect();
    done(
        &live,
        Operation::EndOrphans {
            node: n1.clone(),
            pids,
        },
    )
    .await;
    assert_eq!(live.host(&n1).await.unwrap().orphans, vec![]);
    busy.await.unwrap();
}

#[tokio::test]
async fn a_hung_server_is_stopped_by_force_within_the_deadline() {
    let pair = Pair::new().await;
    let live = pair.live();
    let n1 = name("n1");
    run(&["kill", "-STOP", &pair.postmaster("n1").to_string()]);
    let gentle = Operation::Stop {
        node: n1.clone(),
        mode: StopMode::Fast,
        deadline: Duration::from_secs(1),
    };
    match live.perform(&gentle, None).await {
        Outcome::Unknown(trouble) => assert_eq!(trouble.kind, TroubleKind::Timeout, "{trouble}"),
        other => panic!("{other:?}"),
    }
    assert!(live.host(&n1).await.unwrap().postmaster.is_some());
    assert_eq!(
        done(&live, stop(&n1, StopMode::Kill)).await,
        json!({"was": "running"})
    );
    let host = live.host(&n1).await.unwrap();
    assert_eq!((host.postmaster, host.orphans), (None, vec![]));
    done(&live, start(&n1)).await;
    assert!(live.server(&n1).await.is_ok());
    done(&live, stop(&n1, StopMode::Immediate)).await;
    assert_eq!(
        live.host(&n1).await.unwrap().control.unwrap().state,
        ControlState::InProduction
    );
}

#[tokio::test]
async fn a_server_that_cannot_start_tells_why() {
    let pair = Pair::new().await;
    let live = pair.live();
    let n1 = name("n1");
    done(&live, stop(&n1, StopMode::Fast)).await;
    pair.append("n1", "postgresql.conf", "no_such_setting_at_all = 1\n");
    let trouble = failed(&live, start(&n1)).await;
    assert!(
        trouble.message.contains("no_such_setting_at_all"),
        "{trouble}"
    );
}

#[tokio::test]
async fn a_walreceiver_is_ended_and_nothing_else() {
    let pair = Pair::new().await;
    let live = pair.live();
    let n2 = name("n2");
    let receiver = live.server(&n2).await.unwrap().receiver_pid.unwrap();
    for pid in [
        u32::try_from(pair.postmaster("n2")).unwrap(),
        std::process::id(),
    ] {
        let refused = failed(
            &live,
            Operation::EndReceiver {
                node: n2.clone(),
                pid,
            },
        )
        .await;
        assert_eq!(refused.kind, TroubleKind::Conflict, "{refused}");
    }
    done(
        &live,
        Operation::EndReceiver {
            node: n2.clone(),
            pid: receiver,
        },
    )
    .await;
    done(
        &live,
        Operation::EndReceiver {
            node: n2.clone(),
            pid: receiver,
        },
    )
    .await;
    pair.until("another receiver has come", async |live| {
        live.server(&n2)
            .await
            .is_ok_and(|s| s.receiver_pid.is_some_and(|p| p != receiver))
    })
    .await;
}

#[tokio::test]
async fn a_write_that_would_wait_for_standbys_does_not_hold_us_up() {
    let pair = Pair::new().await;
    let live = pair.live();
    let n1 = name("n1");
    let names = SyncNames::parse("ANY 1 (nobody, \"n-9\")").unwrap();
    live.server(&n1).await.unwrap();
    let remembered = live.remembered(&n1).synchronous_standby_names;
    assert_eq!(remembered.unwrap().value, "");
    done(
        &live,
        Operation::SetSynchronous {
            node: n1.clone(),
            names: names.clone(),
            before: String::new(),
            reset: true,
        },
    )
    .await;
    let stale = live.remembered(&n1).synchronous_standby_names;
    assert_eq!(stale, None, "what was seen before proves nothing now");
    pair.until("the setting counts", async |live| {
        let server = live.server(&n1).await;
        let text = live
            .remembered(&n1)
            .synchronous_standby_names
            .unwrap()
            .value;
        server.is_ok() && SyncNames::parse(&text).unwrap() == names
    })
    .await;
    let mark = done(&live, Operation::Mark { node: n1.clone() }).await;
    assert!(mark["lsn"].is_string());
    done(&live, Operation::Checkpoint { node: n1.clone() }).await;
    done(
        &live,
        Operation::CreateSlot {
            node: n1.clone(),
            slot: slot("x"),
        },
    )
    .await;
    done(
        &live,
        Operation::RestoreSynchronous {
            node: n1.clone(),
            text: None,
        },
    )
    .await;
    pair.until("the setting is empty", async |live| {
        let setting = live.settings(&n1, &["synchronous_standby_names"]).await;
        setting.is_ok_and(|s| !s["synchronous_standby_names"].set)
    })
    .await;
    let refused = failed(&live, Operation::Mark { node: name("n2") }).await;
    assert_eq!(refused.kind, TroubleKind::Conflict, "{refused}");
    // The failed batch left no open transaction behind.
    assert!(live.server(&name("n2")).await.is_ok());
}

#[tokio::test]
async fn the_sites_own_statements_take_parameters_of_any_type() {
    let pair = Pair::new().await;
    let live = pair.live();
    let n1 = name("n1");
    let sql = |statement: &str, parameters: &[Option<&str>]| Operation::Sql {
        node: n1.clone(),
        statement: statement.into(),
        parameters: parameters.iter().map(|p| p.map(str::to_owned)).collect(),
        dbname: None,
        effect: CustomEffect::Once,
    };
    done(
        &live,
        sql(
            "CREATE TABLE t (id int PRIMARY KEY, name text, at timestamptz, flags bool[])",
            &[],
        ),
    )
    .await;
    let values = [Some("7"), Some("it's; DROP TABLE t"), None, Some("{t,f}")];
    let inserted = done(&live, sql("INSERT INTO t VALUES ($1, $2, $3, $4)", &values)).await;
    assert_eq!(inserted, json!({"rows": [], "count": 1}));
    let rows = done(
        &live,
        sql(
            "SELECT id, name, at, flags FROM t WHERE id = $1",
            &[Some("7")],
        ),
    )
    .await;
    assert_eq!(
        rows,
        json!({"rows": [{"id": 7, "name": "it's; DROP TABLE t", "at": null, "flags": "{t,f}"}], "count": 1})
    );
    let two = failed(&live, sql("SELECT 1; SELECT 2", &[])).await;
    assert_eq!(two.kind, TroubleKind::Failed, "{two}");
    let wrong = failed(
        &live,
        sql("SELECT * FROM t WHERE id = $1", &[Some("hunter2")]),
    )
    .await;
    assert!(!wrong.to_string().contains("hunter2"), "{wrong}");
    let twice = failed(&live, sql("INSERT INTO t VALUES ($1)", &[Some("7")])).await;
    assert_eq!(twice.kind, TroubleKind::Failed);
}

#[tokio::test]
async fn the_sites_own_programs_run_on_the_host_and_here() {
    let pair = Pair::prepared();
    let live = pair.live();
    let exec = |place, script: &str| Operation::Exec {
        place,
        argv: vec!["sh".into(), "-c".into(), script.into()],
        env: BTreeMap::from([("TOKEN".to_owned(), "hunter2".into())]),
        stdin: Some("from outside".into()),
        effect: CustomEffect::Once,
        deadline: Duration::from_secs(2),
    };
    let there = ExecPlace::Node(name("n1"));
    let result = done(
        &live,
        exec(there.clone(), "id -un; cat; test -n \"$TOKEN\""),
    )
    .await;
    let user = pair
        .dir
        .path()
        .metadata()
        .map(|m| std::os::unix::fs::MetadataExt::uid(&m))
        .unwrap();
    assert!(
        result["stdout"]
            .as_str()
            .unwrap()
            .ends_with("\nfrom outside")
    );
    assert_eq!(
        rustix::process::geteuid().is_root(),
        result["stdout"].as_str().unwrap().starts_with("postgres") && user != 0
    );
    let wrong = failed(
        &live,
        exec(ExecPlace::Runner, "echo \"bad token $TOKEN\" >&2; exit 3"),
    )
    .await;
    assert!(
        wrong.message.contains("exited with 3") && wrong.message.contains("bad token"),
        "{wrong}"
    );
    assert!(!wrong.message.contains("hunter2"), "{wrong}");
    let hangs = live.perform(&exec(there.clone(), "sleep 60"), None).await;
    assert!(matches!(hangs, Outcome::Unknown(_)), "{hangs:?}");
    let text = format!("{:?}", shown(&pair, &exec(there, "true")));
    assert!(
        text.contains("TOKEN=***") && !text.contains("hunter2") && !text.contains("outside"),
        "{text}"
    );

    let refused = Operation::Http {
        request: HttpRequest {
            method: "GET".into(),
            url: format!(
                "http://user:hunter2@127.0.0.1:{}/x?t=hunter2",
                live_support::free_port()
            )
            .into(),
            headers: BTreeMap::from([("authorization".into(), "hunter2".into())]),
            body: None,
        },
        effect: CustomEffect::Once,
    };
    assert_eq!(
        failed(&live, refused.clone()).await.kind,
        TroubleKind::Unreachable
    );
    assert!(!format!("{:?}", shown(&pair, &refused)).contains("hunter2"));
}

#[tokio::test]
async fn an_effect_on_a_server_that_is_not_there_certainly_did_not_happen() {
    let pair = Pair::prepared();
    let live = pair.live();
    for operation in [
        Operation::Promote { node: name("n1") },
        Operation::Freeze {
            node: name("n1"),
            former: None,
        },
        Operation::SaveSettings {
            node: name("n1"),
            tag: "x".into(),
            owner: "a".into(),
        },
        Operation::SaveSettings {
            node: name("n1"),
            tag: "../x".into(),
            owner: "a".into(),
        },
        Operation::Promote { node: name("n9") },
    ] {
        failed(&live, operation).await;
    }
}
