//! `repmgr.conf`: one `name = value` a line.

use std::collections::BTreeMap;
use std::fmt;

/// What a configuration file says; the last line of a name counts.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Conf(BTreeMap<String, String>);

/// Only names: a value may be a connection string with a password.
impl fmt::Debug for Conf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Conf {
    pub(super) fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(line).collect())
    }

    /// A value; an empty one is none.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|v| !v.is_empty())
    }

    /// A switch.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "1" | "on" | "true" | "yes"))
    }
}

fn line(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let end = line.find(|c: char| c.is_whitespace() || c == '=')?;
    let (name, rest) = line.split_at(end);
    if name.is_empty() || name.starts_with('#') {
        return None;
    }
    let rest = rest.trim_start();
    let value = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    Some((name.to_ascii_lowercase(), unquoted(value)))
}

/// In single quotes `''` is one; without them a value ends at a comment.
fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('\'') else {
        let bare = value.split('#').next().unwrap_or_default();
        return bare.trim().trim_matches('"').to_owned();
    };
    let mut text = String::new();
    let mut chars = inner.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' if chars.peek() == Some(&'\'') => {
                chars.next();
                text.push('\'');
            }
            '\'' => break,
            '\\' if matches!(chars.peek(), Some('\'' | '\\')) => {
                text.extend(chars.next());
            }
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_repmgr_reads_them() {
        let conf = Conf::parse(
            "# node\nnode_id=1\nnode_name='n 1' # the first\n\n  CONNINFO = 'host=h options=''-c x'''\n\
             use_replication_slots=Yes\npriority = 40 # low\nlocation=''\nnonsense\nnode_id=2\n",
        );
        for (name, value) in [
            ("node_id", Some("2")),
            ("node_name", Some("n 1")),
            ("conninfo", Some("host=h options='-c x'")),
            ("priority", Some("40")),
            ("location", None),
            ("nonsense", None),
        ] {
            assert_eq!(conf.get(name), value, "{name}");
        }
        assert!(conf.is_on("use_replication_slots") && !conf.is_on("use_scmd"));
    }
}
