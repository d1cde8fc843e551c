//! A site's own steps in a preview: shown, read where that is still true, assumed, or unknown.

use crate::foretold::{plan, plan_then_run, step};
use crate::support::Cluster;
use serde_json::json;

const PLAYBOOK: &str = r#"
playbook: own
params:
  word: { type: secret, required: true }
steps:
  look:
    action: sql
    node: n1
    with: { statement: "SELECT 7 AS n" }
    effect: read
  seen:
    needs: [look]
    when: steps.look.count == 1
    action: notify
    with: { message: "{{ json steps.look.rows }}" }
  probed:
    needs: [look]
    action: exec
    with: { argv: [touch, "DIR/probed"] }
    probe: { argv: ["true"] }
    effect: idempotent
  touch:
    needs: [look]
    action: exec
    with: { argv: [touch, "DIR/touched"], env: { PASSWORD: "{{ params.word }}" } }
    effect: once
  hangs:
    needs: [touch]
    when: steps.touch.stdout == 'x'
    action: exec
    with: { argv: [touch, "DIR/hangs"] }
    effect: once
  behind:
    needs: [hangs]
    action: wait
    with: { for: 1h }
  beside:
    needs: [touch]
    when: steps.touch.status == 'ok'
    action: wait
    with: { for: 1h }
  filled:
    needs: [touch]
    action: notify
    with: { message: "it said {{ steps.touch.stdout }}" }
  assumed:
    needs: [touch]
    action: exec
    with: { argv: [cat, "DIR/touched"] }
    effect: read
    assume: { stdout: "yes" }
  then:
    needs: [assumed]
    when: steps.assumed.stdout == 'yes'
    action: notify
    with: { message: yes }
  late:
    needs: [touch]
    action: sql
    node: n1
    with: { statement: "SELECT 8 AS n" }
    effect: read
  request:
    action: http
    with: { url: "URL/look" }
    effect: read
outputs:
  late: steps.late.count
"#;

#[tokio::test(flavor = "multi_thread")]
async fn own_steps_are_read_assumed_or_unknown_and_never_executed() {
    let cluster = Cluster::asynchronous("plan-own", 1).await;
    let folder = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let text = PLAYBOOK
        .replace("DIR", folder.path().to_str().unwrap())
        .replace("URL", &url);
    let playbook = cluster.lab.dir().join("own.yaml");
    std::fs::write(&playbook, text).unwrap();
    let playbook = playbook.to_str().unwrap();

    let secret = cluster.lab.dir().join("word");
    std::fs::write(&secret, "hunter2hunter2").unwrap();
    let word = format!("word=file:{}", secret.display());

    let plan = plan(&cluster, &[playbook, "-p", &word]).await;
    assert_eq!(plan["outcome"], "ok", "{plan:#}");
    assert!(!plan.to_string().contains("hunter2"), "{plan:#}");
    for (path, status, foreseen) in [
        ("look", "ok", json!("read")),
        ("seen", "ok", json!(null)),
        ("probed", "ok", json!(null)),
        ("touch", "ok", json!("unknown")),
        ("hangs", "may_run", json!(null)),
        ("behind", "may_run", json!(null)),
        ("beside", "ok", json!(null)),
        ("filled", "may_run", json!(null)),
        ("assumed", "ok", json!("assumed")),
        ("then", "ok", json!(null)),
        ("late", "ok", json!("unknown")),
        ("request", "ok", json!("unknown")),
    ] {
        let step = step(&plan, path);
        assert_eq!(
            (&step["status"], &step["foreseen"]),
            (&json!(status), &foreseen),
            "{path}: {step:#}"
        );
    }
    assert_eq!(step(&plan, "look")["outputs"]["count"]["value"], 1);
    assert_eq!(step(&plan, "probed")["unchanged"], true);
    assert_eq!(plan["outputs"]["late"]["type"], "unknown");
    let shown = step(&plan, "touch")["effects"][0]["rendered"].to_string();
    assert!(shown.contains("touched"), "{shown}");
    let assumptions = plan["assumptions"].to_string();
    assert!(assumptions.contains("not executed"), "{assumptions}");

    let said = cluster.pgbaton(&["plan", playbook, "-p", &word]).await;
    let said = said.expect(0);
    assert!(!said.all().contains("hunter2"), "{}", said.all());
    for part in [
        "read now: execute a statement on n1",
        "May run: it hangs on what nobody can know before",
        "`steps.touch.stdout` is not known before the run",
        "as far as it can be known",
    ] {
        assert!(said.stdout.contains(part), "{part}\n{}", said.stdout);
    }
    let touched: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(touched.is_empty(), "{touched:?}");
    assert!(listener.accept().is_err(), "a request was sent");
}

/// What a step says of whoever started the run, it says in the plan, too.
#[tokio::test(flavor = "multi_thread")]
async fn who_started_it_is_known_to_a_plan_as_to_its_run() {
    let cluster = Cluster::asynchronous("plan-who", 1).await;
    let playbook = cluster.lab.dir().join("who.yaml");
    let text = "playbook: who\nsteps:\n  say:\n    action: notify\n    with: { message: \"asked by {{ trigger.by }}\" }\noutputs:\n  by: trigger.by\n";
    std::fs::write(&playbook, text).unwrap();
    let (plan, said) = plan_then_run(&cluster, &[playbook.to_str().unwrap()]).await;
    said.expect(0);
    let by = plan["outputs"]["by"].to_string();
    assert!(by.contains('@'), "{by}");
}
