//! A run's parameters: from text or JSON to values of the declared types.

use super::{Map, Names, Playbook, Value};

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

/// Binds what a run gives to what the playbook declares, and fills in the defaults; `names` knows `site` and `cluster`.
/// All errors at once. Text is parsed to the declared type (`-p max_loss=16MiB`); other values must be of the type.
pub fn bind(
    _playbook: &Playbook,
    _given: &Map,
    _names: &dyn Names,
) -> Result<Map, Vec<ParamError>> {
    let _ = Value::Null;
    Err(Vec::new())
}
