//! Asks: the configuration file, the table of nodes, and every node of it.

use super::ImportError;
use super::conf::Conf;
use crate::cluster::{Product, Trouble};
use crate::postgres::{Door, Registered, Registry, Seen, registry, seen};
use futures_util::future::join_all;
use std::path::Path;

/// Everything that could be found out.
#[derive(Debug)]
pub struct Found {
    /// What was given to begin with.
    pub(super) entry: Door,
    pub(super) conf: Option<Conf>,
    pub(super) registry: Registry,
    /// Of each node of the registry, in its order, what it says of itself.
    pub(super) seen: Vec<Result<Seen, Trouble>>,
}

/// Reads what repmgr keeps, from the server that `conninfo` names or else the one in the file `conf`, and asks every node.
/// Bounded by the limits of a session; a node that does not answer is no error.
pub async fn gather(conninfo: Option<&str>, conf: Option<&Path>) -> Result<Found, ImportError> {
    let read = conf.map(|path| {
        let text = std::fs::read_to_string(path).map_err(|source| ImportError::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok((path, Conf::parse(&text)))
    });
    let conf = read.transpose()?;
    let conninfo = match (conninfo, &conf) {
        (Some(text), _) => text.to_owned(),
        (None, Some((path, conf))) => conf
            .get("conninfo")
            .map(str::to_owned)
            .ok_or_else(|| ImportError::NoConninfo((*path).to_owned()))?,
        (None, None) => String::new(),
    };
    let entry = Door::parse(&conninfo).map_err(|why| ImportError::Conninfo(why.to_string()))?;
    let passfile = conf.as_ref().and_then(|(_, conf)| conf.get("passfile"));
    let entry = entry.or_passfile(passfile);
    let registry = registry(&entry).await.map_err(ImportError::Registry)?;
    let asked = registry
        .nodes
        .iter()
        .map(|node| look(node, &entry, registry.product));
    let seen = join_all(asked).await;
    Ok(Found {
        entry,
        conf: conf.map(|(_, conf)| conf),
        seen,
        registry,
    })
}

async fn look(node: &Registered, entry: &Door, product: Product) -> Result<Seen, Trouble> {
    match &node.door {
        Some(door) => seen(door, entry, product).await,
        None => Err(Trouble::here(
            crate::cluster::TroubleKind::Failed,
            "its connection string cannot be read",
        )),
    }
}
