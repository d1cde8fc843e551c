//! PostgreSQL: the one place where the text of operations is written.

use super::conninfo::Conninfo;
use super::dialect::{
    Dialect, EditStep, ExecStep, HostStep, Names, Shown, SoAlready, SqlStep, Step, in_data, program,
};
use super::secret::{MASK, Masked};
use super::{literal, scripts};
use crate::cluster::{
    ExecPlace, Inventory, Node, NodeName, Operation, Render, Rendered, SlotName, StopMode, Trouble,
    TroubleKind, UpstreamRoute,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a script that only looks at files and processes may take.
const SHORT: Duration = Duration::from_secs(10);
/// Beyond the deadline that `pg_ctl` is given, so that it can tell what it found.
const GRACE: Duration = Duration::from_secs(3);
/// What the site's commands for `forbid_return` and `allow_return` may take.
const SITE: Duration = Duration::from_secs(30);

/// The settings that `SaveSettings` keeps.
pub(crate) const KEPT: [&str; 4] = [
    "primary_conninfo",
    "primary_slot_name",
    "restore_command",
    "synchronous_standby_names",
];
/// Those that do not decide about the upstream.
const ARCHIVE: [&str; 1] = ["restore_command"];

const NAMES: Names = Names {
    control: "pg_ctl",
    control_data: "pg_controldata",
    wal_dump: "pg_waldump",
    is_ready: "pg_isready",
    server: "postgres",
    pid_file: "postmaster.pid",
    auto_conf: "postgresql.auto.conf",
    wal_dir: "pg_wal",
};

/// PostgreSQL 12 and later.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Postgresql;

impl Dialect for Postgresql {
    fn names(&self) -> &'static Names {
        &NAMES
    }

    fn steps(&self, inventory: &Inventory, operation: &Operation) -> Result<Vec<Step>, Trouble> {
        steps(&NAMES, inventory, operation)
    }
}

impl Render for Postgresql {
    fn render(&self, inventory: &Inventory, operation: &Operation) -> Vec<Rendered> {
        rendered(self, inventory, operation)
    }
}

/// What any dialect shows.
pub(crate) fn rendered(
    dialect: &dyn Dialect,
    inventory: &Inventory,
    operation: &Operation,
) -> Vec<Rendered> {
    match dialect.steps(inventory, operation) {
        Ok(steps) => steps.iter().flat_map(|s| s.rendered(inventory)).collect(),
        Err(trouble) => vec![Rendered::Command {
            node: operation.node().cloned(),
            shown: format!("# impossible: {trouble}"),
        }],
    }
}

/// The steps of an operation, with a product's names.
pub(crate) fn steps(
    names: &'static Names,
    inventory: &Inventory,
    operation: &Operation,
) -> Result<Vec<Step>, Trouble> {
    let maker = Maker { names, inventory };
    Ok(match operation {
        Operation::Promote { node } => vec![sql(node, "SELECT pg_promote(false)")],
        Operation::CreateSlot { node, slot } => vec![create_slot(node, slot)],
        Operation::DropSlot { node, slot } => vec![drop_slot(node, slot)],
        Operation::SaveSettings { node, tag } => vec![Step::Save {
            node: node.clone(),
            file: saved(node, tag)?,
        }],
        Operation::RestoreSettings {
            node,
            tag,
            archive_only,
            route,
        } => vec![Step::Restore {
            node: node.clone(),
            file: saved(node, tag)?,
            settings: if *archive_only { &ARCHIVE } else { &KEPT },
            by_file: *route == UpstreamRoute::File,
        }],
        Operation::ForgetSettings { node, tag } => {
            let file = saved(node, tag)?;
            let path = in_data(inventory, node, &file);
            vec![maker.host(
                node,
                scripts::REMOVE_FILE,
                vec![file],
                Shown::File(path, "removed"),
            )?]
        }
        Operation::Freeze { node } => freeze(node),
        Operation::EndReceiver { node, pid } => vec![maker.host(
            node,
            scripts::END_RECEIVER,
            vec![pid.to_string()],
            Shown::Line(format!(
                "kill -TERM {pid} # if it is this server's walreceiver"
            )),
        )?],
        Operation::SetUpstream {
            node,
            upstream,
            slot,
            route,
        } => maker.set_upstream(node, upstream, slot.as_ref(), *route)?,
        Operation::Reload { node } => vec![reload(node)],
        Operation::Stop {
            node,
            mode,
            deadline,
        } => vec![maker.stop(node, *mode, *deadline)?],
        Operation::Start { node, deadline } => vec![maker.start(node, *deadline)?],
        Operation::EndOrphans { node, pids } => {
            let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
            let line = format!(
                "kill -KILL {} # those that are of this server and outlived its postmaster",
                pids.join(" ")
            );
            vec![maker.host(node, scripts::END_ORPHANS, pids, Shown::Line(line))?]
        }
        Operation::ForbidReturn { node } => maker.return_steps(node, true)?,
        Operation::AllowReturn { node } => maker.return_steps(node, false)?,
        Operation::SetSynchronous { node, names, .. } => {
            let value = names.as_ref().map(ToString::to_string).unwrap_or_default();
            set_synchronous(node, &value)
        }
        Operation::RestoreSynchronous { node, text } => set_synchronous(node, text),
        Operation::Checkpoint { node } => {
            let mut step = SqlStep::new(node, Masked::plain("CHECKPOINT"));
            step.long = true;
            vec![Step::Sql(step)]
        }
        Operation::Mark { node } => vec![mark(node)],
        Operation::Exec {
            place,
            argv,
            env,
            stdin,
            deadline,
            ..
        } => vec![exec(place, argv, env, stdin.as_deref(), *deadline)],
        Operation::Sql {
            node,
            statement,
            parameters,
            dbname,
            ..
        } => vec![Step::SiteSql {
            node: node.clone(),
            dbname: dbname.clone(),
            statement: statement.clone(),
            parameters: parameters.clone(),
        }],
        Operation::Http { request, .. } => vec![Step::Http(request.clone())],
    })
}

fn sql(node: &NodeName, text: &str) -> Step {
    Step::Sql(SqlStep::new(node, Masked::plain(text)))
}

fn reload(node: &NodeName) -> Step {
    sql(node, "SELECT pg_reload_conf()")
}

/// `ALTER SYSTEM` for one setting; it takes no parameters, so the value is a literal.
pub(crate) fn alter_system(name: &str, value: &Masked) -> Masked {
    Masked::plain(format!("ALTER SYSTEM SET {name} = "))
        .and_hidden(&literal(value.sent()), &literal(value.shown()))
}

fn create_slot(node: &NodeName, slot: &SlotName) -> Step {
    let text = format!(
        "SELECT pg_create_physical_replication_slot({}, true)",
        literal(slot.as_str())
    );
    let mut step = SqlStep::new(node, Masked::plain(text));
    step.so_already = Some(SoAlready {
        // duplicate_object
        code: "42710",
        proof: Some((
            format!(
                "SELECT slot_type = 'physical' FROM pg_replication_slots WHERE slot_name = {}",
                literal(slot.as_str())
            ),
            "a logical slot of that name exists",
        )),
    });
    Step::Sql(step)
}

fn drop_slot(node: &NodeName, slot: &SlotName) -> Step {
    let text = format!(
        "SELECT pg_drop_replication_slot({})",
        literal(slot.as_str())
    );
    let mut step = SqlStep::new(node, Masked::plain(text));
    step.so_already = Some(SoAlready {
        // undefined_object
        code: "42704",
        proof: None,
    });
    Step::Sql(step)
}

fn freeze(node: &NodeName) -> Vec<Step> {
    let conninfo = SqlStep::new(node, alter_system("primary_conninfo", &Masked::default()));
    let mut archive = SqlStep::new(node, alter_system("restore_command", &Masked::default()));
    archive.only_if_reloadable = Some("restore_command");
    vec![Step::Sql(conninfo), Step::Sql(archive), reload(node)]
}

fn set_synchronous(node: &NodeName, value: &str) -> Vec<Step> {
    let text = alter_system("synchronous_standby_names", &Masked::plain(value));
    vec![Step::Sql(SqlStep::new(node, text)), reload(node)]
}

/// Committed locally, so that it cannot hang on standbys that have yet to follow. On a standby the first question
/// already fails, with a code that says why.
fn mark(node: &NodeName) -> Step {
    let text = "BEGIN; SELECT pg_current_wal_lsn(); SET LOCAL synchronous_commit = local; \
        SELECT pg_logical_emit_message(true, 'pgbaton', 'mark'); COMMIT; \
        SELECT pg_current_wal_flush_lsn()";
    let mut step = SqlStep::new(node, Masked::plain(text));
    step.returns = Some("lsn");
    Step::Sql(step)
}

fn exec(
    place: &ExecPlace,
    argv: &[String],
    env: &BTreeMap<String, String>,
    stdin: Option<&str>,
    deadline: Duration,
) -> Step {
    // Nobody tells here which of them are secret, so none is shown.
    let hidden = |text: &str| Masked::default().and_hidden(text, MASK);
    Step::Exec(ExecStep {
        node: match place {
            ExecPlace::Node(node) => Some(node.clone()),
            ExecPlace::Runner => None,
        },
        argv: argv.to_vec(),
        env: env
            .iter()
            .map(|(name, value)| (name.clone(), hidden(value)))
            .collect(),
        stdin: stdin.map(hidden),
        deadline,
        returns: true,
    })
}

/// The name of the file that keeps settings; a tag that could leave the directory is refused.
fn saved(node: &NodeName, tag: &str) -> Result<String, Trouble> {
    let good = (1..=120).contains(&tag.len())
        && tag
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if good {
        Ok(format!("pgbaton.saved.{tag}"))
    } else {
        Err(Trouble::on(
            TroubleKind::Failed,
            node,
            format!(
                "`{tag}` cannot be the name of saved settings: letters, digits, `-`, `_` and `.` only"
            ),
        ))
    }
}

/// Makes the steps that need to know the nodes.
struct Maker<'a> {
    names: &'static Names,
    inventory: &'a Inventory,
}

impl Maker<'_> {
    fn node(&self, name: &NodeName) -> Result<&Node, Trouble> {
        self.inventory.node(name).ok_or_else(|| {
            Trouble::on(
                TroubleKind::Failed,
                name,
                "there is no such node in the site file",
            )
        })
    }

    fn host(
        &self,
        node: &NodeName,
        script: &'static str,
        arguments: Vec<String>,
        shown: Shown,
    ) -> Result<Step, Trouble> {
        self.node(node)?;
        Ok(Step::Host(HostStep {
            node: node.clone(),
            script,
            arguments,
            shown,
            deadline: SHORT,
            returns: None,
            pending: "processes are still there".to_owned(),
        }))
    }

    fn set_upstream(
        &self,
        name: &NodeName,
        upstream: &NodeName,
        slot: Option<&SlotName>,
        route: UpstreamRoute,
    ) -> Result<Vec<Step>, Trouble> {
        let node = self.node(name)?;
        let conninfo = self.conninfo(node, self.node(upstream)?)?;
        let slot = Masked::plain(slot.map_or("", SlotName::as_str));
        let settings = vec![("primary_conninfo", conninfo), ("primary_slot_name", slot)];
        Ok(match route {
            UpstreamRoute::Sql => settings
                .iter()
                .map(|(setting, value)| Step::Sql(SqlStep::new(name, alter_system(setting, value))))
                .collect(),
            // The signal first: a half-done change must not leave a server that starts as a primary.
            UpstreamRoute::File => vec![
                self.place_signal(name)?,
                Step::Edit(EditStep {
                    node: name.clone(),
                    file: self.names.auto_conf,
                    path: in_data(self.inventory, name, self.names.auto_conf),
                    set: settings,
                }),
            ],
        })
    }

    /// `primary_conninfo` of a standby for this upstream.
    fn conninfo(&self, node: &Node, upstream: &Node) -> Result<Masked, Trouble> {
        let access = &self.inventory.replication;
        let mut info = Conninfo::default();
        info.push("host", &upstream.host);
        info.push("port", &upstream.port.to_string());
        info.push("user", &access.user);
        info.push("application_name", node.name.as_str());
        if let Some(passfile) = &access.passfile {
            info.push("passfile", &passfile.display().to_string());
        }
        for (keyword, value) in &access.options {
            let known = keyword
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            let ours = [
                "host",
                "port",
                "user",
                "application_name",
                "passfile",
                "password",
            ];
            if !known || keyword.is_empty() || ours.contains(&keyword.as_str()) {
                return Err(Trouble::on(
                    TroubleKind::Failed,
                    &node.name,
                    format!("`{keyword}` cannot be an option of `replication` in the site file"),
                )
                .with_help("passwords belong into a passfile on the standby's host"));
            }
            info.push(keyword, value);
        }
        Ok(Masked::default().and_hidden(&info.sent(), &info.shown()))
    }

    fn stop(&self, name: &NodeName, mode: StopMode, deadline: Duration) -> Result<Step, Trouble> {
        let node = self.node(name)?;
        let seconds = deadline.as_secs().max(1);
        let pending = format!(
            "the server still runs {seconds} s after it was told to stop, and goes on stopping"
        );
        let mode = match mode {
            StopMode::Fast => "fast",
            StopMode::Immediate => "immediate",
            StopMode::Kill => {
                let data = node.data.display();
                return Ok(Step::Host(HostStep {
                    node: name.clone(),
                    script: scripts::KILL,
                    arguments: vec![(seconds * 10).to_string()],
                    shown: Shown::Line(format!(
                        "kill -KILL # the postmaster of {data}, then every process of it"
                    )),
                    deadline: deadline + GRACE,
                    returns: Some("was"),
                    pending,
                }));
            }
        };
        let data = node.data.display().to_string();
        let seconds = seconds.to_string();
        let control = program(node, self.names.control);
        let words = [
            control.as_str(),
            "-D",
            &data,
            "-m",
            mode,
            "-w",
            "-t",
            &seconds,
            "stop",
        ];
        Ok(Step::Host(HostStep {
            node: name.clone(),
            script: scripts::STOP,
            arguments: words.map(str::to_owned).to_vec(),
            shown: Shown::Arguments(0),
            deadline: deadline + GRACE,
            returns: Some("was"),
            pending,
        }))
    }

    fn start(&self, name: &NodeName, deadline: Duration) -> Result<Step, Trouble> {
        let node = self.node(name)?;
        let log = node
            .log
            .clone()
            .unwrap_or_else(|| node.data.join("pgbaton-start.log"))
            .display()
            .to_string();
        let data = node.data.display().to_string();
        let seconds = deadline.as_secs().max(1);
        let tenths = (seconds * 10).to_string();
        let seconds = seconds.to_string();
        let control = program(node, self.names.control);
        let words = [
            log.as_str(),
            &tenths,
            &control,
            "-D",
            &data,
            "-l",
            &log,
            "-w",
            "-t",
            &seconds,
            "start",
        ];
        Ok(Step::Host(HostStep {
            node: name.clone(),
            script: scripts::START,
            arguments: words.map(str::to_owned).to_vec(),
            shown: Shown::Arguments(2),
            deadline: deadline + GRACE,
            returns: Some("was"),
            pending: format!(
                "the server was started and does not accept connections after {seconds} s; it goes on starting"
            ),
        }))
    }

    fn place_signal(&self, node: &NodeName) -> Result<Step, Trouble> {
        let path = in_data(self.inventory, node, "standby.signal");
        self.host(
            node,
            scripts::PLACE_SIGNAL,
            Vec::new(),
            Shown::File(path, "created"),
        )
    }

    fn return_steps(&self, name: &NodeName, forbid: bool) -> Result<Vec<Step>, Trouble> {
        let node = self.node(name)?;
        let (signal, site) = if forbid {
            (self.place_signal(name)?, &node.forbid_return)
        } else {
            let path = in_data(self.inventory, name, "standby.signal");
            let shown = Shown::File(path, "removed");
            let step = self.host(name, scripts::REMOVE_SIGNAL, Vec::new(), shown)?;
            (step, &node.allow_return)
        };
        let mut steps = vec![signal];
        if let Some(argv) = site {
            steps.push(Step::Exec(ExecStep {
                node: Some(name.clone()),
                argv: argv.clone(),
                env: BTreeMap::new(),
                stdin: None,
                deadline: SITE,
                returns: false,
            }));
        }
        Ok(steps)
    }
}
