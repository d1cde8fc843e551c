//! Making a lab: all of it, or nothing.

use super::record::{Lab, Member, Record, SUPERUSER};
use super::shell::{command, log_tail, run};
use super::sql::{self, ConnectError, Session};
use super::user::ServerUser;
use super::{LabError, LabOptions, config, destroy, place, ports, programs};
use crate::cluster::{NodeName, SyncMode};
use futures_util::future::try_join_all;
use std::fmt::Write;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most standbys of one lab: every server has 20 slots and senders.
const MOST_STANDBYS: u32 = 15;
/// The bound on one program.
const PROGRAM: Duration = Duration::from_mins(1);
/// The bound on one login or statement of ours.
const ANSWER: Duration = Duration::from_secs(10);
/// The bound on a standby's way to streaming.
const ATTACH: Duration = Duration::from_secs(30);

impl Lab {
    /// Makes a cluster whose standbys stream. On an error, and when the future is dropped, nothing is left; then, its
    /// removal blocks the thread for up to a few seconds.
    pub async fn up(options: LabOptions) -> Result<Self, LabError> {
        let plan = Plan::check(&options)?;
        let user = ServerUser::pick()?;
        let bin = programs::find()?;
        let root = options.root.clone().unwrap_or_else(place::default_root);
        let mut building = Building::begin(&root, &options.name, user, bin, &plan)?;
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
        run(initdb, "make a data directory", PROGRAM).await
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
            let port = self.member(node)?.port;
            let further = options.node_settings.get(node).into_iter().flatten();
            let settings: Vec<_> = options.settings.iter().chain(further).collect();
            self.server_file(&data.join("postgresql.conf"), config::SHARED)?;
            self.server_file(
                &self.home(node).join("node.conf"),
                &config::own(node, port, &settings),
            )?;
            let auto = match plan.upstream(node) {
                None => config::primary(options.synchronous, &plan.of(node).collect::<Vec<_>>()),
                Some(upstream) => {
                    self.server_file(&data.join("standby.signal"), "")?;
                    config::standby(node, self.member(upstream)?.port)
                }
            };
            self.server_file(&data.join("postgresql.auto.conf"), &auto)?;
        }
        Ok(())
    }

    /// `pg_ctl start`, back when the server accepts sessions; the end of its log is in the error.
    pub(super) async fn start_server(&self, node: &NodeName) -> Result<(), LabError> {
        let log = self.log(node);
        let mut start = command(&self.record.bin.join("pg_ctl"), &self.record.user);
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
        let endpoint = Self::endpoint_of(member);
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

/// Who follows whom.
struct Plan {
    /// `n1` first.
    nodes: Vec<NodeName>,
    /// For each node but the first, in the same order.
    upstreams: Vec<NodeName>,
}

impl Plan {
    fn check(options: &LabOptions) -> Result<Self, LabError> {
        place::check_name(&options.name)?;
        let refuse = |why: String| Err(LabError::Options { why });
        if options.standbys > MOST_STANDBYS {
            return refuse(format!("at most {MOST_STANDBYS} standbys"));
        }
        let nodes: Vec<NodeName> = (1..=options.standbys + 1)
            .filter_map(|i| NodeName::parse(&format!("n{i}")).ok())
            .collect();
        let named = options.node_settings.keys();
        let named = named.chain(options.upstreams.iter().flat_map(|(a, b)| [a, b]));
        for name in named {
            if !nodes.contains(name) {
                return refuse(format!("there is no node `{name}`"));
            }
        }
        let mut upstreams = Vec::new();
        for (index, node) in nodes.iter().enumerate().skip(1) {
            let upstream = options.upstreams.get(node).unwrap_or(&nodes[0]);
            // Only towards the front: then nobody follows itself, nor in a circle.
            if !nodes[..index].contains(upstream) {
                return refuse(format!(
                    "`{node}` can only follow a node with a lower number, not `{upstream}`"
                ));
            }
            upstreams.push(upstream.clone());
        }
        if options.upstreams.contains_key(&nodes[0]) {
            return refuse("`n1` is the primary and follows nobody".to_owned());
        }
        let plan = Self { nodes, upstreams };
        let direct = plan.nodes.first().map_or(0, |first| plan.of(first).count());
        let acks = options.synchronous.acks as usize;
        let counted = matches!(options.synchronous.mode, SyncMode::Quorum | SyncMode::First);
        if counted && direct > 0 && !(1..=direct).contains(&acks) {
            return refuse(format!(
                "a commit cannot wait for {acks} of {direct} standbys"
            ));
        }
        Ok(plan)
    }

    /// Whom a node follows; none for the primary.
    fn upstream(&self, node: &NodeName) -> Option<&NodeName> {
        let index = self.nodes.iter().position(|n| n == node)?;
        self.upstreams.get(index.checked_sub(1)?)
    }

    /// Who follows a node.
    fn of<'a>(&'a self, upstream: &'a NodeName) -> impl Iterator<Item = &'a NodeName> {
        let followers = self.nodes.iter().skip(1).zip(&self.upstreams);
        followers
            .filter(move |(_, up)| *up == upstream)
            .map(|(node, _)| node)
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
        name: &str,
        user: ServerUser,
        bin: PathBuf,
        plan: &Plan,
    ) -> Result<Self, LabError> {
        let dir = root.join(name);
        place::own_directory(root)?;
        user.check_reach(root)?;
        if let Err(source) = std::fs::create_dir(&dir) {
            return Err(if source.kind() == std::io::ErrorKind::AlreadyExists {
                LabError::Exists {
                    name: name.to_owned(),
                    dir,
                }
            } else {
                LabError::File {
                    what: "create",
                    path: dir,
                    source,
                }
            });
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
        let taken = ports::Claims::of_user().claim(&building.lab.dir, plan.nodes.len())?;
        let members = plan.nodes.iter().cloned().zip(taken);
        building.lab.record.nodes = members.map(|(name, port)| Member { name, port }).collect();
        building.lab.write_record()?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Synchronous;

    fn name(text: &str) -> NodeName {
        NodeName::parse(text).unwrap()
    }

    #[test]
    fn options_that_make_no_cluster_are_refused_before_anything_is_made() {
        let base = LabOptions::default;
        let sync = |mode, acks| Synchronous { mode, acks };
        let table = [
            LabOptions {
                standbys: 16,
                ..base()
            },
            LabOptions {
                synchronous: sync(SyncMode::Quorum, 3),
                ..base()
            },
            LabOptions {
                synchronous: sync(SyncMode::First, 0),
                ..base()
            },
            LabOptions {
                upstreams: [(name("n2"), name("n3"))].into(),
                ..base()
            },
            LabOptions {
                upstreams: [(name("n2"), name("n2"))].into(),
                ..base()
            },
            LabOptions {
                upstreams: [(name("n1"), name("n2"))].into(),
                ..base()
            },
            LabOptions {
                node_settings: [(name("n4"), vec![])].into(),
                ..base()
            },
            // One direct standby cannot give two acknowledgements.
            LabOptions {
                upstreams: [(name("n3"), name("n2"))].into(),
                synchronous: sync(SyncMode::Quorum, 2),
                ..base()
            },
        ];
        for options in table {
            assert!(
                matches!(Plan::check(&options), Err(LabError::Options { .. })),
                "{options:?}"
            );
        }
        assert!(
            Plan::check(&LabOptions {
                standbys: 0,
                ..base()
            })
            .is_ok()
        );
    }

    #[test]
    fn a_cascade_is_planned_level_by_level() {
        let options = LabOptions {
            standbys: 3,
            upstreams: [(name("n3"), name("n2"))].into(),
            ..LabOptions::default()
        };
        let plan = Plan::check(&options).unwrap();
        let of =
            |up: &str| -> Vec<String> { plan.of(&name(up)).map(ToString::to_string).collect() };
        assert_eq!(of("n1"), ["n2", "n4"]);
        assert_eq!(of("n2"), ["n3"]);
        assert_eq!(plan.upstream(&name("n1")), None);
    }
}
