//! The facts of all nodes at one moment: for the table, and pinned for expressions.

mod lost;

use crate::cluster::{
    Identity, Inventory, Lsn, Manager, Node, NodeName, Observe, Row, RowStatus, Server, Topology,
    Trouble, TroubleKind,
};
use crate::playbook::{Map, Value};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long one node may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(3);

/// The same for one that was silent just now.
const MOMENT: Duration = Duration::from_millis(100);

/// What one node said.
struct View {
    server: Result<Server, Trouble>,
    identity: Option<Identity>,
    upstream: Option<(String, u16)>,
}

/// Asks every node at once; takes no longer than the slowest, and never longer than [`PATIENCE`].
pub async fn topology(cluster: &dyn Observe) -> Topology {
    topology_but(cluster, &[]).await
}

/// The same; these nodes are hardly waited for.
pub(super) async fn topology_but(cluster: &dyn Observe, silent: &[NodeName]) -> Topology {
    let inventory = cluster.inventory();
    let mut nodes: Vec<&Node> = inventory.nodes.values().collect();
    nodes.sort_by_key(|node| node.id);
    let views = nodes.iter().map(|node| {
        let is_silent = silent.contains(&node.name);
        let patience = if is_silent { MOMENT } else { PATIENCE };
        view(cluster, &node.name, patience)
    });
    let views = join_all(views).await;
    let primary_at = primary_position(&views);
    let rows = nodes
        .iter()
        .zip(&views)
        .map(|(node, view)| row(inventory, node, view, primary_at))
        .collect();
    let mut topology = Topology {
        cluster: inventory.cluster.clone(),
        rows,
    };
    note_problems(&mut topology.rows);
    note_synchronous(cluster, &mut topology.rows);
    lost::clear_up(cluster, &mut topology).await;
    topology
}

/// Who else manages the nodes, as far as they say so within [`PATIENCE`].
pub(super) async fn managers(cluster: &dyn Observe) -> Vec<(NodeName, Manager)> {
    let nodes: Vec<&NodeName> = cluster.inventory().nodes.keys().collect();
    let looks = nodes
        .iter()
        .map(|node| tokio::time::timeout(PATIENCE, cluster.managers(node)));
    let told = join_all(looks).await;
    let told = nodes.into_iter().zip(told);
    told.filter_map(|(node, told)| Some((node, told.ok()?.ok()?)))
        .flat_map(|(node, managers)| managers.found.into_iter().map(|m| (node.clone(), m)))
        .collect()
}

async fn view(cluster: &dyn Observe, node: &NodeName, patience: Duration) -> View {
    // A server that does not answer ends the look at its node: what its files say would take longer to find out, and is
    // shown nowhere.
    let asked = tokio::time::timeout(patience, async {
        tokio::try_join!(
            cluster.server(node),
            async { Ok(cluster.identify(node).await) },
            async { Ok(cluster.upstream(node).await) }
        )
    })
    .await;
    let silent = |trouble| View {
        server: Err(trouble),
        identity: None,
        upstream: None,
    };
    match asked {
        Ok(Ok((server, identity, upstream))) => View {
            server: Ok(server),
            identity: identity.ok(),
            upstream: upstream.ok().flatten(),
        },
        Ok(Err(trouble)) => silent(trouble),
        Err(_) => silent(Trouble::on(
            TroubleKind::Timeout,
            node,
            format!("no answer within {patience:?}"),
        )),
    }
}

/// The position of the one primary; none when there is none or more than one.
fn primary_position(views: &[View]) -> Option<Lsn> {
    let mut primaries = views
        .iter()
        .filter_map(|v| v.server.as_ref().ok().filter(|s| !s.in_recovery));
    let first = primaries.next()?;
    if primaries.next().is_some() {
        None
    } else {
        first.position()
    }
}

fn row(inventory: &Inventory, node: &Node, view: &View, primary_at: Option<Lsn>) -> Row {
    let mut row = Row {
        id: node.id,
        name: node.name.clone(),
        role: None,
        status: RowStatus::Running,
        upstream: None,
        attached: false,
        location: node.location.clone(),
        priority: node.priority,
        timeline: view.identity.map(|i| i.timeline),
        at: None,
        lag: None,
        note: None,
        was: None,
    };
    let server = match &view.server {
        Ok(server) => server,
        Err(trouble) => {
            row.status = match trouble.kind {
                TroubleKind::Denied | TroubleKind::Failed | TroubleKind::Conflict => {
                    RowStatus::Rejecting
                }
                _ => RowStatus::Unreachable,
            };
            row.note = Some(trouble.message.clone());
            return row;
        }
    };
    row.role = Some(
        if server.in_recovery {
            "standby"
        } else {
            "primary"
        }
        .to_owned(),
    );
    row.at = server.position();
    if !server.in_recovery {
        return row;
    }
    let name_of = |host: &str, port: u16| name_at(inventory, host, port);
    row.lag = primary_at
        .zip(row.at)
        .map(|(primary, at)| primary.bytes_since(at).max(0));
    match &server.receiver {
        Some(receiver) => {
            row.upstream = Some(name_of(&receiver.host, receiver.port));
            row.attached = receiver.status == "streaming";
        }
        None => {
            row.upstream = view
                .upstream
                .as_ref()
                .map(|(host, port)| name_of(host, *port));
        }
    }
    row
}

/// The node at an address; the address where it is nobody's.
fn name_at(inventory: &Inventory, host: &str, port: u16) -> String {
    inventory
        .node_at(host, port)
        .map_or_else(|| format!("{host}:{port}"), |n| n.name.to_string())
}

/// What the table alone does not say.
fn note_problems(rows: &mut [Row]) {
    let timelines: BTreeMap<String, _> = rows
        .iter()
        .filter_map(|r| r.timeline.map(|t| (r.name.to_string(), t)))
        .collect();
    let primaries = rows
        .iter()
        .filter(|r| r.role.as_deref() == Some("primary"))
        .count();
    for row in rows
        .iter_mut()
        .filter(|r| r.status == RowStatus::Running && r.note.is_none())
    {
        row.note = match (row.role.as_deref(), &row.upstream) {
            (Some("primary"), _) if primaries > 1 => {
                Some("there is more than one primary".to_owned())
            }
            (Some("standby"), None) => {
                Some("follows nobody: it is frozen, or was never told whom to follow".to_owned())
            }
            (Some("standby"), Some(upstream)) if !row.attached => {
                Some(format!("is not attached to {upstream}"))
            }
            (Some("standby"), Some(upstream)) => match (row.timeline, timelines.get(upstream)) {
                (Some(mine), Some(theirs)) if mine != *theirs => {
                    Some(format!("is on timeline {mine}, its upstream on {theirs}"))
                }
                _ => None,
            },
            _ => None,
        };
    }
}

/// Whether commits wait for whom the site file says. Told by what the primary said of itself a moment ago.
fn note_synchronous(cluster: &dyn Observe, rows: &mut [Row]) {
    let inventory = cluster.inventory();
    let others = |primary: &NodeName| -> Vec<NodeName> {
        let names = inventory.nodes.keys();
        names.filter(|n| *n != primary).cloned().collect()
    };
    let Some(primary) = rows
        .iter()
        .position(|r| r.role.as_deref() == Some("primary") && r.note.is_none())
    else {
        return;
    };
    let name = rows[primary].name.clone();
    let direct: Vec<NodeName> = rows
        .iter()
        .filter(|r| r.attached && r.upstream.as_deref() == Some(name.as_str()))
        .map(|r| r.name.clone())
        .collect();
    if let Some(running) = cluster.remembered(&name).synchronous_standby_names {
        rows[primary].note =
            inventory
                .synchronous
                .deviation(&running.value, &others(&name), &direct);
    }
}

/// What expressions see under `cluster`: inventory and facts, pinned when the run starts.
pub fn pinned(inventory: &Inventory, topology: &Topology) -> Map {
    let names = |wanted: &dyn Fn(&Row) -> bool| -> Value {
        topology
            .rows
            .iter()
            .filter(|r| wanted(r))
            .map(|r| r.name.as_str())
            .collect::<Vec<_>>()
            .into()
    };
    let orphans: Vec<&NodeName> = topology
        .orphans(inventory)
        .iter()
        .map(|row| &row.name)
        .collect();
    let mut nodes = Map::new();
    for row in &topology.rows {
        let Some(node) = inventory.node(&row.name) else {
            continue;
        };
        let mut about = written_node(node);
        about.extend(map([
            ("reachable", (row.status == RowStatus::Running).into()),
            ("role", row.role.as_deref().into()),
            ("upstream", row.upstream.as_deref().into()),
            ("attached", row.attached.into()),
            ("timeline", row.timeline.map(|t| i64::from(t.0)).into()),
            ("position", row.at.into()),
            ("lag", row.lag.into()),
        ]));
        nodes.insert(row.name.to_string(), Value::Map(about));
    }
    let mut all = written(inventory);
    all.extend(map([
        (
            "primary",
            topology
                .presumed_primary(inventory)
                .map(|n| n.to_string())
                .into(),
        ),
        ("names", names(&|_| true)),
        ("members", names(&|r| r.status == RowStatus::Running)),
        ("standbys", names(&|r| r.role.as_deref() == Some("standby"))),
        ("orphans", names(&|r| orphans.contains(&&r.name))),
        ("nodes", Value::Map(nodes)),
    ]));
    all
}

/// What the site file alone says of the cluster, under the same names; no server is asked.
pub fn written(inventory: &Inventory) -> Map {
    let mut nodes: Vec<&Node> = inventory.nodes.values().collect();
    nodes.sort_by_key(|node| node.id);
    let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    let product = if inventory.product == crate::cluster::Product::Kingbase {
        "kingbase"
    } else {
        "postgresql"
    };
    let about = nodes
        .iter()
        .map(|node| (node.name.to_string(), Value::Map(written_node(node))));
    map([
        ("name", inventory.cluster.as_str().into()),
        ("product", product.into()),
        ("repmgr", inventory.repmgr.is_some().into()),
        ("names", names.into()),
        ("nodes", Value::Map(about.collect())),
    ])
}

fn written_node(node: &Node) -> Map {
    let promote = if node.promote == crate::cluster::PromotePolicy::Allowed {
        "allowed"
    } else {
        "never"
    };
    map([
        ("name", node.name.as_str().into()),
        ("id", i64::from(node.id).into()),
        ("host", node.host.as_str().into()),
        ("port", i64::from(node.port).into()),
        ("priority", node.priority.into()),
        ("location", node.location.as_str().into()),
        ("promote", promote.into()),
    ])
}

fn map<const N: usize>(pairs: [(&str, Value); N]) -> Map {
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Diagnostics, Source};
    use crate::playbook::check;
    use crate::runs::Shelves;
    use crate::site::Site;

    /// What the checker says of a playbook with this condition.
    fn said(condition: &str) -> String {
        let text = format!(
            "playbook: p\nsteps:\n  a: {{ action: notify, when: \"{condition}\", with: {{ message: x }} }}\n"
        );
        let mut diagnostics = Diagnostics::default();
        check(
            &Source::new("p.yaml", text.as_str()),
            &crate::actions::catalog(),
            &Shelves::beside(None),
            &mut diagnostics,
        );
        diagnostics.render(false, 400)
    }

    /// The names that the checker knows, from its advice on one that it does not.
    fn known(under: &str) -> Vec<String> {
        let said = said(&format!("{under}.zzzzzzzzzzzz == null"));
        let (_, names) = said.split_once("it has: ").expect("advice");
        let line = names.lines().next().unwrap_or_default();
        let mut names: Vec<String> = line.split(", ").map(|n| n.trim().to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_checker_knows_the_facts_that_are_pinned_and_no_others() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("site.yaml");
        let text = "site: s\nclusters:\n  c:\n    sql: { user: u }\n    replication: { user: r }\n    transport: local\n    \
                    defaults: { data: /d, bin: /b }\n    nodes: { n1: { host: h } }\n";
        std::fs::write(&file, text).expect("site file");
        let site = Site::load(&file).expect("site");
        let inventory = &site.clusters["c"];
        let node = inventory.nodes.values().next().expect("node");
        let silent = Trouble::on(TroubleKind::Unreachable, &node.name, "gone");
        let view = View {
            server: Err(silent),
            identity: None,
            upstream: None,
        };
        let topology = Topology {
            cluster: "c".to_owned(),
            rows: vec![row(inventory, node, &view, None)],
        };
        let pinned = pinned(inventory, &topology);
        let names = |map: &Map| map.keys().cloned().collect::<Vec<_>>();
        assert_eq!(known("cluster"), names(&pinned));
        let Some(Value::Map(nodes)) = pinned.get("nodes") else {
            panic!("no nodes")
        };
        let Some(Value::Map(facts)) = nodes.get("n1") else {
            panic!("no node")
        };
        assert_eq!(known("cluster.nodes['n1']"), names(facts));
    }
}
