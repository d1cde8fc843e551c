//! What the catalog says about each action.

use super::snippets;
use crate::playbook::{Catalog, Field, NodeRule, Signature, Type};
use serde_json::{Map, Value, json};

/// The names of all actions, each with its summary.
pub(super) fn names(catalog: &Catalog) -> Value {
    let each: Vec<Value> = catalog
        .actions
        .values()
        .map(|signature| json!({ "const": signature.name, "description": signature.summary }))
        .collect();
    json!({ "description": "What the step does.", "type": "string", "oneOf": each })
}

/// If a step has this action, then these are its inputs.
pub(super) fn condition(catalog: &Catalog, signature: &Signature) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    let mut with = inputs(catalog, signature, true);
    if signature.name == "assert" {
        // The one input that is an expression; the loader reads it as one.
        let that = &mut with["properties"]["that"];
        *that = json!({
            "description": that["description"],
            "$ref": "#/$defs/condition",
            "allOf": [{ "$ref": "#/$defs/reference" }],
        });
    }
    if !signature.outputs.is_empty() {
        let mut until = json!({});
        snippets::offer(&mut until, snippets::results(signature));
        properties.insert("until".to_owned(), until);
    }
    properties.insert("with".to_owned(), with);
    if signature.inputs.iter().any(|field| field.required) {
        required.push("with");
    }
    match signature.node {
        NodeRule::Required => required.push("node"),
        NodeRule::Optional => {}
        NodeRule::Refused => {
            properties.insert("node".to_owned(), Value::Bool(false));
        }
    }
    if signature.is_custom() {
        required.push("effect");
        properties.insert("probe".to_owned(), inputs(catalog, signature, false));
        properties.insert("undo".to_owned(), inputs(catalog, signature, false));
        properties.insert("assume".to_owned(), outputs(signature));
    } else {
        refuse_own(&mut properties);
    }
    json!({
        "if": {
            "properties": { "action": { "const": signature.name } },
            "required": ["action"],
        },
        "then": { "properties": properties, "required": required },
    })
}

/// If a step nests a playbook, then that playbook's steps say the rest.
pub(super) fn nested_playbook() -> Value {
    let mut properties = Map::new();
    properties.insert("node".to_owned(), Value::Bool(false));
    properties.insert(
        "with".to_owned(),
        json!({ "additionalProperties": { "$ref": "#/$defs/value" } }),
    );
    refuse_own(&mut properties);
    json!({
        "if": { "required": ["playbook"] },
        "then": { "properties": properties },
    })
}

fn refuse_own(properties: &mut Map<String, Value>) {
    for key in ["effect", "probe", "undo", "assume"] {
        properties.insert(key.to_owned(), Value::Bool(false));
    }
}

fn inputs(catalog: &Catalog, signature: &Signature, complete: bool) -> Value {
    let required: Vec<&str> = signature
        .inputs
        .iter()
        .filter(|field| complete && field.required)
        .map(|field| field.name)
        .collect();
    json!({
        "title": format!("inputs of {}", signature.name),
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": fields(&signature.inputs, |field| snippets::input(catalog, field)),
    })
}

fn outputs(signature: &Signature) -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": fields(&signature.outputs, |_| Vec::new()),
    })
}

fn fields(fields: &[Field], offered: impl Fn(&Field) -> Vec<Value>) -> Map<String, Value> {
    let each = |field: &Field| {
        let mut about = self::field(field);
        let offered = offered(field);
        if !offered.is_empty() {
            snippets::offer(&mut about, offered);
        }
        (field.name.to_owned(), about)
    };
    fields.iter().map(each).collect()
}

/// A value of the field's type, or a template.
fn field(field: &Field) -> Value {
    let allowed = field.allowed;
    let typed = match field.ty {
        Type::String | Type::Node | Type::Lsn if allowed.is_empty() => json!({ "type": "string" }),
        Type::String | Type::Node | Type::Lsn => json!({ "type": "string", "enum": allowed }),
        Type::Integer => json!({ "type": "integer" }),
        Type::Boolean => json!({ "type": "boolean" }),
        Type::List if allowed.is_empty() => {
            json!({ "type": "array", "items": { "$ref": "#/$defs/value" } })
        }
        Type::List => json!({
            "type": "array",
            "items": { "anyOf": [{ "type": "string", "enum": allowed }, { "$ref": "#/$defs/template" }] },
        }),
        Type::Map => {
            json!({ "type": "object", "additionalProperties": { "$ref": "#/$defs/value" } })
        }
        Type::Duration => {
            json!({ "anyOf": [{ "$ref": "#/$defs/duration" }, { "enum": ["0", 0] }] })
        }
        Type::Bytes => json!({ "$ref": "#/$defs/bytes" }),
        Type::Secret => json!({ "type": "string", "pattern": "^(file|env):." }),
    };
    json!({
        "description": field.help,
        "anyOf": [typed, { "$ref": "#/$defs/template" }],
    })
}
