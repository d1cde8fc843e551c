//! A run and the people elsewhere: steps that ask, answers, cancellation from another terminal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use pgbaton::lab::Fault;
use rustix::process::Signal;
use support::{Cluster, Said, UnderWay, stock, swap};

/// Asks, and then does something.
fn asks(timeout: &str) -> String {
    format!(
        "playbook: asks
timeout: 10m
steps:
  ask: {{ action: approve, with: {{ question: \"shall {{{{ cluster.name }}}} be touched?\" }}, timeout: {timeout} }}
  touch:
    needs: [ask]
    action: exec
    with: {{ argv: [echo, \"{{{{ steps.ask.by }}}}\"] }}
    effect: idempotent
    timeout: 5s
"
    )
}

fn write(cluster: &Cluster, text: &str) -> String {
    let path = cluster.lab.dir().join("asks.yaml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Up to where it asks.
async fn asking(cluster: &Cluster, text: &str) -> (UnderWay, String) {
    let playbook = write(cluster, text);
    let mut run = UnderWay::start(cluster.lab.site_file(), &[&playbook]);
    let started = run.until(|e| e["event"] == "run_started").await;
    let question = |e: &serde_json::Value| e["evidence"]["topic"] == "question";
    run.until(question).await;
    (run, started["run"].as_str().unwrap().to_owned())
}

async fn decide(cluster: &Cluster, words: &[&str]) -> Said {
    let words = [&["runs"], words, &["--reason", "OPS-4711"]].concat();
    cluster.pgbaton(&words).await
}

fn touched(said: &Said) -> bool {
    said.intended().iter().any(|(path, _)| path == "touch")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_asks_goes_on_once_a_person_approves() {
    let cluster = Cluster::asynchronous("ask-yes", 1).await;
    let (run, id) = asking(&cluster, &asks("5m")).await;
    let wrong = decide(&cluster, &["approve", &id, "touch"]).await.expect(3);
    assert!(
        wrong.stderr.contains("has no step `touch`") || wrong.stderr.contains("does not wait"),
        "{}",
        wrong.all()
    );
    decide(&cluster, &["approve", &id]).await.expect(0);
    let said = run.end().await.expect(0);
    assert!(touched(&said), "{}", said.all());
    assert!(said.stdout.contains("OPS-4711"), "it is recorded why");
    let late = decide(&cluster, &["approve", &id, "ask"]).await.expect(2);
    assert!(late.stderr.contains("it has ended"), "{}", late.all());
    let shown = cluster.pgbaton(&["runs", "show", &id]).await.expect(0);
    assert!(shown.stdout.contains("approve, by"), "{}", shown.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_denies_refuses_the_run_and_who_is_silent_lets_it_expire() {
    let cluster = Cluster::asynchronous("ask-no", 1).await;
    let (run, id) = asking(&cluster, &asks("5m")).await;
    decide(&cluster, &["deny", &id, "ask"]).await.expect(0);
    let said = run.end().await.expect(3);
    assert!(!touched(&said), "{}", said.all());
    assert!(said.stdout.contains("denied by"), "{}", said.all());
    let (run, _) = asking(&cluster, &asks("1s")).await;
    let said = run.end().await.expect(1);
    assert!(
        !touched(&said) && said.stdout.contains("nobody answered within 1s"),
        "{}",
        said.all()
    );
}

/// What was asked about one situation is not approved in another.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_void_when_the_cluster_has_changed() {
    let cluster = Cluster::asynchronous("ask-void", 1).await;
    let (run, id) = asking(&cluster, &asks("5m")).await;
    cluster.fault("n2", Fault::Stop).await;
    decide(&cluster, &["approve", &id]).await.expect(0);
    let said = run.end().await.expect(1);
    assert!(!touched(&said), "{}", said.all());
    for part in [
        "is void",
        "n2 was `standby that receives from n1`",
        "`no answer` now",
    ] {
        assert!(said.stdout.contains(part), "{part}: {}", said.all());
    }
}

/// The question, and an answer that came before the death, outlive the runner.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_outlives_its_runner() {
    let cluster = Cluster::asynchronous("ask-dies", 1).await;
    let (run, id) = asking(&cluster, &asks("5m")).await;
    run.signal(Signal::KILL);
    run.end().await;
    let nobody = decide(&cluster, &["approve", &id, "ask"]).await.expect(2);
    assert!(nobody.stderr.contains("nobody runs it"), "{}", nobody.all());
    let words = ["--json", "runs", "resume", &id];
    let approve = async {
        // Refused until the resumed run listens.
        while decide(&cluster, &["approve", &id]).await.code != 0 {}
    };
    let (resumed, ()) = tokio::join!(cluster.pgbaton(&words), approve);
    assert!(touched(&resumed.expect(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_cancelled_from_another_terminal() {
    let cluster = Cluster::asynchronous("ask-cancel", 1).await;
    let (run, id) = asking(&cluster, &asks("5m")).await;
    decide(&cluster, &["cancel", &id]).await.expect(0);
    let said = run.end().await.expect(130);
    assert!(!touched(&said), "{}", said.all());
    assert!(said.stdout.contains("OPS-4711"));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_point_of_no_return_a_cancellation_is_refused_with_the_reason() {
    let cluster = Cluster::up("ask-late", 1).await;
    let text = swap(
        &stock("failover"),
        "\noutputs:\n",
        "\n  hold:\n    needs: [promote]\n    action: wait\n    with: { for: 3s }\n    timeout: 1m\n\noutputs:\n",
    );
    let playbook = write(&cluster, &text);
    cluster.fault("n1", Fault::Kill).await;
    let mut run = UnderWay::start(cluster.lab.site_file(), &[&playbook]);
    let started = run.until(|e| e["event"] == "run_started").await;
    let id = started["run"].as_str().unwrap().to_owned();
    run.until_started("hold").await;
    let refused = decide(&cluster, &["cancel", &id]).await.expect(3);
    assert!(
        refused
            .stderr
            .contains("`promote` has passed the point of no return"),
        "{}",
        refused.all()
    );
    run.end().await.expect(0);
    assert_eq!(cluster.primary().await, "n2");
}
