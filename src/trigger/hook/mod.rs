//! Hooks: what programs outside may let `serve` run. They are read with the site file and checked before the first request.

mod read;
#[cfg(test)]
mod tests;

pub use read::{Misfit, Reading};

use super::sentry::{FAILOVER, as_allowed};
use crate::actions::catalog;
use crate::cluster::{Inventory, Mode, SecretSource};
use crate::document::{Diagnostics, Entry, Lowering, suggest};
use crate::playbook::{
    Expression, Library as _, Map, Playbook, Type, Value, Wanted, check, free_expression,
};
use crate::runs::{RISKY, RunsError, Shelves, site_vars, written};
use crate::site::{self, Site};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// What the triggers of their runs begin with.
const TRIGGER: &str = "webhook:";

/// Something that may be called from outside.
#[derive(Debug)]
pub struct Hook {
    /// Its name.
    pub name: String,
    /// The cluster that it is about.
    pub cluster: String,
    /// What it runs.
    pub playbook: String,
    /// What it may do.
    pub mode: Mode,
    /// What its callers sign with.
    pub secret: Option<SecretSource>,
    /// A token of the API will do in place of a signature.
    pub bearer: bool,
    when: Option<Expression>,
    params: Vec<(String, Expression)>,
    key: Option<Expression>,
    /// `site` and `cluster`, as the site file has them.
    names: Map,
    /// What was held back last, and why: it is told once.
    told: Mutex<Option<String>>,
}

impl Hook {
    /// What started its runs, as their records say.
    pub fn trigger(&self) -> String {
        format!("{TRIGGER}{}", self.name)
    }

    /// Whether this is something else than what was told last; from now on it is what was.
    pub fn is_news(&self, what: Option<String>) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = *told != what;
        *told = what;
        is_news
    }
}

/// Whether a run was started by a hook.
pub(super) fn is_hooks(trigger: &str) -> bool {
    trigger.starts_with(TRIGGER)
}

/// The hooks of a site that was read from `file`, by name. Everything that can be wrong with them before a request comes is
/// told at once.
pub fn hooks(site: &Site, file: &Path) -> Result<BTreeMap<String, Hook>, RunsError> {
    let Some(written) = &site.hooks else {
        return Ok(BTreeMap::new());
    };
    let mut diagnostics = Diagnostics::default();
    let mut to = Lowering {
        source: &written.source,
        diagnostics: &mut diagnostics,
    };
    let vars = site_vars(site);
    let mut all = BTreeMap::new();
    for hook in &written.hooks {
        let Some(inventory) = site.clusters.get(&hook.cluster.value) else {
            continue;
        };
        let shelves = Shelves::beside(Some(file)).for_site(vars.clone());
        let shelves = shelves.for_cluster(inventory);
        if let Some(hook) = checked(&mut to, hook, inventory, &shelves, &vars) {
            all.insert(hook.name.clone(), hook);
        }
    }
    if diagnostics.has_errors() {
        diagnostics.sort();
        let what = format!("site file {}", written.source.name);
        return Err(RunsError::Invalid { what, diagnostics });
    }
    Ok(all)
}

/// None only after an error.
fn checked(
    to: &mut Lowering<'_>,
    hook: &site::Hook,
    inventory: &Inventory,
    shelves: &Shelves,
    vars: &Map,
) -> Option<Hook> {
    let mode = hook.mode.value;
    if mode == Mode::Approve && hook.playbook.value != FAILOVER {
        let message = format!("`mode: approve` is for the playbook `{FAILOVER}`");
        to.error("bad-value", hook.mode.span, message).help = Some(
            "another playbook asks by a step of its own, with the action `approve`: then say `mode: auto`"
                .to_owned(),
        );
    }
    let when = hook
        .when
        .as_ref()
        .map(|value| free_expression(to, "when", value, Wanted::Condition, shelves));
    let key = hook
        .key
        .as_ref()
        .map(|value| free_expression(to, "key", value, Wanted::Text, shelves));
    let name = as_allowed(mode, &hook.playbook.value);
    let playbook = found(to, hook, name, shelves)?;
    let params = hook.params.iter();
    let params: Vec<Option<(String, Expression)>> = params
        .map(|entry| param(to, entry, &playbook, shelves))
        .collect();
    let given = |name: &str| hook.params.iter().any(|entry| entry.key.value == name);
    for missing in playbook.params.iter().filter(|param| param.required) {
        let missing = &missing.name.value;
        if !given(missing) {
            let message = format!("playbook `{name}` needs the parameter `{missing}`");
            to.error("missing-key", hook.name.span, message).help = Some(format!(
                "say how it comes out of a request: `params: {{ {missing}: EXPRESSION }}`"
            ));
        }
    }
    let site = Map::from([("vars".to_owned(), Value::Map(vars.clone()))]);
    Some(Hook {
        name: hook.name.value.clone(),
        cluster: hook.cluster.value.clone(),
        playbook: name.to_owned(),
        mode,
        secret: hook.secret.clone(),
        bearer: hook.bearer,
        when: transposed(when)?,
        params: params.into_iter().collect::<Option<_>>()?,
        key: transposed(key)?,
        names: Map::from([
            ("site".to_owned(), Value::Map(site)),
            ("cluster".to_owned(), Value::Map(written(inventory))),
        ]),
        told: Mutex::default(),
    })
}

/// What was not given is none; what had an error ends it.
#[expect(
    clippy::option_option,
    reason = "absent, or given and perhaps with an error"
)]
fn transposed(value: Option<Option<Expression>>) -> Option<Option<Expression>> {
    match value {
        Some(None) => None,
        given => Some(given.flatten()),
    }
}

/// The playbook, read and checked.
fn found(
    to: &mut Lowering<'_>,
    hook: &site::Hook,
    name: &str,
    shelves: &Shelves,
) -> Option<Arc<Playbook>> {
    let span = hook.playbook.span;
    let source = match shelves.find(name) {
        Ok(Some(source)) => source,
        Ok(None) => {
            let names = shelves.names();
            let near = suggest(name, names.iter().map(String::as_str));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the playbooks are {}", names.join(", ")),
            };
            let message = format!("there is no playbook `{name}`");
            to.error("unknown-playbook", span, message).help = Some(help);
            return None;
        }
        Err(unreadable) => {
            to.error("unreadable-playbook", span, unreadable.to_string());
            return None;
        }
    };
    let checked = check(&source, &catalog(), shelves, to.diagnostics)?;
    Some(checked.playbook)
}

/// A parameter and the expression that gives it.
fn param(
    to: &mut Lowering<'_>,
    entry: &Entry,
    playbook: &Playbook,
    shelves: &Shelves,
) -> Option<(String, Expression)> {
    let name = entry.key.value.as_str();
    let Some(param) = playbook.param(name) else {
        let known: Vec<&str> = playbook
            .params
            .iter()
            .map(|p| p.name.value.as_str())
            .collect();
        let help = match suggest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its parameters are {}", known.join(", ")),
        };
        let message = format!(
            "playbook `{}` has no parameter `{name}`",
            playbook.name.value
        );
        to.error("unknown-param", entry.key.span, message).help = Some(help);
        return None;
    };
    let refused = if RISKY.contains(&name) {
        let help = "it runs a command on this host, or accepts what safety refuses: that is for a person, or for the default of a playbook of your own";
        Some(("bad-value", "cannot come out of a request", help))
    } else if param.ty == Type::Secret {
        let help = "let the playbook's default say which file or variable holds it";
        let why = "is a secret, which cannot come out of a request";
        Some(("misplaced-secret", why, help))
    } else if param.sealed {
        let help = "it keeps the value that the playbook gives it";
        Some(("sealed", "is sealed", help))
    } else {
        None
    };
    if let Some((code, why, help)) = refused {
        let message = format!("the parameter `{name}` {why}");
        to.error(code, entry.key.span, message).help = Some(help.to_owned());
        return None;
    }
    let what = format!("params.{name}");
    let wanted = Wanted::Param(param);
    let expression = free_expression(to, &what, &entry.value, wanted, shelves)?;
    Some((name.to_owned(), expression))
}
