//! `hooks`: what programs outside may let `pgbaton serve` run, and what it makes of what they send.

use super::detector::MODES;
use super::{sql, words};
use crate::cluster::{Inventory, Mode, SecretSource};
use crate::document::{Entry, Lowering, MapReader, Source, Spanned, Tree, suggest};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What is run unless a hook says otherwise.
const PLAYBOOK: &str = "failover";

/// The hooks of a site. Their expressions are read by whoever has the language for it, and are kept with their places.
#[derive(Debug, Clone, PartialEq)]
pub struct Hooks {
    /// The site file.
    pub source: Source,
    /// They, in the order of the file.
    pub hooks: Vec<Hook>,
}

/// Something that may be called from outside.
#[derive(Debug, Clone, PartialEq)]
pub struct Hook {
    /// The end of its path.
    pub name: Spanned<String>,
    /// The cluster that it is about.
    pub cluster: Spanned<String>,
    /// What it runs.
    pub playbook: Spanned<String>,
    /// What it may do.
    pub mode: Spanned<Mode>,
    /// What its callers sign with.
    pub secret: Option<SecretSource>,
    /// A token of the API will do in place of a signature.
    pub bearer: bool,
    /// Whether a request means anything, an expression.
    pub when: Option<Spanned<Tree>>,
    /// Parameters, an expression each.
    pub params: Vec<Entry>,
    /// What is the same for requests about the same thing, an expression.
    pub key: Option<Spanned<Tree>>,
}

/// None only after an error.
pub(super) fn lower(
    to: &mut Lowering<'_>,
    value: &Spanned<Tree>,
    base: &Path,
    clusters: &BTreeMap<String, Inventory>,
) -> Option<Hooks> {
    let entries = to.entries("`hooks`", value)?;
    let mut hooks = Vec::new();
    for entry in entries {
        hooks.extend(hook(to, entry, base, clusters));
    }
    Some(Hooks {
        source: to.source.clone(),
        hooks,
    })
}

fn hook(
    to: &mut Lowering<'_>,
    entry: &Entry,
    base: &Path,
    clusters: &BTreeMap<String, Inventory>,
) -> Option<Hook> {
    let name = words::checked_name(to, "the name of a hook", &entry.key);
    let what = format!("hook `{}`", entry.key.value);
    let mut map = to.map(what.clone(), &entry.value)?;
    let cluster = map.required(to, "cluster");
    let cluster = cluster.and_then(|e| known(to, &e.value, clusters));
    let playbook = match map.optional(to, "playbook") {
        Some(entry) => words::text(to, "`playbook`", &entry.value),
        None => Some(Spanned::new(PLAYBOOK.to_owned(), entry.key.span)),
    };
    let mode = match map.optional(to, "mode") {
        Some(entry) => to.one_of("`mode`", &entry.value, &MODES),
        None => Some(Spanned::new(Mode::Observe, entry.key.span)),
    };
    let callers = callers(to, &mut map, &what, base);
    let when = map.optional(to, "when").map(|e| e.value.clone());
    let key = map.optional(to, "key").map(|e| e.value.clone());
    let params = match map.optional(to, "params") {
        Some(entry) => to.entries("`params`", &entry.value),
        None => Some(&[][..]),
    };
    map.finish(to);
    let (secret, bearer) = callers?;
    Some(Hook {
        name: Spanned::new(name?, entry.key.span),
        cluster: cluster?,
        playbook: playbook?,
        mode: mode?,
        secret,
        bearer,
        when,
        params: params?.to_vec(),
        key,
    })
}

/// How its callers show who they are; at least one way.
fn callers(
    to: &mut Lowering<'_>,
    map: &mut MapReader<'_>,
    what: &str,
    base: &Path,
) -> Option<(Option<SecretSource>, bool)> {
    let entry = map.optional(to, "secret");
    let given = entry.is_some();
    let secret = entry.map(|e| sql::secret(to, "secret", &e.value, base));
    let bearer = match map.optional(to, "bearer") {
        Some(entry) => to.boolean("`bearer`", &entry.value)?,
        None => false,
    };
    if !given && !bearer {
        let message = format!("{what} could be called by nobody");
        to.error("missing-key", map.span(), message).help = Some(
            "give `secret: { file: FILE }` for callers that sign, or `bearer: true` for those that have a token of the role operate"
                .to_owned(),
        );
        return None;
    }
    match secret {
        Some(secret) => Some((Some(secret?), bearer)),
        None => Some((None, bearer)),
    }
}

/// A cluster of this file.
fn known(
    to: &mut Lowering<'_>,
    value: &Spanned<Tree>,
    clusters: &BTreeMap<String, Inventory>,
) -> Option<Spanned<String>> {
    let name = words::text(to, "`cluster`", value)?;
    // Where one could not be read that has been reported, and it may be meant.
    if clusters.contains_key(&name.value) || to.diagnostics.has_errors() {
        return Some(name);
    }
    let all = || clusters.keys().map(String::as_str);
    let message = format!("the site has no cluster `{}`", name.value);
    let help = match suggest(&name.value, all()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("its clusters are {}", all().collect::<Vec<_>>().join(", ")),
    };
    to.error("unknown-value", name.span, message).help = Some(help);
    None
}

/// As the file has it.
pub(super) fn written(hook: &Hook) -> Json {
    let mut map = Map::new();
    let mut put = |key: &str, value: Json| map.insert(key.to_owned(), value);
    put("cluster", json!(hook.cluster.value));
    if hook.playbook.value != PLAYBOOK {
        put("playbook", json!(hook.playbook.value));
    }
    if let Some((word, _)) = MODES.iter().find(|(_, mode)| *mode == hook.mode.value) {
        put("mode", json!(word));
    }
    match &hook.secret {
        Some(SecretSource::File(path)) => put("secret", json!({ "file": path })),
        Some(SecretSource::Env(name)) => put("secret", json!({ "env": name })),
        None => None,
    };
    if hook.bearer {
        put("bearer", json!(true));
    }
    for (key, value) in [("when", &hook.when), ("key", &hook.key)] {
        if let Some(value) = value {
            put(key, words::json(&value.value));
        }
    }
    if !hook.params.is_empty() {
        let params = hook.params.iter();
        let params = params.map(|e| (e.key.value.clone(), words::json(&e.value.value)));
        put("params", Json::Object(params.collect()));
    }
    Json::Object(map)
}
