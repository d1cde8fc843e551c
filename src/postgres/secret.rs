//! Text that may hold secrets, and cannot be shown by accident.

use std::fmt;

/// What stands in the place of a secret.
pub(crate) const MASK: &str = "***";

/// A secret. `Debug` shows the mask; there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself: only for the place that sends it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// A text in two forms that cannot drift apart: what is sent, and the same with its secrets masked.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Masked {
    sent: String,
    shown: String,
}

impl Masked {
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        let sent = text.into();
        Self {
            shown: sent.clone(),
            sent,
        }
    }

    /// Appends text that is sent, and another that is shown in its place.
    #[must_use]
    pub(crate) fn and_hidden(mut self, sent: &str, shown: &str) -> Self {
        self.sent.push_str(sent);
        self.shown.push_str(shown);
        self
    }

    pub(crate) fn sent(&self) -> &str {
        &self.sent
    }

    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }
}

impl fmt::Debug for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown, f)
    }
}

/// A text without what may be secret in it. Very short values are left: they would make the text unreadable and are
/// no secrets.
pub(crate) fn masked<'a>(text: String, secrets: impl Iterator<Item = &'a str>) -> String {
    secrets
        .map(str::trim)
        .filter(|secret| secret.len() >= 4)
        .fold(text, |text, secret| text.replace(secret, MASK))
}
