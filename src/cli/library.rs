//! Playbooks as the commands that need no cluster find and check them.

use super::args::Global;
use super::error::CommandError;
use crate::document::{Diagnostics, Source};
use crate::playbook::{Checked, Library};
use crate::runs::{RunsError, Shelves, site_file};
use crate::site::Site;

/// The user's folders and the stock, as a run would search them. A site file that is not there, or is wrong, is no error
/// here: it adds a folder and says which variables there are.
pub(crate) fn shelves(global: &Global) -> Shelves {
    let file = site_file(global.site.as_deref()).ok();
    let shelves = Shelves::beside(file.as_deref());
    match file.and_then(|file| Site::load(&file).ok()) {
        Some(site) => {
            let shelves = shelves.for_site(&site);
            let mut clusters = site
                .clusters
                .iter()
                .filter(|(name, _)| global.cluster.as_ref().is_none_or(|wanted| wanted == *name));
            match (clusters.next(), clusters.next()) {
                (Some((_, only)), None) => shelves.for_cluster(only),
                _ => shelves,
            }
        }
        None => shelves,
    }
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
