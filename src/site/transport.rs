//! `transport` and `ssh`: how a command reaches a node's host.

use super::words;
use crate::cluster::Transport;
use crate::document::{Entry, Label, Lowering, MapReader, Spanned, Tree};
use std::path::Path;

const FORMS: &str = "`transport` is `ssh`, `local`, `none`, `{ local: { user: NAME } }`, `{ ssh: { … } }` or `{ template: [PROGRAM, ARGUMENT…] }`";

/// The transport that a cluster, `defaults` or a node gives, over what it inherits: parts of `ssh` that it does not name
/// stay. None where it gives none, or after an error.
pub(super) fn lower(
    to: &mut Lowering<'_>,
    map: &mut MapReader<'_>,
    inherited: Option<&Transport>,
    base: &Path,
) -> Option<Transport> {
    let transport = map.optional(to, "transport");
    let ssh_entry = map.optional(to, "ssh");
    if let (Some(one), Some(other)) = (transport, ssh_entry) {
        let d = to.error(
            "conflicting-keys",
            other.key.span,
            "`ssh` and `transport` exclude each other",
        );
        d.related.push(Label {
            span: one.key.span,
            text: "given here".to_owned(),
        });
        return None;
    }
    match (transport, ssh_entry) {
        (Some(entry), _) => form(to, &entry.value, inherited, base),
        (None, Some(entry)) => ssh(to, &entry.value, inherited, base),
        (None, None) => None,
    }
}

fn form(
    to: &mut Lowering<'_>,
    value: &Spanned<Tree>,
    inherited: Option<&Transport>,
    base: &Path,
) -> Option<Transport> {
    if let Tree::String { .. } = value.value {
        let words = [("ssh", 0), ("local", 1), ("none", 2)];
        return Some(match to.one_of("`transport`", value, &words)?.value {
            0 => bare_ssh(),
            1 => Transport::Local { user: None },
            _ => Transport::None,
        });
    }
    let mut map = to.map("`transport`", value)?;
    let found = [
        map.optional(to, "local").map(|e| (e, local as Form)),
        map.optional(to, "ssh").map(|e| (e, ssh_form as Form)),
        map.optional(to, "template").map(|e| (e, template as Form)),
    ];
    let given: Vec<(&Entry, Form)> = found.into_iter().flatten().collect();
    map.finish(to);
    match given.as_slice() {
        [(entry, form)] => form(to, &entry.value, inherited, base),
        [] => {
            to.error("bad-value", value.span, "`transport` has no form")
                .help = Some(FORMS.to_owned());
            None
        }
        [_, (second, _), ..] => {
            to.error(
                "conflicting-keys",
                second.key.span,
                "`transport` has more than one form",
            )
            .help = Some(FORMS.to_owned());
            None
        }
    }
}

type Form = fn(&mut Lowering<'_>, &Spanned<Tree>, Option<&Transport>, &Path) -> Option<Transport>;

fn ssh_form(
    to: &mut Lowering<'_>,
    value: &Spanned<Tree>,
    inherited: Option<&Transport>,
    base: &Path,
) -> Option<Transport> {
    ssh(to, value, inherited, base)
}

fn local(
    to: &mut Lowering<'_>,
    value: &Spanned<Tree>,
    _: Option<&Transport>,
    _: &Path,
) -> Option<Transport> {
    let mut map = to.map("`local`", value)?;
    let user = map
        .optional(to, "user")
        .and_then(|e| words::argument(to, "`user`", &e.value));
    map.finish(to);
    Some(Transport::Local { user })
}

fn template(
    to: &mut Lowering<'_>,
    value: &Spanned<Tree>,
    _: Option<&Transport>,
    _: &Path,
) -> Option<Transport> {
    let argv = words::argv(to, "`template`", value)?;
    Some(Transport::Template { argv })
}

/// Ssh with the user's own configuration and keys.
pub(super) fn bare_ssh() -> Transport {
    Transport::Ssh {
        host: None,
        user: None,
        port: None,
        identity: None,
        config: None,
        known_hosts: None,
    }
}

fn ssh(
    to: &mut Lowering<'_>,
    value: &Spanned<Tree>,
    inherited: Option<&Transport>,
    base: &Path,
) -> Option<Transport> {
    let mut map = to.map("`ssh`", value)?;
    let mut word = |to: &mut Lowering<'_>, key| {
        map.optional(to, key)
            .and_then(|e| words::argument(to, &format!("`{key}`"), &e.value))
    };
    let (host, user) = (word(to, "host"), word(to, "user"));
    let mut file = |to: &mut Lowering<'_>, key| {
        map.optional(to, key)
            .and_then(|e| words::local_path(to, &format!("`{key}`"), &e.value, base))
    };
    let (identity, config) = (file(to, "identity"), file(to, "config"));
    let known_hosts = file(to, "known_hosts");
    let port = map
        .optional(to, "port")
        .and_then(|e| words::port(to, &e.value));
    map.finish(to);
    let nothing = bare_ssh();
    let Transport::Ssh {
        // A host is one node's, and never inherited.
        host: _,
        user: user_before,
        port: port_before,
        identity: identity_before,
        config: config_before,
        known_hosts: hosts_before,
    } = inherited
        .filter(|t| matches!(t, Transport::Ssh { .. }))
        .unwrap_or(&nothing)
    else {
        return None;
    };
    Some(Transport::Ssh {
        host,
        user: user.or_else(|| user_before.clone()),
        port: port.or(*port_before),
        identity: identity.or_else(|| identity_before.clone()),
        config: config.or_else(|| config_before.clone()),
        known_hosts: known_hosts.or_else(|| hosts_before.clone()),
    })
}
