//! Synchronous replication on real servers: every mode through every stock playbook, the way from one value of the setting to
//! the next, and standbys that are gone for good.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod hosts_support;
mod support;

use hosts_support::{can_have_hosts, failover_that_waits_for};
use pgbaton::cluster::{SyncMode, SyncNames, Synchronous};
use pgbaton::lab::{Fault, LabOptions};
use rustix::process::{Pid, Signal, kill_process};
use support::{Cluster, UnderWay, assert_nothing_lost};

const SETTING: &str = "SHOW synchronous_standby_names";

async fn with_mode(test: &str, mode: SyncMode) -> Cluster {
    let options = LabOptions {
        synchronous: Synchronous { mode, acks: 1 },
        ..LabOptions::default()
    };
    Cluster::with(test, options).await
}

async fn set(cluster: &Cluster, node: &str, names: &str) {
    let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'");
    cluster.tell(node, &set).await;
    cluster.tell(node, "SELECT pg_reload_conf()").await;
    cluster.until(node, SETTING, names).await;
}

/// What the setting is after a switchover to n2, after a failover from there to n3 with n1 left, and once n2 follows again.
async fn goes_through_all(mode: SyncMode, wanted: [&str; 3]) {
    let name = format!("sy-{mode:?}").to_lowercase();
    let cluster = with_mode(&name, mode).await;
    if mode == SyncMode::Unmanaged {
        for node in ["n1", "n2", "n3"] {
            set(&cluster, node, "ANY 1 (n1, n2, n3)").await;
        }
    }
    let writer = cluster.writer().await;
    let to_n2 = ["run", "switchover", "-p", "candidate=n2"];
    cluster.pgbaton(&to_n2).await.expect(0);
    assert_eq!(cluster.ask("n2", SETTING).await, wanted[0]);
    for standby in ["n1", "n3"] {
        cluster.assert_streams(standby, "n2").await;
    }
    cluster.until_replayed("n2", &["n1", "n3"]).await;
    cluster.fault("n2", Fault::Kill).await;
    let to_n3 = ["run", "failover", "-p", "candidate=n3"];
    cluster.pgbaton(&to_n3).await.expect(0);
    assert_eq!(cluster.ask("n3", SETTING).await, wanted[1]);
    // Commits go on, whoever is dead.
    cluster.tell("n3", "CREATE TABLE goes_on ()").await;
    let back = ["run", "rejoin", "-p", "node=n2", "-p", "upstream=n3"];
    cluster.pgbaton(&back).await.expect(0);
    assert_eq!(cluster.ask("n3", SETTING).await, wanted[2]);
    let report = writer.finish().await;
    // Without synchronous replication a kill may cost what was just acknowledged.
    if mode != SyncMode::Off {
        assert_nothing_lost(&cluster, &report, "n3").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_goes_through_switchover_failover_and_return() {
    let wanted = [
        r#"ANY 1 ("n1", "n3")"#,
        r#"ANY 1 ("n1", "n2")"#,
        r#"ANY 1 ("n1", "n2")"#,
    ];
    goes_through_all(SyncMode::Quorum, wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_by_rank_go_through_switchover_failover_and_return() {
    let wanted = [
        r#"FIRST 1 ("n1", "n3")"#,
        r#"FIRST 1 ("n1", "n2")"#,
        r#"FIRST 1 ("n1", "n2")"#,
    ];
    goes_through_all(SyncMode::First, wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_as_many_as_stream() {
    let wanted = [
        r#"ANY 2 ("n1", "n3")"#,
        r#"ANY 1 ("n1", "n2")"#,
        r#"ANY 2 ("n1", "n2")"#,
    ];
    goes_through_all(SyncMode::All, wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn off_stays_off() {
    goes_through_all(SyncMode::Off, ["", "", ""]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_managed_is_left_alone() {
    goes_through_all(SyncMode::Unmanaged, ["ANY 1 (n1, n2, n3)"; 3]).await;
}

/// All sets of standbys that are enough for a value, by PostgreSQL's own rule.
fn enough(rule: &SyncNames) -> Vec<Vec<String>> {
    let all = &rule.names;
    let chosen = |bits: usize| {
        let named = all.iter().enumerate().filter(|(i, _)| bits & (1 << i) != 0);
        named.map(|(_, n)| n.to_lowercase()).collect::<Vec<_>>()
    };
    let mut sets: Vec<_> = (0..1 << all.len()).map(chosen).collect();
    sets.retain(|set| set.len() == rule.acks as usize);
    sets
}

/// Whatever is enough for one is enough for the other, in one of both directions.
fn overlap(one: &str, other: &str) -> bool {
    let parse = |text: &str| SyncNames::parse(text).unwrap().unwrap();
    let (one, other) = (enough(&parse(one)), enough(&parse(other)));
    let covers = |strict: &[Vec<String>], loose: &[Vec<String>]| {
        let holds = |set: &Vec<String>| loose.iter().any(|l| l.iter().all(|n| set.contains(n)));
        strict.iter().all(holds)
    };
    covers(&one, &other) || covers(&other, &one)
}

fn all_overlap(seen: &[String]) -> bool {
    seen.windows(2).all(|pair| overlap(&pair[0], &pair[1]))
}

/// Which standby's process receives.
async fn receiver(cluster: &Cluster, node: &str) -> Pid {
    let pid = cluster
        .ask(node, "SELECT pid FROM pg_stat_wal_receiver")
        .await;
    Pid::from_raw(pid.parse().unwrap()).unwrap()
}

const CHANGE: &str = "
playbook: change
version: 1.0.0
summary: Let commits wait for n3 in place of n2.
timeout: 2m
steps:
  set: { action: set_synchronous, node: n1, with: { standbys: [n3] }, timeout: 1m }
";

/// n3 is behind when the setting turns from n2 to it; n1 and n2 are lost in the moment in which the new value counts.
#[tokio::test(flavor = "multi_thread")]
async fn from_one_value_to_the_next_nothing_acknowledged_is_without_a_standby_that_counts() {
    let cluster = Cluster::up("sy-phases", 2).await;
    set(&cluster, "n1", "ANY 1 (n2)").await;
    let writer = cluster.writer().await;
    let stuck = receiver(&cluster, "n3").await;
    kill_process(stuck, Signal::STOP).unwrap();
    // Acknowledged by n2, and unknown to n3.
    let before = cluster.ask("n1", "SELECT pg_current_wal_flush_lsn()").await;
    let more = format!("SELECT pg_current_wal_flush_lsn() > '{before}'::pg_lsn + 100000");
    cluster.until("n1", &more, "t").await;

    let file = cluster.lab.dir().join("change.yaml");
    std::fs::write(&file, CHANGE).unwrap();
    let run = UnderWay::start(cluster.lab.site_file(), &[file.to_str().unwrap()]);
    let poll = cluster.client("n1").await;
    let mut seen: Vec<String> = Vec::new();
    loop {
        let row = poll
            .query_one("SELECT current_setting('synchronous_standby_names')", &[])
            .await;
        let now: String = row.unwrap().get(0);
        if seen.last() != Some(&now) {
            seen.push(now);
            if SyncNames::parse(seen.last().unwrap())
                .unwrap()
                .unwrap()
                .names
                == ["n3"]
            {
                break;
            }
            if seen.len() == 2 {
                // It waits for n3, which goes on only now.
                kill_process(stuck, Signal::CONT).unwrap();
            }
        }
    }
    cluster.fault("n1", Fault::Kill).await;
    cluster.fault("n2", Fault::Kill).await;
    drop(poll);
    let _ = kill_process(stuck, Signal::CONT);
    cluster.tell("n3", "SELECT pg_promote(true)").await;
    let report = writer.finish().await;
    assert_nothing_lost(&cluster, &report, "n3").await;
    assert!(all_overlap(&seen), "{seen:?}");
    // The look can tell: without what comes between it would not be so.
    assert!(!all_overlap(&[seen[0].clone(), seen[2].clone()]));
    drop(run);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_new_standbys_do_not_catch_up_the_former_value_is_back_and_commits_go_on() {
    let cluster = Cluster::up("sy-back", 2).await;
    set(&cluster, "n1", "ANY 1 (n2)").await;
    let stuck = receiver(&cluster, "n3").await;
    kill_process(stuck, Signal::STOP).unwrap();
    cluster.tell("n1", "CREATE TABLE behind ()").await;
    let file = cluster.lab.dir().join("change.yaml");
    std::fs::write(&file, CHANGE.replace("timeout: 1m }", "timeout: 4s }")).unwrap();
    let said = cluster.pgbaton(&["run", file.to_str().unwrap()]).await;
    assert_ne!(said.code, 0, "{}", said.all());
    assert!(
        said.all().contains("is `ANY 1 (n2)` again"),
        "{}",
        said.all()
    );
    cluster.until("n1", SETTING, "ANY 1 (n2)").await;
    cluster.tell("n1", "CREATE TABLE goes_on ()").await;
    kill_process(stuck, Signal::CONT).unwrap();
}

/// Starts a commit, and waits until it hangs on the standbys.
async fn hanging_commit(cluster: &Cluster) -> tokio::task::JoinHandle<()> {
    let client = cluster.client("n1").await;
    let commit = tokio::spawn(async move {
        client.batch_execute("CREATE TABLE hung ()").await.unwrap();
    });
    let hangs = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    cluster.until("n1", hangs, "1").await;
    commit
}

/// The dead is shown as streaming for as long as its sender waits for it, a minute.
#[tokio::test(flavor = "multi_thread")]
async fn commits_that_hang_on_a_dead_standby_go_on_when_the_playbook_says_so() {
    for (mode, dead, alive, without) in [
        (SyncMode::All, "n3", "n2", r#"ANY 1 ("n2", "n3")"#),
        (SyncMode::First, "n2", "n3", r#"FIRST 1 ("n3", "n2")"#),
    ] {
        let name = format!("sy-dead-{mode:?}").to_lowercase();
        let cluster = with_mode(&name, mode).await;
        let whole = cluster.ask("n1", SETTING).await;
        cluster.fault(dead, Fault::Freeze).await;
        let commit = hanging_commit(&cluster).await;
        // Not below what is asked for.
        let least = [
            "run",
            "synchronous",
            "-p",
            "patience=500ms",
            "-p",
            "least=2",
        ];
        let said = cluster.pgbaton(&least).await.expect(3);
        assert!(said.all().contains("nothing was changed"), "{}", said.all());
        assert_eq!(cluster.ask("n1", SETTING).await, whole);
        assert!(!commit.is_finished());

        let run = ["run", "synchronous", "-p", "patience=500ms"];
        let said = cluster.pgbaton(&run).await.expect(0);
        assert_eq!(cluster.ask("n1", SETTING).await, without, "{}", said.all());
        let told = format!("{dead} has no mark of n1 on its disk");
        assert!(said.all().contains(&told), "{}", said.all());
        commit.await.unwrap();
        cluster.assert_streams(alive, "n1").await;

        cluster.fault(dead, Fault::Thaw).await;
        cluster.assert_streams(dead, "n1").await;
        cluster.pgbaton(&run).await.expect(0);
        let names = |text: &str| SyncNames::parse(text).unwrap();
        let now = cluster.ask("n1", SETTING).await;
        assert_eq!(names(&now), names(&whole));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_setting_is_read_as_the_server_reads_it() {
    let cluster = Cluster::up("sy-read", 0).await;
    for text in [
        "",
        "a",
        "a, b",
        "*",
        "\"*\"",
        "a, *",
        "2 (a, b)",
        "2 (*)",
        "ANY 1 (a, b)",
        "any 2(a,b , c)",
        "FIRST 3 (a, b)",
        "first 1 (a)",
        "first",
        "\"first\"",
        "n-3",
        "7, 8",
        "7a",
        "a$1",
        "é",
        "any, first",
        "ANY 1 (\"any\", \"b,c\", \"d\"\"e\")",
        "ANY 01 (a)",
        "ANY 0 (a)",
        "ANY 1 ()",
        "ANY 1 (a",
        "ANY (a)",
        "SOME 1 (a)",
        "ANY 1 (a) b",
        "a,",
        ",a",
        "a b",
        "\"a",
        "-1 (a)",
    ] {
        let client = cluster.client("n1").await;
        let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{text}'");
        let takes = client.batch_execute(&set).await;
        let reads = SyncNames::parse(text);
        assert_eq!(
            reads.is_ok(),
            takes.is_ok(),
            "`{text}`: {reads:?} {takes:?}"
        );
        // As pgbaton writes it, it is the same.
        if let Ok(Some(names)) = reads {
            let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'");
            client.batch_execute(&set).await.unwrap();
            assert_eq!(SyncNames::parse(&names.to_string()), Ok(Some(names)));
        }
    }
}

/// A quorum is starved in tests/hosts.rs. Of `FIRST 1` over two, too, both have to be frozen: one that is not could become
/// the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_waits_for_the_first_is_starved_when_all_on_its_list_are_frozen() {
    if !can_have_hosts().await {
        return;
    }
    for standbys_left in [2, 1] {
        let options = LabOptions {
            hosts: true,
            synchronous: Synchronous {
                mode: SyncMode::First,
                acks: 1,
            },
            ..LabOptions::default()
        };
        let cluster = Cluster::with(&format!("sy-first-{standbys_left}"), options).await;
        let cue = cluster.lab.dir().join("cue");
        let playbook = failover_that_waits_for(&cluster, &cue);
        let mut run = UnderWay::start(cluster.lab.site_file(), &[playbook.to_str().unwrap()]);
        run.until_started("hold").await;
        cluster.fault("n1", Fault::Cut).await;
        if standbys_left == 1 {
            cluster.fault("n3", Fault::Cut).await;
        }
        std::fs::write(&cue, "").unwrap();
        let said = run.end().await;
        let proofs: Vec<serde_json::Value> = said
            .events()
            .into_iter()
            .map(|e| e["event"]["evidence"].clone())
            .filter(|evidence| evidence["topic"] == "proof")
            .collect();
        if standbys_left == 2 {
            assert_eq!(said.code, 0, "{}", said.all());
            assert_eq!(proofs[0]["data"]["proof"], "starved", "{proofs:?}");
        } else {
            assert_eq!(said.code, 3, "{}", said.all());
            assert!(proofs.is_empty(), "{proofs:?}");
            assert!(said.all().contains("frozen are only: n2"), "{}", said.all());
            assert_eq!(cluster.ask("n2", "SELECT pg_is_in_recovery()").await, "t");
        }
    }
}
