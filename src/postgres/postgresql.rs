//! PostgreSQL: the one place where the text of operations is written.

use super::dialect::{Dialect, ExecStep, Names, Shown, SoAlready, SqlStep, Step, Task, in_data};
use super::literal;
use super::maker::Maker;
use super::rebuild::Copy;
use super::repmgr;
use super::scripts;
use super::secret::Masked;
use crate::cluster::{
    ExecPlace, Given, Inventory, NodeName, Operation, Render, Rendered, SlotName, SyncNames,
    Trouble, TroubleKind, UpstreamRoute,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// The settings that `SaveSettings` keeps: those that freezing and following change. `synchronous_standby_names` is
/// not among them, its changes have an undo of their own.
pub(crate) const KEPT: [&str; 3] = ["primary_conninfo", "primary_slot_name", "restore_command"];
/// Those that do not decide about the upstream.
const ARCHIVE: [&str; 1] = ["restore_command"];

const NAMES: Names = Names {
    control: "pg_ctl",
    control_data: "pg_controldata",
    wal_dump: "pg_waldump",
    is_ready: "pg_isready",
    client: "psql",
    rewind: "pg_rewind",
    base_backup: "pg_basebackup",
    server: "postgres",
    processes: "postgres postmaster",
    pid_file: "postmaster.pid",
    auto_conf: "postgresql.auto.conf",
    wal_dir: "pg_wal",
    slot_dir: "pg_replslot",
    space_dir: "pg_tblspc",
    form_is_known: true,
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

fn wait_for(node: &NodeName, names: Option<&SyncNames>) -> Vec<Step> {
    let value = names.map(ToString::to_string).unwrap_or_default();
    set_synchronous(node, Some(&value))
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
        Operation::SaveSettings { node, tag, owner } => vec![Step::Save {
            node: node.clone(),
            file: saved(node, tag)?,
            owner: name(node, owner)?.to_owned(),
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
        Operation::ForgetSettings { node, tag } => vec![forget(&maker, node, tag)?],
        Operation::Freeze { node, .. } => freeze(node),
        Operation::EndReceiver { node, pid } => vec![maker.host(
            node,
            Task::Script,
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
            dbname,
            ..
        } => maker.set_upstream(node, upstream, slot.as_ref(), dbname.as_deref(), *route)?,
        Operation::Reload { node } => vec![reload(node)],
        Operation::Stop {
            node,
            mode,
            deadline,
        } => vec![maker.stop(node, *mode, *deadline)?],
        Operation::Start { node, deadline } => vec![maker.start(node, *deadline)?],
        Operation::EndOrphans { node, pids } => vec![end_orphans(&maker, node, pids)?],
        Operation::ForbidReturn { node } => maker.return_steps(node, true)?,
        Operation::AllowReturn { node } => maker.return_steps(node, false)?,
        Operation::Rewind {
            node,
            upstream,
            deadline,
        } => vec![maker.rewind(node, upstream, *deadline)?],
        Operation::Clone {
            node,
            upstream,
            slot,
            tablespaces,
            keep,
            owner,
            deadline,
        } => {
            let copy = Copy::new(slot.as_ref(), tablespaces, *keep, owner);
            vec![maker.copy(node, upstream, &copy, *deadline)?]
        }
        Operation::SetSynchronous { node, names, .. } => wait_for(node, names.as_ref()),
        Operation::RestoreSynchronous { node, text } => set_synchronous(node, text.as_deref()),
        Operation::SetSynchronizedSlots { node, slots, .. } => set_synchronized(node, slots),
        Operation::Checkpoint { node } => vec![checkpoint(node)],
        Operation::Mark { node } => vec![mark(node)],
        Operation::PauseRepmgrd { node, paused } => {
            vec![repmgr::pause(inventory, node, *paused)?]
        }
        Operation::UpdateRepmgr { node, rows, .. } => vec![repmgr::update(inventory, node, rows)?],
        Operation::Exec {
            place,
            argv,
            env,
            stdin,
            deadline,
            ..
        } => vec![exec(place, argv, env, stdin.as_ref(), *deadline)],
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

fn checkpoint(node: &NodeName) -> Step {
    let mut step = SqlStep::new(node, Masked::plain("CHECKPOINT"));
    step.long = true;
    Step::Sql(step)
}

fn end_orphans(maker: &Maker<'_>, node: &NodeName, pids: &[u32]) -> Result<Step, Trouble> {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let line = format!(
        "kill -KILL {} # those that are of this server and outlived its postmaster",
        pids.join(" ")
    );
    let shown = Shown::Line(line);
    maker.host(node, Task::Script, scripts::END_ORPHANS, pids, shown)
}

fn forget(maker: &Maker<'_>, node: &NodeName, tag: &str) -> Result<Step, Trouble> {
    let file = saved(node, tag)?;
    let path = in_data(maker.inventory, node, &file);
    maker.host(
        node,
        Task::RemoveFile,
        scripts::REMOVE_FILE,
        vec![file],
        Shown::File(path, "removed"),
    )
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

/// None: what the site's own files say.
fn set_synchronous(node: &NodeName, value: Option<&str>) -> Vec<Step> {
    let text = match value {
        Some(value) => alter_system("synchronous_standby_names", &Masked::plain(value)),
        None => Masked::plain("ALTER SYSTEM RESET synchronous_standby_names"),
    };
    vec![Step::Sql(SqlStep::new(node, text)), reload(node)]
}

fn set_synchronized(node: &NodeName, slots: &[SlotName]) -> Vec<Step> {
    let names: Vec<&str> = slots.iter().map(SlotName::as_str).collect();
    let value = Masked::plain(names.join(", "));
    let text = alter_system("synchronized_standby_slots", &value);
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
    env: &BTreeMap<String, Given>,
    stdin: Option<&Given>,
    deadline: Duration,
) -> Step {
    Step::Exec(ExecStep {
        node: match place {
            ExecPlace::Node(node) => Some(node.clone()),
            ExecPlace::Runner => None,
        },
        argv: argv.to_vec(),
        env: env.clone(),
        stdin: stdin.cloned(),
        deadline,
        returns: true,
    })
}

/// The name of the file that keeps settings; a tag that could leave the directory is refused.
fn saved(node: &NodeName, tag: &str) -> Result<String, Trouble> {
    Ok(format!("pgbaton.saved.{}", name(node, tag)?))
}

fn name<'a>(node: &NodeName, tag: &'a str) -> Result<&'a str, Trouble> {
    let good = (1..=120).contains(&tag.len())
        && tag
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if good {
        Ok(tag)
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
