//! One node: what it and its configuration told, and what is to be filled in.

use super::{Member, Pen};
use crate::cluster::{Node, PromotePolicy, Transport};
use crate::import::conf::Conf;
use crate::import::place::{here, is_this_machine};
use crate::import::ssh;
use crate::postgres::Seen;
use std::path::{Path, PathBuf};

impl<'f> Pen<'f> {
    /// `repmgr.conf` is one node's, except for what all nodes have in common by repmgr's own rules.
    fn conf_of(&self, member: &Member<'_>) -> Option<&'f Conf> {
        let conf = self.found.conf.as_ref()?;
        let same = |name: &str, value: &str| conf.get(name).is_none_or(|given| given == value);
        let named = conf.get("node_id").is_some() || conf.get("node_name").is_some();
        let own = named
            && same("node_id", &member.about.id.to_string())
            && same("node_name", &member.about.name);
        own.then_some(conf)
    }

    pub(super) fn node(&mut self, member: &Member<'_>, all: &[Member<'_>]) -> Node {
        let conf = self.conf_of(member);
        let told = |name: &str| conf.and_then(|conf| conf.get(name)).map(PathBuf::from);
        let path = |text: Option<String>| text.map(PathBuf::from).filter(|p| p.is_absolute());
        let data = path(member.told(|s| s.data.clone())).or_else(|| told("data_directory"));
        let bin = path(member.told(|s| s.bin.clone())).or_else(|| told("pg_bindir"));
        let (host, port) = member.door.servers().into_iter().next().unwrap_or_default();
        let mut lines = Vec::new();
        if let Err(trouble) = member.seen {
            lines.push(format!("{} did not answer: {trouble}", member.name));
        }
        if !member.about.active {
            lines.push("repmgr has it marked as inactive".to_owned());
        }
        let transport = if data.is_some() && bin.is_some() {
            self.transport(member, &host, data.as_deref(), bin.as_deref(), &mut lines)
        } else {
            lines.push(
                "these are not known: fill them in, and take `transport: none` away, which is there until then"
                    .to_owned(),
            );
            if data.is_none() {
                lines.push(unknown(
                    "data",
                    common(all, |s| s.data.clone()).as_deref(),
                    "DATA DIRECTORY",
                ));
            }
            if bin.is_none() {
                lines.push(unknown(
                    "bin",
                    common(all, |s| s.bin.clone()).as_deref(),
                    "DIRECTORY OF pg_ctl",
                ));
            }
            Transport::None
        };
        lines.extend(conf.into_iter().flat_map(service));
        if member.door.has_password() {
            lines.push("its conninfo holds a password, which is not written here".to_owned());
        }
        if !lines.is_empty() {
            self.open
                .push(format!("{}: {}", member.name, lines.join("; ")));
            self.remarks.nodes.insert(member.name.clone(), lines);
        }
        let never = member.about.priority <= 0;
        Node {
            name: member.name.clone(),
            id: member.about.id,
            host,
            port,
            priority: member.about.priority.clamp(-1_000_000, 1_000_000),
            location: member.about.location.clone(),
            promote: if never {
                PromotePolicy::Never
            } else {
                PromotePolicy::Allowed
            },
            data: data.unwrap_or_default(),
            bin: bin.unwrap_or_default(),
            transport,
            log: None,
            service: None,
            forbid_return: None,
            allow_return: None,
        }
    }

    /// How commands reach the host: repmgr's own ssh, unless the server is on this machine.
    fn transport(
        &self,
        member: &Member<'_>,
        host: &str,
        data: Option<&Path>,
        bin: Option<&Path>,
        lines: &mut Vec<String>,
    ) -> Transport {
        if is_this_machine(host) {
            if let Some(found) = data.and_then(here) {
                return Transport::Local { user: found.owner };
            }
            lines.push(format!(
                "{host} is this machine, but the data directory is not on it: say how commands reach the host of {}, \
                 and take `transport: none` away",
                member.name
            ));
            lines.push("ssh: { host: NAME, user: OWNER OF THE DATA DIRECTORY }".to_owned());
            return Transport::None;
        }
        let conf = self.found.conf.as_ref();
        let options = |name: &str| conf.and_then(|conf| conf.get(name)).unwrap_or_default();
        if conf.is_some_and(|conf| conf.is_on("use_scmd")) {
            let program = Path::new("sys_securecmd");
            let program = bin.map_or_else(|| program.to_owned(), |bin| bin.join(program));
            let mut argv = vec![program.display().to_string()];
            argv.extend(
                options("scmd_options")
                    .split_whitespace()
                    .map(str::to_owned),
            );
            argv.extend(["-T".to_owned(), "{host}".to_owned()]);
            return Transport::Template { argv };
        }
        let way = ssh::way(options("ssh_options")).transport;
        if matches!(way, Transport::Ssh { user: None, .. }) {
            lines.push(
                "commands must run as the owner of the data directory: unless ssh logs in as that anyway, name it: \
                 ssh: { user: OWNER }"
                    .to_owned(),
            );
        }
        way
    }
}

/// A key to fill in, with what all others have, if they agree.
fn unknown(key: &str, others: Option<&str>, what: &str) -> String {
    match others {
        Some(path) => format!("{key}: {path}   # as on the other nodes; is it so here?"),
        None => format!("{key}: {what}"),
    }
}

/// What all nodes that answered have in common.
fn common(all: &[Member<'_>], of: impl Fn(&Seen) -> Option<String>) -> Option<String> {
    let mut told = all.iter().filter_map(|m| m.told(&of));
    let first = told.next()?;
    told.all(|other| other == first).then_some(first)
}

/// Services that repmgr starts servers by: pgbaton starts them itself, and they must not come back behind its back.
fn service(conf: &Conf) -> Vec<String> {
    let commands = [
        "service_start_command",
        "service_stop_command",
        "service_restart_command",
        "service_reload_command",
    ];
    let mut lines: Vec<String> = commands
        .iter()
        .filter(|name| conf.get(name).is_some())
        .map(|name| format!("repmgr.conf has a {name}"))
        .collect();
    if !lines.is_empty() {
        lines.push(
            "pgbaton stops and starts with pg_ctl; say how the service is kept from starting the server meanwhile:"
                .to_owned(),
        );
        lines.push("forbid_return: [sudo, systemctl, mask, --now, UNIT]".to_owned());
        lines.push("allow_return: [sudo, systemctl, unmask, UNIT]".to_owned());
    }
    lines
}
