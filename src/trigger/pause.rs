//! Holding back what starts by itself.

use serde::{Deserialize, Serialize};

/// Until then nothing is started by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who asked for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: String,
    /// Until when, as RFC 3339 has it.
    pub until: String,
}
