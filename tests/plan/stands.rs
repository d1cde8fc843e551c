//! Where the servers stand after a run, asked by the test itself, beside what a plan foretold of them: settings, slots,
//! timelines, roles, and whose position is before whose.

use crate::support::Cluster;
use pgbaton::cluster::Lsn;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Facts of all nodes that answer, by name; those that nobody could foretell are left out on both sides.
type Facts = BTreeMap<String, String>;

/// Compares. Servers are asked again until they agree: the last of a run's effects take their time to show.
pub(crate) async fn compare(cluster: &Cluster, plan: &Value, what: &str) {
    let foretold = foretold(plan);
    let mut found = Facts::new();
    for _ in 0..200 {
        found = ask(cluster, plan).await;
        found.retain(|fact, _| foretold.contains_key(fact) || fact.contains(" slot "));
        if found == foretold {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let told: Vec<String> = foretold.iter().map(|(k, v)| format!("{k}: {v}")).collect();
    let seen: Vec<String> = found.iter().map(|(k, v)| format!("{k}: {v}")).collect();
    let missing: Vec<&String> = told.iter().filter(|f| !seen.contains(f)).collect();
    let more: Vec<&String> = seen.iter().filter(|f| !told.contains(f)).collect();
    panic!("{what}: foretold {missing:#?}, found {more:#?}");
}

fn foretold(plan: &Value) -> Facts {
    let mut facts = Facts::new();
    let mut positions = Vec::new();
    for row in answering(plan) {
        let name = row["name"].as_str().unwrap();
        let detail = &plan["details_after"][name];
        let mut say = |what: &str, value: &Value| {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            facts.insert(format!("{name} {what}"), text);
        };
        say("role", &row["role"]);
        // None where nobody gets a word by the replication protocol.
        if !row["timeline"].is_null() {
            say("timeline", &row["timeline"]);
        }
        let follows = &detail["follows"];
        say("follows", if follows.is_null() { &NOBODY } else { follows });
        for setting in [
            "primary_slot_name",
            "restore_command",
            "synchronous_standby_names",
        ] {
            // Of a server that was down nobody knew it.
            if !detail[setting].is_null() {
                say(setting, &detail[setting]);
            }
        }
        for (slot, about) in detail["slots"].as_object().unwrap() {
            let how = format!(
                "physical {} active {} lost {}",
                about["physical"], about["active"], about["lost"]
            );
            say(&format!("slot {slot}"), &how.into());
        }
        positions.push((at(row["at"].as_str()), name.to_owned()));
    }
    facts.insert("order of positions".to_owned(), order(positions));
    facts
}

static NOBODY: Value = Value::String(String::new());

/// The rows of the nodes that answer after the run, as foretold.
fn answering(plan: &Value) -> impl Iterator<Item = &Value> {
    let rows = plan["after"]["rows"].as_array().unwrap();
    rows.iter().filter(|row| row["status"] == "running")
}

/// One row for each slot, one at least.
const QUESTION: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END,
    CASE WHEN pg_is_in_recovery() THEN (SELECT received_tli FROM pg_stat_wal_receiver WHERE status = 'streaming')
         ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
    coalesce(substring(current_setting('primary_conninfo') FROM 'host=''?([0-9.]+)') || ':'
        || substring(current_setting('primary_conninfo') FROM 'port=''?([0-9]+)'), ''),
    current_setting('primary_slot_name'), current_setting('restore_command') <> '',
    current_setting('synchronous_standby_names'),
    CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
         ELSE pg_current_wal_flush_lsn() END,
    s.slot_name, s.slot_type = 'physical', s.active, coalesce(s.wal_status, '') = 'lost'
    FROM (SELECT 1) one LEFT JOIN pg_replication_slots s ON true";

async fn ask(cluster: &Cluster, plan: &Value) -> Facts {
    let mut facts = Facts::new();
    let mut positions = Vec::new();
    for row in answering(plan) {
        let name = row["name"].as_str().unwrap();
        let answer = cluster.rows(name, QUESTION).await;
        let mut say = |what: &str, value: &str| {
            facts.insert(format!("{name} {what}"), value.to_owned());
        };
        for row in &answer {
            let field = |index: usize| row[index].as_deref().unwrap_or_default();
            let truth = |index: usize| field(index) == "t";
            say("role", field(0));
            // Of a standby that streams from nobody the table of `status` tells.
            say("timeline", row[1].as_deref().unwrap_or("not told"));
            say("follows", &node_at(cluster, field(2)));
            say("primary_slot_name", field(3));
            say("restore_command", &truth(4).to_string());
            say("synchronous_standby_names", field(5));
            if row[7].is_some() {
                let how = format!(
                    "physical {} active {} lost {}",
                    truth(8),
                    truth(9),
                    truth(10)
                );
                say(&format!("slot {}", field(7)), &how);
            }
        }
        positions.push((at(answer[0][6].as_deref()), name.to_owned()));
        if facts[&format!("{name} timeline")] == "not told" {
            let foretold = row["timeline"].to_string();
            facts.insert(format!("{name} timeline"), foretold);
        }
    }
    facts.insert("order of positions".to_owned(), order(positions));
    facts
}

fn node_at(cluster: &Cluster, address: &str) -> String {
    let mut nodes = cluster.lab.nodes();
    let found = nodes.find(|node| {
        let endpoint = cluster.endpoint(node.as_str());
        format!("{}:{}", endpoint.host, endpoint.port) == address
    });
    found.map_or_else(|| address.to_owned(), ToString::to_string)
}

fn at(text: Option<&str>) -> Lsn {
    text.unwrap().parse().unwrap()
}

/// Who holds more than whom: `n2 > n1 = n3`.
fn order(mut positions: Vec<(Lsn, String)>) -> String {
    positions.sort_by(|(a, left), (b, right)| b.cmp(a).then(left.cmp(right)));
    let mut text = String::new();
    let mut before = None;
    for (at, name) in positions {
        text.push_str(match before {
            None => "",
            Some(before) if before == at => " = ",
            Some(_) => " > ",
        });
        text.push_str(&name);
        before = Some(at);
    }
    text
}
