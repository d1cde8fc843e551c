//! Actions and files that the playbooks of these tests use.

use super::super::{Library, UnreadablePlaybook};
use crate::document::Source;
use crate::playbook::{Catalog, EffectClass, Field, Map, NodeRule, Role, Signature, Type};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) struct Files(pub(super) BTreeMap<&'static str, String>);

/// The same, for a site whose variables are known.
pub(super) struct OfSite(pub(super) Map);

impl Library for OfSite {
    fn find(&self, _: &str) -> Result<Option<Source>, UnreadablePlaybook> {
        Ok(None)
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn site_vars(&self) -> Option<&Map> {
        Some(&self.0)
    }
}

impl Library for Files {
    fn find(&self, name: &str) -> Result<Option<Source>, UnreadablePlaybook> {
        let text = self.0.get(name);
        Ok(text.map(|text| Source::new(format!("{name}.yaml"), text.as_str())))
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().map(|name| (*name).to_owned()).collect()
    }
}

fn action(
    name: &'static str,
    inputs: Vec<Field>,
    outputs: Vec<Field>,
    roles: Vec<Role>,
) -> Signature {
    Signature {
        name,
        summary: "",
        node: NodeRule::Optional,
        inputs,
        outputs,
        effect: Some(EffectClass::Idempotent),
        roles,
        timeout: Duration::from_secs(30),
    }
}

fn on_node(signature: Signature) -> Signature {
    Signature {
        node: NodeRule::Required,
        ..signature
    }
}

/// A small world of actions, near enough to the real ones.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn catalog() -> Catalog {
    use Field as F;
    let upstream = || F::required("upstream", Type::Node, "whom it is to follow");
    let actions = [
        on_node(action(
            "check_lsn",
            vec![upstream()],
            vec![
                F::required("divergence", Type::String, "").one_of(&[
                    "none",
                    "rewindable",
                    "rebuild",
                ]),
                F::required("position", Type::Lsn, ""),
                F::required("behind", Type::Bytes, ""),
                F::optional("fork", Type::Lsn, ""),
            ],
            vec![],
        )),
        on_node(action(
            "create_slot",
            vec![F::required(
                "for",
                Type::Node,
                "the standby that will use it",
            )],
            vec![F::required("slot", Type::String, "")],
            vec![],
        )),
        on_node(action(
            "set_upstream",
            vec![upstream(), F::optional("slot", Type::String, "")],
            vec![F::required("restart_required", Type::Boolean, "")],
            vec![],
        )),
        on_node(action(
            "stop",
            vec![
                F::optional("mode", Type::String, "").one_of(&[
                    "smart",
                    "fast",
                    "immediate",
                    "kill",
                ]),
                F::optional("escalate", Type::List, "").one_of(&["fast", "immediate", "kill"]),
                F::optional("grace", Type::Duration, ""),
            ],
            vec![F::required("mode", Type::String, "")],
            vec![],
        )),
        on_node(action("start", vec![], vec![], vec![])),
        on_node(action("reload", vec![], vec![], vec![])),
        on_node(action(
            "rewind",
            vec![],
            vec![F::required("copied", Type::Bytes, "")],
            vec![],
        )),
        on_node(action(
            "verify_attach",
            vec![upstream()],
            vec![
                F::required("lag", Type::Bytes, ""),
                F::required("state", Type::String, ""),
            ],
            vec![Role::Verification],
        )),
        action(
            "freeze",
            vec![F::optional("nodes", Type::List, "")],
            vec![F::required("frozen", Type::List, "")],
            vec![Role::Freeze],
        ),
        action(
            "unfreeze",
            vec![F::optional("only", Type::String, "").one_of(&["all", "archive"])],
            vec![],
            vec![Role::Unfreeze],
        ),
        action(
            "choose",
            vec![
                F::optional("max_loss", Type::Bytes, ""),
                F::optional("prefer", Type::Node, ""),
            ],
            vec![
                F::required("node", Type::Node, ""),
                F::required("position", Type::Lsn, ""),
                F::required("followers", Type::List, ""),
            ],
            vec![Role::Choose],
        ),
        action(
            "fence",
            vec![],
            vec![F::required("proof", Type::String, "")],
            vec![Role::Fence],
        ),
        on_node(Signature {
            effect: Some(EffectClass::Once),
            ..action(
                "promote",
                vec![F::optional("proof", Type::String, "")],
                vec![F::required("timeline", Type::Integer, "")],
                vec![Role::PointOfNoReturn],
            )
        }),
        on_node(action(
            "verify_primary",
            vec![],
            vec![],
            vec![Role::Verification],
        )),
        action(
            "login",
            vec![F::optional("password", Type::Secret, "")],
            vec![],
            vec![],
        ),
        action(
            "wait",
            vec![F::required("for", Type::Duration, "how long")],
            vec![],
            vec![],
        ),
        action(
            "assert",
            vec![F::required(
                "that",
                Type::Boolean,
                "the condition, an expression",
            )],
            vec![],
            vec![],
        ),
        Signature {
            node: NodeRule::Refused,
            ..action(
                "notify",
                vec![F::required("text", Type::String, "what to say")],
                vec![],
                vec![],
            )
        },
        Signature {
            effect: None,
            ..action(
                "exec",
                vec![
                    F::required("argv", Type::List, "the program and its arguments"),
                    F::optional("env", Type::Map, "").secret_too(),
                    F::optional("stdin", Type::String, "").secret_too(),
                ],
                vec![
                    F::required("stdout", Type::String, ""),
                    F::required("code", Type::Integer, ""),
                ],
                vec![],
            )
        },
    ];
    Catalog {
        actions: actions.into_iter().map(|a| (a.name, a)).collect(),
    }
}
