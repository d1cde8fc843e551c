//! `notify`, for editors.

use super::super::schema::{argument, choice, name, text};
use super::{MAIL_TLS, NEWS};
use serde_json::{Value as Json, json};

pub(in super::super) fn schema() -> Json {
    let events: Vec<&str> = NEWS.iter().map(|(word, _)| *word).collect();
    json!({
        "description": "Who is told of what happens, by `pgbaton serve`: targets by name. docs/notifications.md has more.",
        "type": "object",
        "propertyNames": name("The name of a target, in logs and numbers."),
        "additionalProperties": {
            "title": "target",
            "type": "object",
            "additionalProperties": false,
            "oneOf": [
                { "required": ["webhook"] },
                { "required": ["email"] },
                { "required": ["command"] }
            ],
            "properties": {
                "webhook": {
                    "description": "It gets a POST of JSON.",
                    "type": "object",
                    "additionalProperties": false,
                    "title": "webhook",
                    "required": ["url"],
                    "properties": {
                        "url": {
                            "description": "Where; or where the URL itself is kept.",
                            "oneOf": [
                                { "type": "string", "pattern": "^https?://[^ ]+$" },
                                secret("Where the URL is kept.")
                            ]
                        },
                        "secret": secret("What the body is signed with: HMAC-SHA256.")
                    }
                },
                "email": {
                    "description": "It gets a mail, by SMTP.",
                    "type": "object",
                    "additionalProperties": false,
                    "title": "email",
                    "required": ["server", "from", "to"],
                    "dependentRequired": { "user": ["password"], "password": ["user"] },
                    "properties": {
                        "server": argument("The mail server."),
                        "port": { "description": "587, for tls 465, for none 25.", "$ref": "#/$defs/port" },
                        "tls": choice(&MAIL_TLS, "starttls by default."),
                        "user": text("Who logs in there."),
                        "password": secret("Where the password is; never the password itself."),
                        "from": text("Who writes: an address."),
                        "to": { "description": "Who reads: addresses.", "type": "array", "minItems": 1, "items": { "type": "string" } }
                    }
                },
                "command": { "description": "It is run on this machine, with JSON on its standard input.", "$ref": "#/$defs/argv" },
                "events": {
                    "description": "Of what it is told; of everything by default.",
                    "type": "array", "minItems": 1, "items": { "enum": events }
                },
                "clusters": {
                    "description": "Of which clusters; of all by default.",
                    "type": "array", "minItems": 1, "items": { "type": "string" }
                },
                "timeout": { "description": "How long one try may take; 10s.", "type": "string", "pattern": "^([0-9.]+(d|h|m|s|ms))+$" },
                "tries": { "description": "How often it is tried.", "type": "integer", "minimum": 1, "maximum": 10, "default": 4 }
            }
        }
    })
}

fn secret(what: &str) -> Json {
    json!({
        "description": what,
        "type": "object",
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {
            "file": text("A file whose contents, less a final newline, it is."),
            "env": text("An environment variable of pgbaton.")
        }
    })
}
