//! Living beside repmgr, the real one: a site file from its metadata, and its metadata right after what pgbaton did.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod repmgr_support;
mod support;

use pgbaton::lab::Fault;
use pgbaton::site::Site;
use repmgr_support::Registered;
use std::path::PathBuf;
use support::{Said, name, pgbaton};

/// Imports from a node, into a file of the lab's directory.
async fn import(repmgr: &Registered, arguments: &[&str]) -> (PathBuf, Said) {
    let file = repmgr.cluster.lab.dir().join("imported.yaml");
    let out = ["import", "repmgr", "--out", file.to_str().unwrap()];
    let said = pgbaton(&[&out[..], arguments].concat()).await;
    (file, said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_file_is_made_of_what_repmgr_and_the_servers_say() {
    let repmgr = Registered::up("rm-import", 2).await;
    let own = Site::load(repmgr.cluster.lab.site_file()).unwrap();
    let own = own.clusters.values().next().unwrap();
    let (file, said) = import(&repmgr, &["--conninfo", &repmgr.conninfo("n2")]).await;
    // repmgr's slots are somebody's to drop, later.
    let said = said.expect(4);
    assert!(said.stderr.contains("repmgr_slot_2"), "{}", said.stderr);
    let site = Site::load(&file).unwrap();
    let made = &site.clusters["main"];
    for (name, node) in &own.nodes {
        let made = made.node(name).unwrap();
        assert_eq!(
            (
                made.id,
                &made.host,
                made.port,
                &made.data,
                &made.bin,
                &made.transport
            ),
            (
                node.id,
                &node.host,
                node.port,
                &node.data,
                &node.bin,
                &node.transport
            )
        );
        assert_eq!((made.priority, made.location.as_str()), (100, "lab"));
    }
    assert_eq!(made.replication.user, "replicator");
    assert_eq!(made.synchronous, own.synchronous);
    let table = made.repmgr.as_ref().unwrap();
    assert_eq!(
        (table.database.as_str(), table.schema.as_str()),
        ("repmgr", "repmgr")
    );
    let site = file.to_str().unwrap();
    let status = pgbaton(&["--site", site, "--json", "status"])
        .await
        .expect(0);
    assert!(
        status.stdout.contains("\"health\":\"ok\""),
        "{}",
        status.stdout
    );

    let (shown, code) = repmgr.show("n1").await;
    assert_eq!(
        (shown.len(), code),
        (3, 0),
        "nothing of repmgr's was touched"
    );

    let before = std::fs::read(&file).unwrap();
    let (_, said) = import(&repmgr, &["--conf", repmgr.conf("n1").to_str().unwrap()]).await;
    assert!(said.expect(1).stderr.contains("--force"));
    assert_eq!(
        std::fs::read(&file).unwrap(),
        before,
        "it is not written over"
    );
    let forced = ["--conf", repmgr.conf("n1").to_str().unwrap(), "--force"].map(str::to_owned);
    let forced: Vec<&str> = forced.iter().map(String::as_str).collect();
    import(&repmgr, &forced).await.1.expect(4);
    assert_eq!(
        Site::load(&file).unwrap().clusters["main"],
        *made,
        "the file says the same"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_down_is_written_with_what_is_known_and_named() {
    let repmgr = Registered::up("rm-down", 2).await;
    repmgr.cluster.fault("n3", Fault::Stop).await;
    let (file, said) = import(&repmgr, &["--conninfo", &repmgr.conninfo("n1")]).await;
    assert!(said.expect(4).stderr.contains("n3 did not answer"));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("# data: DATA DIRECTORY"), "{text}");
    let site = Site::load(&file).unwrap();
    let node = site.clusters["main"].node(&name("n3")).unwrap();
    assert_eq!(node.port, repmgr.cluster.endpoint("n3").port);
    let site = file.to_str().unwrap();
    let status = pgbaton(&["--site", site, "status"]).await.expect(4);
    assert!(status.stdout.contains("n3"), "{}", status.stdout);
    // Its own configuration file knows what it cannot say.
    let own = repmgr.conf("n3");
    let conninfo = repmgr.conninfo("n1");
    let both = [
        "--force",
        "--conf",
        own.to_str().unwrap(),
        "--conninfo",
        &conninfo,
    ];
    import(&repmgr, &both).await.1.expect(4);
    let site = Site::load(&file).unwrap();
    let node = site.clusters["main"].node(&name("n3")).unwrap();
    assert_eq!(node.data, repmgr.cluster.data("n3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_imported_writes_nothing_and_shows_no_password() {
    let repmgr = Registered::up("rm-bad", 1).await;
    let hba = repmgr.cluster.data("n1").join("pg_hba.conf");
    let rules = std::fs::read_to_string(&hba).unwrap();
    let rules = format!("host all locked 127.0.0.1/32 scram-sha-256\n{rules}");
    std::fs::write(&hba, rules).unwrap();
    let role = "SET password_encryption = 'scram-sha-256'; CREATE ROLE locked SUPERUSER LOGIN PASSWORD 'right-1'";
    repmgr.cluster.tell("n1", role).await;
    repmgr.cluster.tell("n1", "SELECT pg_reload_conf()").await;
    let port = repmgr.cluster.endpoint("n1").port;
    let with = |more: &str| format!("host=127.0.0.1 port={port} {more}");
    let cases = [
        (with("user=repmgr dbname=postgres"), 1, "dbname=repmgr"),
        (
            with("user=locked dbname=repmgr password=wrong-1"),
            1,
            "passfile",
        ),
        (with("user=repmgr dbname=nowhere"), 1, "nowhere"),
        (
            "host=127.0.0.1 port=1 user=repmgr dbname=repmgr".to_owned(),
            1,
            "of one that runs",
        ),
        ("user=repmgr dbname=repmgr".to_owned(), 1, "names no host"),
        ("host=127.0.0.1 wrong-1".to_owned(), 2, "connection string"),
    ];
    for (conninfo, code, expected) in cases {
        let (file, said) = import(&repmgr, &["--conninfo", &conninfo]).await;
        let said = said.expect(code);
        assert!(
            said.stderr.contains(expected),
            "{conninfo}: {}",
            said.stderr
        );
        assert!(!said.all().contains("wrong-1"), "{}", said.all());
        assert!(!file.exists(), "{conninfo}");
    }
    let (file, said) = import(
        &repmgr,
        &[
            "--conninfo",
            &with("user=locked dbname=repmgr password=right-1"),
        ],
    )
    .await;
    let said = said.expect(4);
    assert!(said.stderr.contains("~/.pgpass"), "{}", said.stderr);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("right-1") && !said.all().contains("right-1"));
    pgbaton(&["import", "repmgr"]).await.expect(2);
}

/// The imported site file, with runs kept in the lab's directory.
async fn site(repmgr: &Registered) -> String {
    let (file, said) = import(repmgr, &["--conninfo", &repmgr.conninfo("n1")]).await;
    said.expect(4);
    let text = std::fs::read_to_string(&file).unwrap();
    let journal = repmgr.cluster.lab.dir().join("imported-journal");
    std::fs::write(&file, format!("journal: {}\n{text}", journal.display())).unwrap();
    file.to_str().unwrap().to_owned()
}

async fn on(site: &str, words: &[&str]) -> Said {
    pgbaton(&[&["--site", site], words].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failover_repmgr_agrees() {
    let repmgr = Registered::up("rm-failover", 2).await;
    let site = site(&repmgr).await;
    repmgr.cluster.fault("n1", Fault::Stop).await;
    let said = on(&site, &["run", "failover"]).await.expect(0);
    assert!(said.all().contains("update_repmgr"), "{}", said.all());
    let (new, other) = match repmgr.cluster.primary().await.as_str() {
        "n2" => ("n2", "n3"),
        _ => ("n3", "n2"),
    };
    let (rows, code) = repmgr.show(new).await;
    let mut expected = vec![
        "n1|primary|- failed|?".to_owned(),
        format!("{new}|primary|* running|"),
        format!("{other}|standby|running|{new}"),
    ];
    expected.sort();
    assert_eq!(rows, expected);
    assert_ne!(code, 0, "it says that n1 is down");

    let words = ["run", "follow", "-p", "node=n1", "-p"];
    let upstream = format!("upstream={new}");
    on(&site, &[&words[..], &[&upstream]].concat())
        .await
        .expect(0);
    let (rows, code) = repmgr.show(new).await;
    assert_eq!(rows[0], format!("n1|standby|running|{new}"));
    assert_eq!(code, 0, "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_switchover_repmgr_agrees_and_the_plan_said_so() {
    let repmgr = Registered::up("rm-switchover", 2).await;
    let site = site(&repmgr).await;
    let plan = on(&site, &["plan", "switchover", "-p", "candidate=n3"])
        .await
        .expect(0);
    assert!(
        plan.stdout.contains("UPDATE \"repmgr\".nodes"),
        "{}",
        plan.stdout
    );
    on(&site, &["run", "switchover", "-p", "candidate=n3"])
        .await
        .expect(0);
    let (rows, code) = repmgr.show("n3").await;
    let expected = [
        "n1|standby|running|n3",
        "n2|standby|running|n3",
        "n3|primary|* running|",
    ];
    assert_eq!(
        (rows.iter().map(String::as_str).collect::<Vec<_>>(), code),
        (expected.into(), 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_taken_back_leaves_repmgrs_table_as_it_was() {
    let repmgr = Registered::up("rm-undo", 2).await;
    let site = site(&repmgr).await;
    let playbook = repmgr.cluster.lab.dir().join("undone.yaml");
    let text = "playbook: undone\nsteps:\n  put_right: { action: update_repmgr, node: n1 }\n  \
                give_up: { needs: [put_right], action: assert, with: { that: \"false\" } }\n";
    std::fs::write(&playbook, text).unwrap();
    let conf = repmgr.conf("n3");
    // repmgr's own command writes what is not true.
    let wrong = ["standby", "register", "--force", "--upstream-node-id", "2"];
    let said = repmgr.repmgr(&conf, &wrong).await;
    assert!(said.status.success(), "{said:?}");
    let (before, _) = repmgr.show("n1").await;
    let said = on(&site, &["--json", "run", playbook.to_str().unwrap()])
        .await
        .expect(3);
    let changed: Vec<_> = said.intended().into_iter().map(|(path, _)| path).collect();
    assert_eq!(
        changed.len(),
        2,
        "it was put right, and that was taken back: {changed:?}"
    );
    assert_eq!(repmgr.show("n1").await.0, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_repmgrd_is_named_paused_and_resumed() {
    let repmgr = Registered::up("rm-daemon", 2).await;
    let site = site(&repmgr).await;
    let _daemon = repmgr.daemon("n2");
    let mut tries = 0;
    while repmgr.service("n2").await != (true, false) {
        tries += 1;
        assert!(tries < 300, "repmgrd does not get going");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let status = on(&site, &["status"]).await.expect(0);
    let named = "also manages n2: repmgrd (process ";
    assert!(status.stdout.contains(named), "{}", status.stdout);
    assert!(status.stdout.contains("not paused"), "{}", status.stdout);
    let others = ["n1", "n3"].map(|node| format!("also manages {node}"));
    assert!(
        others.iter().all(|other| !status.stdout.contains(other)),
        "{}",
        status.stdout
    );

    // Without the place of repmgr's table it is seen on its host, and nobody can pause it.
    let words = ["--json", "run", "switchover", "-p", "candidate=n3"];
    let said = repmgr.cluster.pgbaton(&words).await.expect(3);
    assert!(said.all().contains("manages n2"), "{}", said.all());
    assert!(said.intended().is_empty(), "{:?}", said.intended());

    // A run that is refused for another reason leaves it as it was.
    on(&site, &["run", "failover"]).await.expect(3);
    assert_eq!(repmgr.service("n2").await, (true, false));

    let said = on(&site, &words).await.expect(0);
    let paused: Vec<String> = said
        .intended()
        .iter()
        .filter(|(_, operation)| operation["operation"] == "pause_repmgrd")
        .map(|(path, operation)| format!("{path} {} {}", operation["node"], operation["paused"]))
        .collect();
    assert_eq!(
        paused,
        [
            "pause_managers \"n2\" true",
            "(finally)/resume_managers \"n2\" false"
        ]
    );
    assert_eq!(repmgr.service("n2").await, (true, false));
    assert_eq!(repmgr.show("n3").await.1, 0);

    // What a person paused stays paused.
    let pause = repmgr
        .repmgr(&repmgr.conf("n3"), &["service", "pause"])
        .await;
    assert!(pause.status.success(), "{pause:?}");
    on(&site, &["run", "switchover", "-p", "candidate=n1"])
        .await
        .expect(0);
    // A repmgrd may have lost its connection to a server that handed over: whether it runs is its own matter.
    let (_, paused) = repmgr.service("n2").await;
    assert!(paused);
}
