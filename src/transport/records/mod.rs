//! Operations that outlive their caller, and their records on the host.
//!
//! The command runs in a session of its own that nobody's pipe holds. Its record says who runs it, and later how it
//! ended; a second call with the same id finds that, and waits for it or takes the result. What a host needs for it are
//! a POSIX shell, the core utilities, `flock` and `setsid` (util-linux), `find`, and `/proc`.

mod call;
mod native;
mod place;
mod scripts;

pub use native::{Claim, Held, Watch};

use std::path::PathBuf;

/// Where the records of all users lie: a place that survives a reboot and that everybody may write to.
pub const RECORDS: &str = "/var/tmp";

/// An operation that is recorded on its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The directory that holds the users' directories of records.
    pub base: PathBuf,
    /// Whose operation: tokens are compared within a cluster.
    pub cluster: String,
    /// Its id, which no other operation of the cluster has.
    pub id: String,
    /// The lease store and its fencing token; a host refuses one that is lower than what it has seen of that store.
    pub fence: Option<(String, u64)>,
    /// This id was given out before by a runner that died.
    pub again: bool,
    /// It may be done again where its session has gone without a result.
    pub repeatable: bool,
    /// What happens to it when its time is up, or when nobody wants it any more.
    pub late: Late,
}

/// What becomes of an operation that takes too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// All processes of its session are ended.
    End,
    /// Only the waiting ends.
    Finish,
}

impl Recorded {
    fn cluster_file(&self) -> String {
        file_name(&self.cluster)
    }

    fn id_file(&self) -> String {
        file_name(&self.id)
    }
}

/// A name as the name of a file: it never leads elsewhere and never hides.
fn file_name(name: &str) -> String {
    use std::fmt::Write as _;
    let mut safe = String::new();
    for (at, byte) in name.bytes().enumerate() {
        let plain =
            byte.is_ascii_alphanumeric() || byte == b'_' || (b".-".contains(&byte) && at > 0);
        if plain {
            safe.push(char::from(byte));
        } else {
            let _ = write!(safe, "%{byte:02x}");
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        assert_eq!(
            file_name("20261123-014607-7k3q-4.0"),
            "20261123-014607-7k3q-4.0"
        );
        assert_eq!(file_name("../a b"), "%2e.%2fa%20b");
        assert_eq!(file_name("-x"), "%2dx");
    }
}
