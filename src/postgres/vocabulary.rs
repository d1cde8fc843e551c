//! What a KingbaseES server calls the functions, views and roles that our statements name.
//!
//! Its own begin with `sys_`; most come under PostgreSQL's names too, which of them differs by release and by mode. So each
//! name is looked up once in a session: ours where it is there, else the other. Nothing is told from `version()`, which
//! has another form there.

use super::questions::Garbled;
use super::wire::Answer;
use std::borrow::Cow;

/// Without their first part. Those of which there are several are looked up with the arguments that we give them.
const FUNCTIONS: [(&str, &str); 18] = [
    ("create_physical_replication_slot", ""),
    ("current_wal_flush_lsn", ""),
    ("current_wal_lsn", ""),
    ("drop_replication_slot", ""),
    ("has_role", "(name,text)"),
    ("is_in_recovery", ""),
    ("is_wal_replay_paused", ""),
    ("last_wal_receive_lsn", ""),
    ("last_wal_replay_lsn", ""),
    ("logical_emit_message", "(boolean,text,text)"),
    ("ls_archive_statusdir", ""),
    ("ls_waldir", ""),
    ("promote", ""),
    ("reload_conf", ""),
    ("size_bytes", ""),
    ("stat_get_activity", ""),
    ("tablespace_location", ""),
    ("walfile_name", ""),
];
/// Views and tables.
const VIEWS: [&str; 7] = [
    "config",
    "replication_slots",
    "settings",
    "stat_archiver",
    "stat_replication",
    "stat_wal_receiver",
    "tablespace",
];
const ROLES: [&str; 1] = ["read_all_stats"];

/// A server's own names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Vocabulary {
    /// The server's major version, as its own functions count it.
    pub(super) major: u32,
    /// Names that are there with `sys_` only.
    other: Vec<String>,
}

impl Vocabulary {
    /// The statements that tell it. The catalogs alone are searched: nobody's objects can take the place of the server's.
    pub(crate) fn question() -> String {
        let quoted = |kind: char, name: &str, arguments: &str| {
            format!("('{kind}', '{name}', '{name}{arguments}')")
        };
        let functions = FUNCTIONS.iter().map(|(name, arguments)| {
            let kind = if arguments.is_empty() { 'f' } else { 'a' };
            quoted(kind, name, arguments)
        });
        let views = VIEWS.iter().map(|name| quoted('v', name, ""));
        let roles = ROLES.iter().map(|name| quoted('r', name, ""));
        let all: Vec<String> = functions.chain(views).chain(roles).collect();
        let there = |first: &str| {
            format!(
                "CASE kind WHEN 'f' THEN to_regproc('{first}' || full_name)::oid \
                 WHEN 'a' THEN to_regprocedure('{first}' || full_name)::oid \
                 WHEN 'v' THEN to_regclass('{first}' || full_name)::oid \
                 ELSE to_regrole('{first}' || full_name)::oid END"
            )
        };
        format!(
            "SET search_path = pg_catalog, sys_catalog; SELECT current_setting('server_version_num'), \
             string_agg(name, ' ') FILTER (WHERE {} IS NULL AND {} IS NOT NULL) \
             FROM (VALUES {}) AS names (kind, name, full_name)",
            there("pg_"),
            there("sys_"),
            all.join(", ")
        )
    }

    /// Reads the answer.
    pub(crate) fn read(answers: &[Answer]) -> Result<Self, Garbled> {
        let row = answers
            .last()
            .and_then(|a| a.rows.first())
            .ok_or(Garbled("row"))?;
        let text = |index: usize| row.get(index).and_then(Option::as_deref);
        let number: u32 = text(0)
            .and_then(|t| t.parse().ok())
            .ok_or(Garbled("server_version_num"))?;
        let other = text(1).unwrap_or_default().split_whitespace();
        Ok(Self {
            major: number / 10_000,
            other: other.map(str::to_owned).collect(),
        })
    }

    /// A statement of ours in the server's words. What stands in quotes is left, but for the name of a role.
    pub(crate) fn spoken<'a>(&self, statement: &'a str) -> Cow<'a, str> {
        if self.other.is_empty() {
            return Cow::Borrowed(statement);
        }
        let pieces = statement.split('\'').enumerate().map(|(index, piece)| {
            let is_quoted = index % 2 == 1;
            if is_quoted {
                let name = piece.strip_prefix("pg_").filter(|n| ROLES.contains(n));
                name.map_or(Cow::Borrowed(piece), |name| Cow::Owned(self.word(name)))
            } else {
                Cow::Owned(self.replaced(piece))
            }
        });
        Cow::Owned(pieces.collect::<Vec<_>>().join("'"))
    }

    fn replaced(&self, text: &str) -> String {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut spoken = String::new();
        let mut rest = text;
        while let Some(start) = rest.find(is_word) {
            let (before, from) = rest.split_at(start);
            let end = from.find(|c| !is_word(c)).unwrap_or(from.len());
            let (word, behind) = from.split_at(end);
            spoken.push_str(before);
            match word.strip_prefix("pg_") {
                Some(name) => spoken.push_str(&self.word(name)),
                None => spoken.push_str(word),
            }
            rest = behind;
        }
        spoken + rest
    }

    fn word(&self, name: &str) -> String {
        let is_other = self.other.iter().any(|other| other == name);
        format!("{}_{name}", if is_other { "sys" } else { "pg" })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{archiving, postgresql, questions, rebuild, wal_files};
    use super::*;
    use std::collections::BTreeSet;

    fn vocabulary(other: &[&str]) -> Vocabulary {
        Vocabulary {
            major: 12,
            other: other.iter().map(|o| (*o).to_owned()).collect(),
        }
    }

    #[test]
    fn only_names_that_the_server_lacks_are_replaced_and_nothing_in_quotes() {
        let server = vocabulary(&["promote", "settings", "read_all_stats", "stat_replication"]);
        for (ours, theirs) in [
            ("SELECT pg_promote(false)", "SELECT sys_promote(false)"),
            ("SELECT pg_is_in_recovery()", "SELECT pg_is_in_recovery()"),
            (
                "SELECT 1 FROM pg_settings WHERE name = 'pg_settings'",
                "SELECT 1 FROM sys_settings WHERE name = 'pg_settings'",
            ),
            (
                "ALTER SYSTEM SET primary_conninfo = 'user=''pg_promote'''",
                "ALTER SYSTEM SET primary_conninfo = 'user=''pg_promote'''",
            ),
            (
                "SELECT pg_has_role('pg_read_all_stats', 'USAGE')",
                "SELECT pg_has_role('sys_read_all_stats', 'USAGE')",
            ),
            (
                "PREPARE pgbaton_0 AS SELECT 1",
                "PREPARE pgbaton_0 AS SELECT 1",
            ),
            (
                "SELECT my_pg_promote, pg_stat_replications",
                "SELECT my_pg_promote, pg_stat_replications",
            ),
        ] {
            assert_eq!(server.spoken(ours), theirs);
        }
    }

    /// A name that is not looked up would be asked for under the wrong one.
    #[test]
    fn every_name_of_our_statements_is_looked_up() {
        let asked: String = [
            questions::server(12),
            questions::slots(12),
            questions::SENDERS.to_owned(),
            questions::settings(&["a"]),
            wal_files::WAL_FILES.to_owned(),
            archiving::ARCHIVING.to_owned(),
            rebuild::TABLESPACES.to_owned(),
        ]
        .join(" ");
        let told = include_str!("postgresql.rs").to_owned()
            + include_str!("perform.rs")
            + include_str!("settings.rs");
        // Names of files and programs are no words of statements.
        let known: BTreeSet<String> = FUNCTIONS
            .iter()
            .map(|(name, _)| *name)
            .chain(VIEWS)
            .chain(ROLES)
            .map(|name| format!("pg_{name}"))
            .chain(
                [
                    "pg_ctl",
                    "pg_controldata",
                    "pg_waldump",
                    "pg_isready",
                    "pg_rewind",
                    "pg_basebackup",
                    "pg_wal",
                    "pg_replslot",
                    "pg_tblspc",
                ]
                .map(str::to_owned),
            )
            .collect();
        let text = asked + &told;
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|word| word.starts_with("pg_")) {
            assert!(known.contains(word), "{word}");
        }
        assert!(postgresql::KEPT.iter().all(|name| !name.starts_with("pg_")));
    }

    #[test]
    fn an_answer_without_a_version_is_refused() {
        assert!(Vocabulary::read(&[]).is_err());
        let row = vec![
            Some("120001".to_owned()),
            Some("promote settings".to_owned()),
        ];
        let answer = Answer {
            rows: vec![row],
            ..Answer::default()
        };
        let read = Vocabulary::read(&[Answer::default(), answer]).unwrap();
        assert_eq!(read, vocabulary(&["promote", "settings"]));
    }
}
