//! Metrics of real nodes and runs.

use crate::served::{Over, Served};
use crate::support::Cluster;
use pgbaton::lab::Fault;
use std::time::Duration;

/// Scrapes until this line is there.
async fn until(served: &Served, line: &str) -> String {
    let mut text = String::new();
    for _ in 0..120 {
        let answer = served.get("view", "/v1/metrics").await.expect(200);
        assert!(
            answer
                .text("content-type")
                .starts_with("text/plain; version=0.0.4")
        );
        text = answer.body;
        if text.lines().any(|one| one == line) {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("`{line}` is not there:\n{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_and_runs_are_numbers_whoever_ran_them() {
    let cluster = Cluster::asynchronous("api-metrics", 1).await;
    let quick = "playbook: quick\ntimeout: 1m\nsteps:\n  w: { action: wait, with: { for: 1ms }, timeout: 5s }\n";
    let path = cluster.lab.dir().join("quick.yaml");
    std::fs::write(&path, quick).unwrap();
    let path = path.to_str().unwrap();
    // One of before is nobody's to count.
    cluster.pgbaton(&["run", path]).await.expect(0);
    let served = Served::start(cluster.lab.site_file(), Over::Tls).await;
    let name = cluster.lab.name();
    let of = |what: &str, node: &str, rest: &str| {
        format!("pgbaton_node_{what}{{cluster=\"{name}\",node=\"{node}\"{rest}")
    };
    let text = until(&served, &of("role", "n1", ",role=\"primary\"} 1")).await;
    for line in [
        "pgbaton_up 1".to_owned(),
        "pgbaton_journal_up 1".to_owned(),
        of("role", "n2", ",role=\"standby\"} 1"),
        of("role", "n2", ",role=\"primary\"} 0"),
        of("reachable", "n2", "} 1"),
        of("attached", "n2", "} 1"),
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
    assert!(text.contains(&of("lag_bytes", "n2", "} ")), "{text}");
    assert!(!text.contains("pgbaton_runs_total{"), "{text}");
    // By another process.
    cluster.pgbaton(&["run", path]).await.expect(0);
    cluster.fault("n2", Fault::Stop).await;
    let class = format!("cluster=\"{name}\",playbook=\"quick\"");
    let total = format!("pgbaton_runs_total{{{class},outcome=\"ok\"}} 1");
    let text = until(&served, &total).await;
    let within = format!("pgbaton_run_duration_seconds_bucket{{{class},le=\"60\"}} 1");
    assert!(text.lines().any(|one| one == within), "{text}");
    until(&served, &of("reachable", "n2", "} 0")).await;
    served.stop().await.expect(0);
}
