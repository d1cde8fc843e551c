//! Parameters as somebody gave them, bound to those that a playbook declares.

use super::RunsError;
use crate::playbook::{Checked, Map, Names, ParamError, SecretSource, Value, bind};

/// Parameters of the stock playbooks that run a command of the caller's on this host, or accept what safety refuses.
pub const RISKY: [&str; 4] = ["fence_command", "fence_check", "waive_fence", "accept_loss"];

/// Binds `name=value` pairs as [`bind_params`] does, for a run that is simulated: nothing reads a secret there, and where
/// playbooks are tested the site's secrets need not be.
pub fn bind_simulated(
    playbook: &Checked,
    params: &[(String, String)],
    site_vars: &Map,
    pinned: &Map,
) -> Result<Map, RunsError> {
    let refused = |errors| RunsError::Params {
        playbook: playbook.playbook.name.value.clone(),
        errors,
    };
    let mut given = Map::new();
    let mut twice = Vec::new();
    for (name, value) in params {
        if given.insert(name.clone(), value.as_str().into()).is_some() {
            twice.push(ParamError {
                name: name.clone(),
                why: "it is given more than once".to_owned(),
                help: None,
            });
        }
    }
    if !twice.is_empty() {
        return Err(refused(twice));
    }
    let names = Known { site_vars, pinned };
    bind(&playbook.playbook, &given, &names).map_err(refused)
}

/// What defaults of parameters may refer to.
struct Known<'a> {
    site_vars: &'a Map,
    pinned: &'a Map,
}

impl Names for Known<'_> {
    fn lookup(&self, path: &[&str]) -> Option<Value> {
        match path {
            ["site", "vars", name, rest @ ..] => self.site_vars.get(*name)?.lookup(rest),
            ["site", "vars"] => Some(Value::Map(self.site_vars.clone())),
            ["site"] => {
                let vars = Value::Map(self.site_vars.clone());
                Some(Value::Map(Map::from([("vars".to_owned(), vars)])))
            }
            ["cluster", name, rest @ ..] => self.pinned.get(*name)?.lookup(rest),
            ["cluster"] => Some(Value::Map(self.pinned.clone())),
            _ => None,
        }
    }
}

/// Binds `name=value` pairs; defaults see `site.vars` and the pinned facts. All that is wrong is told at once; a secret that
/// is not there is wrong.
pub fn bind_params(
    playbook: &Checked,
    params: &[(String, String)],
    site_vars: &Map,
    pinned: &Map,
) -> Result<Map, RunsError> {
    let bound = bind_simulated(playbook, params, site_vars, pinned)?;
    let absent = absent_secrets(&bound);
    if absent.is_empty() {
        Ok(bound)
    } else {
        Err(RunsError::Params {
            playbook: playbook.playbook.name.value.clone(),
            errors: absent,
        })
    }
}

/// Secrets that are not where they are said to be: found before anything is done, not in the middle of it.
fn absent_secrets(params: &Map) -> Vec<ParamError> {
    let why = |source: &SecretSource| match source {
        SecretSource::File(path) => std::fs::File::open(path)
            .err()
            .map(|error| format!("the file {} cannot be read: {error}", path.display())),
        SecretSource::Env(name) => std::env::var_os(name)
            .is_none()
            .then(|| format!("the environment variable {name} is not set")),
    };
    let secrets = params.iter().filter_map(|(name, value)| match value {
        Value::Secret(source) => Some((name, source)),
        _ => None,
    });
    secrets
        .filter_map(|(name, source)| {
            Some(ParamError {
                name: name.clone(),
                why: why(source)?,
                help: None,
            })
        })
        .collect()
}
