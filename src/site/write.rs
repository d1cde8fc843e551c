//! A site as YAML: what [`super::Site::parse`] reads back as the same site.
//!
//! Remarks are comments: they say what the site cannot, and the loader does not see them.

use super::Site;
use super::cluster::PRODUCTS;
use super::detector;
use super::hooks;
use super::node::PROMOTE;
use super::replication::MODES;
use super::sql::SSL_MODES;
use crate::cluster::{
    Inventory, Node, NodeName, PromotePolicy, SecretSource, Service, SyncMode, Transport,
};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What is said beside a site that was made by a program, a line each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remarks {
    /// Above everything.
    pub top: Vec<String>,
    /// In a cluster, by its name.
    pub clusters: BTreeMap<String, Vec<String>>,
    /// At a node of any cluster.
    pub nodes: BTreeMap<NodeName, Vec<String>>,
}

/// The site as YAML text, complete but without what is a default anyway.
pub fn to_yaml(site: &Site) -> String {
    to_yaml_with(site, &Remarks::default())
}

/// The same with remarks.
pub fn to_yaml_with(site: &Site, remarks: &Remarks) -> String {
    let mut top = Out::default();
    top.remark(&remarks.top);
    top.put("site", &json!(site.name));
    if !site.vars.is_empty() {
        top.put("vars", &json!(site.vars));
    }
    top.maybe("journal", site.journal.as_ref());
    if let Some(store) = &site.store {
        let mut about = json!({ "etcd": store.endpoints });
        if let Some(prefix) = &store.prefix {
            about["prefix"] = json!(prefix);
        }
        top.put("store", &about);
    }
    if let Some(api) = &site.api {
        let mut about = json!({ "listen": api.listen.to_string(), "tokens": api.tokens });
        if let Some(tls) = &api.tls {
            about["tls"] = json!({ "cert": tls.cert, "key": tls.key });
        }
        top.put("api", &about);
    }
    if let Some(hooks) = &site.hooks {
        let hooks = hooks.hooks.iter();
        let hooks = hooks.map(|hook| (hook.name.value.clone(), hooks::written(hook)));
        top.put("hooks", &Json::Object(hooks.collect()));
    }
    let clusters = site
        .clusters
        .iter()
        .map(|(name, inventory)| (name.as_str(), cluster(inventory, remarks)));
    top.block("clusters", clusters);
    top.0
}

/// Lines of a map in block style.
#[derive(Default)]
struct Out(String);

impl Out {
    /// A key with a value in flow style.
    fn put(&mut self, key: &str, value: &Json) {
        let _ = writeln!(self.0, "{}: {}", scalar(key), flow(value));
    }

    fn maybe(&mut self, key: &str, value: Option<impl serde::Serialize>) {
        if let Some(value) = value {
            self.put(key, &json!(value));
        }
    }

    /// Comments. A line break would end one, and what follows would be read.
    fn remark(&mut self, lines: &[String]) {
        for line in lines {
            let _ = writeln!(self.0, "# {}", line.replace(char::is_control, " "));
        }
    }

    /// A key with maps below it.
    fn block<'k>(&mut self, key: &str, entries: impl Iterator<Item = (&'k str, Self)>) {
        let _ = writeln!(self.0, "{}:", scalar(key));
        for (name, inner) in entries {
            let _ = writeln!(self.0, "  {}:", scalar(name));
            for line in inner.0.lines() {
                let _ = writeln!(self.0, "    {line}");
            }
        }
    }
}

fn cluster(inventory: &Inventory, remarks: &Remarks) -> Out {
    let mut out = Out::default();
    if let Some(lines) = remarks.clusters.get(&inventory.cluster) {
        out.remark(lines);
    }
    out.put("product", &json!(word(&PRODUCTS, inventory.product)));
    let sql = &inventory.sql;
    let mut access = serde_json::Map::new();
    access.insert("user".to_owned(), json!(sql.user));
    access.insert("dbname".to_owned(), json!(sql.dbname));
    access.insert("sslmode".to_owned(), json!(word(&SSL_MODES, sql.sslmode)));
    let mut add = |key: &str, value: Option<Json>| {
        if let Some(value) = value {
            access.insert(key.to_owned(), value);
        }
    };
    add("passfile", sql.passfile.as_ref().map(|p| json!(p)));
    add("sslrootcert", sql.sslrootcert.as_ref().map(|p| json!(p)));
    add(
        "password",
        sql.password.as_ref().map(|source| match source {
            SecretSource::File(path) => json!({ "file": path }),
            SecretSource::Env(name) => json!({ "env": name }),
        }),
    );
    out.put("sql", &Json::Object(access));
    let replication = &inventory.replication;
    let mut access = serde_json::Map::new();
    access.insert("user".to_owned(), json!(replication.user));
    if let Some(passfile) = &replication.passfile {
        access.insert("passfile".to_owned(), json!(passfile));
    }
    if !replication.options.is_empty() {
        access.insert("options".to_owned(), json!(replication.options));
    }
    out.put("replication", &Json::Object(access));
    let synchronous = inventory.synchronous;
    let mode = word(&MODES, synchronous.mode);
    out.put(
        "synchronous",
        &match synchronous.mode {
            SyncMode::Quorum | SyncMode::First => {
                json!({ "mode": mode, "acks": synchronous.acks })
            }
            _ => json!({ "mode": mode }),
        },
    );
    if let Some(table) = &inventory.repmgr {
        let about = json!({ "database": table.database, "schema": table.schema });
        out.put("repmgr", &about);
    }
    if let Some(about) = detector::written(&inventory.detector) {
        out.put("detector", &about);
    }
    let default = inventory.product.default_port();
    let mut nodes: Vec<&Node> = inventory.nodes.values().collect();
    nodes.sort_by_key(|n| n.id);
    out.block(
        "nodes",
        nodes.iter().map(|n| {
            let lines = remarks.nodes.get(&n.name);
            let lines = lines.map_or(&[][..], Vec::as_slice);
            (n.name.as_str(), node(n, default, lines))
        }),
    );
    out
}

fn node(node: &Node, default_port: u16, remarks: &[String]) -> Out {
    let mut out = Out::default();
    out.remark(remarks);
    out.put("id", &json!(node.id));
    out.put("host", &json!(node.host));
    if node.port != default_port {
        out.put("port", &json!(node.port));
    }
    out.put("priority", &json!(node.priority));
    out.put("location", &json!(node.location));
    if node.promote != PromotePolicy::Allowed {
        out.put("promote", &json!(word(&PROMOTE, node.promote)));
    }
    for (key, path) in [("data", &node.data), ("bin", &node.bin)] {
        if !path.as_os_str().is_empty() {
            out.put(key, &json!(path));
        }
    }
    out.maybe("log", node.log.as_ref());
    if let Some(given) = &node.service {
        out.put("service", &service(given));
    }
    out.maybe("forbid_return", node.forbid_return.as_ref());
    out.maybe("allow_return", node.allow_return.as_ref());
    out.put("transport", &transport(&node.transport));
    out
}

fn service(service: &Service) -> Json {
    match service {
        Service::Systemd { unit, sudo } => json!({ "systemd": unit, "sudo": sudo }),
        Service::PgCtlcluster {
            version,
            cluster,
            sudo,
        } => json!({ "pg_ctlcluster": format!("{version}/{cluster}"), "sudo": sudo }),
        Service::Commands { start, stop } => json!({ "start": start, "stop": stop }),
    }
}

fn transport(transport: &Transport) -> Json {
    match transport {
        Transport::None => json!("none"),
        Transport::Local { user: None } => json!("local"),
        Transport::Local { user } => json!({ "local": { "user": user } }),
        Transport::Template { argv } => json!({ "template": argv }),
        Transport::Ssh {
            host,
            user,
            port,
            identity,
            config,
            known_hosts,
        } => {
            let parts = [
                ("host", host.as_ref().map(|v| json!(v))),
                ("user", user.as_ref().map(|v| json!(v))),
                ("port", port.map(|v| json!(v))),
                ("identity", identity.as_ref().map(|v| json!(v))),
                ("config", config.as_ref().map(|v| json!(v))),
                ("known_hosts", known_hosts.as_ref().map(|v| json!(v))),
            ];
            let given: serde_json::Map<String, Json> = parts
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value?)))
                .collect();
            if given.is_empty() {
                json!("ssh")
            } else {
                json!({ "ssh": given })
            }
        }
    }
}

/// The word for a value, from the table that the loader reads.
fn word<T: PartialEq + Copy>(words: &[(&'static str, T)], value: T) -> &'static str {
    words
        .iter()
        .find(|(_, v)| *v == value)
        .map_or("", |(word, _)| word)
}

/// A value on one line.
fn flow(value: &Json) -> String {
    match value {
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Json::Object(map) if map.is_empty() => "{}".to_owned(),
        Json::Object(map) => {
            let entries: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{}: {}", scalar(key), flow(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Json::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// Text without quotes where nobody could read it as something else, else as a JSON string, which YAML reads too.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '_'))
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.' | '-'))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if plain {
        text.to_owned()
    } else {
        Json::from(text).to_string()
    }
}
