//! The stock failover where every host is reached by ssh, through a real server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod live_support;
mod support;

use live_support::sshd::Sshd;
use pgbaton::lab::Fault;
use pgbaton::site::{Site, to_yaml};
use std::path::PathBuf;
use support::{Cluster, assert_nothing_lost};

/// The lab's site file with ssh in place of local commands, as the user who owns the servers.
fn over_ssh(cluster: &Cluster, sshd: &Sshd) -> PathBuf {
    let mut site = Site::load(cluster.lab.site_file()).unwrap();
    sshd.reach(&mut site);
    let path = cluster.lab.dir().join("ssh.yaml");
    std::fs::write(&path, to_yaml(&site)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_nothing_acknowledged_is_lost_over_ssh() {
    let cluster = Cluster::up("fo-ssh", 2).await;
    let sshd = Sshd::new().await;
    let site = over_ssh(&cluster, &sshd);
    let writer = cluster.writer().await;
    cluster.fault("n1", Fault::Kill).await;
    let run = ["--site", site.to_str().unwrap(), "run", "failover"];
    let said = support::pgbaton(&run).await.expect(0);
    let logins = sshd.logins();
    assert!(
        (1..=3).contains(&logins),
        "one login for each host at most, not {logins}: {}",
        said.all()
    );
    let new = cluster.primary().await;
    assert_ne!(new, "n1");
    let other = if new == "n2" { "n3" } else { "n2" };
    cluster.assert_streams(other, &new).await;
    assert_nothing_lost(&cluster, &writer.finish().await, &new).await;
    assert!(
        cluster.data("n1").join("standby.signal").exists(),
        "the old primary cannot come back as one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_refuses_the_key_is_no_proof_of_anything() {
    let cluster = Cluster::asynchronous("fo-ssh-no", 2).await;
    let sshd = Sshd::new().await;
    let site = over_ssh(&cluster, &sshd);
    cluster.fault("n1", Fault::Kill).await;
    drop(sshd);
    let run = [
        "--site",
        site.to_str().unwrap(),
        "--json",
        "run",
        "failover",
    ];
    let said = support::pgbaton(&run).await.expect(3);
    assert!(
        said.intended()
            .iter()
            .all(|(_, o)| o["operation"] != "promote"),
        "{:?}",
        said.intended()
    );
    for standby in ["n2", "n3"] {
        let answer = cluster.ask(standby, "SELECT pg_is_in_recovery()").await;
        assert_eq!(answer, "t", "{standby}");
    }
}
