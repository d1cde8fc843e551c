//! `replication` and `synchronous`: how standbys log in, and whom a commit waits for.

use super::{sql, words};
use crate::cluster::{Product, ReplicationAccess, SyncMode, Synchronous};
use crate::document::{Entry, Lowering, Tree, suggest};
use std::collections::BTreeMap;

/// The words of `mode`.
pub(super) const MODES: [(&str, SyncMode); 5] = [
    ("quorum", SyncMode::Quorum),
    ("first", SyncMode::First),
    ("all", SyncMode::All),
    ("off", SyncMode::Off),
    ("unmanaged", SyncMode::Unmanaged),
];

/// What libpq knows and nothing else in the site file says. A word it does not know would keep a standby from
/// connecting, and it would show in the middle of a failover.
const OPTIONS: [&str; 32] = [
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "options",
    "require_auth",
    "requirepeer",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
    "min_protocol_version",
    "max_protocol_version",
];

/// Whether a word may stand in `options` of `replication`.
pub(crate) fn is_connection_option(word: &str) -> bool {
    OPTIONS.contains(&word)
}

/// Parameters that pgbaton sets itself.
const OWN: [&str; 8] = [
    "application_name",
    "dbname",
    "host",
    "passfile",
    "port",
    "replication",
    "service",
    "user",
];

/// How standbys log in; by default as pgbaton does.
pub(super) fn lower(
    to: &mut Lowering<'_>,
    entry: Option<&Entry>,
    product: Product,
    sql_user: Option<&str>,
) -> Option<ReplicationAccess> {
    let Some(entry) = entry else {
        return Some(ReplicationAccess {
            user: sql_user?.to_owned(),
            passfile: None,
            options: BTreeMap::new(),
        });
    };
    let mut map = to.map("`replication`", &entry.value)?;
    let user = map
        .optional(to, "user")
        .and_then(|e| words::text(to, "`user`", &e.value));
    let passfile = map
        .optional(to, "passfile")
        .and_then(|e| words::remote_path(to, "`passfile`", &e.value));
    if let Some(password) = map.peek("password") {
        sql::inline_secret(to, password.value.span);
    }
    let options = map
        .optional(to, "options")
        .map(|e| options(to, e, product))
        .unwrap_or_default();
    map.finish(to);
    Some(ReplicationAccess {
        user: user.map(|u| u.value).or(sql_user.map(str::to_owned))?,
        passfile,
        options,
    })
}

fn options(to: &mut Lowering<'_>, entry: &Entry, product: Product) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    for option in to.entries("`options`", &entry.value).unwrap_or_default() {
        let key = option.key.value.as_str();
        if key.contains("pass") && key != "passfile" {
            sql::inline_secret(to, option.value.span);
            continue;
        }
        if OWN.contains(&key) {
            let d = to.error(
                "unknown-key",
                option.key.span,
                format!("`{key}` cannot be a connection option"),
            );
            d.help = Some("pgbaton sets it itself, for each node and upstream".to_owned());
            continue;
        }
        // KingbaseES has words of its own, which we do not know all.
        if !OPTIONS.contains(&key) && product == Product::Postgresql {
            let d = to.error(
                "unknown-key",
                option.key.span,
                format!("libpq has no connection option `{key}`"),
            );
            d.help = suggest(key, OPTIONS).map(|meant| format!("did you mean `{meant}`?"));
            continue;
        }
        let value = match &option.value.value {
            Tree::Integer(number) => Some(number.to_string()),
            _ => words::text(to, &format!("`{key}`"), &option.value).map(|t| t.value),
        };
        if let Some(value) = value {
            options.insert(key.to_owned(), value);
        }
    }
    options
}

/// How commits are to be synchronous: a mode, or a map. Absent, the setting is left alone.
pub(super) fn synchronous(
    to: &mut Lowering<'_>,
    entry: Option<&Entry>,
    standbys: usize,
) -> Option<Synchronous> {
    let Some(entry) = entry else {
        return Some(Synchronous {
            mode: SyncMode::Unmanaged,
            acks: 1,
        });
    };
    if matches!(entry.value.value, Tree::String { .. }) {
        let mode = to.one_of("`synchronous`", &entry.value, &MODES)?.value;
        return Some(Synchronous { mode, acks: 1 });
    }
    let mut map = to.map("`synchronous`", &entry.value)?;
    let mode = map
        .required(to, "mode")
        .and_then(|e| to.one_of("`mode`", &e.value, &MODES));
    let mut acks = 1;
    if let Some(entry) = map.optional(to, "acks") {
        let number = to.integer("`acks`", &entry.value, 1, 1000);
        acks = number.and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        let counts = mode
            .as_ref()
            .is_none_or(|m| matches!(m.value, SyncMode::Quorum | SyncMode::First));
        if !counts {
            to.error(
                "conflicting-keys",
                entry.key.span,
                "`acks` means something only in the modes `quorum` and `first`",
            );
        } else if standbys > 0 && acks as usize > standbys {
            let d = to.error(
                "out-of-range",
                entry.value.span,
                format!("a commit cannot wait for {acks} of {standbys} standbys"),
            );
            d.help = Some("it would wait for ever".to_owned());
        }
    }
    map.finish(to);
    Some(Synchronous {
        mode: mode?.value,
        acks,
    })
}
