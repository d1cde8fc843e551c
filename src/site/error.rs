//! Why a site file cannot be used.

use crate::document::Diagnostics;
use std::path::PathBuf;

/// Why a site file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// It cannot be read.
    #[error("failed to read the site file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It has errors; the diagnostics have them all, with secrets blotted out of the excerpts.
    #[error("the site file {} has errors", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// All of them.
        diagnostics: Diagnostics,
    },
}
