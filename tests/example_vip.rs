//! docs/examples/vip: the address leaves the old primary's host where that can be reached, and whoever connects to it writes to
//! the new primary. Hosts are network namespaces, addresses and neighbours are the kernel's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod examples_support;
mod hosts_support;
mod support;

use examples_support::{dress, place, script};
use hosts_support::{can_have_hosts, namespace, network};
use pgbaton::lab::{Fault, LabOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::Cluster;

/// A lab whose first primary has the address, and the example's overlays in it.
struct Addressed {
    cluster: Cluster,
    address: String,
    _place: tempfile::TempDir,
    sudoers: PathBuf,
}

impl Addressed {
    async fn up(test: &str) -> Self {
        assert!(
            Path::new("/usr/bin/arping").exists(),
            "scripts/test installs it"
        );
        let options = LabOptions {
            standbys: 2,
            hosts: true,
            settings: vec![("listen_addresses".to_owned(), "*".to_owned())],
            ..LabOptions::default()
        };
        let cluster = Cluster::with(test, options).await;
        let first = cluster.endpoint("n1").host;
        let address = format!("{}.100", first.rsplit_once('.').unwrap().0);
        let place = place();
        // Whoever may write here may be root.
        std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let command = script("vip", "pgbaton-vip", place.path(), &[]);
        let owner = cluster.data("n1").metadata().unwrap().uid();
        let sudoers = format!("/etc/sudoers.d/pgbaton-{test}-{}", std::process::id());
        let rule = format!("#{owner} ALL=(root) NOPASSWD: {command}\n");
        std::fs::write(&sudoers, rule).unwrap();
        std::fs::set_permissions(&sudoers, PermissionsExt::from_mode(0o440)).unwrap();
        let vars = format!("{{ vip: {address}/24, vip_device: eth0, vip_command: {command} }}");
        dress(&cluster, "vip", &vars);
        let addressed = Self {
            cluster,
            address,
            _place: place,
            sudoers: sudoers.into(),
        };
        let address = format!("{}/24", addressed.address);
        let taken = addressed.at("n1", &[&command, "take", &address, "eth0"]);
        assert!(taken.status.success(), "{taken:?}");
        assert_eq!(addressed.arrives_at().await, "n1");
        addressed
    }

    /// A command of root's on a node's host.
    fn at(&self, node: &str, words: &[&str]) -> std::process::Output {
        let number = network(&self.cluster.endpoint("n1").host);
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", namespace(number, node).display()));
        command.args(words).output().unwrap()
    }

    /// The hosts that have the address.
    fn holders(&self) -> Vec<&'static str> {
        let has = |node: &&str| {
            let shown = self.at(node, &["ip", "-brief", "address", "show", "dev", "eth0"]);
            String::from_utf8_lossy(&shown.stdout).contains(&format!("{}/", self.address))
        };
        ["n1", "n2", "n3"].into_iter().filter(has).collect()
    }

    /// Where a client that writes gets to, by the address.
    async fn arrives_at(&self) -> String {
        let to = self.cluster.endpoint("n1");
        let (client, connection) = tokio_postgres::Config::new()
            .host(&self.address)
            .port(to.port)
            .user(&to.user)
            .dbname(&to.dbname)
            .connect_timeout(Duration::from_secs(10))
            .connect(tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        let write = "CREATE TABLE IF NOT EXISTS came (); SELECT current_setting('cluster_name')";
        let rows = client.simple_query(write).await.unwrap();
        let row = rows.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        row.unwrap()
    }
}

impl Drop for Addressed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.sudoers);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_goes_along_and_comes_back_with_the_node_to_nobody_else() {
    if !can_have_hosts().await {
        return;
    }
    let addressed = Addressed::up("ex-vip").await;
    let cluster = &addressed.cluster;
    cluster.fault("n1", Fault::Kill).await;
    cluster.pgbaton(&["run", "failover"]).await.expect(0);
    let new = cluster.primary().await;
    assert_eq!(addressed.holders(), [new.as_str()]);
    assert_eq!(addressed.arrives_at().await, new);

    let other = if new == "n2" { "n3" } else { "n2" };
    let candidate = format!("candidate={other}");
    let said = cluster
        .pgbaton(&["run", "switchover", "-p", &candidate])
        .await;
    assert!([0, 4].contains(&said.code), "{}", said.all());
    assert_eq!(addressed.holders(), [other]);
    assert_eq!(addressed.arrives_at().await, other);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_cut_off_holds_up_nothing_and_loses_the_address_before_it_follows() {
    if !can_have_hosts().await {
        return;
    }
    let addressed = Addressed::up("ex-vip-cut").await;
    let cluster = &addressed.cluster;
    cluster.fault("n1", Fault::Cut).await;
    let said = cluster
        .pgbaton(&[
            "--json",
            "run",
            "failover",
            "-p",
            "waive_fence=its power is off, says the test",
            "-p",
            "accept_loss=nobody can tell, says the test",
        ])
        .await;
    assert!([0, 4].contains(&said.code), "{}", said.all());
    let new = cluster.primary().await;
    assert_eq!(
        addressed.holders(),
        ["n1", new.as_str()],
        "nobody could take it away"
    );
    assert_eq!(addressed.arrives_at().await, new);
    let skipped = |e: &serde_json::Value| {
        e["event"]["event"] == "step_skipped" && e["event"]["path"] == "drop_vip"
    };
    assert!(
        said.events().iter().any(skipped),
        "nobody waits for a host that is gone"
    );
    let told = format!("the host of n1 may still have {}", addressed.address);
    assert!(said.all().contains(&told), "{}", said.all());

    // It is taken away before the node follows.
    cluster.fault("n1", Fault::Kill).await;
    cluster.fault("n1", Fault::Heal).await;
    let said = cluster.pgbaton(&["run", "rejoin", "-p", "node=n1"]).await;
    assert!([0, 4].contains(&said.code), "{}", said.all());
    assert_eq!(addressed.holders(), [new.as_str()]);
    cluster.assert_streams("n1", &new).await;
}
