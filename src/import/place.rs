//! What this machine can tell of a data directory that may lie on it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A data directory on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Here {
    /// Who owns it; none where that is the current user, or nobody can tell.
    pub(super) owner: Option<String>,
}

/// Whether a server at this host is on this machine for certain.
pub(super) fn is_this_machine(host: &str) -> bool {
    let loopback = |host: &str| {
        host.parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
    };
    host.starts_with('/') || host == "localhost" || loopback(host)
}

/// The directory, where it is on this machine.
pub(super) fn here(data: &Path) -> Option<Here> {
    let meta = data.metadata().ok().filter(std::fs::Metadata::is_dir)?;
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    Some(Here {
        owner: (meta.uid() != rustix::process::geteuid().as_raw())
            .then(|| account(&accounts, meta.uid()))
            .flatten(),
    })
}

/// The name of an account, in the format of `/etc/passwd`.
fn account(accounts: &str, uid: u32) -> Option<String> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let own: u32 = fields.nth(1)?.parse().ok()?;
        (own == uid).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_be_elsewhere_is_this_machine() {
        for (host, expected) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("localhost", true),
            ("/run/postgresql", true),
            ("10.0.0.1", false),
            ("node1", false),
        ] {
            assert_eq!(is_this_machine(host), expected, "{host}");
        }
    }

    #[test]
    fn an_account_is_found_by_its_number() {
        let accounts = "root:x:0:0::/:/bin/sh\npostgres:x:101:104::/:/bin/sh\n";
        assert_eq!(account(accounts, 101).as_deref(), Some("postgres"));
        assert_eq!(account(accounts, 1), None);
    }
}
