//! The steps that need to know a node: its paths, its programs, its upstream.

use super::conninfo::Conninfo;
use super::dialect::{
    EditStep, ExecStep, HostStep, Names, Shown, SqlStep, Step, Task, in_data, program,
};
use super::postgresql::alter_system;
use super::scripts;
use super::secret::Masked;
use super::terminate;
use crate::cluster::{
    Inventory, Node, NodeName, SlotName, StopMode, Trouble, TroubleKind, UpstreamRoute,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a script that only looks at files and processes may take.
const SHORT: Duration = Duration::from_secs(10);
/// Beyond the deadline that `pg_ctl` is given, so that it can tell what it found.
const GRACE: Duration = Duration::from_secs(3);
/// What the site's commands for `forbid_return` and `allow_return` may take.
const SITE: Duration = Duration::from_secs(30);

/// Makes the steps that need to know the nodes.
pub(super) struct Maker<'a> {
    pub(super) names: &'static Names,
    pub(super) inventory: &'a Inventory,
}

impl Maker<'_> {
    pub(super) fn node(&self, name: &NodeName) -> Result<&Node, Trouble> {
        self.inventory.node(name).ok_or_else(|| {
            Trouble::on(
                TroubleKind::Failed,
                name,
                "there is no such node in the site file",
            )
        })
    }

    pub(super) fn host(
        &self,
        node: &NodeName,
        task: Task,
        script: &'static str,
        arguments: Vec<String>,
        shown: Shown,
    ) -> Result<Step, Trouble> {
        self.node(node)?;
        Ok(Step::Host(HostStep {
            node: node.clone(),
            task,
            script,
            arguments,
            shown,
            deadline: SHORT,
            returns: None,
            login: None,
            pending: "processes are still there".to_owned(),
        }))
    }

    pub(super) fn set_upstream(
        &self,
        name: &NodeName,
        upstream: &NodeName,
        slot: Option<&SlotName>,
        dbname: Option<&str>,
        route: UpstreamRoute,
    ) -> Result<Vec<Step>, Trouble> {
        let node = self.node(name)?;
        let mut conninfo = self.conninfo(node, self.node(upstream)?)?;
        // What receives WAL passes over it; what copies logical slots cannot do without.
        let given = self
            .inventory
            .replication
            .options
            .keys()
            .any(|k| k == "dbname");
        if let Some(dbname) = dbname.filter(|_| !given) {
            let mut more = Conninfo::default();
            more.push("dbname", dbname);
            conninfo =
                conninfo.and_hidden(&format!(" {}", more.sent()), &format!(" {}", more.shown()));
        }
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
    pub(super) fn conninfo(&self, node: &Node, upstream: &Node) -> Result<Masked, Trouble> {
        self.conninfo_of(node, upstream, node.name.as_str())
    }

    /// The same for a program of this name on the node's host.
    pub(super) fn conninfo_of(
        &self,
        node: &Node,
        upstream: &Node,
        application: &str,
    ) -> Result<Masked, Trouble> {
        let access = &self.inventory.replication;
        let mut info = Conninfo::default();
        info.push("host", &upstream.host);
        info.push("port", &upstream.port.to_string());
        info.push("user", &access.user);
        info.push("application_name", application);
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

    pub(super) fn stop(
        &self,
        name: &NodeName,
        mode: StopMode,
        deadline: Duration,
    ) -> Result<Step, Trouble> {
        let node = self.node(name)?;
        let seconds = deadline.as_secs().max(1);
        let pending = format!(
            "the server still runs {seconds} s after it was told to stop, and goes on stopping"
        );
        let word = match mode {
            StopMode::Fast | StopMode::Terminate => "fast",
            StopMode::Immediate => "immediate",
            StopMode::Kill => {
                let data = node.data.display();
                return Ok(Step::Host(HostStep {
                    node: name.clone(),
                    task: Task::Kill(deadline),
                    script: scripts::KILL,
                    arguments: vec![(seconds * 10).to_string()],
                    shown: Shown::Line(format!(
                        "kill -KILL # the postmaster of {data}, then every process of it"
                    )),
                    deadline: deadline + GRACE,
                    returns: Some("was"),
                    login: None,
                    pending,
                }));
            }
        };
        let data = node.data.display().to_string();
        let tenths = (seconds * 10).to_string();
        let control = program(node, self.names.control);
        if let (StopMode::Fast, Some(service)) = (mode, &node.service) {
            let mut arguments = vec![tenths];
            arguments.extend(service.stop());
            return Ok(Step::Host(HostStep {
                node: name.clone(),
                task: Task::Stop(deadline),
                script: scripts::STOP,
                arguments,
                shown: Shown::Arguments(1),
                deadline: deadline + GRACE,
                returns: Some("was"),
                login: None,
                pending,
            }));
        }
        // Without waiting: pg_ctl looks ten times a second, we look more often.
        let words = [
            tenths.as_str(),
            &control,
            "-D",
            &data,
            "-m",
            word,
            "-W",
            "stop",
        ];
        let mut arguments = words.map(str::to_owned).to_vec();
        let (task, script, shown) = if mode == StopMode::Terminate {
            arguments.insert(1, terminate::OWN.to_owned());
            let besides =
                "then SIGCONT to sessions that a signal has stopped, SIGKILL to those that stay";
            let shown = Shown::Besides(2, besides);
            (Task::Terminate(deadline), terminate::TERMINATE, shown)
        } else {
            (Task::Stop(deadline), scripts::STOP, Shown::Arguments(1))
        };
        Ok(Step::Host(HostStep {
            node: name.clone(),
            task,
            script,
            arguments,
            shown,
            deadline: deadline + GRACE,
            returns: Some("was"),
            login: None,
            pending,
        }))
    }

    pub(super) fn start(&self, name: &NodeName, deadline: Duration) -> Result<Step, Trouble> {
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
        let pg_ctl = [
            control.as_str(),
            "-D",
            &data,
            "-l",
            &log,
            "-w",
            "-t",
            &seconds,
            "start",
        ];
        let command = match &node.service {
            Some(service) => service.start(),
            None => pg_ctl.map(str::to_owned).to_vec(),
        };
        let patient = node.service.iter().map(|_| "patient").collect();
        let arguments = [vec![log.clone(), tenths, patient], command].concat();
        Ok(Step::Host(HostStep {
            node: name.clone(),
            task: Task::Start(deadline),
            script: scripts::START,
            arguments,
            shown: Shown::Arguments(3),
            deadline: deadline + GRACE,
            returns: Some("was"),
            login: None,
            pending: format!(
                "the server was started and does not accept connections after {seconds} s; it goes on starting"
            ),
        }))
    }

    fn place_signal(&self, node: &NodeName) -> Result<Step, Trouble> {
        let path = in_data(self.inventory, node, "standby.signal");
        self.host(
            node,
            Task::PlaceSignal,
            scripts::PLACE_SIGNAL,
            Vec::new(),
            Shown::File(path, "created"),
        )
    }

    pub(super) fn return_steps(&self, name: &NodeName, forbid: bool) -> Result<Vec<Step>, Trouble> {
        let node = self.node(name)?;
        let (signal, site) = if forbid {
            (self.place_signal(name)?, &node.forbid_return)
        } else {
            let path = in_data(self.inventory, name, "standby.signal");
            let shown = Shown::File(path, "removed");
            let step = self.host(
                name,
                Task::RemoveSignal,
                scripts::REMOVE_SIGNAL,
                Vec::new(),
                shown,
            )?;
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
