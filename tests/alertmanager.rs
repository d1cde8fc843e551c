//! A real Alertmanager that calls a hook, as `docs/monitors.md` shows: one incident is one run, whatever it sends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod hooks_support;
mod live_support;
mod monitors_support;
#[path = "api/served.rs"]
#[allow(dead_code, reason = "the tests of the API use the rest")]
mod served;
mod support;

use hooks_support::{put_secret, runs, until_ended};
use live_support::free_port;
use monitors_support::{assert_moved, block, filled};
use pgbaton::lab::Fault;
use serde_json::{Value as Json, json};
use served::{Over, Served};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use support::{Cluster, swap};

/// An Alertmanager, until it is dropped.
struct Alertmanager {
    _child: tokio::process::Child,
    url: String,
    client: reqwest::Client,
}

impl Alertmanager {
    /// Started with the configuration of the page, and quicker to send.
    async fn start(folder: &Path, served: &Served) -> Self {
        let own = |file: &str| folder.join(file).to_str().unwrap().to_owned();
        put_secret(
            &folder.join("pgbaton.token"),
            &served.tokens["operate"],
            0o600,
        );
        let keys = served.keys.path().join("ca.crt");
        let conf = filled(
            &block("alertmanager.yml"),
            &[
                ("https://10.0.0.5:8432", &served.url),
                ("/etc/prometheus/pgbaton.token", &own("pgbaton.token")),
                ("/etc/prometheus/pgbaton-ca.crt", keys.to_str().unwrap()),
                ("group_interval: 10s", "group_interval: 1s"),
                ("repeat_interval: 1h", "repeat_interval: 2s"),
            ],
        );
        std::fs::write(own("alertmanager.yml"), conf).unwrap();
        let checked = tokio::process::Command::new("amtool")
            .args(["check-config", &own("alertmanager.yml")])
            .output()
            .await
            .expect("scripts/test installs amtool");
        assert!(checked.status.success(), "{checked:?}");
        let address = format!("127.0.0.1:{}", free_port());
        let log = std::fs::File::create(folder.join("alertmanager.log")).unwrap();
        let child = tokio::process::Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", own("alertmanager.yml")))
            .arg(format!("--storage.path={}", own("alertmanager")))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("scripts/test installs prometheus-alertmanager");
        let alertmanager = Self {
            _child: child,
            url: format!("http://{address}"),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        for _ in 0..600 {
            let ready = alertmanager
                .client
                .get(format!("{}/-/ready", alertmanager.url));
            if ready
                .send()
                .await
                .is_ok_and(|answer| answer.status() == 200)
            {
                return alertmanager;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("Alertmanager does not get ready");
    }

    /// Gives it alerts, as Prometheus does.
    async fn alert(&self, alerts: &[Json]) {
        let url = format!("{}/api/v2/alerts", self.url);
        let answer = self.client.post(url).json(&alerts).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// How many notifications have been taken, and how many have not.
    async fn sent(&self) -> (u64, u64) {
        let url = format!("{}/metrics", self.url);
        let text = self.client.get(url).send().await.unwrap();
        let text = text.text().await.unwrap();
        let of = |name: &str| {
            let name = format!("{name}{{integration=\"webhook\"}} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&name));
            line.map_or(0, |number| number.parse().unwrap())
        };
        let failed = of("alertmanager_notifications_failed_total");
        (of("alertmanager_notifications_total") - failed, failed)
    }

    /// Waits for that.
    async fn until(&self, what: &str, is_so: impl Fn(u64, u64) -> bool) -> (u64, u64) {
        let mut last = (0, 0);
        for _ in 0..1200 {
            last = self.sent().await;
            if is_so(last.0, last.1) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{what}: {last:?}");
    }
}

/// An alert of each rule of the page, of this instance.
fn alerts(instance: &str) -> Vec<Json> {
    let rules: Json = serde_yaml::from_str(&block("pgbaton.rules.yml")).unwrap();
    let rules = rules["groups"][0]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 2, "two alerts of one dead primary");
    let now = jiff::Timestamp::now().to_string();
    let alert = |rule: &Json| {
        let mut labels = rule["labels"].clone();
        labels["alertname"] = rule["alert"].clone();
        labels["instance"] = json!(instance);
        json!({ "labels": labels, "startsAt": now })
    };
    rules.iter().map(alert).collect()
}

/// A value of the journal's without its types.
fn plain(value: &Json) -> Json {
    match &value["value"] {
        Json::Array(items) => items.iter().map(plain).collect(),
        Json::Object(map) => Json::Object(map.iter().map(|(k, v)| (k.clone(), plain(v))).collect()),
        other => other.clone(),
    }
}

/// The same, over.
fn resolved(alerts: &[Json]) -> Vec<Json> {
    let now = jiff::Timestamp::now().to_string();
    let over = |alert: &Json| {
        let mut alert = alert.clone();
        alert["endsAt"] = json!(now);
        alert
    };
    alerts.iter().map(over).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_primary_is_one_run_however_often_it_is_told() {
    let cluster = Cluster::up("alertmanager", 2).await;
    let name = cluster.lab.name().to_owned();
    let site = cluster.lab.site_file();
    let text = std::fs::read_to_string(site).unwrap();
    let hooks = swap(
        &block("site.yaml:alertmanager"),
        "cluster: orders",
        &format!("cluster: {name}"),
    );
    std::fs::write(site, format!("{hooks}{text}")).unwrap();
    let served = Served::start(site, Over::Tls).await;
    let folder = tempfile::tempdir().unwrap();
    let alertmanager = Alertmanager::start(folder.path(), &served).await;
    let post = async |path: &str, body: Json| {
        let path = format!("/v1/clusters/{name}/{path}");
        served.post("operate", &path, &body).await.expect(200);
    };

    // While it is paused nothing gets through.
    post("pause", json!({ "for": "1h", "reason": "OPS-1" })).await;
    cluster.fault("n1", Fault::Kill).await;
    let dead = alerts("db1:9187");
    alertmanager.alert(&dead).await;
    alertmanager
        .until("it is held back", |_, failed| failed > 0)
        .await;
    let incidents = format!("/v1/clusters/{name}/incidents");
    let told = served.get("view", &incidents).await.expect(200).json();
    let gate = &told["incidents"][0]["notice"]["held_back"]["passage"];
    assert_eq!(gate["reason"], "OPS-1", "{told:#}");
    assert_eq!(runs(&served).await.len(), 0);
    // It is sent again while it fires, and gets through then.
    post("unpause", json!({})).await;
    let run = loop {
        if let Some(run) = runs(&served).await.first() {
            break run["run"].as_str().unwrap().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    until_ended(&served, &run).await;
    assert_moved(&cluster).await;
    // It is repeated, another one comes to the same group, and all of it is over.
    let repeated = async |what: &str| {
        let (before, _) = alertmanager.sent().await;
        let more = |taken, _| taken >= before + 2;
        alertmanager.until(what, more).await;
    };
    repeated("it is repeated").await;
    let late = alerts("db1:9188");
    alertmanager.alert(&late).await;
    repeated("more come").await;
    // Nobody has to wait any more: only the key keeps the next ones off.
    let path = format!("/v1/runs/{run}/acknowledge");
    let seen = json!({ "reason": "seen" });
    served.post("operate", &path, &seen).await.expect(200);
    repeated("it is repeated after that").await;
    let (before, _) = alertmanager.sent().await;
    alertmanager.alert(&resolved(&dead)).await;
    alertmanager.alert(&resolved(&late)).await;
    alertmanager
        .until("all is over", |taken, _| taken > before)
        .await;

    let all = runs(&served).await;
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!(
        (&all[0]["outcome"], &all[0]["playbook"], &all[0]["trigger"]),
        (
            &json!("ok"),
            &json!("failover"),
            &json!("webhook:alertmanager")
        )
    );
    let follow = cluster.pgbaton(&["--json", "runs", "follow", &run]).await;
    let payload = follow.events()[0]["event"]["pins"]["trigger"].to_string();
    for word in ["PostgresPrimaryDown", "db1:9187", "\"operate\""] {
        assert!(payload.contains(word), "{payload}");
    }
    // The same body about another group: what is over there is nobody's business.
    let shown = served.get("view", &format!("/v1/runs/{run}")).await;
    assert_eq!(shown.expect(200).json()["trigger"], "webhook:alertmanager");
    let mut body = plain(&follow.events()[0]["event"]["pins"]["trigger"]["payload"]);
    assert_eq!(
        (&body["version"], &body["status"]),
        (&json!("4"), &json!("firing"))
    );
    body["groupKey"] = json!("another");
    body["status"] = json!("resolved");
    let over = served
        .post("operate", "/v1/hooks/alertmanager", &body)
        .await;
    assert!(over.expect(200).json()["ignored"].is_string());
    assert_eq!(runs(&served).await.len(), 1);
    served.stop().await.expect(0);
}
