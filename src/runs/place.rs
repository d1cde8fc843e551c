//! Which site and which cluster are meant, and where the site keeps its runs.

use super::RunsError;
use crate::cluster::Inventory;
use crate::playbook::{Map, Value};
use crate::site::Site;
use std::path::{Path, PathBuf};

/// The site's variables, as playbooks see them.
pub fn site_vars(site: &Site) -> Map {
    site.vars
        .iter()
        .map(|(name, value)| (name.clone(), Value::from_json(value)))
        .collect()
}

/// The site file that a command without `--site` reads: `$PGBATON_SITE`, `./site.yaml`, `/etc/pgbaton/site.yaml`, in this
/// order. One that is named need not exist.
pub fn site_file(given: Option<&Path>) -> Result<PathBuf, RunsError> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    if let Some(named) = std::env::var_os("PGBATON_SITE") {
        return Ok(PathBuf::from(named));
    }
    for path in ["site.yaml", "/etc/pgbaton/site.yaml"] {
        if Path::new(path).exists() {
            return Ok(PathBuf::from(path));
        }
    }
    Err(RunsError::NotFound {
        what: "there is no site file: neither ./site.yaml nor /etc/pgbaton/site.yaml exists".to_owned(),
        help: Some("give one with --site FILE or $PGBATON_SITE; `pgbaton lab up` makes a cluster with one to try".to_owned()),
    })
}

/// The cluster of this name; it may be left out where there is only one.
pub fn cluster_of<'a>(site: &'a Site, wanted: Option<&str>) -> Result<&'a Inventory, RunsError> {
    let names: Vec<&str> = site.clusters.keys().map(String::as_str).collect();
    let all = names.join(", ");
    match (wanted, names.as_slice()) {
        (Some(wanted), _) => site
            .clusters
            .get(wanted)
            .ok_or_else(|| RunsError::NotFound {
                what: format!("site {} has no cluster `{wanted}`", site.name),
                help: Some(format!("its clusters are {all}")),
            }),
        (None, [one]) => Ok(&site.clusters[*one]),
        (None, _) => Err(RunsError::NotFound {
            what: format!("site {} has more than one cluster", site.name),
            help: Some(format!("name one with --cluster: {all}")),
        }),
    }
}

/// `/var/lib/pgbaton` for root, otherwise the user's own state folder.
pub(super) fn default_state() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/pgbaton");
    }
    let home = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
    std::env::var_os("XDG_STATE_HOME")
        .map_or_else(|| home().join(".local/state"), PathBuf::from)
        .join("pgbaton")
}
