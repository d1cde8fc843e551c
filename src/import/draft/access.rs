//! How pgbaton and standbys log in, and whom commits wait for.

use super::{Member, Pen};
use crate::cluster::{
    Product, ReplicationAccess, SqlAccess, SyncMethod, SyncMode, SyncNames, Synchronous,
};
use crate::import::{ImportError, ssh};
use crate::site::is_connection_option;
use std::path::PathBuf;

impl Pen<'_> {
    /// How pgbaton logs in: as the connection string does that was given.
    pub(super) fn sql(&mut self) -> Result<SqlAccess, ImportError> {
        let mut access = self.found.entry.access().map_err(ImportError::Registry)?;
        let conf = self.found.conf.as_ref();
        if access.passfile.is_some() {
            access.password = None;
        }
        self.cluster.push(format!(
            "pgbaton logs in as {}: as a superuser it may do everything, otherwise docs/rights.md says what it needs",
            access.user
        ));
        if self.found.entry.has_password() && access.passfile.is_none() && access.password.is_none()
        {
            let line = "the conninfo that was given holds a password, which is not written here: put it into ~/.pgpass \
                        (mode 0600), or into a file that `sql` names: passfile: FILE";
            self.ask(line);
        }
        if let Some(conf) = conf {
            let way = ssh::way(conf.get("ssh_options").unwrap_or_default());
            if !way.left_out.is_empty() {
                let line = format!(
                    "ssh_options of repmgr.conf says `{}`, for which a site file has no word: put it into ~/.ssh/config",
                    way.left_out.join(" ")
                );
                self.ask(line);
            }
        }
        Ok(access)
    }

    /// How standbys log in: repmgr makes that from the upstream's own connection string.
    pub(super) fn replication(&mut self, members: &[Member<'_>]) -> ReplicationAccess {
        let primary = members.iter().find(|m| m.about.kind == "primary");
        let first = primary.or(members.first());
        let user = first.map(|m| m.about.repluser.clone()).unwrap_or_default();
        for other in members.iter().filter(|m| m.about.repluser != user) {
            let line = format!(
                "standbys of {} log in as {}, those of others as {user}; a site file knows one user for all",
                other.name, other.about.repluser
            );
            self.ask(line);
        }
        let shared = |keyword: &str, value: &str| {
            members.iter().all(|m| m.door.plain(keyword) == Some(value))
        };
        let options = first.into_iter().flat_map(|m| m.door.plain_pairs());
        let conf = self.found.conf.as_ref();
        let passfile = first
            .and_then(|m| m.door.plain("passfile"))
            .or_else(|| conf.and_then(|conf| conf.get("passfile")));
        ReplicationAccess {
            user,
            passfile: passfile
                .map(PathBuf::from)
                .filter(|file| file.is_absolute()),
            options: options
                .filter(|(keyword, value)| is_connection_option(keyword) && shared(keyword, value))
                .filter(|(keyword, _)| *keyword != "hostaddr")
                .map(|(keyword, value)| (keyword.to_owned(), value.to_owned()))
                .collect(),
        }
    }

    /// The running setting of the primary, where a site file can say it.
    pub(super) fn synchronous(&mut self, members: &[Member<'_>]) -> Synchronous {
        self.slots(members);
        let unmanaged = Synchronous {
            mode: SyncMode::Unmanaged,
            acks: 1,
        };
        let primary = members
            .iter()
            .find(|m| m.seen.is_ok_and(|seen| !seen.in_recovery));
        let Some(running) = primary.and_then(|m| m.told(|seen| seen.synchronous.clone())) else {
            let line = "no primary told whom commits wait for: say it with `synchronous`, else the setting is left alone";
            self.ask(line);
            return unmanaged;
        };
        let custom = self.found.registry.product == Product::Kingbase
            && self
                .found
                .conf
                .as_ref()
                .and_then(|conf| conf.get("synchronous"))
                == Some("custom");
        match SyncNames::parse(&running) {
            Ok(None) if !custom => Synchronous {
                mode: SyncMode::Off,
                acks: 1,
            },
            Ok(Some(names)) if !custom && all_of_them(&names, members) => {
                mode_of(&names, members.len() - 1)
            }
            _ => {
                let line = format!(
                    "synchronous_standby_names is `{running}`, for which a site file has no word: the setting is left alone"
                );
                self.ask(line);
                unmanaged
            }
        }
    }

    /// repmgr's slots have names of their own, and keep WAL for ever once nobody uses them.
    fn slots(&mut self, members: &[Member<'_>]) {
        let name_of = |id: Option<u32>| members.iter().find(|m| Some(m.about.id) == id);
        for member in members.iter().filter(|m| m.about.kind == "standby") {
            let Some(slot) = &member.about.slot else {
                continue;
            };
            let upstream = name_of(member.about.upstream);
            let place = upstream.map_or_else(|| "its upstream".to_owned(), |m| m.name.to_string());
            let line = format!(
                "{} uses repmgr's slot {slot} on {place}; pgbaton makes one of its own: after `pgbaton run follow \
                 -p node={} -p upstream={}` drop {slot} there, or it keeps WAL for ever",
                member.name,
                member.name,
                upstream.map_or("UPSTREAM", |m| m.name.as_str()),
            );
            self.ask(line);
        }
    }
}

/// Whether a site file says the same: it knows only all standbys, in their order. A list without one of them, or in another
/// order, would become another rule with the first run.
fn all_of_them(names: &SyncNames, members: &[Member<'_>]) -> bool {
    let primary = |m: &&Member<'_>| m.seen.is_ok_and(|seen| !seen.in_recovery);
    let lower = |name: &str| name.to_lowercase();
    let primary = members.iter().find(primary).map(|m| lower(m.name.as_str()));
    let mut standbys: Vec<String> = members.iter().map(|m| lower(m.name.as_str())).collect();
    standbys.retain(|name| Some(name) != primary.as_ref());
    standbys.sort();
    let mut listed: Vec<String> = names.names.iter().map(|name| lower(name)).collect();
    listed.retain(|name| Some(name) != primary.as_ref());
    if names.method == SyncMethod::Any {
        listed.sort();
    }
    !names.is_wildcard() && listed == standbys && names.acks as usize <= standbys.len()
}

fn mode_of(names: &SyncNames, standbys: usize) -> Synchronous {
    let mode = match names.method {
        SyncMethod::First => SyncMode::First,
        SyncMethod::Any if standbys > 1 && names.acks as usize == standbys => SyncMode::All,
        SyncMethod::Any => SyncMode::Quorum,
    };
    Synchronous {
        mode,
        acks: names.acks,
    }
}
