//! A run's parameters: from text or JSON to values of the declared types.

#[cfg(test)]
mod tests;
mod typed;

pub use typed::{Unreadable, read_text};
pub(in crate::playbook) use typed::{bad_bytes, bad_duration};

use super::{Map, Names, Param, Playbook, Type, Value};
use crate::document::suggest;

/// A parameter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parameter `{name}`: {why}")]
pub struct ParamError {
    /// Which.
    pub name: String,
    /// What is wrong.
    pub why: String,
    /// What was probably meant, or what is allowed.
    pub help: Option<String>,
}

impl ParamError {
    fn new(name: &str, why: impl Into<String>, help: Option<String>) -> Self {
        Self {
            name: name.to_owned(),
            why: why.into(),
            help,
        }
    }
}

/// Binds what a run gives to what the playbook declares, and fills in the defaults; `names` knows `site` and `cluster`.
/// All errors at once. Text is parsed to the declared type (`-p max_loss=16MiB`); other values must be of the type.
///
/// Every declared parameter is in the result; those without value are null. Nodes are looked up in `cluster.nodes`
/// where `names` has it. Secrets are bound as references; no error text holds what was given for one.
pub fn bind(playbook: &Playbook, given: &Map, names: &dyn Names) -> Result<Map, Vec<ParamError>> {
    let mut errors = Vec::new();
    for name in given.keys().filter(|name| playbook.param(name).is_none()) {
        errors.push(unknown(playbook, name));
    }
    let mut bound = Map::new();
    for param in &playbook.params {
        match bind_one(param, given.get(&param.name.value), names) {
            Ok(value) => {
                bound.insert(param.name.value.clone(), value);
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(bound)
    } else {
        Err(errors)
    }
}

fn unknown(playbook: &Playbook, name: &str) -> ParamError {
    let known = || playbook.params.iter().map(|p| p.name.value.as_str());
    let help = match suggest(name, known()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if playbook.params.is_empty() => "it has no parameters".to_owned(),
        None => format!("it has: {}", known().collect::<Vec<_>>().join(", ")),
    };
    let why = format!("playbook `{}` has no such parameter", playbook.name.value);
    ParamError::new(name, why, Some(help))
}

fn bind_one(param: &Param, given: Option<&Value>, names: &dyn Names) -> Result<Value, ParamError> {
    let name = &param.name.value;
    let value = match given.filter(|value| **value != Value::Null) {
        Some(_) if param.sealed => {
            let help = "sealed parameters keep the value that the playbook or the site's overlay gives them";
            return Err(ParamError::new(name, "it is sealed", Some(help.to_owned())));
        }
        Some(value) => typed(param, value)?,
        None if param.required => {
            let help = match &param.help {
                Some(help) => format!("{help}: `-p {name}={}`", example(param)),
                None => format!("`-p {name}={}`", example(param)),
            };
            return Err(ParamError::new(name, "it must be given", Some(help)));
        }
        None => match &param.default {
            None => return Ok(Value::Null),
            Some(default) => {
                let say = || Some(format!("say it yourself: `-p {name}={}`", example(param)));
                let value = default.render(&SiteAndCluster(names)).map_err(|error| {
                    ParamError::new(name, format!("its default: {error}"), say())
                })?;
                if value == Value::Null {
                    return Err(ParamError::new(name, "its default gives nothing", say()));
                }
                typed(param, &value)?
            }
        },
    };
    check_allowed(param, &value)?;
    if param.ty == Type::Node {
        check_node(name, &value, names)?;
    }
    Ok(value)
}

/// The value in the declared type: text is read, anything else must be of the type already.
fn typed(param: &Param, value: &Value) -> Result<Value, ParamError> {
    let name = &param.name.value;
    if let Value::String(text) = value {
        return read_text(param.ty, text).map_err(|e| ParamError::new(name, e.why, e.help));
    }
    if param.ty.admits(value) {
        return Ok(value.clone());
    }
    let help = match (param.ty, value) {
        (Type::Duration, Value::Integer(n)) => {
            Some(format!("write it as text with its unit: `{n}s`"))
        }
        (Type::Secret, _) => Some("write `file:PATH` or `env:NAME`".to_owned()),
        _ => None,
    };
    let why = format!("it must be {}, this is {}", a(param.ty), value.kind());
    Err(ParamError::new(name, why, help))
}

fn a(ty: Type) -> String {
    match ty {
        Type::Integer | Type::Lsn => format!("an {}", ty.as_str()),
        Type::Bytes => "a size".to_owned(),
        _ => format!("a {}", ty.as_str()),
    }
}

fn check_allowed(param: &Param, value: &Value) -> Result<(), ParamError> {
    let Some(allowed) = &param.allowed else {
        return Ok(());
    };
    if allowed.contains(value) {
        return Ok(());
    }
    let words: Vec<String> = allowed.iter().map(|v| written(param.ty, v)).collect();
    let listed = words
        .iter()
        .map(|w| format!("`{w}`"))
        .collect::<Vec<_>>()
        .join(", ");
    let value = written(param.ty, value);
    let help = match suggest(&value, words.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`? Allowed: {listed}"),
        None => format!("allowed: {listed}"),
    };
    Err(ParamError::new(
        &param.name.value,
        format!("it cannot be `{value}`"),
        Some(help),
    ))
}

/// A value as a user writes it.
pub(in crate::playbook) fn written(ty: Type, value: &Value) -> String {
    match value {
        Value::Integer(bytes) if ty == Type::Bytes => super::format_bytes(*bytes),
        other => match other.to_json() {
            serde_json::Value::String(text) => text,
            json => json.to_string(),
        },
    }
}

fn check_node(name: &str, value: &Value, names: &dyn Names) -> Result<(), ParamError> {
    // Most are: the whole of what is known of the nodes is asked for only where one must be named that is not.
    let node = value.as_str().unwrap_or_default();
    if names.lookup(&["cluster", "nodes", node, "name"]).is_some() {
        return Ok(());
    }
    let Some(Value::Map(nodes)) = names.lookup(&["cluster", "nodes"]) else {
        return Ok(());
    };
    if nodes.contains_key(node) {
        return Ok(());
    }
    // No guess: a slip of one digit is another server.
    let all = nodes.keys().cloned().collect::<Vec<_>>().join(", ");
    let help = format!("its nodes are: {all}");
    let why = format!("the cluster has no node `{node}`");
    Err(ParamError::new(name, why, Some(help)))
}

/// How a value of this parameter may look.
fn example(param: &Param) -> String {
    if let Some(first) = param.allowed.as_ref().and_then(|allowed| allowed.first()) {
        return written(param.ty, first);
    }
    match param.ty {
        Type::String => "TEXT",
        Type::Integer => "3",
        Type::Boolean => "true",
        Type::List => "a,b",
        Type::Map => "JSON",
        Type::Node => "NODE",
        Type::Duration => "90s",
        Type::Bytes => "16MiB",
        Type::Lsn => "0/16B3748",
        Type::Secret => "file:PATH",
    }
    .to_owned()
}

/// What defaults may refer to; other parameters are not among it, so that their order does not matter.
struct SiteAndCluster<'a>(&'a dyn Names);

impl Names for SiteAndCluster<'_> {
    fn lookup(&self, path: &[&str]) -> Option<Value> {
        match path.first() {
            Some(&("site" | "cluster")) => self.0.lookup(path),
            _ => None,
        }
    }
}
