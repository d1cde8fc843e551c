//! Settings: what the files say, what the server runs with, and what it takes to get from one to the other.

use crate::cluster::{STANDBY_LIMITS, Setting};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const CONNINFO: &str = "primary_conninfo";
pub(super) const SLOT_NAME: &str = "primary_slot_name";
pub(super) const RESTORE: &str = "restore_command";
pub(super) const SYNC_NAMES: &str = "synchronous_standby_names";
pub(super) const SYNC_COMMIT: &str = "synchronous_commit";
pub(super) const MAX_SENDERS: &str = "max_wal_senders";
pub(super) const MAX_SLOTS: &str = "max_replication_slots";
pub(super) const TARGET_TIMELINE: &str = "recovery_target_timeline";
pub(super) const RETRY: &str = "wal_retrieve_retry_interval";
pub(super) const RECEIVER_TIMEOUT: &str = "wal_receiver_timeout";
pub(super) const SENDER_TIMEOUT: &str = "wal_sender_timeout";
/// In megabytes; negative: no limit.
pub(super) const KEEP_SLOTS: &str = "max_slot_wal_keep_size";
/// In milliseconds.
pub(super) const APPLY_DELAY: &str = "recovery_min_apply_delay";
/// In megabytes.
pub(super) const KEEP: &str = "wal_keep_size";

/// The oldest version that the dialects know.
pub(super) const OLDEST: u32 = 120_000;

/// Those that `SaveSettings` keeps.
pub(super) const KEPT: [&str; 3] = [CONNINFO, SLOT_NAME, RESTORE];

/// What a server has where no file says anything. In the units of `pg_settings`.
const DEFAULTS: [(&str, &str); 21] = [
    (CONNINFO, ""),
    (SLOT_NAME, ""),
    (RESTORE, ""),
    (SYNC_NAMES, ""),
    (SYNC_COMMIT, "on"),
    (MAX_SENDERS, "10"),
    (MAX_SLOTS, "10"),
    ("max_connections", "100"),
    ("max_worker_processes", "8"),
    ("max_prepared_transactions", "0"),
    ("max_locks_per_transaction", "64"),
    ("wal_level", "replica"),
    (TARGET_TIMELINE, "latest"),
    ("hot_standby", "on"),
    (RETRY, "5000"),
    (RECEIVER_TIMEOUT, "60000"),
    (SENDER_TIMEOUT, "60000"),
    (KEEP_SLOTS, "-1"),
    (KEEP, "0"),
    (APPLY_DELAY, "0"),
    (SYNC_SLOTS, ""),
];
pub(super) const SYNC_SLOTS: &str = "synchronized_standby_slots";
/// Values that may hold a password.
const SECRET: [&str; 2] = [CONNINFO, RESTORE];

/// Where a standby's connection goes: what `primary_conninfo` says, less what is secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) application: String,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Value {
    Text(String),
    Target(Target),
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    fn is_set(&self) -> bool {
        !matches!(self, Self::Text(text) if text.is_empty())
    }
}

/// What it takes to change a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    Restart,
    Reload,
    Session,
}

/// What it takes to change a setting, by the server's version.
pub(super) fn context(version: u32, name: &str) -> Context {
    match name {
        CONNINFO | SLOT_NAME if version < 130_000 => Context::Restart,
        RESTORE if version < 140_000 => Context::Restart,
        MAX_SLOTS | "wal_level" | TARGET_TIMELINE | "hot_standby" => Context::Restart,
        _ if STANDBY_LIMITS.contains(&name) => Context::Restart,
        SYNC_COMMIT => Context::Session,
        _ => Context::Reload,
    }
}

/// A node's settings.
#[derive(Debug, Clone, Default)]
pub(super) struct Conf {
    /// `postgresql.auto.conf`: what `ALTER SYSTEM` writes.
    pub(super) auto: BTreeMap<String, Value>,
    /// `postgresql.conf`.
    pub(super) file: BTreeMap<String, Value>,
    /// The command line: it overrides every file.
    pub(super) line: BTreeMap<String, Value>,
    /// What the running server has, where that is not the default.
    running: BTreeMap<String, Value>,
    /// A number that grows whenever what is running may have changed.
    pub(super) changes: u64,
}

impl Conf {
    /// What a server that starts now would have.
    pub(super) fn wanted(&self, name: &str) -> Option<&Value> {
        [&self.line, &self.auto, &self.file]
            .into_iter()
            .find_map(|place| place.get(name))
    }

    /// What a running server has; none is the default.
    pub(super) fn running(&self, name: &str) -> Option<&Value> {
        self.running.get(name)
    }

    /// The running value as text.
    pub(super) fn text(&self, name: &str) -> &str {
        match self.running.get(name) {
            Some(Value::Text(text)) => text,
            Some(Value::Target(_)) => "",
            None => default(name).unwrap_or_default(),
        }
    }

    pub(super) fn number(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or(0)
    }

    /// A duration that is given in milliseconds.
    pub(super) fn millis(&self, name: &str) -> Duration {
        Duration::from_millis(u64::try_from(self.number(name)).unwrap_or(0))
    }

    /// Where the running server is told to receive from.
    pub(super) fn target(&self) -> Option<&Target> {
        match self.running.get(CONNINFO) {
            Some(Value::Target(target)) => Some(target),
            _ => None,
        }
    }

    /// The server starts: it takes everything.
    pub(super) fn load(&mut self) {
        self.running = BTreeMap::new();
        for place in [&self.file, &self.auto, &self.line] {
            for (name, value) in place {
                self.running.insert(name.clone(), value.clone());
            }
        }
        self.changes += 1;
    }

    /// The server reloads: it takes what a reload can change.
    pub(super) fn reload(&mut self, version: u32) {
        let names: Vec<String> = [&self.file, &self.auto, &self.running]
            .into_iter()
            .flat_map(BTreeMap::keys)
            .filter(|name| context(version, name) != Context::Restart)
            .cloned()
            .collect();
        for name in names {
            match self.wanted(&name).cloned() {
                Some(value) => self.running.insert(name, value),
                None => self.running.remove(&name),
            };
        }
        self.changes += 1;
    }

    /// As `pg_settings` shows it; none for a name that the server does not know.
    pub(super) fn shown(&self, version: u32, name: &str) -> Option<Setting> {
        if name == SYNC_SLOTS && version < 170_000 {
            return None;
        }
        let running = self.running.get(name);
        if running.is_none() && default(name).is_none() {
            return None;
        }
        let secret = SECRET.contains(&name);
        let context = context(version, name);
        let source = match running {
            _ if self.line.contains_key(name) => "command line",
            Some(_) => "configuration file",
            None => "default",
        };
        let set = match running {
            Some(value) => value.is_set(),
            None => default(name).is_some_and(|text| !text.is_empty()),
        };
        Some(Setting {
            value: if secret {
                String::new()
            } else {
                self.text(name).to_owned()
            },
            context: match context {
                Context::Restart => "postmaster",
                Context::Reload => "sighup",
                Context::Session => "user",
            }
            .to_owned(),
            source: source.to_owned(),
            by_alter_system: source == "configuration file" && self.auto.contains_key(name),
            pending_restart: context == Context::Restart && self.differs(name),
            secret,
            set,
        })
    }

    /// The files say something else than what the server runs with.
    fn differs(&self, name: &str) -> bool {
        let or_default = |value: Option<&Value>| {
            value
                .cloned()
                .unwrap_or_else(|| Value::text(default(name).unwrap_or_default()))
        };
        or_default(self.wanted(name)) != or_default(self.running.get(name))
    }
}

fn default(name: &str) -> Option<&'static str> {
    DEFAULTS
        .iter()
        .find_map(|(known, value)| (*known == name).then_some(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str) -> Value {
        Value::Target(Target {
            host: host.to_owned(),
            port: 5432,
            application: "n2".to_owned(),
        })
    }

    #[test]
    fn a_reload_applies_only_what_the_version_reloads() {
        for (version, name, applies) in [
            (120_000, CONNINFO, false),
            (130_000, CONNINFO, true),
            (130_000, RESTORE, false),
            (140_000, RESTORE, true),
            (150_000, MAX_SLOTS, false),
        ] {
            let mut conf = Conf::default();
            conf.load();
            let value = if name == CONNINFO {
                target("a")
            } else {
                Value::text("7")
            };
            conf.auto.insert(name.to_owned(), value.clone());
            conf.reload(version);
            assert_eq!(conf.running(name).is_some(), applies, "{version} {name}");
            let shown = conf.shown(version, name).unwrap();
            assert_eq!(shown.pending_restart, !applies, "{version} {name}");
            conf.load();
            assert_eq!(conf.running(name), Some(&value));
        }
    }

    #[test]
    fn the_command_line_overrides_what_is_written_to_a_file() {
        let mut conf = Conf::default();
        conf.line.insert(CONNINFO.to_owned(), target("a"));
        conf.load();
        conf.auto.insert(CONNINFO.to_owned(), Value::text(""));
        conf.reload(150_000);
        let shown = conf.shown(150_000, CONNINFO).unwrap();
        assert!(shown.set && shown.value.is_empty());
        assert_eq!(shown.source, "command line");
    }
}
