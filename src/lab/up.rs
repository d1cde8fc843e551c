//! Making a lab: all of it, or nothing.

use super::plan::Plan;
use super::record::{Lab, Member, Record, SUPERUSER};
use super::shell::{command, log_tail, run};
use super::sql::{self, ConnectError, Session};
use super::user::ServerUser;
use super::{LabError, LabOptions, claims, config, destroy, hosts, place, processes, programs};
use crate::cluster::NodeName;
use futures_util::future::try_join_all;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The bound on one program.
const PROGRAM: Duration = Duration::from_mins(1);
/// The bound on one login or statement of ours.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the system may take to bury a killed postmaster.
const REAPED: Duration = Duration::from_secs(10);
/// The bound on a standby's way to streaming.
const ATTACH: Duration = Duration::from_secs(30);

impl Lab {
    /// Makes a cluster whose standbys stream. On an error, and when the future is dropped, nothing is left; then, its
    /// removal blocks the thread for up to a few seconds.
    pub async fn up(options: LabOptions) -> Result<Self, LabError> {
        let plan = Plan::check(&options)?;
        let user = ServerUser::pick()?;
        if options.hosts {
            hosts::check_needs(&user)?;
        }
        let bin = programs::find(options.bin.as_deref())?;
        let root = options.root.clone().unwrap_or_else(place::default_root);
        let mut building = Building::begin(&root, &options, user, bin, &plan)?;
        let deadline = options.deadline;
        match tokio::time::timeout(deadline, building.lab.build(&options, &plan)).await {
            Ok(made) => made?,
            Err(_) => {
                return Err(LabError::Late {
                    what: format!("make the lab `{}`", options.name),
                    after: deadline,
                    output: String::new(),
                });
            }
        }
        building.finished = true;
        Ok(building.lab.clone())
    }

    async fn build(&self, options: &LabOptions, plan: &Plan) -> Result<(), LabError> {
        let Some((first, standbys)) = plan.nodes.split_first() else {
            return Ok(());
        };
        self.make_hosts().await?;
        self.init(first).await?;
        try_join_all(standbys.iter().map(|node| self.copy(first, node))).await?;
        self.configure(options, plan)?;
        self.start_server(first).await?;
        let mut upstreams = vec![first];
        while !upstreams.is_empty() {
            try_join_all(upstreams.iter().map(|up| self.slots(up, plan))).await?;
            let followers: Vec<&NodeName> = upstreams.iter().flat_map(|up| plan.of(up)).collect();
            try_join_all(followers.iter().map(|node| self.start_server(node))).await?;
            upstreams = followers;
        }
        try_join_all(plan.nodes.iter().map(|up| self.attached(up, plan))).await?;
        self.write_site(options)
    }

    async fn init(&self, first: &NodeName) -> Result<(), LabError> {
        for node in self.nodes() {
            self.server_directory(&self.home(node))?;
        }
        let mut initdb = command(&self.record.bin.join("initdb"), &self.record.user);
        // Not synced to disk: what is lost in a crash of the machine during `up` is nobody's. The servers do sync.
        initdb
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C"])
            .arg(format!("--username={SUPERUSER}"))
            .arg("-D")
            .arg(self.data(first));
        run(initdb, "make a data directory", PROGRAM).await?;
        match self.record.network {
            Some(network) => self.admit(first, &network.subnet()),
            None => Ok(()),
        }
    }

    /// Whoever is on the lab's own network may log in, as on 127.0.0.1.
    fn admit(&self, first: &NodeName, subnet: &str) -> Result<(), LabError> {
        let path = self.data(first).join("pg_hba.conf");
        let rules = format!("host all all {subnet} trust\nhost replication all {subnet} trust\n");
        std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(rules.as_bytes()))
            .map_err(|source| LabError::File {
                what: "write",
                path,
                source,
            })
    }

    /// A copy of a cleanly shut down server is a standby once it has `standby.signal`.
    async fn copy(&self, from: &NodeName, to: &NodeName) -> Result<(), LabError> {
        let mut cp = command(Path::new("cp"), &self.record.user);
        cp.args(["-a", "--reflink=auto", "--"])
            .arg(self.data(from))
            .arg(self.data(to));
        run(cp, "copy a data directory", PROGRAM).await
    }

    fn configure(&self, options: &LabOptions, plan: &Plan) -> Result<(), LabError> {
        for node in &plan.nodes {
            let data = self.data(node);
            let (host, port) = (self.address(node), self.member(node)?.port);
            let further = options.node_settings.get(node).into_iter().flatten();
            let settings: Vec<_> = options.settings.iter().chain(further).collect();
            self.server_file(&data.join("postgresql.conf"), config::SHARED)?;
            self.server_file(
                &self.home(node).join("node.conf"),
                &config::own(node, &host, port, &settings),
            )?;
            let auto = match plan.upstream(node) {
                None => config::primary(options.synchronous, &plan.of(node).collect::<Vec<_>>()),
                Some(upstream) => {
                    self.server_file(&data.join("standby.signal"), "")?;
                    config::standby(node, &self.address(upstream), self.member(upstream)?.port)
                }
            };
            self.server_file(&data.join("postgresql.auto.conf"), &auto)?;
        }
        Ok(())
    }

    /// `pg_ctl start`, back when the server accepts sessions; the end of its log is in the error.
    pub(super) async fn start_server(&self, node: &NodeName) -> Result<(), LabError> {
        processes::reaped(&self.data(node), REAPED).await;
        let log = self.log(node);
        let mut start = self.command_on(node, &self.record.bin.join("pg_ctl"))?;
        start
            .args(["start", "-w", "-s", "-t", "50", "-D"])
            .arg(self.data(node))
            .arg("-l")
            .arg(&log);
        let mut started = run(start, &format!("start `{node}`"), PROGRAM).await;
        if let Err(LabError::Command { output, .. } | LabError::Late { output, .. }) = &mut started
        {
            *output = format!("{output}\n{}", log_tail(&log));
        }
        started
    }

    /// Slots on `upstream` for those that are to follow it, before they try; on `n1` also what all of them need.
    async fn slots(&self, upstream: &NodeName, plan: &Plan) -> Result<(), LabError> {
        let mut statements = String::new();
        if plan.upstream(upstream).is_none() {
            statements = format!("CREATE ROLE {} REPLICATION LOGIN;", config::REPLICATOR);
        }
        for follower in plan.of(upstream) {
            // A slot's name has only letters, digits and underscores.
            let _ = write!(
                statements,
                "SELECT pg_create_physical_replication_slot('{}', true);",
                follower.slot()
            );
        }
        if statements.is_empty() {
            return Ok(());
        }
        let what = format!("make replication slots on `{upstream}`");
        let session = self.session(upstream, &what).await?;
        match tokio::time::timeout(ANSWER, session.client.batch_execute(&statements)).await {
            Ok(done) => done.map_err(|source| LabError::Sql { what, source }),
            Err(_) => Err(late(what, ANSWER)),
        }
    }

    /// Waits until all that follow `upstream` stream from it.
    async fn attached(&self, upstream: &NodeName, plan: &Plan) -> Result<(), LabError> {
        let mut missing: Vec<&NodeName> = plan.of(upstream).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let what = format!("see the standbys of `{upstream}` stream");
        let session = self.session(upstream, &what).await?;
        let look = async {
            while !missing.is_empty() {
                let rows = session
                    .client
                    .query(
                        "SELECT application_name FROM pg_stat_replication WHERE state = 'streaming'",
                        &[],
                    )
                    .await?;
                let streaming: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
                missing.retain(|node| !streaming.iter().any(|s| s == node.as_str()));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(())
        };
        match tokio::time::timeout(ATTACH, look).await {
            Ok(seen) => seen.map_err(|source| LabError::Sql { what, source }),
            Err(_) => Err(LabError::Late {
                what,
                after: ATTACH,
                output: missing
                    .iter()
                    .map(|node| format!("{node}: {}", log_tail(&self.log(node))))
                    .collect::<Vec<_>>()
                    .join("\n"),
            }),
        }
    }

    /// A session of the superuser that waits for no standby.
    async fn session(&self, node: &NodeName, what: &str) -> Result<Session, LabError> {
        let member = self.member(node)?;
        let endpoint = self.endpoint_of(member);
        sql::connect(&endpoint, "-c synchronous_commit=local", ANSWER)
            .await
            .map_err(|e| match e {
                ConnectError::Late(bound) => late(what.to_owned(), bound),
                ConnectError::Refused(source) => LabError::Sql {
                    what: what.to_owned(),
                    source,
                },
            })
    }

    fn server_file(&self, path: &Path, text: &str) -> Result<(), LabError> {
        std::fs::write(path, text).map_err(|source| LabError::File {
            what: "write",
            path: path.to_owned(),
            source,
        })?;
        self.give(path)
    }

    fn server_directory(&self, path: &Path) -> Result<(), LabError> {
        std::fs::create_dir(path).map_err(|source| LabError::File {
            what: "create",
            path: path.to_owned(),
            source,
        })?;
        self.give(path)
    }

    /// Makes the servers' user the owner.
    fn give(&self, path: &Path) -> Result<(), LabError> {
        let user = &self.record.user;
        if !user.differs() {
            return Ok(());
        }
        std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid)).map_err(|source| {
            LabError::File {
                what: "change the owner of",
                path: path.to_owned(),
                source,
            }
        })
    }
}

fn late(what: String, after: Duration) -> LabError {
    LabError::Late {
        what,
        after,
        output: String::new(),
    }
}

/// A lab under way: removed when dropped before it is finished.
struct Building {
    lab: Lab,
    lock: File,
    finished: bool,
}

impl Building {
    /// The directory, the lock, the ports and the record.
    fn begin(
        root: &Path,
        options: &LabOptions,
        user: ServerUser,
        bin: PathBuf,
        plan: &Plan,
    ) -> Result<Self, LabError> {
        let name = options.name.as_str();
        let dir = root.join(name);
        let mut attempts = 0;
        loop {
            place::own_directory(root)?;
            user.check_reach(root)?;
            attempts += 1;
            match std::fs::create_dir(&dir) {
                Ok(()) => break,
                // The last lab of this directory has just gone, and the directory with it.
                Err(e) if e.kind() == ErrorKind::NotFound && attempts < 100 => {}
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                    return Err(LabError::Exists {
                        name: name.to_owned(),
                        dir,
                    });
                }
                Err(source) => {
                    return Err(LabError::File {
                        what: "create",
                        path: dir,
                        source,
                    });
                }
            }
        }
        let lab = Lab::new(dir, Record::new(name, user, bin));
        let Some(lock) = lab.lock(Duration::ZERO)? else {
            return Err(LabError::Busy {
                name: name.to_owned(),
            });
        };
        let mut building = Self {
            lab,
            lock,
            finished: false,
        };
        let lab = &mut building.lab;
        let ports = if options.hosts {
            let numbers = claims::Claims::networks().claim(&lab.dir, 1)?;
            lab.record.network = numbers.first().copied().map(hosts::Network::numbered);
            vec![hosts::PORT; plan.nodes.len()]
        } else {
            claims::Claims::ports().claim(&lab.dir, plan.nodes.len())?
        };
        let members = plan.nodes.iter().cloned().zip(ports);
        lab.record.nodes = members.map(|(name, port)| Member { name, port }).collect();
        lab.write_record()?;
        Ok(building)
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if let Err(error) = destroy::held(&self.lab, &self.lock) {
            tracing::error!(lab = self.lab.name(), %error, "a half-made lab could not be removed");
        }
    }
}
