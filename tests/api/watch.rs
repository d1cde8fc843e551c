//! What the watch makes of a cluster, and holding it back, over the API.

use crate::runs::at;
use crate::served::{Over, Served};
use crate::support::Cluster;
use pgbaton::lab::Fault;
use serde_json::{Value as Json, json};
use std::time::Duration;

/// Asks until the analysis has this code.
async fn until(served: &Served, cluster: &Cluster, code: &str) -> Json {
    let mut last = Json::Null;
    for _ in 0..300 {
        last = served
            .get("view", &at(cluster, "/analysis"))
            .await
            .expect(200)
            .json();
        if last["analysis"]["code"] == code {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it is not `{code}`: {last:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn why_nothing_was_done_is_told_and_what_starts_by_itself_can_be_held_back() {
    let cluster = Cluster::up("api-watch", 1).await;
    let site = cluster.lab.site_file();
    let text = std::fs::read_to_string(site).unwrap();
    let text = text.replacen("    nodes:\n", "    detector: auto\n    nodes:\n", 1);
    std::fs::write(site, text).unwrap();
    let served = Served::start(site, Over::Tls).await;
    let stands = until(&served, &cluster, "ok").await;
    assert_eq!(stands["analysis"]["primary"], "n1", "{stands:#}");
    assert!(stands["obstacles"].is_array(), "{stands:#}");
    let hold = json!({ "for": "1h", "reason": "OPS-4711" });
    let refused = served.post("view", &at(&cluster, "/pause"), &hold).await;
    assert_eq!(refused.problem(403), "role-missing");
    let forever = json!({ "for": "9000h", "reason": "OPS-4711" });
    let refused = served
        .post("operate", &at(&cluster, "/pause"), &forever)
        .await;
    assert_eq!(refused.problem(422), "invalid-request");
    let paused = served
        .post("operate", &at(&cluster, "/pause"), &hold)
        .await
        .expect(200)
        .json();
    let owner = paused["pause"]["owner"].as_str().unwrap();
    assert!(
        owner.starts_with("operate (token, from 127.0.0.1"),
        "{paused}"
    );
    cluster.fault("n1", Fault::Kill).await;
    let stands = until(&served, &cluster, "postgres_down_host_up").await;
    let votes = stands["analysis"]["votes"].as_array().unwrap();
    assert_eq!(votes.len(), 3, "here, the host and the standby: {stands:#}");
    let incident = loop {
        let told = served
            .get("view", &at(&cluster, "/incidents"))
            .await
            .expect(200)
            .json();
        if let Some(incident) = told["incidents"].get(0) {
            break incident.clone();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let passage = &incident["notice"]["held_back"]["passage"];
    assert_eq!(
        (&passage["gate"], &passage["reason"]),
        (&"paused".into(), &"OPS-4711".into())
    );
    let text = served.get("view", "/v1/metrics").await.expect(200).body;
    let line = format!(
        "pgbaton_cluster_analysis{{cluster=\"{}\",code=\"postgres_down_host_up\"}} 1",
        cluster.lab.name()
    );
    assert!(text.contains(&line), "{text}");
    // The end of the pause lets it through.
    let ended = served
        .post("operate", &at(&cluster, "/unpause"), &json!({}))
        .await
        .expect(200);
    assert_eq!(ended.json()["pause"]["reason"], "OPS-4711");
    let stands = until(&served, &cluster, "ok").await;
    assert_eq!(stands["analysis"]["primary"], "n2", "{stands:#}");
    let runs = served.get("view", "/v1/runs").await.expect(200).json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1, "{runs:#}");
    let run = runs["runs"][0]["run"].as_str().unwrap();
    let seen = json!({ "reason": "seen, OPS-4711" });
    let heard = served
        .post("operate", &format!("/v1/runs/{run}/acknowledge"), &seen)
        .await;
    assert_eq!(heard.expect(200).json()["accepted"], true);
    served.stop().await.expect(0);
}
