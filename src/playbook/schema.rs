//! JSON Schema of the language, for editors: completion, descriptions, and most typing mistakes while they are made.
//!
//! It is built by hand next to the loader, which stays the judge: what the schema refuses the loader refuses, and what
//! JSON Schema cannot say (references, cycles, the syntax of expressions) it leaves to `validate`.

mod action;
mod overlay;
mod parts;
mod snippets;
#[cfg(test)]
mod tests;

pub use overlay::overlay_schema;

use super::Catalog;
use serde_json::{Value, json};

/// The JSON Schema (2020-12) of playbooks that use the actions of `catalog`.
pub fn schema(catalog: &Catalog) -> Value {
    let mut definitions = parts::definitions();
    let mut conditions: Vec<Value> = catalog
        .actions
        .values()
        .map(|signature| action::condition(catalog, signature))
        .collect();
    conditions.push(action::nested_playbook());
    definitions.insert("action".to_owned(), action::names(catalog));
    definitions.insert("step".to_owned(), parts::step(catalog, &conditions));
    definitions.insert("reference".to_owned(), snippets::expressions(catalog));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pgbaton playbook",
        "description": "A failover, switchover, follow or other procedure as a graph of typed steps.",
        "type": "object",
        "additionalProperties": false,
        "required": ["playbook", "steps"],
        "properties": {
            "playbook": {
                "description": "The name of the playbook.",
                "type": "string",
                "pattern": "^[a-z][a-z0-9_-]{0,62}$",
            },
            "version": {
                "description": "MAJOR.MINOR.PATCH",
                "type": "string",
                "pattern": r"^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})$",
            },
            "summary": { "description": "One sentence for people.", "type": "string" },
            "waive": {
                "description": "Safety rules that this playbook breaks knowingly, each with the reason: PB004, PB005 or PB009.",
                "type": "object",
                "propertyNames": { "enum": ["PB004", "PB005", "PB009"] },
                "additionalProperties": { "type": "string", "minLength": 1 },
            },
            "params": {
                "description": "What a run must or may give.",
                "type": "object",
                "propertyNames": { "$ref": "#/$defs/name" },
                "additionalProperties": { "$ref": "#/$defs/param" },
            },
            "timeout": {
                "description": "The budget of all steps together.",
                "$ref": "#/$defs/duration",
            },
            "defaults": { "$ref": "#/$defs/defaults" },
            "steps": {
                "description": "The steps, by id. Their order comes from `needs` alone.",
                "$ref": "#/$defs/steps",
            },
            "rescue": {
                "description": "Steps that run when the playbook's steps have failed; the run still ends `failed`.",
                "$ref": "#/$defs/scope",
            },
            "finally": {
                "description": "Steps that run in the end, always.",
                "$ref": "#/$defs/scope",
            },
            "outputs": {
                "description": "What the run gives: names and expressions.",
                "$ref": "#/$defs/outputs",
            },
        },
        "$defs": definitions,
    })
}
