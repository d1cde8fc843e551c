//! One entry of `clusters`.

use super::node::{self, Defaults, Numbered};
use super::{detector, replication, repmgr, sql, transport};
use crate::cluster::{Detector, Inventory, Node, NodeName, Product};
use crate::document::{Entry, Label, Lowering, Span};
use std::collections::BTreeMap;
use std::path::Path;

/// The words of `product`.
pub(super) const PRODUCTS: [(&str, Product); 2] = [
    ("postgresql", Product::Postgresql),
    ("kingbase", Product::Kingbase),
];

/// None only after an error.
pub(super) fn lower(to: &mut Lowering<'_>, cluster: &Entry, base: &Path) -> Option<Inventory> {
    let what = format!("cluster `{}`", cluster.key.value);
    let mut map = to.map(what.clone(), &cluster.value)?;
    let product = map
        .optional(to, "product")
        .and_then(|e| to.one_of("`product`", &e.value, &PRODUCTS))
        .map_or(Product::Postgresql, |p| p.value);
    let sql_entry = map.peek("sql");
    let access = sql::lower(to, sql_entry, cluster.key.span, product, base);
    let (access, port) = access.map_or((None, None), |(access, port)| (Some(access), port));
    let replication_entry = map.optional(to, "replication");
    let user = access.as_ref().map(|a| a.user.as_str());
    let replication = replication::lower(to, replication_entry, product, user);
    let shared = transport::lower(to, &mut map, None, base);
    let mut defaults = Defaults::new(port.unwrap_or(product.default_port()), shared);
    if let Some(entry) = map.optional(to, "defaults") {
        defaults = defaults.over(to, entry, base);
    }
    let mut nodes = BTreeMap::new();
    let mut count = 0;
    if let Some(entry) = map.required(to, "nodes")
        && let Some(entries) = to.entries("`nodes`", &entry.value)
    {
        count = entries.len();
        if entries.is_empty() {
            to.error(
                "empty-value",
                entry.key.span,
                format!("{what} has no nodes"),
            );
        }
        let lowered: Vec<(Span, Numbered)> = entries
            .iter()
            .filter_map(|e| Some((e.key.span, node::lower(to, e, &defaults, base)?)))
            .collect();
        distinct(to, &lowered);
        nodes = number(lowered);
    }
    let synchronous_entry = map.optional(to, "synchronous");
    let synchronous = replication::synchronous(to, synchronous_entry, count.saturating_sub(1));
    let repmgr = map
        .optional(to, "repmgr")
        .and_then(|e| repmgr::lower(to, &e.value, product));
    let detector = match map.optional(to, "detector") {
        Some(entry) => detector::lower(to, &entry.value),
        None => Some(Detector::default()),
    };
    map.finish(to);
    Some(Inventory {
        cluster: cluster.key.value.clone(),
        product,
        nodes,
        sql: access?,
        replication: replication?,
        synchronous: synchronous?,
        repmgr,
        detector: detector?,
    })
}

/// Reports nodes that could be taken for each other.
fn distinct(to: &mut Lowering<'_>, nodes: &[(Span, Numbered)]) {
    let mut clash = |key: &dyn Fn(&Numbered) -> Option<String>,
                     say: &dyn Fn(&Node, &Node) -> String| {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (index, (span, numbered)) in nodes.iter().enumerate() {
            let Some(value) = key(numbered) else { continue };
            if let Some(first) = seen.get(&value) {
                let (first_span, first) = &nodes[*first];
                let message = say(&first.node, &numbered.node);
                let d = to.error("duplicate-node", *span, message);
                d.related.push(Label {
                    span: *first_span,
                    text: "the other is here".to_owned(),
                });
            } else {
                seen.insert(value, index);
            }
        }
    };
    clash(&|n| n.id.map(|id| id.to_string()), &|a, b| {
        format!("`{}` and `{}` have the same id", a.name, b.name)
    });
    // Names that differ only in case are one `application_name` for the server; those that differ only in
    // punctuation have one slot.
    clash(&|n| Some(n.node.name.slot().to_string()), &|a, b| {
        format!(
            "`{}` and `{}` would use the same replication slot, `{}`",
            a.name,
            b.name,
            a.name.slot()
        )
    });
    clash(
        &|n| Some(format!("{} {}", n.node.host, n.node.port)),
        &|a, b| {
            format!(
                "`{}` and `{}` are the same server, {} port {}",
                a.name, b.name, a.host, a.port
            )
        },
    );
}

/// Gives every node a number: its own, else the lowest that is free, in the order of the file.
fn number(nodes: Vec<(Span, Numbered)>) -> BTreeMap<NodeName, Node> {
    let taken: Vec<u32> = nodes.iter().filter_map(|(_, n)| n.id).collect();
    let mut free = (1u32..).filter(|id| !taken.contains(id));
    nodes
        .into_iter()
        .map(|(_, numbered)| {
            let mut node = numbered.node;
            node.id = numbered.id.or_else(|| free.next()).unwrap_or_default();
            (node.name.clone(), node)
        })
        .collect()
}
