//! Plans and runs over the API, on real servers: started once, followed to the end, asked, cancelled, counted.

use crate::served::{Answer, Over, Served};
use crate::stream::{Seen, follow};
use crate::support::Cluster;
use reqwest::Method;
use serde_json::{Value as Json, json};
use std::time::Duration;

/// Asks a person, and does something then.
const ASKS: &str = "playbook: asks
timeout: 10m
params:
  word: { type: string, required: true }
  times: { type: integer, default: 1 }
steps:
  say: { action: exec, with: { argv: [echo, \"asked by {{ trigger.token }}\"] }, effect: idempotent, timeout: 5s }
  ask: { action: approve, with: { question: \"shall it be {{ params.word }}?\" }, timeout: 5m }
  touch:
    needs: [ask]
    action: exec
    with: { argv: [echo, \"{{ steps.ask.by }} {{ trigger.token }} {{ trigger.from }} {{ trigger.request }}\"] }
    effect: idempotent
    timeout: 5s
";

/// Puts the playbook where it has a name.
pub(crate) fn put_asks(cluster: &Cluster) {
    let folder = cluster.lab.dir().join("playbooks");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("asks.yaml"), ASKS).unwrap();
}

/// A path of the lab's only cluster.
pub(crate) fn at(cluster: &Cluster, rest: &str) -> String {
    format!("/v1/clusters/{}{rest}", cluster.lab.name())
}

async fn started(served: &Served, path: &str, key: Option<&str>, body: &Json) -> Answer {
    let mut request = served.request("operate", Method::POST, path).json(body);
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    Answer::of(request.send().await.unwrap()).await
}

/// Starts it; its id.
pub(crate) async fn start(served: &Served, path: &str, body: &Json) -> String {
    let begun = started(served, path, None, body).await.expect(202).json();
    begun["run"].as_str().unwrap().to_owned()
}

fn kinds(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|event| event.kind.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switchover_is_planned_started_once_and_followed_to_its_end() {
    let cluster = Cluster::up("api-switch", 1).await;
    let served = Served::start(cluster.lab.site_file(), Over::Tls).await;
    let look = at(&cluster, "");
    let before = served.get("view", &look).await.expect(200).json();
    let status = cluster.status().await;
    assert_eq!(before["health"], "ok");
    for key in ["cluster", "health", "managers", "debts"] {
        assert_eq!(before[key], status[key], "as `status --json` has it");
    }
    let order = json!({ "playbook": "switchover", "params": { "candidate": "n2" } });
    let plans = at(&cluster, "/plans");
    let plan = served
        .post("operate", &plans, &order)
        .await
        .expect(200)
        .json();
    assert_eq!(plan["outcome"], "ok", "{plan}");
    assert!(!plan["steps"].as_array().unwrap().is_empty());
    assert_eq!(cluster.primary().await, "n1", "a plan changes nothing");
    // All that is wrong is said at once, and nothing happens.
    let runs = at(&cluster, "/runs");
    let bad = json!({ "playbook": "switchover", "params": { "candidat": "n2", "apply": "now" } });
    let bad = served.post("operate", &runs, &bad).await;
    assert_eq!(bad.problem(422), "invalid-parameters");
    let bad = bad.json();
    let wrong: Vec<&str> = bad["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["at"].as_str().unwrap())
        .collect();
    assert!(
        ["candidat", "candidate", "apply"]
            .iter()
            .all(|name| wrong.contains(name)),
        "{bad}"
    );
    let begun = started(&served, &runs, Some("alert-7"), &order)
        .await
        .expect(202);
    let (place, begun) = (begun.text("location"), begun.json());
    let run = begun["run"].as_str().unwrap();
    assert_eq!(
        (place, &begun["new"]),
        (format!("/v1/runs/{run}"), &json!(true))
    );
    let events = follow(&served, run, None).await;
    let seqs: Vec<u64> = events.iter().filter_map(|event| event.id).collect();
    let all: Vec<u64> = (0..seqs.len() as u64).collect();
    assert_eq!(seqs, all, "every event once, in order");
    assert_eq!(kinds(&events)[0], "run_started");
    assert_eq!(kinds(&events)[events.len() - 2..], ["run_ended", "end"]);
    let end = &events.last().unwrap().data;
    assert_eq!(end, &json!({ "standing": "ended", "outcome": "ok" }));
    assert_eq!(cluster.primary().await, "n2");
    // The run tells who started it.
    let first = &events[0].data["event"];
    assert_eq!(first["trigger"], "api");
    let told = |name: &str| first["pins"]["trigger"][name]["value"].clone();
    assert_eq!(
        (told("token"), told("from")),
        (json!("operate"), json!("127.0.0.1"))
    );
    assert_eq!(told("key"), "alert-7");
    assert_eq!(told("request").as_str().unwrap().len(), 16);
    // The same request again is the same run, and whoever lost the connection is told the rest.
    let again = started(&served, &runs, Some("alert-7"), &order)
        .await
        .expect(200)
        .json();
    assert_eq!((&again["run"], &again["new"]), (&json!(run), &json!(false)));
    let rest = follow(&served, run, Some(seqs.len() as u64 - 3)).await;
    assert_eq!(kinds(&rest), kinds(&events[events.len() - 3..]));
    let shown = served
        .get("view", &format!("/v1/runs/{run}"))
        .await
        .expect(200)
        .json();
    let cli = cluster
        .pgbaton(&["--json", "runs", "show", run])
        .await
        .expect(0);
    assert_eq!(shown, serde_json::from_str::<Json>(&cli.stdout).unwrap());
    let listed = served
        .get("view", "/v1/runs?limit=1")
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&listed["runs"][0]["run"], &listed["more"]),
        (&json!(run), &json!(false))
    );
    let said = served.stop().await.expect(0);
    assert!(!said.stderr.contains("pgbaton_"), "no token is logged");
    let audit = |what: &str| {
        said.stderr
            .lines()
            .filter(|line| line.contains("audit") && line.contains(what))
            .count()
    };
    assert_eq!(audit(run), 2, "{}", said.stderr);
    assert_eq!(audit("invalid-parameters"), 1, "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_asks_is_answered_by_who_may_and_cancelled_by_who_may() {
    let cluster = Cluster::asynchronous("api-asks", 1).await;
    put_asks(&cluster);
    let served = Served::start(cluster.lab.site_file(), Over::Tls).await;
    let runs = at(&cluster, "/runs");
    let order = json!({ "playbook": "asks", "params": { "word": "so", "times": 2 } });
    for (role, problem) in [("view", "role-missing"), ("approve", "role-missing")] {
        assert_eq!(served.post(role, &runs, &order).await.problem(403), problem);
    }
    let run = start(&served, &runs, &order).await;
    let busy = served.post("operate", &runs, &order).await;
    assert_eq!(busy.problem(409), "cluster-busy");
    assert_eq!(busy.json()["run"], json!(run));
    let decide = |what: &str| format!("/v1/runs/{run}/{what}");
    let why = json!({ "reason": "OPS-1" });
    for role in ["view", "operate"] {
        let refused = served.post(role, &decide("approve"), &why).await;
        assert_eq!(refused.problem(403), "role-missing");
    }
    let refused = served.post("approve", &decide("cancel"), &why).await;
    assert_eq!(refused.problem(403), "role-missing");
    until_accepted(&served, "approve", &decide("approve"), &why).await;
    let events = follow(&served, &run, None).await;
    assert_eq!(events.last().unwrap().data["outcome"], "ok");
    let shown = served.get("view", &format!("/v1/runs/{run}")).await.json();
    let said = shown["steps"].to_string();
    assert!(
        said.contains("approve (token, from 127.0.0.1) operate 127.0.0.1"),
        "{said}"
    );
    let late = served.post("approve", &decide("approve"), &why).await;
    assert_eq!(late.problem(409), "nobody-asks");
    // Denied: the step fails. Cancelled: the run ends.
    for (role, what, outcome) in [
        ("admin", "deny", "refused"),
        ("operate", "cancel", "cancelled"),
    ] {
        let run = start(&served, &runs, &order).await;
        let path = format!("/v1/runs/{run}/{what}");
        let empty = served.post(role, &path, &json!({ "reason": " " })).await;
        assert_eq!(empty.problem(422), "invalid-request");
        until_accepted(&served, role, &path, &why).await;
        let events = follow(&served, &run, None).await;
        assert_eq!(events.last().unwrap().data["outcome"], outcome);
        let over = served
            .post("operate", &format!("/v1/runs/{run}/cancel"), &why)
            .await;
        assert_eq!(over.problem(409), "run-not-under-way");
    }
    served.stop().await.expect(0);
}

/// Refused until the step asks.
async fn until_accepted(served: &Served, role: &str, path: &str, body: &Json) {
    for _ in 0..600 {
        let answer = served.post(role, path, body).await;
        if answer.status == 200 {
            assert_eq!(answer.json()["accepted"], true);
            return;
        }
        assert_eq!(answer.problem(409), "nobody-asks");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nobody asks");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_sent_is_refused_and_nothing_runs() {
    let cluster = Cluster::asynchronous("api-bodies", 1).await;
    put_asks(&cluster);
    let secret = "playbook: hides\ntimeout: 1m\nparams:\n  key: { type: secret, required: true }\nsteps:\n  w: { action: wait, with: { for: 1s }, timeout: 5s }\n";
    std::fs::write(cluster.lab.dir().join("playbooks/hides.yaml"), secret).unwrap();
    std::fs::write(
        cluster.lab.dir().join("playbooks/broken.yaml"),
        "playbook: broken\nsteps: 3\n",
    )
    .unwrap();
    let served = Served::start(cluster.lab.site_file(), Over::Tls).await;
    let runs = at(&cluster, "/runs");
    let raw = async |kind: &str, body: String| {
        let request = served.request("operate", Method::POST, &runs);
        let request = request.header("Content-Type", kind).body(body);
        Answer::of(request.send().await.unwrap()).await
    };
    let json_kind = "application/json";
    let large = format!("{{\"playbook\": \"{}\"}}", "x".repeat(64 << 10));
    assert_eq!(raw(json_kind, large).await.problem(413), "body-too-large");
    assert_eq!(
        raw("text/plain", "{}".to_owned()).await.problem(415),
        "wrong-media-type"
    );
    assert_eq!(
        raw(json_kind, "{".to_owned()).await.problem(400),
        "not-json"
    );
    let bodies = [
        (json!({}), "invalid-request", 422),
        (
            json!({ "playbook": "switchover", "when": "now" }),
            "invalid-request",
            422,
        ),
        (json!({ "playbook": "/etc/passwd" }), "invalid-request", 422),
        (
            json!({ "playbook": "../asks.yaml" }),
            "invalid-request",
            422,
        ),
        (json!({ "playbook": "nothing" }), "not-found", 404),
        (json!({ "playbook": "broken" }), "invalid-playbook", 422),
        (
            json!({ "playbook": "hides", "params": { "key": "file:/etc/shadow" } }),
            "invalid-parameters",
            422,
        ),
        (
            json!({ "playbook": "failover", "params": { "fence_command": ["sh", "-c", "touch x"] } }),
            "role-missing",
            403,
        ),
        (
            json!({ "playbook": "failover", "params": { "waive_fence": "me" } }),
            "role-missing",
            403,
        ),
    ];
    for (body, kind, status) in bodies {
        let answer = served.post("operate", &runs, &body).await;
        assert_eq!(answer.problem(status), kind, "{body}");
    }
    let order = json!({ "playbook": "asks", "params": { "word": "so" } });
    let long = started(&served, &runs, Some(&"k".repeat(129)), &order).await;
    assert_eq!(long.problem(400), "bad-request");
    let query = served.get("view", "/v1/runs?limit=0").await;
    assert_eq!(query.problem(400), "bad-request");
    let query = served.get("view", "/v1/runs?clutser=x").await;
    assert_eq!(query.problem(400), "bad-request");
    let none = served.get("view", "/v1/runs").await.expect(200).json();
    assert_eq!(none["runs"], json!([]));
    served.stop().await.expect(0);
}
