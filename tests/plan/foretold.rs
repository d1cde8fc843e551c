//! A plan beside the run that follows it.

use crate::stands;
use crate::support::{Cluster, Said};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Makes a plan, runs the same, and compares the two.
pub(crate) async fn plan_then_run(cluster: &Cluster, arguments: &[&str]) -> (Value, Said) {
    let lab = cluster.lab.name();
    let plan = plan(cluster, arguments).await;
    let all = [&["--json", "run"], arguments].concat();
    let said = cluster.pgbaton(&all).await;
    assert_eq!(
        exit_code(&plan),
        i64::from(said.code),
        "{lab}, {arguments:?}: foretold {}, and then: {:#?}",
        plan["failure"],
        said.events().last()
    );
    assert_eq!(
        statuses_of_plan(&plan),
        statuses_of_run(&said),
        "{lab}, {arguments:?}"
    );
    assert_eq!(
        effects_of_plan(&plan),
        effects_of_run(&said),
        "{lab}, {arguments:?}"
    );
    assert_eq!(
        outputs_of_plan(&plan),
        outputs_of_run(&said),
        "{lab}, {arguments:?}"
    );
    assert_eq!(
        findings_of_plan(&plan),
        findings_of_run(&said),
        "{lab}, {arguments:?}"
    );
    stands::compare(cluster, &plan, &format!("{lab}, {arguments:?}")).await;
    let status = cluster.status().await;
    assert_eq!(
        shape(&plan["after"]),
        shape(&status),
        "{lab}, {arguments:?}"
    );
    (plan, said)
}

/// The plan as data. Its exit code is the run's.
pub(crate) async fn plan(cluster: &Cluster, arguments: &[&str]) -> Value {
    let all = [&["--json", "plan"], arguments].concat();
    let said = cluster.pgbaton(&all).await;
    let plan: Value =
        serde_json::from_str(&said.stdout).unwrap_or_else(|e| panic!("{e}: {}", said.all()));
    assert_eq!(exit_code(&plan), i64::from(said.code), "{plan:#}");
    plan
}

fn exit_code(plan: &Value) -> i64 {
    match plan["outcome"].as_str().unwrap() {
        "ok" => 0,
        "failed" => 1,
        "refused" => 3,
        "degraded" => 4,
        "held" => 6,
        other => panic!("{other}"),
    }
}

/// The step of a plan at this path.
pub(crate) fn step<'p>(plan: &'p Value, path: &str) -> &'p Value {
    let steps = plan["steps"].as_array().unwrap();
    steps
        .iter()
        .find(|step| step["path"] == path)
        .unwrap_or_else(|| panic!("no step {path} in {plan:#}"))
}

/// The decisions of a plan under this topic.
pub(crate) fn decisions(plan: &Value, topic: &str) -> Vec<String> {
    let all = plan["decisions"].as_array().unwrap();
    let own = all.iter().filter(|d| d["topic"] == topic);
    own.map(|d| d["text"].as_str().unwrap().to_owned())
        .collect()
}

/// The steps of a plan, without the headings of each `finally`, which are no steps of a run.
fn steps_of(plan: &Value) -> impl Iterator<Item = &Value> {
    let steps = plan["steps"].as_array().unwrap().iter();
    steps.filter(|step| !step["path"].as_str().unwrap().ends_with("(finally)"))
}

fn statuses_of_plan(plan: &Value) -> BTreeMap<String, String> {
    steps_of(plan)
        .map(|step| {
            let text = |key: &str| step[key].as_str().unwrap().to_owned();
            (text("path"), text("status"))
        })
        .collect()
}

fn statuses_of_run(said: &Said) -> BTreeMap<String, String> {
    let mut statuses = BTreeMap::new();
    for envelope in said.events() {
        let event = &envelope["event"];
        let path = event["path"].as_str().unwrap_or_default().to_owned();
        match event["event"].as_str().unwrap() {
            "step_ended" => {
                let status = event["status"].as_str().unwrap();
                statuses.insert(path, status.to_owned());
            }
            "step_skipped" => {
                let skipped = event["reason"].get("when").is_some();
                let status = if skipped { "skipped" } else { "not_run" };
                statuses.insert(path, status.to_owned());
            }
            _ => {}
        }
    }
    statuses
}

fn effects_of_plan(plan: &Value) -> BTreeMap<String, Vec<String>> {
    let mut effects: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for step in plan["steps"].as_array().unwrap() {
        let path = step["path"].as_str().unwrap();
        for effect in step["effects"].as_array().unwrap() {
            keep(&mut effects, path, &effect["operation"]);
        }
    }
    effects
}

fn effects_of_run(said: &Said) -> BTreeMap<String, Vec<String>> {
    let mut effects: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, operation) in said.intended() {
        keep(&mut effects, &path, &operation);
    }
    effects
}

/// An operation without what differs from run to run: process ids, the run's own id, what is left of a deadline.
fn keep(effects: &mut BTreeMap<String, Vec<String>>, path: &str, operation: &Value) {
    let kind = operation["operation"].as_str().unwrap();
    // A nudge, and a receiver that stays, are matters of milliseconds: escalations that no forecast can hold.
    let nudge = kind == "reload" && path.ends_with("verify_attach");
    if nudge || kind == "end_receiver" {
        return;
    }
    let mut operation = operation.clone();
    for volatile in ["deadline", "pid", "pids", "owner"] {
        operation.as_object_mut().unwrap().remove(volatile);
    }
    let all = effects.entry(path.to_owned()).or_default();
    all.push(operation.to_string());
}

/// What a step found out or made, by path: only the positions are the run's own.
fn outputs_of_plan(plan: &Value) -> BTreeMap<String, String> {
    let own = steps_of(plan).map(|step| (&step["path"], &step["outputs"]));
    own.map(outputs).collect()
}

fn outputs_of_run(said: &Said) -> BTreeMap<String, String> {
    // A step without a turn has none.
    let statuses = statuses_of_run(said);
    let mut all: BTreeMap<String, String> = statuses
        .into_keys()
        .map(|path| (path, String::new()))
        .collect();
    for envelope in said.events() {
        let event = &envelope["event"];
        if event["event"] == "step_ended" {
            all.extend([outputs((&event["path"], &event["outputs"]))]);
        }
    }
    all
}

fn outputs((path, outputs): (&Value, &Value)) -> (String, String) {
    let outputs = outputs.as_object().unwrap().iter();
    // How far behind, how much waits, and how many slots are free while others are made beside.
    // And where a copy put the former data: its name has the time.
    let volatile = ["lag", "waiting", "bytes", "slots_free", "old"];
    let kept = outputs
        .filter(|(name, value)| value["type"] != "lsn" && !volatile.contains(&name.as_str()));
    let texts: Vec<String> = kept
        .map(|(name, value)| format!("{name}={}", value["value"]))
        .collect();
    (path.as_str().unwrap().to_owned(), texts.join(" "))
}

/// The topics of what steps decided and found, and whom `choose` chose.
fn findings_of_plan(plan: &Value) -> BTreeSet<String> {
    let all = plan["decisions"].as_array().unwrap().iter();
    all.filter_map(finding).collect()
}

fn findings_of_run(said: &Said) -> BTreeSet<String> {
    let events = said.events();
    let noted = events.iter().map(|envelope| &envelope["event"]);
    let noted = noted.filter(|event| event["event"] == "noted");
    noted
        .filter_map(|event| {
            let mut evidence = event["evidence"].clone();
            evidence["path"] = event["path"].clone();
            finding(&evidence)
        })
        .collect()
}

fn finding(evidence: &Value) -> Option<String> {
    let topic = evidence["topic"].as_str().unwrap();
    // Matters of milliseconds; and `branch` is what the effects come to, which are compared themselves.
    let volatile = ["nudge", "escalation", "orphans", "branch", "backlog"];
    (!volatile.contains(&topic)).then(|| {
        let node = &evidence["data"]["node"];
        format!("{} {topic} {node}", evidence["path"])
    })
}

/// Who is what, on which timeline, and follows whom.
fn shape(topology: &Value) -> Vec<String> {
    let rows = topology["rows"].as_array().unwrap().iter();
    rows.map(|row| {
        // What the host of a silent node adds is looked for only until it is clear who the primary was.
        let silent = row["status"] == "unreachable";
        let upstream = if silent {
            &Value::Null
        } else {
            &row["upstream"]
        };
        format!(
            "{} {} {} timeline {} upstream {} attached {}",
            row["name"], row["role"], row["status"], row["timeline"], upstream, row["attached"]
        )
    })
    .collect()
}
