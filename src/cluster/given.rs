//! Texts that a site's own steps hand on: as they are, or as references to secrets.

use super::SecretSource;
use serde::{Deserialize, Serialize};

/// A text for a program or a request. A secret is only ever a reference here, and so in the journal; whoever performs the
/// operation looks it up and hands it to nobody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Given {
    /// The text itself. It can be shown.
    Plain(String),
    /// Where the text is to be found.
    Secret(SecretSource),
}

impl Given {
    /// The text, where it is no secret.
    pub fn plain(&self) -> Option<&str> {
        match self {
            Self::Plain(text) => Some(text),
            Self::Secret(_) => None,
        }
    }
}

impl From<String> for Given {
    fn from(text: String) -> Self {
        Self::Plain(text)
    }
}

impl From<&str> for Given {
    fn from(text: &str) -> Self {
        Self::Plain(text.to_owned())
    }
}
