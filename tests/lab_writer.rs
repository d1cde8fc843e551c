//! The steady writer: what it says was acknowledged is there, and nothing is counted that was not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod lab_support;

use lab_support::{Root, name, up};
use pgbaton::lab::{Fault, Writer, WriterError, WriterOptions};
use std::collections::HashSet;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_row_is_there_once() {
    let root = Root::new();
    let lab = up(&root, "rows", 1).await.disposable();
    let options = WriterOptions {
        sessions: 4,
        ..WriterOptions::default()
    };
    // The standby stands first: it must be passed over.
    let mut hosts = lab.endpoints();
    hosts.reverse();
    let writer = Writer::start_with(hosts, options).await.unwrap();
    assert!(writer.wait_for(200, SOON).await);
    let report = writer.finish().await;
    assert!(report.acknowledged.len() >= 200);
    assert!(report.acknowledged.iter().all(|ack| ack.host == 1));
    let ids: HashSet<i64> = report.acknowledged.iter().map(|ack| ack.id).collect();
    assert_eq!(ids.len(), report.acknowledged.len(), "no id counts twice");
    assert_eq!((report.unknown, report.refused), (0, 0));

    let primary = lab.endpoint("n1").unwrap();
    let verdict = report.verify(&primary).await.unwrap();
    assert_eq!(verdict.lost, []);
    assert_eq!(verdict.present, report.acknowledged.len() as u64);
    assert_eq!(verdict.unacknowledged, 0);

    // A row that disappears is found missing.
    let gone = report.acknowledged[7];
    let client = lab_support::client(&primary).await;
    let deleted = client
        .execute("DELETE FROM pgbaton_writes WHERE id = $1", &[&gone.id])
        .await
        .unwrap();
    assert_eq!(deleted, 1);
    let verdict = report.verify(&primary).await.unwrap();
    assert_eq!(verdict.lost, [gone]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_by_hand_is_a_gap_without_a_lost_row() {
    let root = Root::new();
    let lab = up(&root, "gap", 2).await.disposable();
    let options = WriterOptions {
        sessions: 3,
        row: Duration::from_secs(5),
        ..WriterOptions::default()
    };
    let writer = Writer::start_with(lab.endpoints(), options).await.unwrap();
    assert!(writer.wait_for(50, SOON).await);
    // Frozen, not killed: it accepts connections and is silent, and no attempt may hang on it.
    lab.fault(&name("n1"), Fault::Freeze).await.unwrap();
    // With both standbys frozen in place, whichever holds more has every acknowledged row.
    let (second, third) = (lab.endpoint("n2").unwrap(), lab.endpoint("n3").unwrap());
    let mut held = Vec::new();
    for endpoint in [&second, &third] {
        let client = lab_support::client(endpoint).await;
        client
            .batch_execute("ALTER SYSTEM SET primary_conninfo = ''")
            .await
            .unwrap();
        client.query("SELECT pg_reload_conf()", &[]).await.unwrap();
        let detached = async {
            loop {
                let rows = client
                    .query("SELECT 1 FROM pg_stat_wal_receiver", &[])
                    .await;
                if rows.unwrap().is_empty() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, detached).await.unwrap();
        let row = client
            .query_one(
                "SELECT pg_wal_lsn_diff(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0')::bigint",
                &[],
            )
            .await
            .unwrap();
        held.push((row.get::<_, i64>(0), endpoint.clone()));
    }
    let (_, best) = held.into_iter().max_by_key(|(at, _)| *at).unwrap();
    let client = lab_support::client(&best).await;
    client
        .batch_execute("ALTER SYSTEM SET synchronous_standby_names = ''")
        .await
        .unwrap();
    client
        .query("SELECT pg_promote(true, 30)", &[])
        .await
        .unwrap();
    assert!(writer.wait_for(50, SOON).await, "writes go on elsewhere");
    let report = writer.finish().await;
    let gap = report.longest_gap();
    assert!(gap.ended && gap.length > Duration::ZERO);
    let hosts: HashSet<usize> = report.acknowledged.iter().map(|ack| ack.host).collect();
    assert_eq!(hosts.len(), 2, "before and after the failover");
    assert!(
        report.unknown <= 3,
        "at most one row of each session was on its way"
    );
    let verdict = report.verify(&best).await.unwrap();
    assert_eq!(verdict.lost, []);
    assert!(verdict.unacknowledged <= report.unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_primary_it_says_so_within_its_bound() {
    let root = Root::new();
    let lab = up(&root, "none", 1).await.disposable();
    let options = WriterOptions {
        first: Duration::from_millis(300),
        ..WriterOptions::default()
    };
    let standby = vec![lab.endpoint("n2").unwrap()];
    for hosts in [standby, Vec::new()] {
        let refused = Writer::start_with(hosts, options.clone()).await;
        assert!(matches!(refused, Err(WriterError::NoPrimary { .. })));
    }
}
