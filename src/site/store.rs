//! Where runs are kept when several machines run them: `store`.

use super::words;
use crate::document::{Lowering, Spanned, Tree};

/// An etcd that keeps journals and leases for several machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdStore {
    /// Its members, `http://HOST:PORT` or `https://…`; at least one.
    pub endpoints: Vec<String>,
    /// What all keys begin with; the caller has a default.
    pub prefix: Option<String>,
}

/// None only after an error.
pub(super) fn lower(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<EtcdStore> {
    let mut map = to.map("`store`", value)?;
    let endpoints = map
        .required(to, "etcd")
        .and_then(|entry| endpoints(to, &entry.value));
    let prefix = map
        .optional(to, "prefix")
        .and_then(|entry| words::text(to, "`prefix`", &entry.value));
    map.finish(to);
    Some(EtcdStore {
        endpoints: endpoints?,
        prefix: prefix.map(|prefix| prefix.value),
    })
}

fn endpoints(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<Vec<String>> {
    let items = to.list("`etcd`", value)?;
    if items.is_empty() {
        to.error("empty-value", value.span, "`etcd` names no member");
        return None;
    }
    let urls: Vec<Option<String>> = items.iter().map(|item| endpoint(to, item)).collect();
    urls.into_iter().collect()
}

fn endpoint(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<String> {
    let text = words::text(to, "a member of etcd", value)?;
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.value.strip_prefix(scheme));
    let good =
        rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '@', ' ', '?', '#']));
    if good {
        return Some(text.value);
    }
    to.error(
        "bad-value",
        text.span,
        format!("`{}` is not the address of a member of etcd", text.value),
    )
    .help =
        Some("write http://HOST:2379 or https://HOST:2379, without a user or a path".to_owned());
    None
}
