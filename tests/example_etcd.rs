//! docs/examples/etcd, with a real etcd: the key names the primary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod etcd_support;
mod examples_support;
mod live_support;
mod support;

use etcd_support::Members;
use examples_support::dress;
use pgbaton::lab::Fault;
use support::Cluster;

const KEY: &str = "/service/orders/primary";

async fn up(test: &str, members: &Members) -> Cluster {
    let cluster = Cluster::up(test, 2).await;
    let etcd = members.endpoints().join(",");
    dress(
        &cluster,
        "etcd",
        &format!("{{ etcd: '{etcd}', etcd_key: {KEY} }}"),
    );
    cluster
}

fn named(members: &Members) -> serde_json::Value {
    let text = members.ctl(&["get", "--print-value-only", KEY]);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: `{text}`"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_names_the_primary_after_each_change_also_with_a_member_down() {
    let mut members = Members::three();
    let cluster = up("ex-etcd", &members).await;
    let run = ["run", "switchover", "-p", "candidate=n3"];
    cluster.pgbaton(&run).await.expect(0);
    assert_eq!(named(&members)["node"], "n3");
    assert_eq!(named(&members)["port"], cluster.endpoint("n3").port);
    members.kill(0);
    cluster.fault("n3", Fault::Kill).await;
    cluster.pgbaton(&["run", "failover"]).await.expect(0);
    let new = cluster.primary().await;
    assert_eq!(named(&members)["node"], new.as_str());
    assert_eq!(named(&members)["port"], cluster.endpoint(&new).port);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_the_failover_is_done_all_the_same_and_the_key_is_owed() {
    let mut members = Members::three();
    let cluster = up("ex-etcd-lost", &members).await;
    members.ctl(&["put", KEY, r#"{"node": "n1"}"#]);
    // Who is left does not lead: what a leader takes down alone may count later, when it leads again.
    let leader = members.leader();
    let lost = [(leader + 1) % 3, leader];
    for member in lost {
        members.kill(member);
    }
    cluster.fault("n1", Fault::Kill).await;
    let said = cluster.pgbaton(&["run", "failover"]).await.expect(4);
    let new = cluster.primary().await;
    assert_ne!(new, "n1");
    let told = format!("may still name n1; it is to name {new}");
    assert!(said.all().contains(&told), "{}", said.all());
    members.start(&lost);
    assert_eq!(named(&members)["node"], "n1");
}
