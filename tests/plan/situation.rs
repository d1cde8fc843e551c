//! A situation on a lab of its own: made, planned for, run in, compared.

use crate::foretold::plan_then_run;
use crate::live_support::sshd::Sshd;
use crate::support::{Cluster, name, stock, swap};
use futures_util::StreamExt;
use pgbaton::cluster::{PromotePolicy, SyncMode, Synchronous, Transport};
use pgbaton::lab::{Fault, LabOptions, ProcessState};
use pgbaton::site::{Site, to_yaml};
use std::process::Stdio;
use std::time::Duration;

/// What happens before the plan is made.
#[derive(Clone, Copy)]
pub(crate) enum Before {
    Fault(&'static str, Fault),
    /// Statements on a node.
    Sql(&'static str, &'static str),
    /// A setting of a node, by `ALTER SYSTEM` and a reload.
    Set(&'static str, &'static str, &'static str),
    /// This question has this answer.
    Until(&'static str, &'static str, &'static str),
    /// So many segments of WAL are filled on a node, and then there is a checkpoint.
    Wal(&'static str, u32),
    /// What waits for the node's archive has waited for long.
    LongWaiting(&'static str),
    /// A line at the top of who may log in to a node.
    Rule(&'static str, &'static str),
    /// A program that is no node receives from this one, by this slot.
    Stranger(&'static str, &'static str),
}

/// How the nodes' hosts are reached.
#[derive(Clone, Copy)]
pub(crate) enum Hosts {
    Local,
    /// All by ssh.
    Ssh,
    /// Each node has a host of its own, in a network of their own.
    Own,
    /// This one by an ssh that nobody answers, the others locally.
    Deaf(&'static str),
}

/// Arguments, and the exit code that they end in.
pub(crate) type Run = (&'static [&'static str], i32);

pub(crate) struct Situation {
    pub(crate) name: &'static str,
    pub(crate) synchronous: bool,
    pub(crate) standbys: u32,
    /// Settings of all servers.
    pub(crate) settings: &'static [(&'static str, &'static str)],
    /// Settings of one.
    pub(crate) own: &'static [(&'static str, &'static str, &'static str)],
    /// Standbys of standbys: whom they follow.
    pub(crate) cascade: &'static [(&'static str, &'static str)],
    /// Nodes that are never to be promoted.
    pub(crate) never: &'static [&'static str],
    pub(crate) hosts: Hosts,
    pub(crate) before: &'static [Before],
    /// One after the other on the same cluster, each with its own plan. `HASTY` in place of `follow`, and
    /// `HASTY_SWITCHOVER` in place of `switchover`, are the same with little patience for an attachment or a stop.
    pub(crate) runs: &'static [Run],
}

/// Two asynchronous standbys, and nothing else.
pub(crate) const PLAIN: Situation = Situation {
    name: "",
    synchronous: false,
    standbys: 2,
    settings: &[],
    own: &[],
    cascade: &[],
    never: &[],
    hosts: Hosts::Local,
    before: &[],
    runs: &[],
};

pub(crate) const HASTY: &str = "HASTY";
pub(crate) const HASTY_SWITCHOVER: &str = "HASTY_SWITCHOVER";

/// How many clusters a test has at once: most of a situation is waiting.
const AT_ONCE: usize = 3;

/// Goes through all of them, and names those in which something was not as foretold.
pub(crate) async fn go_through(table: &str, situations: &'static [Situation]) {
    // To look at one situation alone.
    let only = std::env::var("PLAN_SITUATION").unwrap_or_default();
    let chosen = situations.iter().enumerate();
    let chosen = chosen.filter(|(_, situation)| situation.name.contains(&only));
    let tried = chosen.map(|(index, situation)| {
        let lab = format!("plan-{table}{index}");
        async move {
            // A task of its own: one that panics does not keep the others from being tried.
            let ended = tokio::spawn(compare(lab, situation)).await;
            ended.is_err().then_some(situation.name)
        }
    });
    let ended: Vec<Option<&str>> = futures_util::stream::iter(tried)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    assert!(
        !ended.is_empty() || !only.is_empty(),
        "there is no situation"
    );
    let otherwise: Vec<&str> = ended.into_iter().flatten().collect();
    assert!(otherwise.is_empty(), "not as foretold: {otherwise:#?}");
}

async fn compare(lab: String, situation: &'static Situation) {
    let cluster = Cluster::with(&lab, options(situation)).await;
    let sshd = match situation.hosts {
        Hosts::Ssh => Some(Sshd::new().await),
        Hosts::Local | Hosts::Own | Hosts::Deaf(_) => None,
    };
    adapt_site(&cluster, situation, sshd.as_ref());
    let mut strangers = Vec::new();
    for before in situation.before {
        strangers.extend(happen(&cluster, *before).await);
    }
    let hasty = cluster.lab.dir().join("hasty.yaml");
    std::fs::write(&hasty, hasty_follow()).unwrap();
    let hasty_switchover = cluster.lab.dir().join("hasty_switchover.yaml");
    std::fs::write(&hasty_switchover, hasty_switchover_text()).unwrap();
    for (arguments, code) in situation.runs {
        let arguments: Vec<&str> = arguments
            .iter()
            .map(|word| match *word {
                HASTY => hasty.to_str().unwrap(),
                HASTY_SWITCHOVER => hasty_switchover.to_str().unwrap(),
                other => other,
            })
            .collect();
        let (plan, said) = plan_then_run(&cluster, &arguments).await;
        assert_eq!(
            said.code, *code,
            "{}: {arguments:?}: {}",
            situation.name, plan["failure"]
        );
    }
}

fn options(situation: &Situation) -> LabOptions {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let mut options = LabOptions {
        standbys: situation.standbys,
        settings: situation.settings.iter().map(pair).collect(),
        hosts: matches!(situation.hosts, Hosts::Own),
        ..LabOptions::default()
    };
    for (node, key, value) in situation.own {
        let own = options.node_settings.entry(name(node)).or_default();
        own.push(pair(&(*key, *value)));
    }
    for (node, upstream) in situation.cascade {
        options.upstreams.insert(name(node), name(upstream));
    }
    if !situation.synchronous {
        options.synchronous = Synchronous {
            mode: SyncMode::Off,
            acks: 1,
        };
    }
    options
}

/// The lab's site file, with what the situation has otherwise.
fn adapt_site(cluster: &Cluster, situation: &Situation, sshd: Option<&Sshd>) {
    let file = cluster.lab.site_file();
    let mut site = Site::load(file).unwrap();
    if let Some(sshd) = sshd {
        sshd.reach(&mut site);
    }
    for (node, about) in site
        .clusters
        .values_mut()
        .flat_map(|cluster| cluster.nodes.iter_mut())
    {
        if situation.never.contains(&node.as_str()) {
            about.promote = PromotePolicy::Never;
        }
        if matches!(situation.hosts, Hosts::Deaf(deaf) if deaf == node.as_str()) {
            about.transport = Transport::Ssh {
                host: None,
                user: None,
                port: Some(crate::live_support::free_port()),
                identity: None,
                config: None,
                known_hosts: None,
            };
        }
    }
    std::fs::write(file, to_yaml(&site)).unwrap();
}

/// `follow` with little patience: for what would never attach.
fn hasty_follow() -> String {
    swap(
        &stock("follow"),
        "with: { upstream: \"{{ params.upstream }}\" }\n    timeout: 60s",
        "with: { upstream: \"{{ params.upstream }}\" }\n    timeout: 8s",
    )
}

/// `switchover` with little patience: for a stop that does not end.
fn hasty_switchover_text() -> String {
    swap(
        &stock("switchover"),
        "with: { mode: fast }\n    timeout: 60s",
        "with: { mode: fast }\n    timeout: 12s",
    )
}

async fn happen(cluster: &Cluster, before: Before) -> Option<Stranger> {
    match before {
        Before::Fault(node, fault) => {
            cluster.fault(node, fault).await;
            // What it leaves behind ends by itself: on a busy machine, between a plan and its run.
            if fault == Fault::Kill {
                quiet(cluster, node).await;
            }
        }
        Before::Sql(node, statement) => cluster.tell(node, statement).await,
        Before::Until(node, statement, wanted) => cluster.until(node, statement, wanted).await,
        Before::Set(node, setting, value) => {
            let change = format!("ALTER SYSTEM SET {setting} = '{value}'");
            cluster.tell(node, &change).await;
            cluster.tell(node, "SELECT pg_reload_conf()").await;
            let show = format!("SHOW {setting}");
            cluster.until(node, &show, value).await;
        }
        Before::Wal(node, segments) => {
            for _ in 0..segments {
                // It switches only where something was written.
                let write = "SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()";
                cluster.tell(node, write).await;
            }
            cluster.tell(node, "CHECKPOINT").await;
        }
        Before::LongWaiting(node) => age_archive(cluster, node),
        Before::Rule(node, rule) => {
            let file = cluster.data(node).join("pg_hba.conf");
            let rules = std::fs::read_to_string(&file).unwrap();
            std::fs::write(&file, format!("{rule}\n{rules}")).unwrap();
            cluster.tell(node, "SELECT pg_reload_conf()").await;
        }
        Before::Stranger(node, slot) => return Some(Stranger::receive(cluster, node, slot).await),
    }
    None
}

fn age_archive(cluster: &Cluster, node: &str) {
    let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_hours(24);
    let status = cluster.data(node).join("pg_wal/archive_status");
    for entry in std::fs::read_dir(status).unwrap() {
        let file = std::fs::File::options()
            .append(true)
            .open(entry.unwrap().path());
        file.unwrap().set_modified(long_ago).unwrap();
    }
}

pub(crate) async fn quiet(cluster: &Cluster, node: &str) {
    for _ in 0..600 {
        let status = cluster.lab.status().await.unwrap();
        let found = status.nodes.iter().find(|n| n.name == name(node));
        if found.unwrap().process == ProcessState::Down {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("processes of {node} do not end");
}

/// `pg_receivewal`; it ends with the situation.
struct Stranger {
    child: std::process::Child,
    _into: tempfile::TempDir,
}

impl Stranger {
    async fn receive(cluster: &Cluster, node: &str, slot: &str) -> Self {
        let endpoint = cluster.endpoint(node);
        let into = tempfile::tempdir().unwrap();
        let program = format!("{}/pg_receivewal", crate::live_support::BIN);
        let child = std::process::Command::new(program)
            .args(["-h", &endpoint.host, "-p", &endpoint.port.to_string()])
            .args(["-U", &endpoint.user, "-S", slot, "-D"])
            .arg(into.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stranger = Self { child, _into: into };
        let held = format!("SELECT active FROM pg_replication_slots WHERE slot_name = '{slot}'");
        cluster.until(node, &held, "t").await;
        stranger
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
