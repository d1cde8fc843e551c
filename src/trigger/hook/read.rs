//! From what a request brought to what is to be run.

use super::Hook;
use crate::playbook::{EvaluationError, Map, Param, Playbook, Value, bind};
use crate::runs::Order;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Longer keys, and those that are more than a line of ASCII, are kept as what they hash to.
const LONGEST_KEY: usize = 120;

/// How much of a value an error shows, in characters.
const SHOWN: usize = 80;

/// What `when` is to give.
const TRUTH: &str = "it is to give true or false";

/// What `key` is to give.
const TEXT: &str = "it is to give text, the same for requests about the same thing and no others";

/// What a request comes to.
#[derive(Debug)]
pub enum Reading {
    /// Nothing is to be done, and why.
    Ignored(String),
    /// This is to be run.
    Wanted(Order),
}

/// An expression that makes nothing of a request that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The key of the hook.
    pub at: String,
    /// The expression, what it gave, and what was wanted.
    pub why: String,
    /// What would be right.
    pub help: Option<String>,
}

impl Hook {
    /// What is to be run because of this payload; `playbook` is what the hook runs. All that does not fit is told at once.
    pub fn read(&self, payload: &Value, playbook: &Playbook) -> Result<Reading, Vec<Misfit>> {
        let mut names = self.names.clone();
        names.insert("payload".to_owned(), payload.clone());
        let names = Value::Map(names);
        if let Some(when) = &self.when {
            let holds = when.holds(&names);
            if !holds.map_err(|error| vec![unevaluated("when", &error, TRUTH)])? {
                return Ok(Reading::Ignored(format!("`when` is false: {}", when.text)));
            }
        }
        let mut misfits = Vec::new();
        let mut given = Map::new();
        for (name, expression) in &self.params {
            let at = format!("params.{name}");
            match expression.evaluate(&names) {
                Ok(value) => self.give(name, value, playbook, &mut given, &mut misfits),
                Err(error) => {
                    let ty = playbook
                        .param(name)
                        .map_or("string", |param| param.ty.as_str());
                    let wanted = format!("it is to give a value of the type `{ty}`");
                    misfits.push(unevaluated(&at, &error, &wanted));
                }
            }
        }
        self.bound(playbook, &given, &names, &mut misfits);
        let key = self.key.as_ref().map(|key| match key.evaluate(&names) {
            Ok(Value::String(text)) if !text.trim().is_empty() => Ok(text),
            Ok(Value::Integer(number)) => Ok(number.to_string()),
            Ok(other) => Err(Misfit {
                at: "key".to_owned(),
                why: format!("`{}` gave {}: text was wanted", key.text, shown(&other)),
                help: Some(TEXT.to_owned()),
            }),
            Err(error) => Err(unevaluated("key", &error, TEXT)),
        });
        let key = match key.transpose() {
            Ok(key) => key,
            Err(misfit) => {
                misfits.push(misfit);
                None
            }
        };
        if !misfits.is_empty() {
            return Err(misfits);
        }
        let params = given.into_iter().map(|(name, value)| (name, text(&value)));
        Ok(Reading::Wanted(Order {
            playbook: self.playbook.clone(),
            params: params.collect(),
            trigger: self.trigger(),
            key: key.map(|key| self.kept(&key)),
            ..Order::default()
        }))
    }

    /// As it is kept: no two hooks share one, and it is a word, not a document.
    pub fn kept(&self, key: &str) -> String {
        let word = key.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if word && key.len() <= LONGEST_KEY {
            return format!("{}:{key}", self.name);
        }
        let hash = Sha256::digest(key.as_bytes());
        let hash = hash.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        format!("{}:sha256:{hash}", self.name)
    }

    fn give(
        &self,
        name: &str,
        value: Value,
        playbook: &Playbook,
        given: &mut Map,
        misfits: &mut Vec<Misfit>,
    ) {
        // Nothing is as good as not given, where it need not be.
        if value == Value::Null {
            if playbook.param(name).is_some_and(|param| param.required) {
                misfits.push(Misfit {
                    at: format!("params.{name}"),
                    why: format!(
                        "`{}` gave nothing, and `{}` needs a value",
                        self.written(name),
                        self.playbook
                    ),
                    help: None,
                });
            }
            return;
        }
        given.insert(name.to_owned(), value);
    }

    /// Whether the playbook takes what is given. What is not given is the run's to find out.
    fn bound(&self, playbook: &Playbook, given: &Map, names: &Value, misfits: &mut Vec<Misfit>) {
        let of = |param: &Param| given.contains_key(&param.name.value);
        let mut those = playbook.clone();
        those.params.retain(of);
        let as_text = given
            .iter()
            .map(|(name, value)| (name.clone(), Value::String(text(value))));
        let Err(errors) = bind(&those, &as_text.collect(), names) else {
            return;
        };
        for error in errors {
            let value = given.get(&error.name).unwrap_or(&Value::Null);
            misfits.push(Misfit {
                at: format!("params.{}", error.name),
                why: format!(
                    "`{}` gave {}: {}",
                    self.written(&error.name),
                    shown(value),
                    error.why
                ),
                help: error.help,
            });
        }
    }

    /// The expression of a parameter.
    fn written(&self, param: &str) -> &str {
        let found = self.params.iter().find(|(name, _)| name == param);
        found.map_or("", |(_, expression)| expression.text.as_str())
    }
}

/// A value as the command line would have it.
fn text(value: &Value) -> String {
    match value.to_json() {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

fn shown(value: &Value) -> String {
    if *value == Value::Null {
        return "nothing".to_owned();
    }
    let text = value.to_json().to_string();
    let cut: String = text.chars().take(SHOWN).collect();
    if cut.len() < text.len() {
        format!("`{cut}…`")
    } else {
        format!("`{text}`")
    }
}

fn unevaluated(at: &str, error: &EvaluationError, wanted: &str) -> Misfit {
    Misfit {
        at: at.to_owned(),
        why: error.to_string(),
        help: Some(wanted.to_owned()),
    }
}
