//! Overlays: a playbook's schema in which nothing has to be there, for the rest is in the playbook.

use super::{schema, snippets};
use crate::playbook::Catalog;
use serde_json::{Map, Value, json};

/// What an overlay shares with a playbook.
const SHARED: [&str; 9] = [
    "summary", "params", "waive", "timeout", "defaults", "steps", "rescue", "finally", "outputs",
];

/// The JSON Schema (2020-12) of overlays over playbooks that use the actions of `catalog`.
pub fn overlay_schema(catalog: &Catalog) -> Value {
    let mut whole = schema(catalog);
    for (place, key) in [
        ("/$defs/step", "oneOf"),
        ("/$defs/param", "required"),
        ("/$defs/for_each/oneOf/2", "required"),
        ("/$defs/scope/anyOf/0", "required"),
        ("/$defs/rescue/anyOf/0", "required"),
    ] {
        take(&mut whole, place, key);
    }
    let conditions = whole.pointer_mut("/$defs/step/allOf");
    for condition in conditions
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        take(condition, "/then", "required");
        take(condition, "/then/properties/with", "required");
    }
    if let Some(Value::Object(step)) = whole.pointer_mut("/$defs/step/properties") {
        step.insert("needed_by".to_owned(), needed_by());
        describe(
            step,
            "needs",
            "Steps that must have ended before. For a step that is there they are added to its own.",
        );
        describe(
            step,
            "action",
            "What a new step does. What a step of the playbook does cannot be changed.",
        );
        describe(step, "sealed", "Later overlays may not touch it.");
    }
    if let Some(Value::Object(param)) = whole.pointer_mut("/$defs/param/properties") {
        describe(
            param,
            "type",
            "The type of a new parameter; that of a parameter of the playbook cannot be changed.",
        );
        describe(
            param,
            "required",
            "A run must give it; a default in the playbook is taken away.",
        );
        describe(param, "enum", "Fewer values than the playbook allows.");
        describe(
            param,
            "sealed",
            "Runs may not set it, and later overlays may not touch it.",
        );
    }
    let mut properties = Map::from_iter([
        (
            "overlay".to_owned(),
            json!({
                "description": "The name of the playbook that it changes.",
                "type": "string",
                "pattern": "^[a-z][a-z0-9_-]{0,62}$",
                "examples": snippets::STOCK,
            }),
        ),
        (
            "version".to_owned(),
            json!({
                "description": "The versions of the playbook that it is for.",
                "type": "string",
                "minLength": 1,
                "examples": [">=1.0, <2", "^1.2"],
            }),
        ),
    ]);
    for key in SHARED {
        if let Some(value) = whole
            .pointer_mut("/properties")
            .and_then(|all| all.get_mut(key))
        {
            properties.insert(key.to_owned(), value.take());
        }
    }
    describe(
        &mut properties,
        "params",
        "What the site presets, narrows and seals, and parameters of its own.",
    );
    describe(
        &mut properties,
        "steps",
        "Changes to steps, and new steps with `action` or `playbook`, wired in by `needs` and `needed_by`.",
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pgbaton overlay",
        "description": "A site's changes to a playbook: maps are merged by key, lists and single values replaced.",
        "type": "object",
        "additionalProperties": false,
        "required": ["overlay"],
        "properties": properties,
        "$defs": whole.get_mut("$defs").map(Value::take),
    })
}

fn take(within: &mut Value, place: &str, key: &str) {
    if let Some(Value::Object(map)) = within.pointer_mut(place) {
        map.remove(key);
    }
}

fn describe(map: &mut Map<String, Value>, key: &str, text: &str) {
    if let Some(Value::Object(about)) = map.get_mut(key) {
        about.insert("description".to_owned(), text.into());
    }
}

fn needed_by() -> Value {
    json!({
        "description": "Steps that are to wait for this one: they need it.",
        "oneOf": [
            { "$ref": "#/$defs/name" },
            { "type": "array", "uniqueItems": true, "items": { "$ref": "#/$defs/name" } },
        ],
    })
}
