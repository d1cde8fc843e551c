//! Writing a file that was asked for, and no other.

use super::error::CommandError;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

/// Writes `text`. A file that is there stays unless `force` is given; one that appears between a look and the writing is
/// not written over either. `what` is what it is called.
pub(crate) fn keep(what: &str, text: &str, file: &Path, force: bool) -> Result<(), CommandError> {
    let mut options = OpenOptions::new();
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let written = options
        .write(true)
        .open(file)
        .and_then(|mut open| open.write_all(text.as_bytes()));
    written.map_err(|error| {
        let there = error.kind() == io::ErrorKind::AlreadyExists;
        let failed = CommandError::failed(
            format!("{what} cannot be written to {}", file.display()),
            &error,
        );
        failed.hint(if there {
            "give another place with --out FILE, or write over it with --force"
        } else {
            "give another place with --out FILE, or `-` for standard output"
        })
    })
}
