//! Which names an expression refers to.

use super::parse::offset_of;
use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};

/// A name that an expression or template refers to: as far as it is constant. `cluster.nodes[params.node].host` refers to
/// `cluster.nodes` and to `params.node`; `cluster.nodes['n1'].host` to `cluster.nodes.n1.host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The parts of the name.
    pub path: Vec<String>,
    /// Where it begins, in bytes of the text.
    pub offset: usize,
}

/// All references below `node`, in the order of the text.
pub(super) fn collect(node: &IdedExpr, places: &SourceInfo) -> Vec<Reference> {
    let mut found = Vec::new();
    let mut bound = Vec::new();
    walk(node, places, &mut bound, &mut found);
    found.sort_by_key(|reference| reference.offset);
    found
}

/// The shortest paths that cover all references: what an evaluation must look up.
pub(super) fn covering(references: &[Reference]) -> Vec<Vec<String>> {
    let mut paths: Vec<_> = references.iter().map(|r| r.path.clone()).collect();
    paths.sort();
    // Sorted, a prefix stands directly before everything that it covers.
    paths.dedup_by(|later, earlier| later.starts_with(earlier));
    paths
}

fn walk<'a>(
    node: &'a IdedExpr,
    places: &SourceInfo,
    bound: &mut Vec<&'a str>,
    found: &mut Vec<Reference>,
) {
    if let Some(chain) = chain(node) {
        if !bound.contains(&chain.path[0].as_str()) {
            found.push(Reference {
                path: chain.path,
                offset: offset_of(places, chain.root),
            });
        }
        for index in chain.indices {
            walk(index, places, bound, found);
        }
        return;
    }
    match &node.expr {
        Expr::Call(call) => {
            for child in call.target.as_deref().into_iter().chain(&call.args) {
                walk(child, places, bound, found);
            }
        }
        Expr::Comprehension(c) => {
            walk(&c.iter_range, places, bound, found);
            let before = bound.len();
            bound.push(&c.accu_var);
            walk(&c.accu_init, places, bound, found);
            bound.push(&c.iter_var);
            bound.extend(c.iter_var2.as_deref());
            for child in [&c.loop_cond, &c.loop_step, &c.result] {
                walk(child, places, bound, found);
            }
            bound.truncate(before);
        }
        Expr::List(list) => {
            for child in &list.elements {
                walk(child, places, bound, found);
            }
        }
        Expr::Map(map) => {
            for entry in &map.entries {
                if let EntryExpr::MapEntry(e) = &entry.expr {
                    walk(&e.key, places, bound, found);
                    walk(&e.value, places, bound, found);
                }
            }
        }
        Expr::Select(select) => walk(&select.operand, places, bound, found),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
}

/// A name with what is selected from it.
struct Chain<'a> {
    root: &'a IdedExpr,
    path: Vec<String>,
    /// What stands in brackets and is no constant.
    indices: Vec<&'a IdedExpr>,
}

/// `node` as a chain of selections and indices on a name, if it is one.
fn chain(node: &IdedExpr) -> Option<Chain<'_>> {
    let mut here = node;
    // From the last selection to the first: a name, or `None` for an index that is computed.
    let mut parts: Vec<Option<String>> = Vec::new();
    let mut indices = Vec::new();
    let root = loop {
        match &here.expr {
            Expr::Ident(name) => break name,
            Expr::Select(select) => {
                // `has(a.b)` asks about `b`, it does not read it: the operand is what must be there.
                parts.push((!select.test).then(|| select.field.clone()));
                here = &select.operand;
            }
            Expr::Call(call) if call.func_name == operators::INDEX && call.args.len() == 2 => {
                if let Expr::Literal(LiteralValue::String(key)) = &call.args[1].expr {
                    parts.push(Some(key.inner().to_owned()));
                } else {
                    parts.push(None);
                    indices.push(&call.args[1]);
                }
                here = &call.args[0];
            }
            _ => return None,
        }
    };
    let constant = parts.into_iter().rev().map_while(|part| part);
    Some(Chain {
        root: here,
        path: std::iter::once(root.clone()).chain(constant).collect(),
        indices,
    })
}
