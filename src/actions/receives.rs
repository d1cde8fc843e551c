//! From whom a standby receives, or may receive at any moment: by its walreceiver and by its setting.

use crate::cluster::{Inventory, NodeName, Server};

/// From whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// It has no walreceiver, and no setting that could start one.
    Nobody,
    /// This node of the cluster.
    Node(NodeName),
    /// Somebody whom the site file does not name by that address, or one of several: it may be anybody. What it does.
    Perhaps(String),
}

/// What a standby's walreceiver is connected to counts, and what its setting says: one that has changed meanwhile is not yet
/// what is received, and is what will be received at the next attempt. Where the two differ, either may come. A setting that
/// names several hosts may lead to any of them.
pub(super) fn source(
    inventory: &Inventory,
    server: &Server,
    setting: Option<&(String, u16)>,
) -> Source {
    let name_of = |host: &str, port: u16| inventory.node_at(host, port).map(|n| n.name.clone());
    if let Some(receiver) = server.receiver.as_ref().filter(|r| !r.host.is_empty()) {
        let set = setting.map(|(host, port)| name_of(host, *port));
        let connected = name_of(&receiver.host, receiver.port);
        if let (Some(set), Some(node)) = (set, &connected)
            && set.as_ref() != Some(node)
        {
            return Source::Perhaps(format!(
                "receives from {node}, and its setting says something else"
            ));
        }
        return connected.map_or_else(
            || {
                Source::Perhaps(format!(
                    "receives from {}:{}, which is the address of no node",
                    receiver.host, receiver.port
                ))
            },
            Source::Node,
        );
    }
    match setting {
        None if server.receiver_pid.is_some() || server.receiver.is_some() => {
            Source::Perhaps("has a walreceiver that does not say whom it asks".to_owned())
        }
        None => Source::Nobody,
        Some((host, port)) => name_of(host, *port).map_or_else(
            || {
                Source::Perhaps(format!(
                    "is set to receive from {host}:{port}, which is the address of no node"
                ))
            },
            Source::Node,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Receiver, StartupState};
    use serde_json::json;

    fn inventory() -> Inventory {
        let node = |name: &str, id: u32, host: &str| {
            json!({
                "name": name, "id": id, "host": host, "port": 5432, "priority": 100, "location": "", "promote": "allowed",
                "data": "/d", "bin": "/b", "transport": "none", "log": null, "forbid_return": null, "allow_return": null,
            })
        };
        serde_json::from_value(json!({
            "cluster": "c", "product": "postgresql",
            "nodes": { "n1": node("n1", 1, "a"), "n2": node("n2", 2, "b") },
            "sql": {
                "user": "u", "dbname": "d", "passfile": null, "password": null, "sslmode": "disable", "sslrootcert": null,
            },
            "replication": { "user": "u", "passfile": null, "options": {} },
            "synchronous": { "mode": "off", "acks": 1 },
        }))
        .unwrap()
    }

    fn standby(receiver: Option<(&str, u16)>, pid: Option<u32>) -> Server {
        Server {
            version: 150_000,
            in_recovery: true,
            written: None,
            received: None,
            replayed: None,
            replay_paused: false,
            startup: StartupState::WaitsForWal,
            receiver: receiver.map(|(host, port)| Receiver {
                pid: 7,
                status: "streaming".to_owned(),
                host: host.to_owned(),
                port,
                slot: None,
                timeline: None,
                flushed: None,
                silent_ms: None,
            }),
            receiver_pid: pid,
            senders: 0,
        }
    }

    #[test]
    fn both_the_connection_and_the_setting_count() {
        let inventory = inventory();
        let node = |name: &str| Source::Node(NodeName::parse(name).unwrap());
        let at = |host: &str| Some((host.to_owned(), 5432));
        for (receiver, pid, setting, expected) in [
            (Some(("a", 5432)), Some(7), at("a"), Some(node("n1"))),
            (Some(("a", 5432)), Some(7), at("b"), None),
            (Some(("b", 5432)), Some(7), at("a"), None),
            (Some(("a", 5432)), Some(7), at("a,b"), None),
            (Some(("", 0)), None, None, None),
            (Some(("a", 5432)), Some(7), None, Some(node("n1"))),
            (None, None, at("b"), Some(node("n2"))),
            (None, None, None, Some(Source::Nobody)),
            (None, Some(7), None, None),
            (Some(("10.0.0.9", 5432)), Some(7), at("b"), None),
            (None, None, at("a,b"), None),
        ] {
            let found = source(&inventory, &standby(receiver, pid), setting.as_ref());
            match expected {
                Some(expected) => assert_eq!(found, expected, "{receiver:?} {setting:?}"),
                None => assert!(matches!(found, Source::Perhaps(_)), "{found:?}"),
            }
        }
    }
}
