//! Without a journal nothing can be started: that is to be seen before it has to be.

use crate::served::{Over, Served};
use crate::support::Cluster;
use std::time::Duration;

/// Asks for the server's health until it is answered so.
async fn until(served: &Served, status: u16) {
    let mut last = None;
    for _ in 0..120 {
        // Without a token.
        let answer = served.get("nobody", "/v1/health").await;
        if answer.status.as_u16() == status {
            if status == 503 {
                assert_eq!(answer.problem(503), "journal-unavailable");
                assert!(!answer.body.contains("journal.db"), "{answer:?}");
            }
            return;
        }
        last = Some(answer);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("{status} is not answered: {last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_journal_it_watches_and_says_that_it_could_start_nothing() {
    let cluster = Cluster::asynchronous("api-journal", 1).await;
    let served = Served::start(cluster.lab.site_file(), Over::Plain).await;
    until(&served, 200).await;
    let (journal, aside) = (
        cluster.lab.dir().join("journal"),
        cluster.lab.dir().join("aside"),
    );
    // As it is where a disk was not mounted, or somebody has tidied up.
    let there = journal.exists();
    if there {
        std::fs::rename(&journal, &aside).unwrap();
    }
    std::fs::write(&journal, "").unwrap();
    until(&served, 503).await;
    let metrics = served.get("view", "/v1/metrics").await.expect(200).body;
    assert!(metrics.contains("\npgbaton_journal_up 0\n"), "{metrics}");
    let order = serde_json::json!({ "playbook": "switchover", "params": { "candidate": "n2" } });
    let path = format!("/v1/clusters/{}/runs", cluster.lab.name());
    let refused = served.post("operate", &path, &order).await;
    assert_eq!(refused.problem(503), "journal-unavailable");
    // The cluster is looked at all the same.
    let seen = served.get("view", "/v1/clusters").await.expect(200).json();
    assert_eq!(seen["clusters"][0]["health"], "ok", "{seen}");
    std::fs::remove_file(&journal).unwrap();
    if there {
        std::fs::rename(&aside, &journal).unwrap();
    }
    until(&served, 200).await;
    let said = served.stop().await.expect(0).stderr;
    let times = |words: &str| said.matches(words).count();
    assert_eq!(times("no run can be started or gone on with"), 1, "{said}");
    assert_eq!(times("runs can be recorded again"), 1, "{said}");
}
