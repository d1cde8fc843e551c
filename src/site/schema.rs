//! JSON Schema of the site file, for editors.

use super::cluster::PRODUCTS;
use super::detector;
use super::node::PROMOTE;
use super::notify;
use super::replication::MODES;
use super::sql::SSL_MODES;
use serde_json::{Value as Json, json};

/// The JSON Schema of a site file. It is committed as `schemas/site.schema.json`, and a test compares the two. What
/// takes more than one place to see (equal ids, a port given twice) only the loader reports.
pub fn schema() -> Json {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pgbaton site file",
        "description": "Clusters, their nodes, and how to reach them.",
        "type": "object",
        "additionalProperties": false,
        "required": ["site", "clusters"],
        "properties": {
            "site": name("The name of this site."),
            "vars": {
                "description": "`site.vars` of playbooks and expressions.",
                "type": "object",
                "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" }
            },
            "journal": text("The directory of the runs' journals, on this machine."),
            "store": {
                "description": "Journals and leases that several machines share, instead of `journal`.",
                "type": "object",
                "additionalProperties": false,
                "title": "store",
                "required": ["etcd"],
                "properties": {
                    "etcd": {
                        "description": "The members of an etcd, `http://HOST:2379` or `https://HOST:2379`.",
                        "type": "array",
                        "minItems": 1,
                        "items": { "type": "string", "pattern": "^https?://[^/@ ?#]+$" }
                    },
                    "prefix": text("What all keys begin with; `/pgbaton/` by default.")
                }
            },
            "api": api(),
            "notify": notify::schema(),
            "hooks": hooks(),
            "overlays": {
                "description": "The site's overlays, files beside this one, in the order in which they are laid over playbooks. Without this, those in `overlays/` beside this file, in the order of their names.",
                "type": "array",
                "uniqueItems": true,
                "items": { "type": "string", "minLength": 1 }
            },
            "clusters": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": name("The name of a cluster; one run at a time holds it."),
                "additionalProperties": cluster()
            }
        },
        "$defs": {
            "port": { "type": "integer", "minimum": 1, "maximum": 65535 },
            "argv": {
                "description": "A program and its arguments.",
                "type": "array",
                "minItems": 1,
                "items": { "type": ["string", "integer"] }
            },
            "nodePath": { "type": "string", "pattern": "^/" },
            "ssh": ssh(),
            "transport": transport()
        }
    })
}

fn api() -> Json {
    json!({
        "title": "api",
        "description": "The HTTP API of `pgbaton serve`; without it no port is opened.",
        "type": "object",
        "additionalProperties": false,
        "required": ["tokens"],
        "properties": {
            "listen": text("Address and port; 127.0.0.1:8432 by default. Without `tls` a loopback address."),
            "tls": {
                "description": "Files in PEM, on this machine; read again when they change.",
                "type": "object",
                "additionalProperties": false,
                "title": "tls",
                "required": ["cert", "key"],
                "properties": {
                    "cert": text("The certificate, and those that lead to its authority."),
                    "key": text("Its private key.")
                }
            },
            "tokens": text("The file of tokens, on this machine; `pgbaton token` makes its lines.")
        }
    })
}

fn hooks() -> Json {
    let expression =
        |what: &str| json!({ "description": what, "type": ["string", "boolean", "integer"] });
    json!({
        "description": "What programs outside may let `serve` run: POST /v1/hooks/NAME of its API.",
        "type": "object",
        "propertyNames": name("The name of a hook; the end of its path."),
        "additionalProperties": {
            "title": "hook",
            "type": "object",
            "additionalProperties": false,
            "required": ["cluster"],
            "anyOf": [
                { "required": ["secret"] },
                { "required": ["bearer"], "properties": { "bearer": { "const": true } } }
            ],
            "properties": {
                "cluster": name("The cluster that it is about."),
                "playbook": text("What is run; failover by default."),
                "mode": choice(&detector::MODES, "observe by default: it only tells. approve: it asks. auto: it acts."),
                "secret": {
                    "description": "Where the secret is with which its callers sign; never the secret itself.",
                    "type": "object",
                    "additionalProperties": false,
                    "minProperties": 1,
                    "maxProperties": 1,
                    "properties": {
                        "file": text("A file that only its owner may change and no other user read; read again when it changes."),
                        "env": text("An environment variable of `serve`.")
                    }
                },
                "bearer": {
                    "description": "A token of the role operate will do in place of a signature.",
                    "type": "boolean", "default": false
                },
                "when": expression("Whether a request means anything, over `payload`; where it does not, nothing is done."),
                "params": {
                    "description": "Parameters of the playbook, an expression over `payload` each.",
                    "type": "object",
                    "additionalProperties": expression("An expression; text in it stands in quotes.")
                },
                "key": expression("What is the same for requests about the same thing: one of them starts a run.")
            }
        }
    })
}

fn cluster() -> Json {
    let mut defaults = node_properties();
    let mut node = node_properties();
    if let (Json::Object(node), Json::Object(defaults)) = (&mut node, &mut defaults) {
        describe(
            node,
            "host",
            json!({
                "description": "Host name or address, for SQL and for replication; or the directory of a Unix socket.",
                "type": "string",
                "pattern": "^(/[^,]*|[A-Za-z0-9:][A-Za-z0-9._:%-]*)$"
            }),
        );
        describe(
            node,
            "id",
            json!({
                "description": "Its number in tables; by default in the order of the file.",
                "type": "integer", "minimum": 1, "maximum": i32::MAX
            }),
        );
        for (key, what) in [
            ("data", "The data directory on its host."),
            ("bin", "The directory of the server's programs on its host."),
            ("log", "Where `pg_ctl start` writes the server's output."),
        ] {
            for map in [&mut *node, &mut *defaults] {
                describe(
                    map,
                    key,
                    json!({ "description": what, "$ref": "#/$defs/nodePath" }),
                );
            }
        }
    }
    json!({
        "title": "cluster",
        "type": "object",
        "additionalProperties": false,
        "required": ["sql", "nodes"],
        "not": { "required": ["ssh", "transport"] },
        "properties": {
            "product": choice(&PRODUCTS, "The server software; postgresql by default."),
            "sql": sql(),
            "replication": {
                "description": "How a standby logs in to its upstream.",
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "user": text("By default the user of `sql`."),
                    "passfile": { "description": "A passfile on the standby's host.", "$ref": "#/$defs/nodePath" },
                    "options": {
                        "description": "Further connection parameters, such as connect_timeout or sslmode.",
                        "type": "object",
                        "propertyNames": { "not": { "enum": ["password", "host", "port", "user", "dbname", "application_name", "passfile", "replication", "service"] } },
                        "additionalProperties": { "type": ["string", "integer"] }
                    }
                }
            },
            "synchronous": synchronous(),
            "repmgr": repmgr(),
            "detector": detector::schema(),
            "ssh": { "$ref": "#/$defs/ssh" },
            "transport": { "$ref": "#/$defs/transport" },
            "defaults": {
                "description": "What every node has unless it says otherwise.",
                "type": "object",
                "additionalProperties": false,
                "not": { "required": ["ssh", "transport"] },
                "properties": defaults
            },
            "nodes": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": { "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$" },
                "additionalProperties": {
                    "title": "node",
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["host"],
                    "not": { "required": ["ssh", "transport"] },
                    "properties": node
                }
            }
        }
    })
}

fn synchronous() -> Json {
    json!({
        "description": "Whom a commit waits for, on whichever node is primary; unmanaged by default.",
        "oneOf": [
            choice(&MODES, "The shape of synchronous_standby_names."),
            {
                "type": "object",
                "additionalProperties": false,
                "title": "synchronous",
                "required": ["mode"],
                "properties": {
                    "mode": choice(&MODES, "The shape of synchronous_standby_names."),
                    "acks": {
                        "description": "How many standbys a commit waits for, in the modes quorum and first.",
                        "type": "integer", "minimum": 1, "maximum": 1000, "default": 1
                    }
                },
                "if": { "required": ["acks"] },
                "then": { "properties": { "mode": { "enum": ["quorum", "first"] } } }
            }
        ]
    })
}

fn repmgr() -> Json {
    json!({
        "description": "repmgr's table of nodes, which the stock playbooks then keep right.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "database": text("Its database; repmgr, for KingbaseES esrep."),
            "schema": text("Its schema; repmgr.")
        }
    })
}

fn describe(map: &mut serde_json::Map<String, Json>, key: &str, value: Json) {
    map.insert(key.to_owned(), value);
}

/// What `defaults` and a node have in common, paths apart.
fn node_properties() -> Json {
    json!({
        "port": { "description": "TCP port; 5432, for KingbaseES 54321.", "$ref": "#/$defs/port" },
        "priority": {
            "description": "Higher is preferred when positions tie; 100 by default.",
            "type": "integer", "minimum": -1_000_000, "maximum": 1_000_000
        },
        "location": text("Site, data centre, rack."),
        "promote": choice(&PROMOTE, "Whether it may become primary; a node that may not still counts for what it holds."),
        "ssh": { "$ref": "#/$defs/ssh" },
        "transport": { "$ref": "#/$defs/transport" },
        "service": {
            "description": "What starts and stops the server in place of pg_ctl.",
            "oneOf": [
                {
                    "title": "a unit of systemd",
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["systemd"],
                    "properties": {
                        "systemd": text("The unit."),
                        "sudo": { "description": "By `sudo -n`.", "type": "boolean" }
                    }
                },
                {
                    "title": "a cluster of Debian's",
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["pg_ctlcluster"],
                    "properties": {
                        "pg_ctlcluster": text("A cluster of Debian's: its version, a slash, its name."),
                        "sudo": { "description": "By `sudo -n`.", "type": "boolean" }
                    }
                },
                {
                    "title": "commands of your own",
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["start", "stop"],
                    "properties": {
                        "start": { "description": "Starts it.", "$ref": "#/$defs/argv" },
                        "stop": { "description": "Stops it, cleanly; may wait for the end or not.", "$ref": "#/$defs/argv" }
                    }
                }
            ]
        },
        "forbid_return": { "description": "Keeps the service manager from starting the server again.", "$ref": "#/$defs/argv" },
        "allow_return": { "description": "Takes `forbid_return` back.", "$ref": "#/$defs/argv" }
    })
}

fn sql() -> Json {
    json!({
        "title": "sql",
        "description": "How pgbaton logs in.",
        "type": "object",
        "additionalProperties": false,
        "required": ["user"],
        "not": { "required": ["passfile", "password"] },
        "properties": {
            "user": text("The user; docs/rights.md lists what it needs."),
            "dbname": text("The database; postgres, for KingbaseES test."),
            "port": { "description": "TCP port of all nodes that name none.", "$ref": "#/$defs/port" },
            "passfile": text("A file in the format of .pgpass, on this machine."),
            "password": {
                "description": "Where the password is; never the password itself.",
                "type": "object",
                "additionalProperties": false,
                "minProperties": 1,
                "maxProperties": 1,
                "properties": {
                    "file": text("A file whose contents, less a final newline, are the password."),
                    "env": text("An environment variable of pgbaton.")
                }
            },
            "sslmode": choice(&SSL_MODES, "As libpq has it; prefer by default."),
            "sslrootcert": text("Certificate authorities in PEM, on this machine.")
        },
        "if": { "required": ["sslmode"], "properties": { "sslmode": { "enum": ["verify-ca", "verify-full"] } } },
        "then": { "required": ["sslrootcert"] }
    })
}

fn ssh() -> Json {
    json!({
        "description": "By ssh, with the user's own configuration and keys.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "host": argument("The host, where it is not the node's."),
            "user": argument("The user."),
            "port": { "$ref": "#/$defs/port" },
            "identity": text("A private key, on this machine."),
            "config": text("A configuration file in place of the user's own."),
            "known_hosts": text("A file of known hosts.")
        }
    })
}

fn transport() -> Json {
    json!({
        "description": "How a command reaches the host.",
        "oneOf": [
            { "enum": ["ssh", "local", "none"] },
            {
                "type": "object",
                "additionalProperties": false,
                "minProperties": 1,
                "maxProperties": 1,
                "properties": {
                    "local": {
                        "description": "It is this host.",
                        "type": "object",
                        "additionalProperties": false,
                        "properties": { "user": argument("The operating-system user that owns the server.") }
                    },
                    "ssh": { "$ref": "#/$defs/ssh" },
                    "template": {
                        "description": "A program and its arguments; the command is one more. `{host}` is replaced.",
                        "$ref": "#/$defs/argv"
                    }
                }
            }
        ]
    })
}

pub(super) fn text(description: &str) -> Json {
    json!({ "description": description, "type": "string", "minLength": 1 })
}

pub(super) fn argument(description: &str) -> Json {
    json!({ "description": description, "type": "string", "pattern": "^[^-]" })
}

pub(super) fn name(description: &str) -> Json {
    json!({
        "description": description,
        "type": "string",
        "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
    })
}

pub(super) fn choice<T>(words: &[(&'static str, T)], description: &str) -> Json {
    let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    json!({ "description": description, "enum": words })
}
