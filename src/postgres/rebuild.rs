//! Renewing a node's data: what is run for it, with which login, and what its host says about it beforehand.

use super::conninfo::Conninfo;
use super::dialect::{HostStep, Shown, Step, Task, program};
use super::live::{LOOK, LiveCluster, script_trouble};
use super::maker::Maker;
use super::{passfile, rebuild_scripts};
use crate::cluster::{Node, NodeName, Rebuild, SlotName, SslMode, Trouble, TroubleKind};
use crate::transport::quote_all;
use std::collections::BTreeMap;
use std::time::Duration;

/// The name that a copy goes by at its source. With the node's it would be a standby of that name, and acknowledge commits
/// for data that no server can start with yet.
pub(super) const COPYING: &str = "pgbaton-copy";

/// The mark of a rewind that has not ended.
pub(super) const MARK: &str = "pgbaton.rewinding";

/// How the loss of a source's host is noticed, after half a minute: the system's own default is two hours, and nothing else
/// ends a connection to a host that was cut off while it is read from. Kernels answer, so that a busy server is not lost.
const ALIVE: [(&str, &str); 4] = [
    ("keepalives_idle", "10"),
    ("keepalives_interval", "5"),
    ("keepalives_count", "4"),
    // In milliseconds; the probes above are not sent while a question is not acknowledged.
    ("tcp_user_timeout", "30000"),
];

/// How a copy is made.
pub(super) struct Copy<'a> {
    slot: Option<&'a SlotName>,
    tablespaces: &'a [String],
    keep: bool,
    run: &'a str,
}

impl<'a> Copy<'a> {
    pub(super) fn new(
        slot: Option<&'a SlotName>,
        tablespaces: &'a [String],
        keep: bool,
        run: &'a str,
    ) -> Self {
        Self {
            slot,
            tablespaces,
            keep,
            run,
        }
    }
}

impl Maker<'_> {
    pub(super) fn rewind(
        &self,
        name: &NodeName,
        upstream: &NodeName,
        deadline: Duration,
    ) -> Result<Step, Trouble> {
        let (node, source) = (self.node(name)?, self.login(self.node(upstream)?));
        let rewind = program(node, self.names.rewind);
        let data = node.data.display().to_string();
        let line = quote_all([&rewind, "-D", &data, &format!("--source-server={source}")]);
        let arguments = vec![
            rewind,
            program(node, self.names.server),
            program(node, self.names.control_data),
            source,
        ];
        Ok(Step::Host(HostStep {
            login: Some(upstream.clone()),
            ..work(
                name,
                rebuild_scripts::REWIND,
                arguments,
                format!(
                    "{line} # after crash recovery where it needs one; its own settings are put back"
                ),
                deadline,
            )
        }))
    }

    pub(super) fn copy(
        &self,
        name: &NodeName,
        upstream: &NodeName,
        copy: &Copy<'_>,
        deadline: Duration,
    ) -> Result<Step, Trouble> {
        let node = self.node(name)?;
        // The login that it will stream with: what it may not do is better found out now.
        let mut source = self.conninfo_of(node, self.node(upstream)?, COPYING)?;
        let given = &self.inventory.replication.options;
        for (keyword, value) in ALIVE.iter().filter(|(word, _)| !given.contains_key(*word)) {
            let more = format!(" {keyword}={value}");
            source = source.and_hidden(&more, &more);
        }
        let program = program(node, self.names.base_backup);
        let slot = copy.slot.map_or("", SlotName::as_str);
        let new = format!("{}.pgbaton.new", node.data.display());
        let mut words = vec![&program, "-D", &new, "-d", source.shown()];
        words.extend(["-w", "-X", "stream", "-c", "fast"]);
        if !slot.is_empty() {
            words.extend(["-S", slot]);
        }
        let former = if copy.keep { "keep" } else { "remove" };
        let line = format!(
            "{} # then it takes the place of {}; the former data: {former}",
            quote_all(words),
            node.data.display()
        );
        let mut arguments = vec![program.clone(), source.sent().to_owned()];
        arguments.extend([slot.to_owned(), former.to_owned(), copy.run.to_owned()]);
        arguments.extend([self.names.wal_dir, self.names.space_dir].map(str::to_owned));
        arguments.extend(copy.tablespaces.iter().cloned());
        let step = work(name, rebuild_scripts::COPY, arguments, line, deadline);
        Ok(Step::Host(HostStep {
            returns: Some("old"),
            ..step
        }))
    }

    /// pgbaton's own login, for a program that reads files of the upstream; without a password.
    fn login(&self, upstream: &Node) -> String {
        let sql = &self.inventory.sql;
        let mut info = Conninfo::default();
        info.push("host", &upstream.host);
        info.push("port", &upstream.port.to_string());
        info.push("user", &sql.user);
        info.push("dbname", &sql.dbname);
        info.push("sslmode", mode(sql.sslmode));
        if let Some(root) = &sql.sslrootcert {
            info.push("sslrootcert", &root.display().to_string());
        }
        info.push("connect_timeout", "10");
        for (keyword, value) in ALIVE {
            info.push(keyword, value);
        }
        info.sent()
    }
}

fn mode(mode: SslMode) -> &'static str {
    match mode {
        SslMode::Disable => "disable",
        SslMode::Prefer => "prefer",
        SslMode::Require => "require",
        SslMode::VerifyCa => "verify-ca",
        SslMode::VerifyFull => "verify-full",
    }
}

fn work(
    node: &NodeName,
    script: &'static str,
    arguments: Vec<String>,
    line: String,
    deadline: Duration,
) -> HostStep {
    HostStep {
        node: node.clone(),
        task: Task::Work,
        script,
        arguments,
        shown: Shown::Line(line),
        deadline,
        returns: None,
        login: None,
        pending: "it goes on".to_owned(),
    }
}

impl LiveCluster {
    /// The password of the login that a step's program needs, as its environment.
    pub(super) async fn login_of(
        &self,
        step: &HostStep,
    ) -> Result<BTreeMap<String, String>, Trouble> {
        let Some(upstream) = &step.login else {
            return Ok(BTreeMap::new());
        };
        let (node, sql) = (self.node(upstream)?, &self.inventory.sql);
        let password = passfile::password(sql, &node.host, node.port, &sql.dbname).await?;
        let pair =
            |secret: super::secret::Secret| ("PGPASSWORD".to_owned(), secret.reveal().to_owned());
        Ok(password.map(pair).into_iter().collect())
    }

    pub(super) async fn rebuild_seen(&self, name: &NodeName) -> Result<Rebuild, Trouble> {
        let (node, names) = (self.node(name)?, self.dialect.names());
        let programs = [
            names.control_data,
            names.server,
            names.rewind,
            names.base_backup,
        ];
        let programs = programs.map(|p| program(node, p));
        let arguments: Vec<&str> = programs.iter().map(String::as_str).collect();
        let command = self.script(node, rebuild_scripts::LOOK, &arguments, LOOK);
        let finished = self.look(name, command).await?;
        let text = finished.out();
        let told = |word: &str| text.lines().any(|line| line == word);
        let found = |word: &str| {
            let line = text
                .lines()
                .find(|line| line.split(' ').next() == Some(word))?;
            Some(
                line.split_once(' ')
                    .and_then(|(_, release)| release.parse().ok()),
            )
        };
        let (rewind, copy) = (found("rewind"), found("copy"));
        if !told("end") {
            let what = "failed to look how its data could be renewed";
            return Err(script_trouble(name, what, &finished));
        }
        Ok(Rebuild {
            wal_log_hints: told("hints"),
            checksums: told("checksums"),
            can_rewind: rewind.is_some(),
            rewinds: rewind.flatten(),
            can_copy: copy.is_some(),
            copies: copy.flatten(),
            release: found("data").flatten(),
            archive: told("archive"),
            beside: told("beside"),
            mounted: told("mounted"),
        })
    }
}

/// Where tablespaces lie that are not within the data directory.
pub(super) const TABLESPACES: &str = "SELECT pg_tablespace_location(oid) FROM pg_tablespace \
     WHERE pg_tablespace_location(oid) LIKE '/%' ORDER BY 1";

/// A path that cannot be told to `pg_basebackup`.
pub(super) fn spaces(node: &NodeName, paths: Vec<String>) -> Result<Vec<String>, Trouble> {
    match paths.iter().find(|p| p.contains(['=', '\n', '\\'])) {
        None => Ok(paths),
        Some(path) => Err(Trouble::on(
            TroubleKind::Failed,
            node,
            format!(
                "the tablespace at {path} cannot be mapped: its path holds `=`, `\\` or a line break"
            ),
        )),
    }
}
