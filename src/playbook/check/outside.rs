//! Names from outside the playbook: the site's variables and the cluster's facts.

use super::kind::Kind;
use super::names::{Name, Part};
use super::resolve::{Use, words};
use super::steps::Checker;
use crate::document::{Span, suggest};
use crate::playbook::{Type, Value};

impl Checker<'_> {
    pub(super) fn site(&mut self, name: &Name, used: &Use<'_>) -> Kind {
        let Some((vars, rest)) = name.parts.split_first() else {
            return Kind::Map;
        };
        if vars.text.as_deref() != Some("vars") {
            return self.unknown_part("site", vars, &["vars"], used);
        }
        let (Some((part, rest)), Some(known)) = (rest.split_first(), self.library.site_vars())
        else {
            return if rest.is_empty() {
                Kind::Map
            } else {
                Kind::Any
            };
        };
        let Some(text) = &part.text else {
            return Kind::Any;
        };
        if let Some(value) = known.get(text) {
            return self.selected(Kind::of_value(value), &part.upto, rest, used);
        }
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        let near = suggest(text, names.iter().copied());
        let error = self.report(
            "unknown-name",
            used.text,
            part.at,
            format!("the site has no variable `{text}`"),
        );
        error.help = Some(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => {
                "the site file declares none; they stand under `vars`".to_owned()
            }
            None => format!("its `vars` are {}", names.join(", ")),
        });
        Kind::Any
    }

    /// Facts that are pinned at the start. Which nodes there are is known only then.
    /// Where only the site file is asked (`written`), what servers say is not among them.
    pub(super) fn cluster(&mut self, name: &Name, written: bool, used: &Use<'_>) -> Kind {
        let list = || Kind::List(Box::new(Kind::TEXT));
        let facts = [
            ("name", Kind::TEXT),
            ("product", words(["postgresql", "kingbase"])),
            ("repmgr", Kind::Boolean),
            ("names", list()),
            ("primary", Kind::TEXT),
            ("members", list()),
            ("standbys", list()),
            ("orphans", list()),
        ];
        let facts = if written { &facts[..4] } else { &facts };
        let is_nodes = |part: &Part| part.text.as_deref() == Some("nodes");
        let Some((_, rest)) = name.parts.split_first().filter(|(part, _)| is_nodes(part)) else {
            return self.fact("cluster", &name.parts, facts, &["nodes"], used);
        };
        match rest.split_first() {
            None => Kind::Map,
            Some((node, rest)) => {
                let facts = [
                    ("name", Kind::TEXT),
                    ("id", Kind::Integer),
                    ("host", Kind::TEXT),
                    ("port", Kind::Integer),
                    ("priority", Kind::Integer),
                    ("location", Kind::TEXT),
                    ("promote", words(["allowed", "never"])),
                    ("reachable", Kind::Boolean),
                    ("role", words(["primary", "standby"])),
                    ("upstream", Kind::TEXT),
                    ("attached", Kind::Boolean),
                    ("timeline", Kind::Integer),
                    ("position", Kind::of_type(Type::Lsn)),
                    ("lag", Kind::of_type(Type::Bytes)),
                ];
                let facts = if written { &facts[..7] } else { &facts };
                if let (Some(name), Some(nodes)) = (&node.text, self.library.nodes())
                    && !nodes.contains(name)
                {
                    let help = nodes_help(name, nodes);
                    let message = format!("the cluster has no node `{name}`");
                    self.report("unknown-node", used.text, node.at, message)
                        .help = Some(help);
                }
                self.fact(&node.upto, rest, facts, &[], used)
            }
        }
    }

    /// A node that is named as it is, where the cluster is known.
    pub(super) fn node_exists(&mut self, value: &Value, span: Span) {
        if let (Some(name), Some(nodes)) = (value.as_str(), self.library.nodes())
            && !nodes.iter().any(|node| node == name)
        {
            let help = nodes_help(name, nodes);
            self.error(
                "unknown-node",
                span,
                format!("the cluster has no node `{name}`"),
            )
            .help = Some(help);
        }
    }

    fn fact(
        &mut self,
        of: &str,
        parts: &[Part],
        facts: &[(&str, Kind)],
        more: &[&str],
        used: &Use<'_>,
    ) -> Kind {
        let Some((part, rest)) = parts.split_first() else {
            return Kind::Map;
        };
        let Some(text) = &part.text else {
            return Kind::Any;
        };
        if let Some((_, kind)) = facts.iter().find(|(fact, _)| fact == text) {
            return self.selected(kind.clone(), &part.upto, rest, used);
        }
        let known: Vec<&str> = facts
            .iter()
            .map(|(fact, _)| *fact)
            .chain(more.iter().copied())
            .collect();
        self.unknown_part(of, part, &known, used)
    }
}

fn nodes_help(name: &str, nodes: &[String]) -> String {
    match suggest(name, nodes.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("its nodes are {}", nodes.join(", ")),
    }
}
