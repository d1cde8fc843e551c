//! What the tests of labs with hosts have in common.
#![allow(dead_code, reason = "each test file uses its own part")]

use super::support::{Cluster, name, pgbaton, stock, swap};
use pgbaton::lab::LabOptions;
use std::path::{Path, PathBuf};

/// Whether this is root, who alone can make hosts; everybody else is told so.
pub(crate) async fn can_have_hosts() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    let said = pgbaton(&["lab", "up", "--hosts", "--name", "no-root"]).await;
    let said = said.expect(2);
    assert!(said.all().contains("need root"), "{}", said.all());
    false
}

/// A cluster on hosts of its own.
pub(crate) async fn on_hosts(test: &str, standbys: u32) -> Cluster {
    let options = LabOptions {
        standbys,
        hosts: true,
        ..LabOptions::default()
    };
    Cluster::with(test, options).await
}

/// The number that all names of a lab's network have, by the address of one of its nodes.
pub(crate) fn network(address: &str) -> u32 {
    let bytes: Vec<u32> = address.split('.').map(|b| b.parse().unwrap()).collect();
    (bytes[1] - 64) * 256 + bytes[2]
}

/// Where a namespace stands in the file system.
pub(crate) fn namespace(number: u32, node: &str) -> PathBuf {
    format!("/run/netns/pgbaton-{number}-{node}").into()
}

/// Whether a server answers, asked from a node's host.
pub(crate) async fn answers(cluster: &Cluster, from: &str, address: &str) -> bool {
    let number = network(&cluster.endpoint(from).host);
    let bin = cluster.lab.data(&name(from)).join("postmaster.opts");
    let program = std::fs::read_to_string(bin).unwrap();
    let program = Path::new(program.split_whitespace().next().unwrap());
    let done = tokio::process::Command::new("nsenter")
        .arg(format!("--net={}", namespace(number, from).display()))
        .arg(program.with_file_name("pg_isready"))
        .args(["-q", "-t", "2", "-h", address, "-p", "5432"])
        .status()
        .await
        .unwrap();
    match done.code() {
        Some(0) => true,
        Some(2) => false,
        other => panic!("pg_isready ended with {other:?}"),
    }
}

/// A failover that has looked at the living cluster and then waits until the file is there.
pub(crate) fn failover_that_waits_for(cluster: &Cluster, file: &Path) -> PathBuf {
    let wait = format!(
        "\nsteps:\n  hold:\n    action: exec\n    with: {{ argv: [sh, \"-c\", \"until [ -e {} ]; do sleep 0.05; done\"] }}\n    \
         effect: read\n    timeout: 1m\n",
        file.display()
    );
    let text = swap(&stock("failover"), "\nsteps:\n", &wait);
    let text = swap(
        &text,
        "  confirm:\n    action",
        "  confirm:\n    needs: [hold]\n    action",
    );
    let path = cluster.lab.dir().join("held.yaml");
    std::fs::write(&path, text).unwrap();
    path
}
