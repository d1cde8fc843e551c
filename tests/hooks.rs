//! Hooks of `pgbaton serve`: what programs outside send becomes a run, or is told why it does not. No database server answers
//! here, and none is needed: what is run says who called.
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

use hooks_support::{SECRET, Site, ago, put_secret, runs, signature, until_ended};
use monitors_support::{block, filled};
use reqwest::Method;
use serde_json::{Value as Json, json};
use served::{Answer, Over, Served};

/// A hook that is called by who can sign.
const PAGE: &str = "  page:
    cluster: orders
    playbook: called
    mode: auto
    secret: { file: page.secret }
    when: payload.state == 'down'
    params:
      failed: payload.labels.node
      grace: site.vars.grace
      host: cluster.nodes[payload.labels.node].host
    key: payload.id
";

/// The same for who has a token.
const PLAIN: &str = "  plain: { cluster: orders, playbook: called, mode: auto, bearer: true, params: { failed: payload.node } }
  told: { cluster: orders, playbook: called, bearer: true, params: { failed: payload.node } }
";

/// Says who called. Waits for as long as it is let.
const CALLED: &str = "playbook: called
params:
  failed: { type: node, required: true }
  grace: { type: duration, default: 1s }
  host: { type: string, default: nowhere }
steps:
  say:
    action: exec
    with: { argv: [echo, \"{{ trigger.hook }} by {{ trigger.by }}: {{ params.failed }} at {{ params.host }}\"] }
    effect: idempotent
    timeout: 5s
";

fn down(id: &str) -> Json {
    json!({ "state": "down", "id": id, "labels": { "node": "n1" } })
}

/// Calls a hook with this header, or none.
async fn call(served: &Served, hook: &str, header: Option<String>, body: &str) -> Answer {
    let path = format!("/v1/hooks/{hook}");
    let request = served.request("nobody", Method::POST, &path);
    let request = request.header("Content-Type", "application/json");
    let request = match header {
        Some(header) => request.header("X-Pgbaton-Signature", header),
        None => request,
    };
    Answer::of(request.body(body.to_owned()).send().await.unwrap()).await
}

/// Calls it as it should be.
async fn signed(served: &Served, body: &Json) -> Answer {
    let body = body.to_string();
    let header = signature(SECRET, ago(0), &body);
    call(served, "page", Some(header), &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_request_becomes_one_run_that_says_who_and_why() {
    let site = Site::new(
        &[("called", CALLED)],
        &format!("{PAGE}{PLAIN}"),
        &["orders"],
    );
    let served = Served::start(&site.file, Over::Tls).await;
    let body = down("4711").to_string();
    let header = signature(SECRET, ago(3), &body);
    let begun = call(&served, "page", Some(header.clone()), &body).await;
    let begun = begun.expect(202);
    let (place, begun) = (begun.text("location"), begun.json());
    let run = begun["run"].as_str().unwrap().to_owned();
    assert_eq!(place, format!("/v1/runs/{run}"));
    assert_eq!(begun["new"], true);
    until_ended(&served, &run).await;
    // The same request as it was, and another one about the same thing.
    let again = call(&served, "page", Some(header), &body).await;
    let again = again.expect(200).json();
    assert_eq!((&again["run"], &again["new"]), (&json!(run), &json!(false)));
    let mut repeated = down("4711");
    repeated["since"] = json!("noon");
    let repeated = signed(&served, &repeated).await.expect(200).json();
    assert_eq!(repeated["run"], json!(run));
    // What means nothing is no error of the sender's.
    let up = json!({ "state": "up", "id": "4711", "labels": { "node": "n1" } });
    let ignored = signed(&served, &up).await.expect(200).json();
    assert_eq!(ignored["run"], Json::Null);
    assert_eq!(
        ignored["ignored"],
        "`when` is false: payload.state == 'down'"
    );
    let all = runs(&served).await;
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0]["trigger"], "webhook:page");
    assert_eq!(all[0]["key"], "page:4711");
    let shown = served.get("view", &place).await.expect(200).body;
    assert!(
        shown.contains("page by webhook:page: n1 at 127.0.0.1"),
        "{shown}"
    );
    let events = site.events(&run).await;
    let payload = &events[0]["event"]["pins"]["trigger"]["payload"];
    assert!(payload.to_string().contains("4711"), "{payload}");
    let said = served.stop().await.expect(0);
    let audit = |line: &&str| line.contains("audit") && line.contains("call a hook");
    let audit: Vec<&str> = said.stderr.lines().filter(audit).collect();
    assert_eq!(audit.len(), 4, "{}", said.stderr);
    assert!(audit[0].contains("webhook:page") && audit[0].contains(&run));
    for text in [said.all(), shown, site.files()] {
        assert!(!text.contains(SECRET), "the secret is told: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_sign_starts_nothing() {
    let site = Site::new(
        &[("called", CALLED)],
        &format!("{PAGE}{PLAIN}"),
        &["orders"],
    );
    let served = Served::start(&site.file, Over::Plain).await;
    let body = down("1").to_string();
    let good = |seconds| signature(SECRET, ago(seconds), &body);
    let none = call(&served, "page", None, &body).await;
    assert_eq!(none.problem(401), "no-signature");
    for (header, kind) in [
        (
            signature("a secret of somebody else", ago(0), &body),
            "bad-signature",
        ),
        (signature(SECRET, ago(0), "{}"), "bad-signature"),
        ("v1=00".to_owned(), "bad-signature"),
        // Old, and from a clock that is wrong.
        (good(330), "old-signature"),
        (good(-330), "old-signature"),
    ] {
        let refused = call(&served, "page", Some(header), &body).await;
        assert_eq!(refused.problem(401), kind);
    }
    // A token is for hooks that take one, and then it is one that may operate.
    let answer = served.post("operate", "/v1/hooks/page", &down("1")).await;
    assert_eq!(answer.problem(401), "no-signature");
    let plain = json!({ "node": "n1" });
    let answer = served.post("view", "/v1/hooks/plain", &plain).await;
    assert_eq!(answer.problem(403), "role-missing");
    let answer = call(&served, "plain", Some(good(0)), &body).await;
    assert_eq!(answer.problem(401), "no-token");
    let answer = served.post("operate", "/v1/hooks/other", &plain).await;
    assert_eq!(answer.problem(404), "no-such-hook");
    assert_eq!(runs(&served).await.len(), 0);
    // Replaced in its file, the secret is another one at once; one that others may read is none.
    site.secret("a new secret of the page", 0o600);
    let new = signature("a new secret of the page", ago(0), &body);
    let begun = call(&served, "page", Some(new.clone()), &body).await;
    begun.expect(202);
    site.secret("a new secret of the page", 0o644);
    let unusable = call(&served, "page", Some(new), &body).await;
    assert_eq!(unusable.problem(503), "secret-unusable");
    let said = served.stop().await.expect(0);
    assert!(said.stderr.contains("chmod 600"), "{}", said.stderr);
    assert!(!said.stderr.contains("a new secret"), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_fit_is_told_by_its_expressions() {
    let site = Site::new(&[("called", CALLED)], PAGE, &["orders"]);
    let served = Served::start(&site.file, Over::Plain).await;
    let mut told = String::new();
    for body in [
        json!({}),
        json!({ "state": "down" }),
        json!({ "state": "down", "id": ["x"], "labels": { "node": "n9" } }),
        json!({ "state": "down", "id": "7", "labels": { "node": { "name": "n1" } } }),
        json!([1, 2]),
    ] {
        let answer = signed(&served, &body).await;
        assert_eq!(answer.problem(422), "payload-does-not-fit");
        let answer = answer.json();
        told = format!("{told}{body}\n{}\n", answer["detail"].as_str().unwrap());
        for error in answer["errors"].as_array().unwrap() {
            let word = |key: &str| error[key].as_str().unwrap_or("-").to_owned();
            told = format!(
                "{told}  {}: {}\n    {}\n",
                word("at"),
                word("why"),
                word("help")
            );
        }
    }
    insta::assert_snapshot!(told);
    let refused = async |body: String| {
        let header = signature(SECRET, ago(0), &body);
        call(&served, "page", Some(header), &body).await
    };
    assert_eq!(refused("{".to_owned()).await.problem(400), "not-json");
    assert_eq!(runs(&served).await.len(), 0, "nothing ran");
    // Its connection is closed, for nobody reads the rest.
    let large = format!("{{\"x\": \"{}\"}}", "x".repeat(64 << 10));
    assert_eq!(refused(large).await.problem(413), "body-too-large");
    served.stop().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_goes_through_the_gate_and_a_person_does_not() {
    let site = Site::new(
        &[("called", CALLED)],
        &format!("{PAGE}{PLAIN}"),
        &["orders"],
    );
    let served = Served::start(&site.file, Over::Plain).await;
    let hold = json!({ "for": "1h", "reason": "OPS-1" });
    served
        .post("operate", "/v1/clusters/orders/pause", &hold)
        .await
        .expect(200);
    for _ in 0..2 {
        let paused = signed(&served, &down("1")).await;
        assert_eq!(paused.problem(409), "held-back");
        let detail = paused.json()["detail"].to_string();
        assert!(detail.contains("OPS-1"), "{detail}");
    }
    // Kept once, with what would have been run.
    let kept = incidents(&served).await;
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(kept[0]["code"], "reported");
    assert_eq!(kept[0]["held_back"]["passage"]["gate"], "paused");
    let params = kept[0]["held_back"]["params"].to_string();
    assert!(params.contains("[\"failed\",\"n1\"]"), "{params}");
    assert_eq!(runs(&served).await.len(), 0);
    // A person knows of the pause.
    let order = json!({ "playbook": "called", "params": { "failed": "n1" } });
    let order = served
        .post("operate", "/v1/clusters/orders/runs", &order)
        .await;
    let by_hand = order.expect(202).json()["run"].as_str().unwrap().to_owned();
    until_ended(&served, &by_hand).await;
    served
        .post("operate", "/v1/clusters/orders/unpause", &json!({}))
        .await
        .expect(200);
    // What a person started makes nobody wait, what a hook started does.
    let begun = signed(&served, &down("1")).await.expect(202).json();
    let run = begun["run"].as_str().unwrap();
    until_ended(&served, run).await;
    let plain = json!({ "node": "n1" });
    for answer in [
        signed(&served, &down("2")).await,
        served.post("operate", "/v1/hooks/plain", &plain).await,
    ] {
        assert_eq!(answer.problem(409), "held-back");
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains(run), "{detail}");
    }
    let first = signed(&served, &down("1")).await.expect(200).json();
    assert_eq!(first["run"], json!(run), "it is told of what it started");
    let seen = json!({ "reason": "seen" });
    let path = format!("/v1/runs/{run}/acknowledge");
    served.post("operate", &path, &seen).await.expect(200);
    let second = signed(&served, &down("2")).await.expect(202).json();
    until_ended(&served, second["run"].as_str().unwrap()).await;
    // One that only tells.
    let path = format!("/v1/runs/{}/acknowledge", second["run"].as_str().unwrap());
    served.post("operate", &path, &seen).await.expect(200);
    let told = served.post("operate", "/v1/hooks/told", &plain).await;
    assert_eq!(told.problem(409), "held-back");
    let newest = &incidents(&served).await[0];
    assert_eq!(newest["held_back"]["passage"]["gate"], "observe");
    served.stop().await.expect(0);
}

/// Holds its cluster until it is cancelled.
const HOLDS: &str = "playbook: holds
timeout: 10m
steps:
  touch: { action: exec, with: { argv: [\"true\"] }, effect: idempotent, timeout: 5s }
  hold: { needs: [touch], action: wait, with: { for: 5m }, timeout: 6m }
";

#[tokio::test(flavor = "multi_thread")]
async fn one_run_holds_a_cluster_and_four_are_enough_for_all() {
    let clusters = ["c1", "c2", "c3", "c4", "c5"];
    let hooks = clusters.map(|c| {
        format!("  {c}: {{ cluster: {c}, playbook: holds, mode: auto, bearer: true }}\n  also-{c}: {{ cluster: {c}, playbook: holds, mode: auto, bearer: true }}\n")
    });
    let site = Site::new(&[("holds", HOLDS)], &hooks.concat(), &clusters);
    let served = Served::start(&site.file, Over::Plain).await;
    let call = async |hook: &str| {
        let path = format!("/v1/hooks/{hook}");
        served.post("operate", &path, &json!({})).await
    };
    // A person's run, of which this process knows nothing but by the journal.
    let order = json!({ "playbook": "holds" });
    let by_hand = served.post("operate", "/v1/clusters/c1/runs", &order).await;
    let by_hand = by_hand.expect(202).json()["run"].clone();
    let busy = call("c1").await;
    assert_eq!(busy.problem(409), "cluster-busy");
    assert_eq!(busy.json()["run"], by_hand);
    cancel(&served, &by_hand).await;
    // Two hooks of one cluster at the same instant.
    let (one, two) = tokio::join!(call("c1"), call("also-c1"));
    let mut both = [one, two];
    both.sort_by_key(|answer| answer.status);
    let [first, second] = both;
    let first = first.expect(202).json()["run"].clone();
    assert_eq!(second.problem(409), "cluster-busy");
    let late = call("also-c1").await;
    assert_eq!(late.problem(409), "cluster-busy");
    assert_eq!(late.json()["run"], first);
    for cluster in ["c2", "c3", "c4"] {
        call(cluster).await.expect(202);
    }
    let full = call("c5").await;
    assert_eq!(full.problem(503), "overloaded");
    assert_eq!(full.text("retry-after"), "10");
    // Who has ended makes room.
    cancel(&served, &first).await;
    for _ in 0..600 {
        let answer = call("c5").await;
        if answer.status == 202 {
            served.stop().await.expect(0);
            return;
        }
        assert_eq!(answer.problem(503), "overloaded");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    panic!("nobody makes room");
}

/// Whoever was let through before a run ended knows nothing of it: the gate and the run are one turn.
#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_at_the_same_instant_one_starts_a_run() {
    let site = Site::new(
        &[("called", CALLED)],
        &format!("{PAGE}{PLAIN}"),
        &["orders"],
    );
    let served = Served::start(&site.file, Over::Plain).await;
    let node = json!({ "node": "n1" });
    let calls = (0..20).map(|_| served.post("operate", "/v1/hooks/plain", &node));
    let answers = futures_util::future::join_all(calls).await;
    let (begun, held): (Vec<_>, Vec<_>) = answers.iter().partition(|one| one.status == 202);
    assert_eq!(begun.len(), 1, "{answers:?}");
    for answer in held {
        let kind = answer.problem(409);
        assert!(kind == "cluster-busy" || kind == "held-back", "{answer:?}");
    }
    until_ended(&served, begun[0].json()["run"].as_str().unwrap()).await;
    assert_eq!(runs(&served).await.len(), 1);
    served.stop().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_shows_signs_as_it_should() {
    // Nothing answers here that could be failed over: what is run says what came.
    let shown = block("site.yaml:page");
    let shown = filled(&shown, &[("mode: auto", "mode: auto\n    playbook: paged")]);
    let hooks = shown.strip_prefix("hooks:\n").unwrap();
    let paged = "playbook: paged
steps:
  say: { action: exec, with: { argv: [echo, \"{{ trigger.payload.id }}\"] }, effect: idempotent, timeout: 5s }
";
    let site = Site::new(&[("paged", paged)], hooks, &["orders"]);
    let served = Served::start(&site.file, Over::Tls).await;
    let folder = served.keys.path();
    let own = |file: &str| folder.join(file).to_str().unwrap().to_owned();
    put_secret(&folder.join("page.secret"), SECRET, 0o600);
    let script = filled(
        &block("/usr/local/bin/pgbaton-page"),
        &[
            ("/etc/pgbaton/page.secret", &own("page.secret")),
            ("/etc/pgbaton/ca.crt", &own("ca.crt")),
            ("https://10.0.0.5:8432", &served.url),
        ],
    );
    std::fs::write(folder.join("page"), script).unwrap();
    let page = async |id: &str| {
        let mut command = tokio::process::Command::new("sh");
        command.arg(own("page")).arg(id);
        let output = command.env_remove("https_proxy").output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = page("INC-1").await;
    assert_eq!(code, Some(0), "{said}");
    let run = serde_json::from_str::<Json>(&said).unwrap()["run"].clone();
    until_ended(&served, run.as_str().unwrap()).await;
    let (code, again) = page("INC-1").await;
    assert_eq!(code, Some(0), "{again}");
    assert!(again.contains(run.as_str().unwrap()), "{again}");
    // Another one has to wait.
    let (code, held) = page("INC-2").await;
    assert_eq!(code, Some(22), "{held}");
    assert!(held.contains("held-back"), "{held}");
    put_secret(&folder.join("page.secret"), "the secret of nobody", 0o600);
    let (code, refused) = page("INC-3").await;
    assert_eq!(code, Some(22), "{refused}");
    assert!(refused.contains("bad-signature"), "{refused}");
    assert_eq!(runs(&served).await.len(), 1);
    served.stop().await.expect(0);
}

async fn cancel(served: &Served, run: &Json) {
    let run = run.as_str().unwrap();
    let path = format!("/v1/runs/{run}/cancel");
    let why = json!({ "reason": "enough" });
    served.post("operate", &path, &why).await.expect(200);
    until_ended(served, run).await;
}

/// What was kept of the cluster, newest first.
async fn incidents(served: &Served) -> Vec<Json> {
    let path = "/v1/clusters/orders/incidents";
    let told = served.get("view", path).await.expect(200).json();
    let told = told["incidents"].as_array().unwrap().clone();
    told.into_iter().map(|one| one["notice"].clone()).collect()
}
