//! The OpenAPI document, made from the table of routes and the types of what is sent and answered.

use super::kinds::Kind;
use super::problem;
use super::read::json;
use super::routes::{BASE, ROUTES, Route};
use super::tokens::Role;
use axum::response::Response;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// The whole document; for its own route any object will do.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OpenApi")]
pub(super) struct Document {
    /// `3.1.0`.
    openapi: String,
    /// Every path with what can be done there.
    paths: BTreeMap<String, BTreeMap<String, Json>>,
}

pub(super) async fn serve() -> Response {
    json(&document())
}

/// Makes it.
pub(super) fn document() -> Json {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let mut paths: BTreeMap<String, Map<String, Json>> = BTreeMap::new();
    for route in ROUTES {
        let path = paths.entry(format!("{BASE}{}", route.path)).or_default();
        path.insert(route.method.to_owned(), operation(route, &mut schemas));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "pgbaton",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Clusters, plans and runs of `pgbaton serve`.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Made by `pgbaton token NAME --role ROLE`.",
                },
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-Pgbaton-Signature",
                    "description": "Made with the secret of the hook.",
                }
            }
        }
    })
}

fn operation(route: &Route, schemas: &mut SchemaGenerator) -> Json {
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "parameters": parameters(route, schemas),
        "responses": responses(route, schemas),
        "security": match route.role {
            Some(_) if route.signed => json!([{ "signature": [] }, { "token": [] }]),
            Some(_) => json!([{ "token": [] }]),
            None => json!([]),
        },
    });
    if let Some(role) = route.role {
        operation["description"] = json!(needs(role));
    }
    if let Some(body) = route.body {
        operation["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": body(schemas) } },
        });
    }
    operation
}

fn needs(role: Role) -> String {
    let may = Role::ALL.into_iter().filter(|one| one.may(role));
    let may: Vec<&str> = may.map(Role::as_str).collect();
    format!("For the roles {}.", may.join(", "))
}

/// `get_runs_run_events`: unique, as method and path are.
fn operation_id(route: &Route) -> String {
    let words = route.path.split(['/', '{', '}', '.']);
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    format!("{}_{}", route.method, words.join("_"))
}

fn parameters(route: &Route, schemas: &mut SchemaGenerator) -> Vec<Json> {
    let text = json!({ "type": "string" });
    let mut all: Vec<Json> = in_path(route.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": text }))
        .collect();
    all.extend(route.headers.iter().map(
        |(name, what)| json!({ "name": name, "in": "header", "description": what, "schema": text }),
    ));
    if let Some(query) = route.query {
        all.extend(in_query(&query(schemas), schemas));
    }
    all
}

pub(super) fn in_path(path: &str) -> impl Iterator<Item = &str> {
    let parts = path.split('/');
    parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// A parameter for each property of the type of the query.
fn in_query(shape: &Schema, schemas: &mut SchemaGenerator) -> Vec<Json> {
    let name = shape
        .get("$ref")
        .and_then(Json::as_str)
        .and_then(|to| to.rsplit('/').next())
        .unwrap_or_default()
        .to_owned();
    // It is no body, so nobody refers to it.
    let shape = schemas.definitions_mut().remove(&name).unwrap_or_default();
    let properties = shape.get("properties").and_then(Json::as_object);
    let each = properties.into_iter().flatten().map(|(name, schema)| {
        json!({
            "name": name,
            "in": "query",
            "description": schema.get("description"),
            "schema": schema,
        })
    });
    each.collect()
}

fn responses(route: &Route, schemas: &mut SchemaGenerator) -> Map<String, Json> {
    let mut all = Map::new();
    for answer in route.answers {
        let content = json!({ answer.kind: { "schema": (answer.shape)(schemas) } });
        let said = json!({ "description": answer.what, "content": content });
        all.insert(answer.status.as_str().to_owned(), said);
    }
    let schema = schemas.subschema_for::<problem::Document>();
    let mut problems: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for kind in problems_of(route) {
        let about = kind.about();
        let titles = problems
            .entry(about.status.as_str().to_owned())
            .or_default();
        titles.push(about.slug);
    }
    for (status, slugs) in problems {
        let said = json!({
            "description": format!("A problem: {}.", slugs.join(", ")),
            "content": { "application/problem+json": { "schema": schema } },
        });
        all.insert(status, said);
    }
    all
}

/// Its own, and those of everything that stands before it.
fn problems_of(route: &Route) -> Vec<Kind> {
    let mut kinds = route.problems.to_vec();
    if route.role.is_some() {
        kinds.extend([
            Kind::NoToken,
            Kind::UnknownToken,
            Kind::TokenExpired,
            Kind::RoleMissing,
            Kind::TooManyRequests,
            Kind::TooManyLogins,
            Kind::TokensUnusable,
        ]);
    }
    if route.body.is_some() {
        kinds.extend([
            Kind::NotJson,
            Kind::WrongMediaType,
            Kind::BodyTooLarge,
            Kind::BodyTooSlow,
            Kind::InvalidRequest,
        ]);
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every OpenAPI document of 3.1 must have, as far as this one uses it.
    fn form() -> Json {
        json!({
            "type": "object",
            "required": ["openapi", "info", "paths", "components"],
            "additionalProperties": false,
            "properties": {
                "openapi": { "const": "3.1.0" },
                "info": {
                    "type": "object",
                    "required": ["title", "version"],
                    "properties": { "title": { "type": "string" }, "version": { "type": "string" } }
                },
                "paths": {
                    "type": "object",
                    "propertyNames": { "pattern": "^/" },
                    "additionalProperties": {
                        "type": "object",
                        "propertyNames": { "enum": ["get", "post"] },
                        "additionalProperties": { "$ref": "#/$defs/operation" }
                    }
                },
                "components": {
                    "type": "object",
                    "required": ["schemas", "securitySchemes"],
                    "properties": {
                        "schemas": { "type": "object", "propertyNames": { "pattern": "^[a-zA-Z0-9._-]+$" } },
                        "securitySchemes": {
                            "type": "object",
                            "additionalProperties": {
                                "oneOf": [
                                    { "required": ["scheme"], "properties": { "type": { "const": "http" } } },
                                    { "required": ["in", "name"], "properties": { "type": { "const": "apiKey" } } }
                                ],
                                "required": ["type"]
                            }
                        }
                    }
                }
            },
            "$defs": {
                "operation": {
                    "type": "object",
                    "required": ["operationId", "responses"],
                    "additionalProperties": false,
                    "properties": {
                        "operationId": { "type": "string" },
                        "summary": { "type": "string", "minLength": 1 },
                        "description": { "type": "string" },
                        "security": { "type": "array", "items": { "type": "object" } },
                        "parameters": { "type": "array", "items": { "$ref": "#/$defs/parameter" } },
                        "requestBody": { "$ref": "#/$defs/content" },
                        "responses": {
                            "type": "object",
                            "minProperties": 1,
                            "propertyNames": { "pattern": "^[1-5][0-9]{2}$" },
                            "additionalProperties": {
                                "allOf": [{ "$ref": "#/$defs/content" }],
                                "required": ["description"],
                                "properties": { "description": { "type": "string", "minLength": 1 } }
                            }
                        }
                    }
                },
                "content": {
                    "type": "object",
                    "required": ["content"],
                    "properties": {
                        "content": {
                            "type": "object",
                            "minProperties": 1,
                            "additionalProperties": { "type": "object", "required": ["schema"] }
                        }
                    }
                },
                "parameter": {
                    "type": "object",
                    "required": ["name", "in", "schema"],
                    "properties": {
                        "name": { "type": "string" },
                        "in": { "enum": ["path", "query", "header"] }
                    },
                    "if": { "properties": { "in": { "const": "path" } } },
                    "then": { "required": ["required"], "properties": { "required": { "const": true } } }
                }
            }
        })
    }

    fn references<'j>(json: &'j Json, found: &mut Vec<&'j str>) {
        match json {
            Json::Object(map) => {
                found.extend(map.get("$ref").and_then(Json::as_str));
                map.values().for_each(|value| references(value, found));
            }
            Json::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn the_document_has_the_form_and_every_reference_leads_somewhere() {
        let document = document();
        let form = jsonschema::validator_for(&form()).unwrap();
        let errors: Vec<String> = form
            .iter_errors(&document)
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect();
        assert_eq!(errors, Vec::<String>::new());
        let mut all = Vec::new();
        references(&document, &mut all);
        assert!(all.len() > 10, "{all:?}");
        for to in all {
            let pointer = to.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{to}");
        }
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            assert!(jsonschema::meta::is_valid(schema), "{name}: {schema}");
        }
    }

    #[test]
    fn every_route_is_in_the_document_and_says_all_it_takes() {
        let document = document();
        let mut ids = std::collections::BTreeSet::new();
        let mut count = 0;
        for path in document["paths"].as_object().unwrap().values() {
            count += path.as_object().unwrap().len();
        }
        assert_eq!(count, ROUTES.len(), "no two routes are one");
        for route in ROUTES {
            let operation = &document["paths"][format!("{BASE}{}", route.path)][route.method];
            assert_eq!(operation["summary"], route.summary, "{}", route.path);
            assert!(ids.insert(operation["operationId"].to_string()));
            let parameters = operation["parameters"].as_array().unwrap();
            for name in in_path(route.path) {
                assert!(parameters.iter().any(|p| p["name"] == name), "{name}");
            }
            assert_eq!(operation.get("requestBody").is_some(), route.body.is_some());
            for answer in route.answers {
                assert!(operation["responses"].get(answer.status.as_str()).is_some());
            }
            // What changes something is for nobody without a token.
            assert!(
                route.change.is_none() || route.role.is_some(),
                "{}",
                route.path
            );
        }
    }

    #[test]
    fn every_kind_of_problem_is_on_the_page_of_the_api() {
        let page = include_str!("../../docs/api.md");
        for kind in Kind::ALL {
            let about = kind.about();
            let row = format!("| `{}` | {} |", about.slug, about.status.as_u16());
            assert!(page.contains(&row), "docs/api.md does not have {row}");
        }
        for route in ROUTES {
            let path = format!("`{} {BASE}{}`", route.method.to_uppercase(), route.path);
            assert!(page.contains(&path), "docs/api.md does not have {path}");
        }
    }
}
