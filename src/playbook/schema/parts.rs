//! What does not depend on the catalog.

use super::snippets;
use crate::playbook::{Catalog, Type};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// Everything under `$defs` but the steps.
pub(super) fn definitions() -> Map<String, Value> {
    let all = [
        (
            "name",
            json!({
                "type": "string",
                "pattern": "^[a-z][a-z0-9_]*$",
                "not": { "enum": RESERVED },
            }),
        ),
        (
            "duration",
            json!({
                "type": "string",
                "pattern": duration_pattern(),
                "minLength": 2,
                "examples": ["90s", "500ms", "1h30m"],
            }),
        ),
        (
            "bytes",
            json!({
                "type": "string",
                "pattern": r"^[0-9]+(\.[0-9]+)?(B|[kMGT]B|[KMGT]iB)$",
                "examples": ["0B", "16MiB"],
            }),
        ),
        (
            "condition",
            json!({ "type": ["string", "boolean"], "minLength": 1, "not": { "type": "string", "pattern": r"\{\{" } }),
        ),
        (
            "expression",
            json!({
                "description": "A CEL expression, bare.",
                "type": ["string", "boolean", "number"],
                "minLength": 1,
                "not": { "type": "string", "pattern": r"\{\{" },
            }),
        ),
        (
            "template",
            json!({ "description": "A reference, `{{ … }}`.", "type": "string", "pattern": r"\{\{" }),
        ),
        (
            "value",
            json!({
                "oneOf": [
                    { "type": ["string", "boolean", "integer"] },
                    { "type": "array", "items": { "$ref": "#/$defs/value" } },
                    { "type": "object", "additionalProperties": { "$ref": "#/$defs/value" } },
                ],
            }),
        ),
        (
            "fixed",
            json!({ "type": "string", "minLength": 1, "not": { "type": "string", "pattern": r"\{\{" } }),
        ),
        ("param", param()),
        ("retry", retry()),
        ("for_each", for_each()),
        (
            "max_parallel",
            json!({ "type": "integer", "minimum": 1, "maximum": 10_000 }),
        ),
        ("defaults", defaults()),
        (
            "steps",
            json!({
                "type": "object",
                "minProperties": 1,
                "propertyNames": { "$ref": "#/$defs/name" },
                "additionalProperties": { "$ref": "#/$defs/step" },
            }),
        ),
        ("scope", block(false)),
        ("rescue", block(true)),
        (
            "outputs",
            json!({
                "type": "object",
                "propertyNames": { "$ref": "#/$defs/name" },
                "additionalProperties": {
                    "$ref": "#/$defs/expression",
                    "allOf": [{ "$ref": "#/$defs/reference" }],
                },
            }),
        ),
    ];
    all.into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

/// Units from large to small, each at most once, and a fraction only in the last.
fn duration_pattern() -> String {
    let whole = "([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?";
    let mut alternatives = vec![whole.to_owned()];
    let mut before = String::new();
    for unit in ["d", "h", "m", "s", "ms"] {
        alternatives.push(format!(r"{before}[0-9]+\.[0-9]+{unit}"));
        let _ = write!(before, "([0-9]+{unit})?");
    }
    format!("^({})$", alternatives.join("|"))
}

/// Words that cannot be names; a test holds them against the model's own list.
pub(super) const RESERVED: [&str; 24] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
    "and",
    "or",
    "not",
];

fn param() -> Value {
    let types: Vec<&str> = Type::ALL.iter().map(|ty| ty.as_str()).collect();
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["type"],
        "properties": {
            "type": { "enum": types },
            "required": { "description": "A run must give it.", "type": "boolean" },
            "default": {
                "description": "What it is when not given: a constant, or a template over `site.vars` and `cluster`.",
                "$ref": "#/$defs/value",
            },
            "enum": {
                "description": "Allowed values.",
                "type": "array",
                "minItems": 1,
                "uniqueItems": true,
                "items": { "type": ["string", "integer"] },
            },
            "help": { "description": "For people.", "type": "string" },
            "sealed": { "description": "Runs may not set it.", "type": "boolean" },
        },
        "allOf": [
            {
                "if": { "properties": { "required": { "const": true } }, "required": ["required"] },
                "then": { "properties": { "default": false, "sealed": { "const": false } } },
            },
            default_of("integer", &json!({ "type": "integer" })),
            default_of("boolean", &json!({ "type": "boolean" })),
            default_of("list", &json!({ "type": "array" })),
            default_of("map", &json!({ "type": "object" })),
            default_of("duration", &json!({ "$ref": "#/$defs/duration" })),
            default_of("bytes", &json!({ "$ref": "#/$defs/bytes" })),
            default_of("string", &json!({ "type": "string" })),
            default_of("node", &json!({ "type": "string" })),
            default_of("lsn", &json!({ "type": "string" })),
            default_of("secret", &json!({ "type": "string", "pattern": "^(file|env):." })),
        ],
    })
}

fn default_of(ty: &str, schema: &Value) -> Value {
    json!({
        "if": { "properties": { "type": { "const": ty } }, "required": ["type"] },
        "then": { "properties": { "default": { "anyOf": [{ "$ref": "#/$defs/template" }, schema] } } },
    })
}

fn defaults() -> Value {
    json!({
        "description": "What steps get that do not say otherwise.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "timeout": { "$ref": "#/$defs/duration" },
            "retry": { "$ref": "#/$defs/retry" },
            "max_parallel": {
                "description": "How many steps and items may run at once in a scope.",
                "$ref": "#/$defs/max_parallel",
            },
        },
    })
}

fn retry() -> Value {
    let mut worth = json!({ "description": "Which failures are worth it: an expression over `error`.", "$ref": "#/$defs/condition" });
    snippets::offer(&mut worth, snippets::failures());
    let pause = json!({ "anyOf": [{ "$ref": "#/$defs/duration" }, { "const": 0 }] });
    json!({
        "description": "When and how to try again. Three attempts where neither `attempts` nor `within` is given.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "attempts": { "description": "Attempts in total.", "type": "integer", "minimum": 1, "maximum": 1000 },
            "within": { "description": "A limit over all attempts and waits.", "$ref": "#/$defs/duration" },
            "delay": { "description": "The first wait; 1s when absent.", "allOf": [pause] },
            "factor": { "description": "What the wait is multiplied with each time.", "type": "number", "minimum": 1, "maximum": 100 },
            "max_delay": { "description": "The longest wait.", "$ref": "#/$defs/duration" },
            "jitter": { "description": "Whether waits are random between nothing and their length.", "enum": ["none", "full"] },
            "if": worth,
        },
    })
}

fn for_each() -> Value {
    let mut list = json!({ "type": "string", "minLength": 1, "not": { "type": "string", "pattern": r"\{\{" } });
    snippets::offer(&mut list, snippets::lists());
    json!({
        "description": "Once for each item. An expression or a list alone is its `items`.",
        "oneOf": [
            list,
            { "type": "array", "items": { "$ref": "#/$defs/value" } },
            {
                "type": "object",
                "additionalProperties": false,
                "required": ["items"],
                "properties": {
                    "items": {
                        "description": "An expression that gives a list, or a list.",
                        "oneOf": [
                            list,
                            { "type": "array", "items": { "$ref": "#/$defs/value" } },
                        ],
                    },
                    "key": {
                        "description": "The identity of an item, an expression over `item`; the item itself when absent.",
                        "$ref": "#/$defs/expression",
                    },
                    "max_parallel": { "description": "How many at once; all when absent.", "$ref": "#/$defs/max_parallel" },
                    "max_failures": {
                        "description": "How many may fail, a count or a percentage; 0 when absent.",
                        "oneOf": [
                            { "type": "integer", "minimum": 0, "maximum": 10_000 },
                            { "type": "string", "pattern": "^0*(100|[0-9]{1,2})%$" },
                        ],
                    },
                },
            },
        ],
    })
}

/// A rescue or finally: in full, or only its steps.
fn block(outputs: bool) -> Value {
    let mut full = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["steps"],
        "properties": {
            "timeout": { "description": "A budget of its own; two minutes when absent.", "$ref": "#/$defs/duration" },
            "steps": { "$ref": "#/$defs/steps" },
        },
    });
    if outputs {
        full["properties"]["outputs"] = json!({
            "description": "What takes the place of the step's outputs.",
            "$ref": "#/$defs/outputs",
        });
    }
    json!({ "anyOf": [full, { "$ref": "#/$defs/steps" }] })
}

/// A step; `conditions` say what each action allows.
pub(super) fn step(catalog: &Catalog, conditions: &[Value]) -> Value {
    let mut step = json!({
        "type": "object",
        "additionalProperties": false,
        "oneOf": [{ "required": ["action"] }, { "required": ["playbook"] }],
        "properties": {
            "needs": {
                "description": "Steps that must have ended before.",
                "oneOf": [
                    { "$ref": "#/$defs/name" },
                    { "type": "array", "uniqueItems": true, "items": { "$ref": "#/$defs/name" } },
                ],
            },
            "when": {
                "description": "Whether to run at all: a CEL expression, bare. Skipping does not spread.",
                "$ref": "#/$defs/condition",
            },
            "for_each": { "$ref": "#/$defs/for_each" },
            "action": { "$ref": "#/$defs/action" },
            "playbook": {
                "description": "Another playbook, as a part of the same run, in place of `action`.",
                "$ref": "#/$defs/fixed",
            },
            "node": { "description": "The node it is for.", "type": "string" },
            "with": { "description": "Inputs of the action, or parameters of the playbook.", "type": "object" },
            "timeout": {
                "description": "The limit of one attempt, or of the whole nested playbook.",
                "$ref": "#/$defs/duration",
            },
            "retry": { "$ref": "#/$defs/retry" },
            "until": {
                "description": "A condition on `result` that an attempt must meet; needs `retry`.",
                "$ref": "#/$defs/condition",
            },
            "on_failure": {
                "description": "What a failure means: the run fails; goes on and ends degraded; or just goes on.",
                "enum": ["fail", "degrade", "continue"],
            },
            "rescue": {
                "description": "Steps that run when this one has failed for good.",
                "$ref": "#/$defs/rescue",
            },
            "disable": {
                "description": "Switches the step off, and says why; it counts as skipped.",
                "$ref": "#/$defs/fixed",
            },
            "sealed": { "description": "Overlays may not touch it.", "type": "boolean" },
            "effect": {
                "description": "What doing it twice means; own steps (exec, sql, http) must say it.",
                "enum": ["read", "idempotent", "once"],
            },
            "probe": { "description": "Inputs of the same action that tell whether it is done already.", "type": "object" },
            "undo": { "description": "Inputs of the same action that take it back.", "type": "object" },
            "assume": { "description": "What a preview is to expect as outputs.", "type": "object" },
        },
        "allOf": conditions,
    });
    let properties = &mut step["properties"];
    properties["when"]["allOf"] = json!([{ "$ref": "#/$defs/reference" }]);
    snippets::offer(&mut properties["node"], snippets::nodes(catalog));
    properties["playbook"]["examples"] = json!(snippets::STOCK);
    step
}
