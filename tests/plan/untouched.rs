//! A plan changes nothing: not on the servers, not on their hosts, not here.

use crate::support::{Cluster, name};
use std::collections::BTreeMap;
use std::path::Path;

const NODES: [&str; 3] = ["n1", "n2", "n3"];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_anywhere() {
    let cluster = Cluster::up("plan-clean", 2).await;
    for node in NODES {
        cluster
            .tell(node, "ALTER SYSTEM SET log_statement = 'all'")
            .await;
        cluster.tell(node, "SELECT pg_reload_conf()").await;
        cluster.until(node, "SHOW log_statement", "all").await;
    }
    let before = everything(&cluster).await;
    let logged: Vec<usize> = NODES.iter().map(|node| log(&cluster, node).len()).collect();
    for arguments in [
        &["plan", "switchover", "-p", "candidate=n2"][..],
        &["plan", "failover"],
        &["plan", "follow", "-p", "node=n3", "-p", "upstream=n2"],
    ] {
        cluster.pgbaton(arguments).await;
    }
    let mut looked = 0;
    for (node, from) in NODES.iter().zip(logged) {
        let log = log(&cluster, node);
        for line in log[from..].lines().filter_map(statement) {
            looked += 1;
            assert!(harmless(line), "{node}: {line}");
        }
    }
    assert!(looked > 20, "the statements are in the log: {looked}");
    assert_eq!(everything(&cluster).await, before);
}

fn log(cluster: &Cluster, node: &str) -> String {
    let file = cluster.lab.log(&name(node));
    String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned()
}

/// The statement of a line of the log, where it has one.
fn statement(line: &str) -> Option<&str> {
    for begin in ["LOG:  statement: ", "LOG:  execute "] {
        if let Some((_, rest)) = line.split_once(begin) {
            return Some(
                rest.split_once(": ")
                    .filter(|_| begin.ends_with("execute "))
                    .map_or(rest, |(_, text)| text),
            );
        }
    }
    None
}

/// It only asks.
fn harmless(statement: &str) -> bool {
    const EFFECTS: [&str; 9] = [
        "pg_promote",
        "pg_reload_conf",
        "pg_create_physical",
        "pg_drop_",
        "pg_logical_emit_message",
        "pg_terminate_backend",
        "pg_switch_wal",
        "set_config",
        "pg_wal_replay",
    ];
    let begins = ["SELECT", "SHOW", "WITH", "BEGIN", "COMMIT", "SET "];
    let lower = statement.trim_start();
    // A question is planned once in a session, and executed by its name from then on.
    if let Some(planned) = lower.strip_prefix("PREPARE ") {
        return planned
            .split_once(" AS ")
            .is_some_and(|(_, question)| harmless(question));
    }
    if lower.starts_with("EXECUTE pgbaton_") {
        return true;
    }
    begins.iter().any(|word| lower.starts_with(word))
        && EFFECTS
            .iter()
            .filter(|word| **word != "pg_wal_replay")
            .all(|word| !lower.contains(word))
}

/// Slots, settings and files of all nodes, and the files of the lab: journal and leases are among them.
async fn everything(cluster: &Cluster) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for node in NODES {
        for (what, question) in [
            (
                "slots",
                "SELECT string_agg(slot_name || active, ',' ORDER BY slot_name) FROM pg_replication_slots",
            ),
            (
                "files",
                "SELECT string_agg(name || '=' || setting, ',' ORDER BY seqno) FROM pg_file_settings",
            ),
            ("recovery", "SELECT pg_is_in_recovery()"),
        ] {
            all.insert(format!("{node} {what}"), cluster.ask(node, question).await);
        }
        let data = cluster.data(node);
        all.insert(format!("{node} names"), names(&data));
        let auto = std::fs::metadata(data.join("postgresql.auto.conf")).unwrap();
        all.insert(
            format!("{node} auto.conf"),
            format!("{:?}", auto.modified().unwrap()),
        );
    }
    let mut here = Vec::new();
    walk(cluster.lab.dir(), &mut here);
    here.sort();
    all.insert("here".to_owned(), here.join("\n"));
    all
}

fn names(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names.join(" ")
}

/// Everything of the lab but what is within the servers' own folders.
fn walk(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("data") {
            walk(&path, found);
        }
        found.push(path.display().to_string());
    }
}
