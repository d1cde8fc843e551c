//! Labs whose nodes are on hosts of their own, and what happens when the network between them breaks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod hosts_support;
mod lab_support;
mod support;

use hosts_support::{
    answers, can_have_hosts, failover_that_waits_for, namespace, network, on_hosts,
};
use lab_support::Root;
use pgbaton::lab::{Cut, Fault, Lab, LabOptions, Peer};
use std::path::Path;
use std::time::Duration;
use support::{Cluster, Said, UnderWay, assert_nothing_lost, name, stock, swap};

const CONNINFO: &str = "SHOW primary_conninfo";
const SLOTS: &str =
    "SELECT coalesce(string_agg(slot_name, ',' ORDER BY slot_name), '') FROM pg_replication_slots";

/// No namespace, no interface, no claim and no process of a network's is there any more.
fn assert_network_gone(number: u32) {
    let left: Vec<String> = std::fs::read_dir("/run/netns")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(&format!("pgbaton-{number}-")))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    for path in [
        format!("/sys/class/net/pgb{number}"),
        format!("/var/tmp/pgbaton-networks/{number}"),
    ] {
        assert!(!Path::new(&path).exists(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_labs_with_hosts_never_meet_and_leave_nothing() {
    if !can_have_hosts().await {
        return;
    }
    let (a, b) = tokio::join!(on_hosts("ho-a", 1), on_hosts("ho-b", 1));
    let (of_a, of_b) = (a.endpoint("n1").host, b.endpoint("n1").host);
    assert_ne!(network(&of_a), network(&of_b));
    assert!(answers(&a, "n2", &of_a).await, "its own neighbour");
    assert!(!answers(&a, "n2", &of_b).await, "the other lab's");
    for lab in [&a, &b] {
        let status = lab.status().await;
        assert_eq!(status["health"], "ok", "{status:#}");
    }
    let (dir, root) = (
        a.lab.dir().to_owned(),
        a.lab.dir().parent().unwrap().to_owned(),
    );
    // Whoever came to a host by ssh goes with it.
    let mut visitor = std::process::Command::new("nsenter")
        .arg(format!(
            "--net={}",
            namespace(network(&of_a), "n1").display()
        ))
        .args(["sleep", "600"])
        .spawn()
        .unwrap();
    a.lab.down().await.unwrap();
    assert!(!visitor.wait().unwrap().success(), "it was ended");
    assert!(!dir.exists() && root.exists());
    assert_network_gone(network(&of_a));
    b.assert_streams("n2", "n1").await;
    drop(b);
    assert_network_gone(network(&of_b));
}

/// Makes a lab with hosts in the directory that the environment names; the next test runs it in a process of its own.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "only as the process that the next test kills"]
async fn maker() {
    let options = LabOptions {
        name: "orphan".to_owned(),
        root: Some(std::env::var_os("PGBATON_TEST_ROOT").unwrap().into()),
        standbys: 1,
        hosts: true,
        ..LabOptions::default()
    };
    Lab::up(options).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_whose_maker_was_killed_at_any_moment_can_be_taken_down() {
    if !can_have_hosts().await {
        return;
    }
    let root = Root::new();
    let dir = root.path().join("orphan");
    for moment in ["lab.json", "ssh", "ssh/n2.log", "n2/data/postmaster.pid"] {
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
        let left = Lab::open_in(root.path(), "orphan").unwrap();
        let address = left.endpoint("n1").unwrap().host;
        left.down().await.unwrap();
        lab_support::assert_nothing_left(&root, &[]);
        assert_network_gone(network(&address));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_cut_in_the_direction_that_was_asked_for_and_mended() {
    if !can_have_hosts().await {
        return;
    }
    let cluster = on_hosts("ho-links", 2).await;
    let n1 = cluster.endpoint("n1").host;
    let reached = || async {
        let tried = tokio::net::TcpStream::connect((n1.as_str(), 5432));
        let tried = tokio::time::timeout(Duration::from_secs(2), tried).await;
        matches!(tried, Ok(Ok(_)))
    };
    let peer = |node: &str| Peer::Node(node.to_owned());
    for cut in [Cut::From(peer("n2")), Cut::To(peer("n2"))] {
        cluster.lab.cut(&name("n1"), &cut).await.unwrap();
        assert!(!answers(&cluster, "n2", &n1).await, "{cut:?}");
        assert!(answers(&cluster, "n3", &n1).await, "{cut:?}");
        assert!(reached().await, "{cut:?}");
        cluster.fault("n1", Fault::Heal).await;
        assert!(answers(&cluster, "n2", &n1).await, "mended");
    }
    cluster.fault("n1", Fault::Cut).await;
    assert!(!answers(&cluster, "n3", &n1).await && !reached().await);
    let status = cluster.lab.status().await.unwrap();
    let process = status.nodes[0].process;
    assert_eq!(process, pgbaton::lab::ProcessState::Running);
    assert_eq!(status.nodes[0].role, None, "it runs and cannot be asked");
    cluster.fault("n1", Fault::Heal).await;
    cluster.assert_streams("n3", "n1").await;
    let stranger = Cut::From(peer("n9"));
    let refused = cluster.lab.cut(&name("n1"), &stranger).await.unwrap_err();
    assert!(refused.to_string().contains("no node `n9`"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hosts_need_and_what_only_hosts_have_is_said() {
    let root = Root::new();
    let lab = |arguments: &[&str], path: &str| {
        std::process::Command::new(env!("CARGO_BIN_EXE_pgbaton"))
            .arg("lab")
            .args(arguments)
            .env("PGBATON_LAB_DIR", root.path())
            .env("PATH", path)
            .output()
            .unwrap()
    };
    let said = lab(&["up", "--hosts"], "/nowhere");
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(2), "{text}");
    if can_have_hosts().await {
        assert!(text.contains("no nsenter"), "{text}");
        assert!(
            text.contains("apt-get install") && text.contains("util-linux"),
            "{text}"
        );
    }
    assert!(!root.path().exists(), "nothing was made");
    let path = std::env::var("PATH").unwrap();
    if can_have_hosts().await {
        // Root as it is in a container.
        let said = std::process::Command::new("setpriv")
            .args([
                "--bounding-set",
                "-sys_admin",
                env!("CARGO_BIN_EXE_pgbaton"),
            ])
            .args(["lab", "up", "--hosts"])
            .env("PGBATON_LAB_DIR", root.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(2), "{text}");
        assert!(text.contains("no network namespace can be made"), "{text}");
        assert!(text.contains("SYS_ADMIN"), "{text}");
        lab_support::assert_nothing_left(&root, &[]);
    }
    assert!(lab(&["up", "--standbys", "0"], &path).status.success());
    for (fault, hint) in [
        (&["cut", "n1"][..], "lab up --hosts"),
        (&["heal", "n1"], "lab up --hosts"),
        (&["cut", "n1", "--from", "here"], "lab up --hosts"),
        (
            &["kill", "n1", "--from", "here"],
            "--from and --to say what to cut",
        ),
    ] {
        let said = lab(&[&["fault"], fault].concat(), &path);
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(2), "{fault:?}: {text}");
        assert!(text.contains(hint), "{fault:?}: {text}");
    }
}

/// Nobody was promoted, and the standbys receive as before.
async fn assert_as_before(cluster: &Cluster, said: &Said) {
    let promoted = said.intended();
    let promoted = promoted.iter().any(|(_, o)| o["operation"] == "promote");
    assert!(!promoted, "{}", said.all());
    for standby in ["n2", "n3"] {
        let answer = cluster.ask(standby, "SELECT pg_is_in_recovery()").await;
        assert_eq!(answer, "t", "{standby}");
        let upstream = cluster.ask(standby, CONNINFO).await;
        let n1 = cluster.endpoint("n1").host;
        assert!(upstream.contains(&format!("host={n1} ")), "{upstream}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_whose_host_was_cut_off_is_starved_and_loses_nothing() {
    if !can_have_hosts().await {
        return;
    }
    let cluster = on_hosts("ho-starved", 2).await;
    let writer = cluster.writer().await;
    let cue = cluster.lab.dir().join("cue");
    let playbook = failover_that_waits_for(&cluster, &cue);
    let arguments = [playbook.to_str().unwrap()];
    let mut run = UnderWay::start(cluster.lab.site_file(), &arguments);
    run.until_started("hold").await;
    cluster.fault("n1", Fault::Cut).await;
    std::fs::write(&cue, "").unwrap();
    let said = run.end().await.expect(0);
    let proofs: Vec<serde_json::Value> = said
        .events()
        .into_iter()
        .map(|e| e["event"]["evidence"].clone())
        .filter(|evidence| evidence["topic"] == "proof")
        .collect();
    assert_eq!(proofs.len(), 1, "{proofs:?}");
    assert_eq!(proofs[0]["data"]["proof"], "starved", "{proofs:?}");
    let new = cluster.primary().await;
    let other = if new == "n2" { "n3" } else { "n2" };
    cluster.assert_streams(other, &new).await;
    // It runs on, where nobody sees it, and acknowledges nothing.
    let report = writer.finish().await;
    assert_nothing_lost(&cluster, &report, &new).await;
    cluster.fault("n1", Fault::Heal).await;
    assert_eq!(cluster.ask("n1", "SELECT pg_is_in_recovery()").await, "f");
    let status = cluster.pgbaton(&["status"]).await;
    assert_ne!(status.code, 0, "two primaries are no healthy cluster");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_never_saw_the_primary_of_a_host_cut_off_is_refused_until_somebody_waives() {
    if !can_have_hosts().await {
        return;
    }
    let cluster = on_hosts("ho-waive", 2).await;
    cluster.fault("n1", Fault::Cut).await;
    let said = cluster.pgbaton(&["--json", "run", "failover"]).await;
    let said = said.expect(3);
    assert!(said.all().contains("waive_fence"), "{}", said.all());
    assert_as_before(&cluster, &said).await;
    // Mended, they stream again: nothing of the refused run is left.
    cluster.fault("n1", Fault::Heal).await;
    for standby in ["n2", "n3"] {
        cluster.assert_streams(standby, "n1").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_only_pgbaton_cannot_reach_is_not_replaced() {
    if !can_have_hosts().await {
        return;
    }
    let cluster = on_hosts("ho-here", 2).await;
    for cut in [Cut::From(Peer::Here), Cut::To(Peer::Here)] {
        cluster.lab.cut(&name("n1"), &cut).await.unwrap();
        let said = cluster.pgbaton(&["--json", "run", "failover"]).await;
        let said = said.expect(3);
        assert!(said.all().contains("n1 is alive"), "{}", said.all());
        assert!(said.intended().is_empty(), "{:?}", said.intended());
        assert_as_before(&cluster, &said).await;
        cluster.fault("n1", Fault::Heal).await;
    }
    for standby in ["n2", "n3"] {
        cluster.assert_streams(standby, "n1").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_without_ssh_holds_up_no_failover_and_follows_too() {
    if !can_have_hosts().await {
        return;
    }
    let cluster = on_hosts("ho-frozen", 2).await;
    cluster.fault("n3", Fault::CutSsh).await;
    cluster.fault("n1", Fault::Cut).await;
    let refused = cluster.pgbaton(&["--json", "run", "failover"]).await;
    assert_as_before(&cluster, &refused.expect(3)).await;
    let run = [
        "run",
        "failover",
        "-p",
        "waive_fence=the host is gone, says the test",
        "-p",
        "accept_loss=nobody can tell, says the test",
    ];
    // What was kept on its host before cannot be seen.
    let said = cluster.pgbaton(&run).await.expect(4);
    assert!(said.all().contains("settle_settings"), "{}", said.all());
    let new = cluster.primary().await;
    let other = if new == "n2" { "n3" } else { "n2" };
    cluster.assert_streams(other, &new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ssh_a_standby_follows_by_reload_and_a_restart_is_refused_with_all_as_it_was() {
    if !can_have_hosts().await {
        return;
    }
    let cluster = on_hosts("ho-ssh", 2).await;
    cluster.fault("n3", Fault::CutSsh).await;
    let before = cluster.ask("n3", CONNINFO).await;
    let to = [
        "--json",
        "run",
        "follow",
        "-p",
        "node=n3",
        "-p",
        "upstream=n2",
    ];
    let restart = [&to[..], &["-p", "apply=restart"]].concat();
    let said = cluster.pgbaton(&restart).await.expect(1);
    assert!(
        said.all().contains("no ssh connection to"),
        "{}",
        said.all()
    );
    assert_eq!(cluster.ask("n3", CONNINFO).await, before);
    assert_eq!(cluster.ask("n2", SLOTS).await, "");
    cluster.assert_streams("n3", "n1").await;

    // One that fails after the change is taken back through the server alone.
    let vetoed = swap(
        &stock("follow"),
        "  verify_attach:\n    needs: [start]",
        "  veto:\n    needs: [start]\n    action: assert\n    with: { that: \"false\", message: the test says no }\n\n  verify_attach:\n    needs: [start, veto]",
    );
    let file = cluster.lab.dir().join("vetoed.yaml");
    std::fs::write(&file, vetoed).unwrap();
    let mut veto = to;
    veto[2] = file.to_str().unwrap();
    let said = cluster.pgbaton(&veto).await.expect(3);
    assert!(said.all().contains("the test says no"), "{}", said.all());
    assert_eq!(cluster.ask("n3", CONNINFO).await, before);
    assert_eq!(cluster.ask("n2", SLOTS).await, "");
    cluster.assert_streams("n3", "n1").await;

    // Whether something is kept on its host from before cannot be seen: that is left to do.
    let said = cluster.pgbaton(&to).await.expect(4);
    assert!(said.all().contains("settle_settings"), "{}", said.all());
    cluster.assert_streams("n3", "n2").await;
    assert_eq!(cluster.ask("n1", SLOTS).await, "pgbaton_n2");
    cluster.fault("n3", Fault::Heal).await;
    cluster.pgbaton(&to).await.expect(0);
}
