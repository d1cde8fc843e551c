//! What a site file says of what was found, and what it leaves to a person.

use super::conf::Conf;
use super::{Draft, Found, draft};
use crate::cluster::{
    Inventory, NodeName, Product, PromotePolicy, SyncMode, Transport, Trouble, TroubleKind,
};
use crate::document::Source;
use crate::postgres::{Door, Registered, Registry, Seen};
use crate::site::Site;
use std::path::Path;

/// Two nodes of a KingbaseES cluster that answer, told by the table alone which is which.
fn found() -> Found {
    let node = |id: u32, kind: &str| {
        Registered {
        id,
        name: format!("node{id}"),
        kind: kind.to_owned(),
        door: Door::parse(&format!(
            "host=192.168.1.20{id} user=esrep dbname=esrep port=54321 connect_timeout=10 password=hunter2"
        ))
        .ok(),
        priority: 100,
        location: "default".to_owned(),
        active: true,
        upstream: (id > 1).then_some(1),
        slot: None,
        repluser: "esrep".to_owned(),
        config_file: None,
    }
    };
    let seen = |in_recovery| {
        Ok(Seen {
            in_recovery,
            version: 120_001,
            data: Some("/home/kingbase/data".to_owned()),
            bin: Some("/home/kingbase/bin".to_owned()),
            synchronous: Some("ANY 1 (node1, node2)".to_owned()),
        })
    };
    Found {
        entry: Door::parse("host=192.168.1.201 user=esrep dbname=esrep password=hunter2").unwrap(),
        conf: None,
        registry: Registry {
            product: Product::Kingbase,
            nodes: vec![node(1, "primary"), node(2, "standby")],
        },
        seen: vec![seen(false), seen(true)],
    }
}

fn read(draft: &Draft) -> Inventory {
    let source = Source::new("site.yaml", draft.text.as_str());
    let site = Site::parse(&source, Path::new("/")).unwrap();
    site.clusters["main"].clone()
}

fn node<'i>(inventory: &'i Inventory, name: &str) -> &'i crate::cluster::Node {
    inventory.node(&NodeName::parse(name).unwrap()).unwrap()
}

#[test]
fn a_kingbase_cluster_is_told_by_its_version_and_reached_by_its_own_program() {
    let mut found = found();
    found.conf = Some(Conf::parse(
        "node_id=1\nuse_scmd=on\nscmd_options='-q -o ConnectTimeout=10 -p 8890'\n",
    ));
    let inventory = read(&draft(&found, "main").unwrap());
    assert_eq!(inventory.product, Product::Kingbase);
    assert_eq!(
        (inventory.sql.user.as_str(), inventory.sql.dbname.as_str()),
        ("esrep", "esrep")
    );
    assert_eq!(inventory.replication.user, "esrep");
    assert_eq!(inventory.replication.options["connect_timeout"], "10");
    assert_eq!(inventory.synchronous.mode, SyncMode::Quorum);
    let node = node(&inventory, "node2");
    assert_eq!((node.id, node.port), (2, 54_321));
    assert_eq!(node.data, Path::new("/home/kingbase/data"));
    let Transport::Template { argv } = &node.transport else {
        panic!("{:?}", node.transport)
    };
    assert_eq!(
        argv.join(" "),
        "/home/kingbase/bin/sys_securecmd -q -o ConnectTimeout=10 -p 8890 -T {host}"
    );
}

#[test]
fn a_password_is_named_and_nowhere_shown() {
    let mut found = found();
    found.conf = Some(Conf::parse(
        "node_id=1\nservice_start_command='PGPASSWORD=hunter2 start'\n",
    ));
    let draft = draft(&found, "main").unwrap();
    assert!(!format!("{draft:?}").contains("hunter2"), "{}", draft.text);
    assert!(draft.text.contains("holds a password"), "{}", draft.text);
    assert!(
        draft.open.iter().any(|line| line.contains("passfile")),
        "{:?}",
        draft.open
    );
}

#[test]
fn a_witness_and_a_name_that_cannot_be_used_are_left_out_and_named() {
    let mut found = found();
    let mut witness = found.registry.nodes[1].clone();
    witness.id = 3;
    witness.name = "arbiter".to_owned();
    witness.kind = "witness".to_owned();
    let mut odd = found.registry.nodes[1].clone();
    odd.id = 4;
    odd.name = "node 4\nclusters: {}".to_owned();
    for node in [witness, odd] {
        found.registry.nodes.push(node);
        let seen = found.seen[1].clone();
        found.seen.push(seen);
    }
    let draft = draft(&found, "main").unwrap();
    assert_eq!(read(&draft).nodes.len(), 2);
    assert_eq!(draft.left_out.len(), 2);
    assert!(draft.left_out[0].starts_with("arbiter (id 3)"), "{draft:?}");
    assert!(draft.text.contains("# arbiter (id 3) is left out"));
}

#[test]
fn what_a_silent_node_does_not_tell_is_to_be_filled_in() {
    let mut found = found();
    found.seen[1] = Err(Trouble::here(TroubleKind::Unreachable, "no connection"));
    found.registry.nodes[1].priority = 0;
    let draft = draft(&found, "main").unwrap();
    let inventory = read(&draft);
    let silent = node(&inventory, "node2");
    assert_eq!(silent.transport, Transport::None);
    assert_eq!(silent.promote, PromotePolicy::Never);
    assert!(
        draft
            .text
            .contains("# data: /home/kingbase/data   # as on the other nodes"),
        "{}",
        draft.text
    );
    assert!(
        draft.open.iter().any(|line| line.starts_with("node2: ")),
        "{:?}",
        draft.open
    );
}

#[test]
fn what_a_site_file_cannot_say_of_commits_is_left_alone_and_said() {
    for (running, mode, said) in [
        ("", SyncMode::Off, false),
        ("FIRST 1 (node2)", SyncMode::First, false),
        ("*", SyncMode::Unmanaged, true),
        ("ANY 1 (stranger)", SyncMode::Unmanaged, true),
    ] {
        let mut found = found();
        for seen in found.seen.iter_mut().flatten() {
            seen.synchronous = Some(running.to_owned());
        }
        let draft = draft(&found, "main").unwrap();
        assert_eq!(read(&draft).synchronous.mode, mode, "{running}");
        let says = draft.open.iter().any(|l| l.contains("is left alone"));
        assert_eq!(says, said, "{running}: {:?}", draft.open);
    }
}
