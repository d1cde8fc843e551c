//! The dashboard and the alerts of the documentation ask for numbers that there are.

use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The names in an expression that are ours.
fn names(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("pgbaton_"))
        .map(ToOwned::to_owned)
        .collect()
}

/// All that are asked for, each with where.
fn asked() -> Vec<(String, String)> {
    let read = |name: &str| std::fs::read_to_string(place(name)).unwrap();
    let dashboard: Json = serde_json::from_str(&read("docs/grafana/pgbaton.json")).unwrap();
    let mut all = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let found = names(target["expr"].as_str().unwrap());
            assert!(!found.is_empty(), "{panel:#}");
            let title = panel["title"].as_str().unwrap();
            all.extend(found.into_iter().map(|name| (name, title.to_owned())));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let found = names(&variable["query"].to_string());
        all.extend(
            found
                .into_iter()
                .map(|name| (name, "a variable".to_owned())),
        );
    }
    let alerts: Json = serde_yaml::from_str(&read("docs/examples/alerts.yaml")).unwrap();
    for group in alerts["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            let found = names(rule["expr"].as_str().unwrap());
            let title = rule["alert"].as_str().unwrap();
            all.extend(found.into_iter().map(|name| (name, title.to_owned())));
        }
    }
    all
}

/// Every number that a panel or an alert asks for is one that is told, under its very name.
pub(crate) fn assert_known(metrics: &str) {
    let mut known = BTreeSet::new();
    for line in metrics.lines() {
        let Some(rest) = line.strip_prefix("# TYPE ") else {
            continue;
        };
        let (name, kind) = rest.split_once(' ').unwrap();
        if kind == "histogram" {
            known.extend(["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")));
        } else {
            known.insert(name.to_owned());
        }
    }
    let asked = asked();
    assert!(asked.len() > 20, "{asked:?}");
    let wrong: Vec<_> = asked
        .iter()
        .filter(|(name, _)| !known.contains(name))
        .collect();
    assert!(wrong.is_empty(), "nobody tells {wrong:?}");
    // What nobody looks at is not worth telling.
    let told: BTreeSet<&String> = asked.iter().map(|(name, _)| name).collect();
    let unseen: Vec<_> = known.iter().filter(|name| !told.contains(name)).collect();
    let rest = ["_sum", "_count"];
    let unseen: Vec<_> = unseen
        .into_iter()
        .filter(|name| !rest.iter().any(|end| name.ends_with(end)))
        .collect();
    assert!(unseen.is_empty(), "no panel shows {unseen:?}");
}

/// By Prometheus' own tool: that they are alerts, and when they are raised.
#[test]
fn the_alerts_are_raised_when_they_should_be() {
    for (words, file) in [
        (["check", "rules"], "docs/examples/alerts.yaml"),
        (["test", "rules"], "tests/fixtures/alerts.test.yaml"),
    ] {
        let done = Command::new("promtool")
            .args(words)
            .arg(place(file))
            .output();
        let done = done.expect("scripts/test installs prometheus");
        assert!(done.status.success(), "{file}: {done:?}");
    }
}
