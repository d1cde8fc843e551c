//! Real servers behind the port: what can be asked.

use super::conninfo::Conninfo;
use super::dialect::program;
use super::fault::Fault;
use super::live::{LOOK, LiveCluster, host_trouble, renderer, script_trouble};
use super::login::SessionKind;
use super::native::Native;
use super::pool::{Error, Warm};
use super::questions;
use super::{archiving, control, host, rebuild, scripts, wal_files, waldump};
use crate::cluster::{
    Admission, Archiving, Footing, Forbidden, History, Host, Identity, Inventory, Knock, Lsn,
    Managers, NodeName, Observe, Reach, Rebuild, Remembered, Render, RepmgrNode, Sender, Server,
    Setting, Slot, Timeline, Transport, Trouble, TroubleKind, WalFiles,
};
use crate::transport::{Command, TransportError};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// What reading WAL may take.
const READ_WAL: Duration = Duration::from_mins(1);

#[async_trait]
impl Observe for LiveCluster {
    fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    async fn server(&self, node: &NodeName) -> Result<Server, Trouble> {
        let what = "failed to look at the server";
        let seen = self
            .ask(node, what, Warm::Sql, questions::server, questions::seen)
            .await?;
        if !seen.may_see {
            return Err(Trouble::on(
                TroubleKind::Denied,
                node,
                format!(
                    "{what}: user `{}` may not see other sessions, so a receiver would look absent",
                    self.inventory.sql.user
                ),
            )
            .with_help("GRANT pg_monitor TO pgbaton's user"));
        }
        self.memory.note(node, &seen);
        Ok(seen.server)
    }

    async fn in_recovery(&self, node: &NodeName) -> Result<bool, Trouble> {
        self.ask(
            node,
            "failed to ask whether it is in recovery",
            Warm::Sql,
            |_| "SELECT pg_is_in_recovery()::int".to_owned(),
            |answers| {
                let row = answers.first().and_then(|a| a.rows.first());
                Ok(row.is_some_and(|r| matches!(r.first(), Some(Some(t)) if t == "1")))
            },
        )
        .await
    }

    async fn identify(&self, node: &NodeName) -> Result<Identity, Trouble> {
        self.ask(
            node,
            "failed to identify the system",
            Warm::Replication,
            |_| "IDENTIFY_SYSTEM".to_owned(),
            questions::identity,
        )
        .await
    }

    async fn history(&self, node: &NodeName, timeline: Timeline) -> Result<History, Trouble> {
        if timeline <= Timeline(1) {
            return Ok(History::first(timeline));
        }
        let what = format!("failed to read the history of timeline {timeline}");
        let text = self
            .ask(
                node,
                &what,
                Warm::Replication,
                |_| format!("TIMELINE_HISTORY {timeline}"),
                |answers| {
                    let row = answers.first().and_then(|a| a.rows.first());
                    let content = row.and_then(|r| r.get(1).cloned().flatten());
                    Ok(content.unwrap_or_default())
                },
            )
            .await?;
        History::parse(timeline, &text)
            .map_err(|error| Trouble::on(TroubleKind::Failed, node, format!("{what}: {error}")))
    }

    async fn senders(&self, node: &NodeName) -> Result<Vec<Sender>, Trouble> {
        self.ask(
            node,
            "failed to read who streams from it",
            Warm::Sql,
            |_| questions::SENDERS.to_owned(),
            questions::senders,
        )
        .await
    }

    async fn slots(&self, node: &NodeName) -> Result<(Vec<Slot>, u32), Trouble> {
        let what = "failed to read its replication slots";
        self.ask(
            node,
            what,
            Warm::Sql,
            questions::slots,
            questions::slots_seen,
        )
        .await
    }

    async fn wal_files(&self, node: &NodeName) -> Result<WalFiles, Trouble> {
        self.ask(
            node,
            "failed to list its WAL files",
            Warm::Sql,
            |_| wal_files::WAL_FILES.to_owned(),
            wal_files::wal_files,
        )
        .await
    }

    async fn archiving(&self, node: &NodeName) -> Result<Archiving, Trouble> {
        self.ask(
            node,
            "failed to look at its archiving",
            Warm::Sql,
            |_| archiving::ARCHIVING.to_owned(),
            archiving::archiving,
        )
        .await
    }

    async fn managers(&self, node: &NodeName) -> Result<Managers, Trouble> {
        self.look_for_managers(node).await
    }

    async fn repmgr_nodes(&self, node: &NodeName) -> Result<Vec<RepmgrNode>, Trouble> {
        self.read_repmgr(node).await
    }

    async fn settings(
        &self,
        node: &NodeName,
        names: &[&str],
    ) -> Result<BTreeMap<String, Setting>, Trouble> {
        let statement = questions::settings(names);
        self.ask(
            node,
            "failed to read its settings",
            Warm::Sql,
            move |_| statement.clone(),
            questions::settings_seen,
        )
        .await
    }

    async fn upstream(&self, node: &NodeName) -> Result<Option<(String, u16)>, Trouble> {
        let what = "failed to read its upstream";
        let asked = self
            .ask(
                node,
                what,
                Warm::Sql,
                |_| "SELECT current_setting('primary_conninfo')".to_owned(),
                |answers| {
                    let row = answers.first().and_then(|a| a.rows.first());
                    Ok(row
                        .and_then(|r| r.first().cloned().flatten())
                        .unwrap_or_default())
                },
            )
            .await;
        let text = match asked {
            Ok(text) => text,
            Err(trouble)
                if matches!(
                    trouble.kind,
                    TroubleKind::Unreachable | TroubleKind::Timeout
                ) && self.hosts.contains_key(node) =>
            {
                self.upstream_by_files(node).await?
            }
            Err(trouble) => return Err(trouble),
        };
        if text.trim().is_empty() {
            return Ok(None);
        }
        let port = self.inventory.product.default_port();
        let target = Conninfo::parse(&text).and_then(|info| info.target(port));
        target
            .map(Some)
            .map_err(|error| Trouble::on(TroubleKind::Failed, node, format!("{what}: {error}")))
    }

    async fn host(&self, name: &NodeName) -> Result<Host, Trouble> {
        let node = self.node(name)?;
        let printer = program(node, self.dialect.names().control_data);
        // The processes first, then what the last of them wrote.
        let known = self.dialect.names().form_is_known;
        let look = move |native: &Native| {
            let facts = native.look();
            let file = known.then(|| native.read(control::FILE).ok().flatten());
            (facts, file.flatten())
        };
        if let Some((Ok(facts), file)) = self.here(node, look).await {
            if let Some(read) = file.as_deref().and_then(control::read) {
                return Ok(Host {
                    control: Some(read),
                    ..host::read(&facts)
                });
            }
            let data = node.data.display().to_string();
            let command = Command::new([printer.as_str(), "-D", &data], LOOK)
                .with_env([("LC_ALL".to_owned(), "C".to_owned())].into());
            let finished = self.look(name, command).await?;
            return Ok(host::read(&(facts + &finished.out())));
        }
        let names = self.dialect.names();
        let arguments = [printer.as_str(), names.wal_dir, names.slot_dir];
        let command = self.script(node, scripts::LOOK, &arguments, LOOK);
        let finished = self.look(name, command).await?;
        let text = finished.out();
        // Without this word the script did not get to its end, and what it did not print means nothing.
        if finished.status == scripts::BLIND || !text.lines().any(|line| line == "control") {
            return Err(script_trouble(
                name,
                "failed to look at its host",
                &finished,
            ));
        }
        Ok(host::read(&text))
    }

    async fn saved_settings(&self, name: &NodeName) -> Result<Vec<String>, Trouble> {
        let command = self.script(self.node(name)?, scripts::SAVED, &[], LOOK);
        let finished = self.look(name, command).await?;
        if finished.status != 0 {
            return Err(script_trouble(
                name,
                "failed to look for kept settings",
                &finished,
            ));
        }
        Ok(finished.out().lines().map(str::to_owned).collect())
    }

    async fn forbidden(&self, node: &NodeName) -> Result<Vec<Forbidden>, Trouble> {
        let commands = self.node(node)?.commands();
        self.forbidden_of(node, &commands).await
    }

    async fn rebuild(&self, node: &NodeName) -> Result<Rebuild, Trouble> {
        self.rebuild_seen(node).await
    }

    async fn footing(&self, node: &NodeName, start: bool) -> Result<Footing, Trouble> {
        self.footing_seen(node, start).await
    }

    async fn tablespaces(&self, node: &NodeName) -> Result<Vec<String>, Trouble> {
        let paths = self
            .ask(
                node,
                "failed to list its tablespaces",
                Warm::Sql,
                |_| rebuild::TABLESPACES.to_owned(),
                |answers| {
                    let rows = answers.first().map(|a| a.rows.as_slice());
                    let first = |row: &Vec<Option<String>>| row.first().cloned().flatten();
                    Ok(rows.unwrap_or_default().iter().filter_map(first).collect())
                },
            )
            .await?;
        rebuild::spaces(node, paths)
    }

    async fn reach(
        &self,
        from: Option<&NodeName>,
        to: &NodeName,
        within: Duration,
    ) -> Result<Reach, Trouble> {
        let target = self.node(to)?;
        let Some(from) = from else {
            let kind = SessionKind::Own(self.inventory.sql.dbname.clone());
            return match self.pool.open(to, kind, within).await {
                Ok(_) => Ok(Reach::Accepts),
                Err(Error::Fault(Fault::Refused { .. } | Fault::Denied { .. })) => {
                    Ok(Reach::Rejects)
                }
                Err(Error::Fault(_)) => Ok(Reach::Silent),
                Err(Error::Trouble(trouble)) => Err(trouble),
            };
        };
        let source = self.node(from)?;
        if matches!(source.transport, Transport::Local { .. }) {
            return Ok(match self.pool.knock(target, within).await {
                Knock::NotNow => Reach::Rejects,
                met if met.is_word() => Reach::Accepts,
                _ => Reach::Silent,
            });
        }
        let prober = program(source, self.dialect.names().is_ready);
        let port = target.port.to_string();
        let seconds = within.as_secs_f64().ceil().max(1.0).to_string();
        let argv = [
            prober.as_str(),
            "-q",
            "-h",
            &target.host,
            "-p",
            &port,
            "-t",
            &seconds,
        ];
        match self.way(from)?.run(Command::new(argv, within)).await {
            Ok(finished) => match finished.status {
                0 => Ok(Reach::Accepts),
                1 => Ok(Reach::Rejects),
                2 => Ok(Reach::Silent),
                _ => Err(script_trouble(
                    from,
                    &format!("failed to try a connection to {to}"),
                    &finished,
                )),
            },
            // It was started on that host and met nothing but silence.
            Err(TransportError::Deadline { .. }) => Ok(Reach::Silent),
            Err(error) => Err(host_trouble(from, &error)),
        }
    }

    async fn admission(&self, from: &NodeName, to: &NodeName) -> Result<Admission, Trouble> {
        self.try_joining(from, to).await
    }

    async fn wal_end(
        &self,
        name: &NodeName,
        timeline: Timeline,
        from: Lsn,
    ) -> Result<Lsn, Trouble> {
        let node = self.node(name)?;
        let names = self.dialect.names();
        let what = format!("failed to read the end of its WAL on timeline {timeline} from {from}");
        let arguments = [
            program(node, names.control_data),
            program(node, names.wal_dump),
            names.wal_dir.to_owned(),
            timeline.to_string(),
            waldump::start(from).to_string(),
            from.0.to_string(),
        ];
        // A server may have come without the program.
        let without = !Path::new(&arguments[1]).exists();
        let known = names.form_is_known;
        let look = move |native: &Native| {
            let found = known.then(|| native.segments(timeline, from)).flatten()?;
            let read = without && found.end.is_some();
            let told = read.then(|| native.walk(&found, timeline, from)).flatten();
            Some((found, told))
        };
        let here = self.here(node, look).await;
        let text = if let Some(Some((segments, told))) = here {
            if let Some(end) = told {
                return Ok(end);
            }
            let mut text = segments.text;
            if let Some(end) = segments.end {
                let wal = node.data.join(names.wal_dir).display().to_string();
                let (timeline, end) = (timeline.to_string(), end.to_string());
                let words = ["-p", &wal, "-t", &timeline, "-s", &arguments[4], "-e", &end];
                let argv = std::iter::once(arguments[1].as_str()).chain(words);
                let command = Command::new(argv, READ_WAL)
                    .with_env([("LC_ALL".to_owned(), "C".to_owned())].into());
                // It ends with an error at the first place that holds no record: that is the end we look for.
                let told = self.look(name, command).await?;
                let out = told.out();
                let last = out.lines().rfind(|line| line.starts_with("rmgr:"));
                let said = String::from_utf8_lossy(&told.stderr).into_owned();
                let said = said.lines().next_back().unwrap_or_default();
                let status = told.status.to_string();
                text.extend(["status ", &status, "\nsaid ", said, "\n"]);
                text.extend(last.map(|last| format!("record {last}\n")));
            }
            text
        } else {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let command = self.script(node, scripts::WAL_END, &arguments, READ_WAL);
            let finished = self.look(name, command).await?;
            if !finished.success() {
                return Err(script_trouble(name, &what, &finished));
            }
            finished.out()
        };
        match waldump::read(&text, from) {
            waldump::End::At(end) => Ok(end),
            waldump::End::Nothing => Ok(from),
            waldump::End::Untold(why) => Err(Trouble::on(
                TroubleKind::Failed,
                name,
                format!("{what}: {why}"),
            )),
            waldump::End::NoSegment => Err(Trouble::on(
                TroubleKind::Failed,
                name,
                format!("{what}: the segment of that position is not there"),
            )),
        }
    }

    fn renderer(&self) -> &dyn Render {
        renderer(self.inventory.product)
    }

    fn remembered(&self, node: &NodeName) -> Remembered {
        self.memory.of(node)
    }
}
