//! What editors offer where an expression or a template is written.
//!
//! A schema knows no names of a file, so steps and parameters stand in these as places to type over. What follows from the
//! catalog (outputs, their types) is the catalog's. Words of the language that stand here are held against the checker by a test.

use crate::cluster::TroubleKind;
use crate::playbook::{Catalog, Field, Signature, Type};
use serde_json::{Map, Value, json};

/// The key by which yaml-language-server, and VS Code for JSON, know them.
const KEY: &str = "defaultSnippets";

/// Names of stock playbooks, for `playbook` and `overlay`; a test of the room above holds them against the files.
pub(super) const STOCK: [&str; 7] = [
    "approved_failover",
    "failover",
    "follow",
    "rejoin",
    "restart",
    "switchover",
    "synchronous",
];

/// Facts that are pinned when a run starts, and what is known of the run.
const FACTS: [(&str, &str); 16] = [
    (
        "cluster.primary",
        "The primary's name, also of a dead one; or null.",
    ),
    ("cluster.name", "The cluster's name."),
    ("cluster.product", "`postgresql` or `kingbase`."),
    ("cluster.repmgr", "Whether the site file has `repmgr`."),
    ("cluster.names", "The names of all nodes."),
    ("cluster.members", "The nodes that answer."),
    (
        "cluster.standbys",
        "The nodes that answer and are standbys.",
    ),
    (
        "cluster.orphans",
        "Standbys that are set to follow a node that is lost and is not the primary.",
    ),
    (
        "cluster.nodes[${1:params.node}].role",
        "`primary`, `standby`, or null where it is not known.",
    ),
    (
        "cluster.nodes[${1:params.node}].upstream",
        "What the node is set to follow, or null.",
    ),
    (
        "cluster.nodes[${1:params.node}].reachable",
        "Whether the node answered when the run started.",
    ),
    (
        "cluster.nodes[${1:params.node}].lag",
        "How far the node is behind, in bytes, or null.",
    ),
    ("params.${1:name}", "A parameter of this playbook."),
    ("site.vars.${1:name}", "A variable of the site file."),
    (
        "run.passed",
        "Whether a promotion was intended, and may have taken effect.",
    ),
    (
        "trigger.key",
        "The idempotency key that the run was asked for with.",
    ),
];

/// Adds these to what may stand in a place.
pub(super) fn offer(place: &mut Value, snippets: Vec<Value>) {
    place[KEY] = Value::Array(snippets);
}

/// For conditions and outputs, which refer to it: facts, and what every action's step gives. It allows everything.
pub(super) fn expressions(catalog: &Catalog) -> Value {
    let mut all = vec![one(
        "steps.STEP.status == 'ok'",
        "How a step ended that this one needs, directly or not.",
        "steps.${1:step}.status == '${2|ok,rescued,skipped,failed,not_run,cancelled|}'",
    )];
    for signature in catalog.actions.values() {
        all.extend(signature.outputs.iter().map(|output| {
            one(
                &format!("steps.{}.{}", signature.name, output.name),
                &told(signature, output),
                &format!("steps.${{1:{}}}.{}", signature.name, output.name),
            )
        }));
    }
    all.extend(
        FACTS
            .iter()
            .map(|(body, what)| one(&label(body), what, body)),
    );
    json!({ KEY: all })
}

/// For `until`: the outputs of the step's own action.
pub(super) fn results(signature: &Signature) -> Vec<Value> {
    let outputs = signature.outputs.iter();
    outputs
        .map(|output| {
            let text = format!("result.{}", output.name);
            one(&text, &told(signature, output), &text)
        })
        .collect()
}

/// For `retry.if`.
pub(super) fn failures() -> Vec<Value> {
    use TroubleKind::{Conflict, Denied, Failed, Timeout, Unknown, Unmet, Unreachable};
    let kinds = [
        Unreachable,
        Timeout,
        Denied,
        Failed,
        Conflict,
        Unmet,
        Unknown,
    ];
    kinds
        .iter()
        .map(|kind| {
            let text = format!("error.kind == '{}'", kind.as_str());
            one(&text, "docs/errors.md tells what each kind is.", &text)
        })
        .collect()
}

/// For `for_each`.
pub(super) fn lists() -> Vec<Value> {
    let facts = FACTS.iter().filter(|(body, _)| {
        ["names", "members", "standbys", "orphans"]
            .iter()
            .any(|list| *body == format!("cluster.{list}"))
    });
    facts.map(|(body, what)| one(body, what, body)).collect()
}

/// For `node`: the item, a parameter, and outputs that are nodes.
pub(super) fn nodes(catalog: &Catalog) -> Vec<Value> {
    let mut all = vec![
        template("item", "The item, in a `for_each`.", "item"),
        template(
            "params.NODE",
            "A parameter of type node.",
            "params.${1:node}",
        ),
    ];
    for signature in catalog.actions.values() {
        let outputs = signature.outputs.iter();
        all.extend(
            outputs
                .filter(|output| output.ty == Type::Node)
                .map(|output| of_step(signature, output)),
        );
    }
    all
}

/// For an input: a parameter, and outputs of other actions that have its name and type.
pub(super) fn input(catalog: &Catalog, field: &Field) -> Vec<Value> {
    let mut all = vec![template(
        &format!("params.{}", field.name),
        "A parameter of this playbook.",
        &format!("params.${{1:{}}}", field.name),
    )];
    for signature in catalog.actions.values() {
        let outputs = signature.outputs.iter();
        all.extend(
            outputs
                .filter(|output| output.name == field.name && output.ty == field.ty)
                .map(|output| of_step(signature, output)),
        );
    }
    all
}

fn of_step(signature: &Signature, output: &Field) -> Value {
    template(
        &format!("steps.{}.{}", signature.name, output.name),
        &told(signature, output),
        &format!("steps.${{1:{}}}.{}", signature.name, output.name),
    )
}

fn told(signature: &Signature, output: &Field) -> String {
    let null = if output.required { "" } else { ", may be null" };
    let help = if output.help.is_empty() {
        String::new()
    } else {
        format!(": {}", output.help)
    };
    format!(
        "Output `{}` of `{}` ({}{null}){help}",
        output.name,
        signature.name,
        output.ty.as_str(),
    )
}

fn template(label: &str, description: &str, reference: &str) -> Value {
    one(
        &format!("{{{{ {label} }}}}"),
        description,
        &format!("\"{{{{ {reference} }}}}\""),
    )
}

fn one(label: &str, description: &str, body: &str) -> Value {
    Value::Object(Map::from_iter([
        ("label".to_owned(), json!(label)),
        ("description".to_owned(), json!(description)),
        ("body".to_owned(), json!(body)),
    ]))
}

/// The text with what is to be typed over in capitals.
fn label(body: &str) -> String {
    let mut text = body.to_owned();
    for (place, name) in [("${1:params.node}", "NODE"), ("${1:name}", "NAME")] {
        text = text.replace(place, name);
    }
    text
}
