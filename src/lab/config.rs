//! The configuration of a lab's servers.
//!
//! `postgresql.conf` is the same on every node and includes `../node.conf`, which holds the address and the name. So a
//! rebuild (`pg_rewind` and `pg_basebackup` copy the configuration along) does not turn a node into its upstream.

use crate::cluster::{NodeName, SyncMethod, SyncMode, SyncNames, Synchronous};
use std::fmt::Write;

/// The role that standbys log in as.
pub(super) const REPLICATOR: &str = "replicator";

/// The file that every node has in its data directory.
pub(super) const SHARED: &str = "\
# A server of a pgbaton lab. What differs from node to node is in ../node.conf.
unix_socket_directories = ''
max_connections = 100
shared_buffers = 16MB
# Files in the data directory in place of /dev/shm: a killed server leaves nothing outside its directory.
dynamic_shared_memory_type = mmap
wal_level = replica
wal_log_hints = on
max_wal_senders = 20
max_replication_slots = 20
hot_standby = on
recovery_target_timeline = latest
log_line_prefix = '%m [%p] %q%a '
include = '../node.conf'
";

/// What is this node's alone.
pub(super) fn own(
    name: &NodeName,
    host: &str,
    port: u16,
    settings: &[&(String, String)],
) -> String {
    let mut text = format!(
        "listen_addresses = {}\nport = {port}\ncluster_name = {}\n",
        quote(host),
        quote(name.as_str())
    );
    for (key, value) in settings {
        let _ = writeln!(text, "{key} = {}", quote(value));
    }
    text
}

/// The first primary's part of `postgresql.auto.conf`, where `ALTER SYSTEM` will find it.
pub(super) fn primary(synchronous: Synchronous, direct: &[&NodeName]) -> String {
    sync_names(synchronous, direct).map_or_else(String::new, |names| {
        format!(
            "synchronous_standby_names = {}\n",
            quote(&names.to_string())
        )
    })
}

/// A standby's part of `postgresql.auto.conf`.
pub(super) fn standby(name: &NodeName, host: &str, port: u16) -> String {
    let conninfo = format!("host={host} port={port} user={REPLICATOR} application_name={name}");
    format!(
        "primary_conninfo = {}\nprimary_slot_name = {}\n",
        quote(&conninfo),
        quote(name.slot().as_str())
    )
}

/// What the setting says, where there is something to wait for.
fn sync_names(synchronous: Synchronous, standbys: &[&NodeName]) -> Option<SyncNames> {
    let all = u32::try_from(standbys.len()).ok().filter(|n| *n > 0)?;
    let (method, acks) = match synchronous.mode {
        SyncMode::Quorum => (SyncMethod::Any, synchronous.acks),
        SyncMode::First => (SyncMethod::First, synchronous.acks),
        SyncMode::All => (SyncMethod::Any, all),
        SyncMode::Off | SyncMode::Unmanaged => return None,
    };
    Some(SyncNames {
        method,
        acks,
        names: standbys.iter().map(ToString::to_string).collect(),
    })
}

/// A value in a configuration file.
fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_synchronous_setting_follows_the_mode() {
        let names: Vec<NodeName> = ["n2", "n3"].map(|n| NodeName::parse(n).unwrap()).into();
        let names: Vec<&NodeName> = names.iter().collect();
        let text = |mode, acks, names: &[&NodeName]| primary(Synchronous { mode, acks }, names);
        for (mode, acks, expected) in [
            (SyncMode::Quorum, 1, "ANY 1 (\"n2\", \"n3\")"),
            (SyncMode::First, 2, "FIRST 2 (\"n2\", \"n3\")"),
            (SyncMode::All, 1, "ANY 2 (\"n2\", \"n3\")"),
        ] {
            assert_eq!(
                text(mode, acks, &names).replace("\"\"", "\""),
                format!("synchronous_standby_names = '{expected}'\n"),
            );
        }
        assert_eq!(text(SyncMode::Off, 1, &names), "");
        assert_eq!(
            text(SyncMode::Quorum, 1, &[]),
            "",
            "a primary alone would wait for ever"
        );
    }

    #[test]
    fn a_value_cannot_leave_its_quotes() {
        let name = NodeName::parse("n1").unwrap();
        let settings = [("archive_command".to_owned(), "a'b\\c".to_owned())];
        let text = own(
            &name,
            "10.64.0.1",
            5432,
            &settings.iter().collect::<Vec<_>>(),
        );
        assert!(text.ends_with("archive_command = 'a''b\\\\c'\n"), "{text}");
    }
}
