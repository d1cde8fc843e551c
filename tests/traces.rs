//! Traces: what a run did, as an OpenTelemetry collector gets it. A real one (rotel, of PyPI) receives, and hands on to this
//! test, which reads with the messages of the OpenTelemetry project.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod live_support;
#[path = "api/served.rs"]
#[allow(dead_code, reason = "the tests of the API use the rest")]
mod served;
mod support;
mod traces_support;

use pgbaton::lab::Fault;
use reqwest::Method;
use serde_json::{Value as Json, json};
use served::{Answer, Over, Served};
use support::{Cluster, Said, UnderWay};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use traces_support::Collector;

/// As a monitor sends it that is part of a trace.
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn run(cluster: &Cluster, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
    let site = cluster.lab.site_file().to_owned();
    UnderWay::with(&site, &[&["run"], arguments].concat(), environment)
        .end()
        .await
}

/// Paths of the steps that started, in order, and how often each.
fn started(events: &[Json]) -> Vec<String> {
    let events = events.iter().map(|line| &line["event"]);
    let mut paths: Vec<String> = events
        .filter(|event| event["event"] == "step_started")
        .map(|event| event["path"].as_str().unwrap().to_owned())
        .collect();
    paths.sort();
    paths
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_a_trace_of_its_steps_and_each_of_them_is_in_it_once() {
    let collector = Collector::start().await;
    let cluster = Cluster::up("tr-fo", 2).await;
    cluster.fault("n1", Fault::Kill).await;
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=test",
        ),
    ];
    let said = run(&cluster, &["failover"], &environment).await.expect(0);
    let events = said.events();
    let trace = collector.trace().await;
    let root = trace.root();
    assert_eq!(root.name(), "failover");
    assert_eq!(root.text("pgbaton.cluster"), cluster.lab.name());
    assert_eq!(
        root.text("pgbaton.run"),
        events[0]["event"]["run"].as_str().unwrap()
    );
    assert_eq!(root.text("pgbaton.trigger"), "cli");
    assert!(root.text("pgbaton.operator").contains('@'));
    assert_eq!(root.text("pgbaton.outcome"), "ok");
    assert_eq!(root.number("pgbaton.exit_code"), 0);
    assert!(!root.failed());
    assert_eq!(trace.resource("service.name"), "pgbaton");
    assert_eq!(trace.resource("deployment.environment.name"), "test");
    let steps = trace.steps();
    assert_eq!(steps, started(&events), "each step once, and nothing else");
    // A step lies below the one that its path stands in, and within the run.
    for span in trace.with("pgbaton.step") {
        let path = span.text("pgbaton.step");
        let above = trace.parent(span);
        if above.has("pgbaton.step") {
            let above = above.text("pgbaton.step");
            assert!(path.starts_with(&above) && path != above, "{path} {above}");
        } else {
            assert!(!path.contains('[') || path.starts_with('('), "{path}");
        }
        assert!(
            root.began() <= span.began() && span.ended() <= root.ended(),
            "{path}"
        );
        assert!(
            above.began() <= span.began() && span.ended() <= above.ended(),
            "{path}"
        );
        assert_eq!(span.text("pgbaton.status"), "ok", "{path}");
    }
    let promote = trace.step("promote");
    assert_eq!(promote.text("pgbaton.action"), "promote");
    assert_eq!(promote.text("pgbaton.node"), cluster.primary().await);
    assert!(promote.tells("effect"), "{promote:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_says_why_and_shows_every_attempt_and_no_secret() {
    let collector = Collector::start().await;
    let cluster = Cluster::up("tr-fail", 1).await;
    let folder = tempfile::tempdir().unwrap();
    let playbook = folder.path().join("hopeless.yaml");
    std::fs::write(
        &playbook,
        "playbook: hopeless
version: 1.0.0
summary: Fails.
params:
  word: { type: secret, default: 'env:WORD' }
steps:
  knock:
    action: exec
    with: { argv: [sh, -c, 'exit 9'], env: { WORD: '{{ params.word }}' } }
    effect: idempotent
    retry: { attempts: 3, delay: 10ms }
  after:
    needs: [knock]
    action: wait
    with: { for: 1ms }
",
    )
    .unwrap();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_SERVICE_NAME", "orders-baton"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("TRACEPARENT", PARENT),
        ("WORD", "sesame-4711"),
    ];
    let said = run(&cluster, &[playbook.to_str().unwrap()], &environment).await;
    let said = said.expect(1);
    let trace = collector.trace().await;
    let root = trace.root();
    assert_eq!(root.trace(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(root.above(), "00f067aa0ba902b7");
    assert_eq!(trace.resource("service.name"), "orders-baton");
    assert!(root.failed());
    assert_eq!(root.number("pgbaton.exit_code"), 1);
    let knock = trace.step("knock");
    assert!(knock.failed());
    let failure = said.events();
    let failure = failure
        .iter()
        .find(|e| e["event"]["event"] == "step_ended" && e["event"]["path"] == "knock")
        .unwrap();
    assert_eq!(knock.error(), failure["event"]["failure"]["message"]);
    assert_eq!(knock.number("pgbaton.attempts"), 3);
    let attempts = trace.below(knock);
    let numbers: Vec<i64> = attempts
        .iter()
        .map(|a| a.number("pgbaton.attempt"))
        .collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(attempts.iter().all(|attempt| attempt.failed()));
    assert!(
        attempts
            .windows(2)
            .all(|two| two[0].ended() <= two[1].began()),
        "one after the other"
    );
    assert!(root.tells("step skipped"), "`after` was not run");
    let sent = format!("{trace:?}");
    assert!(!sent.contains("sesame"), "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monitors_trace_goes_on_in_the_run_that_it_started() {
    let collector = Collector::start().await;
    let cluster = Cluster::up("tr-api", 1).await;
    let traces = format!("{}/v1/traces", collector.url);
    let environment = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", traces.as_str())];
    let site = cluster.lab.site_file().to_owned();
    let served = Served::with(&site, Over::Plain, &environment).await;
    let path = format!("/v1/clusters/{}/runs", cluster.lab.name());
    let request = served.request("operate", Method::POST, &path);
    let request = request
        .header("traceparent", PARENT)
        .json(&json!({ "playbook": "switchover", "params": { "candidate": "n2" } }));
    let begun = Answer::of(request.send().await.unwrap()).await.expect(202);
    let trace = collector.trace().await;
    let root = trace.root();
    assert_eq!(root.trace(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(root.above(), "00f067aa0ba902b7");
    assert_eq!(
        root.text("pgbaton.run"),
        begun.json()["run"].as_str().unwrap()
    );
    assert_eq!(root.text("pgbaton.trigger"), "api");
    assert_eq!(root.text("pgbaton.operator"), "operate");
    served.stop().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_keeps_nobody() {
    let cluster = Cluster::up("tr-hang", 1).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str())];
    let (asked, said) = tokio::join!(
        async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut sent = Vec::new();
            // It never answers; what is read ends when the program has.
            stream.read_to_end(&mut sent).await.unwrap();
            sent
        },
        run(
            &cluster,
            &["switchover", "-p", "candidate=n2"],
            &environment
        )
    );
    let said = said.expect(0);
    assert!(asked.starts_with(b"POST /v1/traces"), "it was asked");
    assert!(
        said.stderr.contains("the collector does not answer"),
        "{said:?}"
    );
    assert_eq!(cluster.primary().await, "n2", "the run did its work");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_is_told_of_once_and_a_wrong_one_too() {
    let cluster = Cluster::up("tr-gone", 1).await;
    let nobody = format!("http://127.0.0.1:{}", live_support::free_port());
    let endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";
    for (environment, told) in [
        (
            vec![(endpoint, nobody.as_str())],
            "a trace was dropped: no connection",
        ),
        (
            vec![
                (endpoint, nobody.as_str()),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ],
            "only http/protobuf is spoken",
        ),
        (vec![(endpoint, "not a url")], "no traces are sent"),
    ] {
        let said = run(
            &cluster,
            &["follow", "-p", "node=n2", "-p", "upstream=n1"],
            &environment,
        )
        .await;
        assert_eq!(said.stderr.matches("WARN").count(), 1, "{}", said.stderr);
        assert!(said.stderr.contains(told), "{}", said.stderr);
        assert!(said.stdout.contains("run_ended"), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_where_nothing_is_asked_for() {
    let collector = Collector::start().await;
    let cluster = Cluster::up("tr-off", 1).await;
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str());
    for off in [
        vec![],
        vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
        vec![endpoint, ("OTEL_SDK_DISABLED", "true")],
        vec![endpoint, ("OTEL_TRACES_EXPORTER", "none")],
    ] {
        let said = run(
            &cluster,
            &["follow", "-p", "node=n2", "-p", "upstream=n1"],
            &off,
        )
        .await;
        assert!(said.stdout.contains("run_ended"), "{said:?}");
        assert!(!said.stderr.contains("trace"), "{said:?}");
    }
    // The first trace that arrives is of the run after them: what was sent before would have come first.
    run(&cluster, &["switchover", "-p", "candidate=n2"], &[endpoint])
        .await
        .expect(0);
    let trace = collector.trace().await;
    assert_eq!(trace.root().name(), "switchover");
}
