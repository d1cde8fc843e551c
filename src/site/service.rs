//! `service`: what starts and stops a server in place of `pg_ctl`.

use super::words;
use crate::cluster::Service;
use crate::document::{Entry, Lowering, Spanned, Tree};

const FORMS: &str = "`service` is `{ systemd: UNIT, sudo: true }`, `{ pg_ctlcluster: VERSION/NAME }` or `{ start: [PROGRAM, …], stop: [PROGRAM, …] }`";

/// None only after an error.
pub(super) fn lower(to: &mut Lowering<'_>, entry: &Entry) -> Option<Service> {
    let value = &entry.value;
    let mut map = to.map("`service`", value)?;
    let systemd = map.optional(to, "systemd");
    let debian = map.optional(to, "pg_ctlcluster");
    let start = map.optional(to, "start");
    let stop = map.optional(to, "stop");
    let given = map.optional(to, "sudo");
    map.finish(to);
    let sudo = match given {
        Some(entry) => to.boolean("`sudo`", &entry.value)?,
        None => false,
    };
    match (systemd, debian, start, stop) {
        (Some(unit), None, None, None) => Some(Service::Systemd {
            unit: words::argument(to, "`systemd`", &unit.value)?,
            sudo,
        }),
        (None, Some(cluster), None, None) => cluster_of(to, &cluster.value, sudo),
        (None, None, Some(start), Some(stop)) if given.is_none() => Some(Service::Commands {
            start: words::argv(to, "`start`", &start.value)?,
            stop: words::argv(to, "`stop`", &stop.value)?,
        }),
        _ => {
            to.error("bad-value", value.span, "`service` has none of its forms")
                .help = Some(FORMS.to_owned());
            None
        }
    }
}

fn cluster_of(to: &mut Lowering<'_>, value: &Spanned<Tree>, sudo: bool) -> Option<Service> {
    let text = words::argument(to, "`pg_ctlcluster`", value)?;
    let word = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    };
    match text.split_once('/') {
        Some((version, cluster)) if word(version) && word(cluster) => Some(Service::PgCtlcluster {
            version: version.to_owned(),
            cluster: cluster.to_owned(),
            sudo,
        }),
        _ => {
            let message = format!("`{text}` names no cluster of Debian's");
            to.error("bad-value", value.span, message).help =
                Some("its version, a `/`, its name: `15/main`".to_owned());
            None
        }
    }
}
