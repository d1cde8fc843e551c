//! Where everything stands below the prefix. What stands here once is never changed: stores of that form exist.
//!
//! | key | value |
//! |---|---|
//! | `store` | the name of the store and its version |
//! | `tokens/CLUSTER` | the last fencing token of the cluster |
//! | `holders/CLUSTER` | which run holds it, under a lease of etcd that takes the key away |
//! | `runs/RUN` | the run in short, and who writes it |
//! | `readers/RUN` | who writes a run that holds no lease, under one of etcd, so that others see when it dies |
//! | `events/RUN/SEQ/PIECE` | a part of the events that were recorded together; SEQ is the first of them |
//! | `announced/RUN` | the idempotency key of a run that has not begun |
//! | `keys/CLUSTER/KEY` | the run that began with it |
//! | `messages/RUN/NUMBER` | a message to a run |
//! | `debts/CLUSTER/RUN/SEQ` | what a run leaves to be done, or has done of it; SEQ is the event that says so |
//! | `notes/KIND/CLUSTER/ID` | a note about a cluster; the kind comes first, for those of all clusters are asked for together |

use super::wire::after_all;
use crate::engine::RunId;
use std::fmt::Write as _;

const DEFAULT: &str = "/pgbaton/";

/// Names the keys of one store.
#[derive(Debug, Clone)]
pub(super) struct Keys(String);

impl Keys {
    pub(super) fn below(prefix: Option<String>) -> Self {
        let mut prefix = prefix.unwrap_or_else(|| DEFAULT.to_owned());
        if !prefix.ends_with('/') {
            prefix.push('/');
        }
        Self(prefix)
    }

    pub(super) fn prefix(&self) -> &str {
        &self.0
    }

    pub(super) fn store(&self) -> String {
        format!("{}store", self.0)
    }

    pub(super) fn token(&self, cluster: &str) -> String {
        format!("{}tokens/{}", self.0, word(cluster))
    }

    pub(super) fn holders(&self) -> String {
        format!("{}holders/", self.0)
    }

    pub(super) fn holder(&self, cluster: &str) -> String {
        format!("{}{}", self.holders(), word(cluster))
    }

    pub(super) fn runs(&self) -> String {
        format!("{}runs/", self.0)
    }

    /// The run of this id; what begins so are the runs whose ids do.
    pub(super) fn run(&self, id: &str) -> String {
        format!("{}{}", self.runs(), word(id))
    }

    pub(super) fn readers(&self) -> String {
        format!("{}readers/", self.0)
    }

    pub(super) fn reader(&self, run: &RunId) -> String {
        format!("{}{}", self.readers(), word(&run.0))
    }

    fn events(&self, run: &RunId) -> String {
        format!("{}events/{}/", self.0, word(&run.0))
    }

    /// What was recorded together from this event on.
    pub(super) fn batch(&self, run: &RunId, seq: u64) -> String {
        format!("{}{seq:010}/", self.events(run))
    }

    pub(super) fn piece(&self, run: &RunId, seq: u64, piece: usize) -> String {
        format!("{}{piece:06}", self.batch(run, seq))
    }

    /// The first event of what was recorded together, by its key.
    pub(super) fn seq_of(&self, run: &RunId, key: &[u8]) -> Option<u64> {
        let key = std::str::from_utf8(key).ok()?;
        let (seq, _piece) = key.strip_prefix(&self.events(run))?.split_once('/')?;
        seq.parse().ok()
    }

    pub(super) fn announced(&self, run: &RunId) -> String {
        format!("{}announced/{}", self.0, word(&run.0))
    }

    pub(super) fn key(&self, cluster: &str, key: &str) -> String {
        format!("{}keys/{}/{}", self.0, word(cluster), word(key))
    }

    /// All that runs of this cluster leave to be done.
    pub(super) fn debts(&self, cluster: &str) -> String {
        format!("{}debts/{}/", self.0, word(cluster))
    }

    pub(super) fn debt(&self, cluster: &str, run: &RunId, seq: u64) -> String {
        format!("{}{}/{seq:010}", self.debts(cluster), word(&run.0))
    }

    /// All notes of a kind, of one cluster where it is named.
    pub(super) fn notes(&self, kind: &str, cluster: Option<&str>) -> String {
        let cluster = cluster.map(|cluster| format!("{}/", word(cluster)));
        format!(
            "{}notes/{}/{}",
            self.0,
            word(kind),
            cluster.unwrap_or_default()
        )
    }

    pub(super) fn note(&self, cluster: &str, kind: &str, id: &str) -> String {
        format!("{}{}", self.notes(kind, Some(cluster)), word(id))
    }

    fn messages(&self, run: &RunId) -> String {
        format!("{}messages/{}/", self.0, word(&run.0))
    }

    pub(super) fn message(&self, run: &RunId, number: u64) -> String {
        format!("{}{number:010}", self.messages(run))
    }

    /// Behind the last message to the run.
    pub(super) fn after_messages(&self, run: &RunId) -> Vec<u8> {
        after_all(&self.messages(run))
    }

    pub(super) fn number_of(&self, run: &RunId, key: &[u8]) -> Option<u64> {
        let key = std::str::from_utf8(key).ok()?;
        key.strip_prefix(&self.messages(run))?.parse().ok()
    }
}

/// A name as a part of a key: no name can reach into another part, and one name's beginning stays a beginning.
fn word(name: &str) -> String {
    let mut word = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            word.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(word, "%{byte:02X}");
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_reaches_into_another_part_of_a_key() {
        let keys = Keys::below(Some("/ours".to_owned()));
        assert_eq!(keys.key("a/b", "c"), "/ours/keys/a%2Fb/c");
        assert_ne!(keys.key("a/b", "c"), keys.key("a", "b/c"));
        assert_ne!(keys.holder("a%2Fb"), keys.holder("a/b"));
        assert_eq!(keys.holder("größe"), "/ours/holders/gr%C3%B6%C3%9Fe");
        assert_eq!(Keys::below(None).store(), "/pgbaton/store");
        assert_eq!(keys.note("a/b", "c", "d"), "/ours/notes/c/a%2Fb/d");
        assert!(
            !keys
                .note("orders-2", "c", "d")
                .starts_with(&keys.notes("c", Some("orders")))
        );
    }

    #[test]
    fn keys_stand_in_the_order_of_their_numbers() {
        let keys = Keys::below(None);
        let run = RunId("20261123-014607-aaaa".into());
        let order = [
            keys.piece(&run, 9, 0),
            keys.piece(&run, 9, 11),
            keys.piece(&run, 10, 0),
            keys.piece(&run, u64::from(u32::MAX), 2),
        ];
        assert!(order.is_sorted(), "{order:?}");
        assert_eq!(keys.seq_of(&run, order[1].as_bytes()), Some(9));
        assert!(order[1].as_bytes() < after_all(&keys.batch(&run, 9)).as_slice());
        assert!(order[2].as_bytes() >= after_all(&keys.batch(&run, 9)).as_slice());
        let message = keys.message(&run, 12);
        assert_eq!(keys.number_of(&run, message.as_bytes()), Some(12));
        assert!(message.as_bytes() < keys.after_messages(&run).as_slice());
    }
}
