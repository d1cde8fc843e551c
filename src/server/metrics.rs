//! What Prometheus scrapes. A scrape asks nobody: it tells what was last seen.

use super::looks::Table;
use super::state::Api;
use super::tally::{CLASSES, Numbers};
use crate::cluster::RowStatus;
use crate::notify::Told;
use crate::runs::Health;
use crate::trigger::{ObstacleCode, State as Stands};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use std::fmt::{Display, Write as _};
use std::sync::Arc;

/// The text format, as Prometheus names it.
pub(super) const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let seen = api.clusters.iter();
    let seen: Vec<(&str, Option<Table>)> = seen
        .map(|(name, watch)| (name.as_str(), watch.table()))
        .collect();
    let mut text = render(&seen, &api.tally.numbers(), jiff::Timestamp::now());
    let watched = api.clusters.keys();
    let watched: Vec<(&str, Stands)> = watched
        .filter_map(|name| Some((name.as_str(), api.watches.state(name)?)))
        .collect();
    text.push_str(&watches(&watched));
    text.push_str(&notifications(&api.notifier.told()));
    ([(header::CONTENT_TYPE, FORMAT)], text).into_response()
}

fn render(seen: &[(&str, Option<Table>)], numbers: &Numbers, now: jiff::Timestamp) -> String {
    let mut page = Page::default();
    page.family("pgbaton_up", "gauge", "pgbaton serves.");
    page.value("pgbaton_up", &[], 1);
    clusters(&mut page, seen, now);
    nodes(&mut page, seen);
    runs(&mut page, numbers);
    page.0
}

/// What the watches make of their clusters.
fn watches(watched: &[(&str, Stands)]) -> String {
    let mut page = Page::default();
    let name = "pgbaton_cluster_analysis";
    page.family(
        name,
        "gauge",
        "1 for the name of what the watch made of the cluster last.",
    );
    for (cluster, state) in watched {
        if let Some(found) = &state.analysis {
            let labels = [("cluster", *cluster), ("code", found.code.as_str())];
            page.value(name, &labels, 1);
        }
    }
    let name = "pgbaton_cluster_could_fail_over";
    page.family(
        name,
        "gauge",
        "1 where nothing known keeps a failover from succeeding, while the primary works.",
    );
    for (cluster, state) in watched {
        if let Some(obstacles) = &state.obstacles {
            let grave = obstacles.iter().any(|obstacle| obstacle.code.is_grave());
            page.value(name, &[("cluster", *cluster)], u8::from(!grave));
        }
    }
    let name = "pgbaton_cluster_failover_obstacle";
    page.family(
        name,
        "gauge",
        "1 for each thing that a failover would meet, 0 for those that it would not, while the primary works.",
    );
    for (cluster, state) in watched {
        for code in ObstacleCode::ALL {
            if let Some(obstacles) = &state.obstacles {
                let is = obstacles.iter().any(|obstacle| obstacle.code == code);
                let labels = [("cluster", *cluster), ("reason", code.as_str())];
                page.value(name, &labels, u8::from(is));
            }
        }
    }
    let name = "pgbaton_failover_sign_to_write_seconds";
    page.family(
        name,
        "gauge",
        "From the first sign of a loss to the write that the new primary was seen to take; of the last failover that was started here by itself.",
    );
    for (cluster, state) in watched {
        if let Some(gap) = &state.gap {
            page.value(name, &[("cluster", *cluster)], gap.seconds);
        }
    }
    page.0
}

/// What became of what was to be told.
fn notifications(told: &[Told]) -> String {
    let mut page = Page::default();
    let name = "pgbaton_notifications_delivered_total";
    page.family(name, "counter", "Notifications that have arrived.");
    for target in told {
        page.value(name, &[("target", &target.target)], target.delivered);
    }
    let name = "pgbaton_notifications_dropped_total";
    page.family(
        name,
        "counter",
        "Notifications that were given up: after the last try, or because too many waited.",
    );
    for target in told {
        for (reason, count) in [("failed", target.failed), ("no_room", target.no_room)] {
            let labels = [("target", target.target.as_str()), ("reason", reason)];
            page.value(name, &labels, count);
        }
    }
    let name = "pgbaton_notifications_waiting";
    page.family(
        name,
        "gauge",
        "Notifications that wait, or are being delivered.",
    );
    for target in told {
        page.value(name, &[("target", &target.target)], target.waiting);
    }
    page.0
}

fn clusters(page: &mut Page, seen: &[(&str, Option<Table>)], now: jiff::Timestamp) {
    let name = "pgbaton_cluster_health";
    page.family(
        name,
        "gauge",
        "1 for what the cluster came to when it was last looked at.",
    );
    for (cluster, table) in told(seen) {
        let health = Health::of(&table.topology);
        for state in [Health::Ok, Health::Degraded, Health::NoPrimary] {
            let labels = [("cluster", cluster), ("health", state.as_str())];
            page.value(name, &labels, u8::from(state == health));
        }
    }
    let name = "pgbaton_cluster_look_age_seconds";
    page.family(
        name,
        "gauge",
        "How long ago the cluster was last looked at.",
    );
    for (cluster, table) in told(seen) {
        let age = now.duration_since(table.at).as_secs_f64().max(0.0);
        page.value(name, &[("cluster", cluster)], age);
    }
}

fn nodes(page: &mut Page, seen: &[(&str, Option<Table>)]) {
    type Value = fn(&crate::cluster::Row) -> Option<i64>;
    let families: [(&str, &str, Value); 4] = [
        (
            "pgbaton_node_reachable",
            "1 where the node answered.",
            |row| Some(i64::from(row.status == RowStatus::Running)),
        ),
        (
            "pgbaton_node_attached",
            "1 where the standby streams.",
            |row| {
                let standby = row.role.as_deref() == Some("standby");
                standby.then(|| i64::from(row.attached))
            },
        ),
        (
            "pgbaton_node_lag_bytes",
            "WAL that the standby is behind the primary.",
            |row| row.lag,
        ),
        (
            "pgbaton_node_timeline",
            "The timeline that the node is on.",
            |row| row.timeline.map(|timeline| i64::from(timeline.0)),
        ),
    ];
    for (name, help, value) in families {
        page.family(name, "gauge", help);
        for (cluster, table) in told(seen) {
            for row in &table.topology.rows {
                if let Some(value) = value(row) {
                    let labels = [("cluster", cluster), ("node", row.name.as_str())];
                    page.value(name, &labels, value);
                }
            }
        }
    }
    let name = "pgbaton_node_role";
    page.family(
        name,
        "gauge",
        "1 for the role that the node has; unknown where it did not tell.",
    );
    for (cluster, table) in told(seen) {
        for row in &table.topology.rows {
            for role in ["primary", "standby", "unknown"] {
                let labels = [
                    ("cluster", cluster),
                    ("node", row.name.as_str()),
                    ("role", role),
                ];
                let is = row.role.as_deref().unwrap_or("unknown") == role;
                page.value(name, &labels, u8::from(is));
            }
        }
    }
}

fn runs(page: &mut Page, numbers: &Numbers) {
    let name = "pgbaton_journal_up";
    page.family(
        name,
        "gauge",
        "1 where runs could be recorded in the journal the last time.",
    );
    page.value(name, &[], u8::from(numbers.journal == Some(true)));
    let name = "pgbaton_runs_unended";
    page.family(
        name,
        "gauge",
        "Runs that have not ended, by how they stand.",
    );
    for ((cluster, standing), count) in &numbers.unended {
        page.value(name, &[("cluster", cluster), ("standing", standing)], count);
    }
    let name = "pgbaton_runs_total";
    page.family(
        name,
        "counter",
        "Runs that have ended since pgbaton began to serve.",
    );
    for (class, count) in &numbers.counts {
        for (outcome, ended) in &count.ended {
            let labels = [
                ("cluster", class.cluster.as_str()),
                ("playbook", class.playbook.as_str()),
                ("outcome", outcome),
            ];
            page.value(name, &labels, ended);
        }
    }
    let name = "pgbaton_run_duration_seconds";
    page.family(name, "histogram", "How long they took.");
    for (class, count) in &numbers.counts {
        let of = [
            ("cluster", class.cluster.as_str()),
            ("playbook", class.playbook.as_str()),
        ];
        let all: u64 = count.ended.values().sum();
        let ends = CLASSES.map(|end| end.to_string());
        let within = ends.iter().map(String::as_str).zip(count.within);
        for (end, within) in within.chain([("+Inf", all)]) {
            let labels = [of[0], of[1], ("le", end)];
            page.value("pgbaton_run_duration_seconds_bucket", &labels, within);
        }
        page.value("pgbaton_run_duration_seconds_sum", &of, count.seconds);
        page.value("pgbaton_run_duration_seconds_count", &of, all);
    }
}

fn told<'s>(seen: &'s [(&'s str, Option<Table>)]) -> impl Iterator<Item = (&'s str, &'s Table)> {
    seen.iter()
        .filter_map(|(cluster, table)| Some((*cluster, table.as_ref()?)))
}

/// A page in the text format.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let lead = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{lead}{label}=\"{}\"", escaped(text));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_break_out_of_their_line() {
        let mut page = Page::default();
        page.value("m", &[("a", "x\"} 1\nevil \\"), ("b", "y")], 2.5);
        assert_eq!(page.0, "m{a=\"x\\\"} 1\\nevil \\\\\",b=\"y\"} 2.5\n");
    }

    #[test]
    fn before_the_first_look_nothing_is_said_of_nodes() {
        let now = jiff::Timestamp::now();
        let text = render(&[("orders", None)], &Numbers::default(), now);
        assert!(text.contains("pgbaton_up 1\n"), "{text}");
        assert!(text.contains("pgbaton_journal_up 0\n"), "{text}");
        assert!(!text.contains("orders"), "{text}");
    }
}
