//! What tests of a rejoin share: a primary that comes to be ahead of its successor, and what is to be seen when it is back.
#![allow(dead_code, reason = "each test file uses its own part")]

use super::support::{Cluster, Said};
use pgbaton::lab::Fault;

pub(crate) const REJOIN: [&str; 4] = ["--json", "run", "rejoin", "-p"];
pub(crate) const OWN: &str = "SELECT string_agg(name || '=' || setting, ';' ORDER BY name) FROM pg_settings \
     WHERE name IN ('port', 'cluster_name', 'listen_addresses', 'work_mem')";
pub(crate) const MARK: &str = "pgbaton.rewinding";

pub(crate) fn rejoin<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&REJOIN[..], &["node=n1"], more].concat()
}

pub(crate) fn site(cluster: &Cluster) -> String {
    std::fs::read_to_string(cluster.lab.site_file()).unwrap()
}

/// What lies at the top of a data directory.
pub(crate) fn entries(cluster: &Cluster, node: &str) -> Vec<String> {
    let names = std::fs::read_dir(cluster.data(node)).unwrap();
    let mut names: Vec<String> = names
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(crate) fn beside(cluster: &Cluster, node: &str) -> Vec<String> {
    let data = cluster.data(node);
    let stem = data.file_name().unwrap().to_str().unwrap().to_owned();
    let names = std::fs::read_dir(data.parent().unwrap()).unwrap();
    let names = names.map(|e| e.unwrap().file_name().into_string().unwrap());
    names
        .filter(|n| n.starts_with(&format!("{stem}.pgbaton.")))
        .collect()
}

/// The primary is killed where nobody has received what it wrote last, and n2 takes over.
pub(crate) async fn diverge(cluster: &Cluster) {
    cluster
        .tell("n1", "ALTER SYSTEM SET work_mem = '5555kB'")
        .await;
    cluster.tell("n1", "SELECT pg_reload_conf()").await;
    cluster.fault("n2", Fault::Stop).await;
    cluster
        .tell("n1", "CREATE TABLE lost AS SELECT generate_series(1, 5000)")
        .await;
    cluster.fault("n1", Fault::Kill).await;
    cluster.fault("n2", Fault::Start).await;
    let loss = ["run", "failover", "-p", "accept_loss=the test"];
    cluster.pgbaton(&loss).await.expect(0);
    assert_eq!(cluster.primary().await, "n2");
    cluster
        .tell("n2", "CREATE TABLE since AS SELECT generate_series(1, 7)")
        .await;
}

pub(crate) async fn assert_came_back(cluster: &Cluster, own: &str) {
    cluster.assert_streams("n1", "n2").await;
    cluster.until("n1", "SELECT count(*) FROM since", "7").await;
    let lost = "SELECT count(*) FROM pg_tables WHERE tablename = 'lost'";
    assert_eq!(cluster.ask("n1", lost).await, "0");
    assert_eq!(cluster.ask("n1", OWN).await, own);
    assert!(own.contains("work_mem=5555"), "{own}");
    let left = entries(cluster, "n1");
    assert!(
        !left
            .iter()
            .any(|n| n.starts_with("pgbaton.saved") || n == MARK),
        "{left:?}"
    );
    assert!(!left.contains(&"pgbaton.complete".to_owned()));
}

pub(crate) fn owner(cluster: &Cluster) -> u32 {
    let about = std::fs::metadata(cluster.data("n1")).unwrap();
    std::os::unix::fs::MetadataExt::uid(&about)
}

pub(crate) fn operations(said: &Said) -> Vec<String> {
    said.intended()
        .iter()
        .map(|(_, o)| o["operation"].as_str().unwrap().to_owned())
        .collect()
}

pub(crate) fn own(cluster: &Cluster) -> String {
    let port = cluster.endpoint("n1").port;
    format!("cluster_name=n1;listen_addresses=127.0.0.1;port={port};work_mem=5555")
}
