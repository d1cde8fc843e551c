//! Playbooks as the commands that need no cluster find and check them.

use super::args::Global;
use super::error::CommandError;
use crate::document::{Diagnostics, Source};
use crate::playbook::{Checked, Library};
use crate::runs::{RunsError, Shelves, site_file};

/// The user's folders and the stock, as a run would search them. A site file that is not there is no error here: it only
/// adds a folder.
pub(crate) fn shelves(global: &Global) -> Shelves {
    let site = site_file(global.site.as_deref()).ok();
    Shelves::beside(site.as_deref())
}

/// The playbook of this name or in this file.
pub(crate) fn open(shelves: &Shelves, wanted: &str) -> Result<Source, CommandError> {
    shelves
        .open(wanted)
        .map_err(|(what, help)| RunsError::NotFound { what, help }.into())
}

/// The playbook and all that it nests, without errors.
pub(crate) fn check(source: &Source, library: &dyn Library) -> Result<Checked, CommandError> {
    let mut diagnostics = Diagnostics::default();
    let catalog = crate::actions::catalog();
    crate::playbook::check(source, &catalog, library, &mut diagnostics).ok_or_else(|| {
        RunsError::Invalid {
            what: format!("playbook {}", source.name),
            diagnostics,
        }
        .into()
    })
}
