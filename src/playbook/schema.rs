//! JSON Schema of the language, for editors.

use super::Catalog;

/// The JSON Schema of playbooks that use the actions of `catalog`.
pub fn schema(_catalog: &Catalog) -> serde_json::Value {
    serde_json::Value::Null
}
