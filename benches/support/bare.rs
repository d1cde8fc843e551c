//! The bare scripts that failover and switchover are held against: the least that anybody could do over open
//! connections.
#![allow(dead_code, reason = "each bench uses its own part")]

use super::support::Rig;
use std::time::Duration;
use tokio::time::sleep;

const STEP: Duration = Duration::from_millis(1);

/// Promotion and follow alone: no look, no freeze, no proof, no mark.
pub(crate) async fn first_floor(rig: &Rig) {
    promote_and_follow(rig, "n2").await;
}

/// The same with the statements of the freeze, the proof and the attach mark.
pub(crate) async fn second_floor(rig: &Rig) {
    let standbys = rig.standbys();
    let data = rig.lab.data(&super::support::name("n1"));
    let proof = tokio::task::spawn_blocking(move || stopped(&data));
    let freeze = futures_util::future::join_all(standbys.iter().map(|node| freeze(rig, node)));
    let (proof, _) = tokio::join!(proof, freeze);
    proof.expect("the proof ends").expect("proof");
    for node in &standbys {
        let client = rig.client(node);
        client
            .simple_query("SELECT pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()")
            .await
            .expect("position");
    }
    acknowledge_with(rig, "n2", &standbys).await;
    promote_and_follow(rig, "n2").await;
    let candidate = rig.client("n2");
    let mark = "BEGIN; SET LOCAL synchronous_commit = local; \
         SELECT pg_logical_emit_message(true, 'bench', 'mark'); COMMIT";
    candidate.simple_query(mark).await.expect("mark");
    let at: String = candidate
        .query_one("SELECT pg_current_wal_flush_lsn()::text", &[])
        .await
        .expect("lsn")
        .get(0);
    let arrived = format!(
        "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND flush_lsn >= '{at}'::pg_lsn"
    );
    let wanted = i64::try_from(standbys.len() - 1).expect("few");
    while candidate
        .query_one(&arrived, &[])
        .await
        .expect("senders")
        .get::<_, i64>(0)
        < wanted
    {
        sleep(STEP).await;
    }
}

/// One of the others has a commit before it is acknowledged.
async fn acknowledge_with(rig: &Rig, on: &str, nodes: &[&str]) {
    let others = nodes.iter().filter(|node| **node != on);
    let names: Vec<String> = others.map(|node| format!("\"{node}\"")).collect();
    let setting = format!(
        "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 ({})'",
        names.join(", ")
    );
    for statement in [setting.as_str(), "SELECT pg_reload_conf()"] {
        rig.client(on)
            .simple_query(statement)
            .await
            .expect("the synchronous standbys are set");
    }
}

/// The proof: nothing of the old primary is left, its control data is read, it cannot come back. In the process itself:
/// a shell loop over `/proc` forks for every process of the machine and would flatter whoever is held against it.
fn stopped(data: &std::path::Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        if std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == data)
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    let bin =
        std::env::var("PGBATON_PG_BIN").unwrap_or_else(|_| "/usr/lib/postgresql/15/bin".to_owned());
    let control = std::process::Command::new(format!("{bin}/pg_controldata"))
        .arg(data)
        .stdout(std::process::Stdio::null())
        .status()?;
    assert!(control.success(), "pg_controldata: {control}");
    std::fs::write(data.join("standby.signal"), "")
}

async fn freeze(rig: &Rig, node: &str) {
    let client = rig.client(node);
    for statement in [
        "ALTER SYSTEM SET primary_conninfo = ''",
        "ALTER SYSTEM SET restore_command = ''",
        "SELECT pg_reload_conf()",
    ] {
        client.simple_query(statement).await.expect("freeze");
    }
    let question = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walreceiver'";
    while client
        .query_one(question, &[])
        .await
        .expect("receiver")
        .get::<_, i64>(0)
        > 0
    {
        sleep(STEP).await;
    }
}

/// A handover from n1 to n2 in the same order as the stock playbook's, without a look, a proof or a mark. `synchronous`: the
/// new primary acknowledges no commit before a standby has it, as the old one did; else it acknowledges what only it has.
pub(crate) async fn switchover(rig: &Rig, synchronous: bool) {
    let candidate = rig.client("n2");
    if synchronous {
        let others: Vec<&str> = rig.nodes.iter().map(|(node, _, _)| node.as_str()).collect();
        acknowledge_with(rig, "n2", &others).await;
    }
    slots(
        rig,
        "n2",
        rig.nodes.iter().map(|(node, _, _)| node.as_str()),
    )
    .await;
    let old = rig.client("n1");
    old.simple_query("CHECKPOINT").await.expect("checkpoint");
    let data = rig.lab.data(&super::support::name("n1"));
    let postmaster = std::fs::read_to_string(data.join("postmaster.pid")).expect("a pid file");
    let pid = postmaster.lines().next().and_then(|pid| pid.parse().ok());
    let pid = rustix::process::Pid::from_raw(pid.expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("fast stop");
    while rustix::process::test_kill_process(pid).is_ok() && data.join("postmaster.pid").exists() {
        sleep(STEP).await;
    }
    std::fs::write(data.join("standby.signal"), "").expect("standby.signal");
    let endpoint = rig.endpoint("n2");
    let upstream = format!(
        "primary_conninfo = 'host={} port={} user={} application_name=n1'\nprimary_slot_name = 'pgbaton_n1'\n",
        endpoint.host, endpoint.port, endpoint.user
    );
    let settings = data.join("postgresql.auto.conf");
    let mut text = std::fs::read_to_string(&settings).expect("settings");
    text.push_str(&upstream);
    std::fs::write(&settings, text).expect("settings");
    promote(candidate).await;
    let others: Vec<&str> = rig.standbys().into_iter().filter(|n| *n != "n2").collect();
    tokio::join!(follow(rig, "n2", &others), start(&rig.lab, &data));
}

/// Starts a server of the lab as the user it runs as.
async fn start(lab: &pgbaton::lab::Lab, data: &std::path::Path) {
    let log = lab.log(&super::support::name("n1"));
    let words = ["-l", log.to_str().expect("utf-8"), "-s", "start"];
    assert!(pg_ctl(data, &words).await, "the old primary starts");
}

/// Restarts a standby; whether that worked is seen by who waits for it to attach.
pub(crate) async fn restart(lab: &pgbaton::lab::Lab, node: &str) {
    let node = super::support::name(node);
    let log = lab.log(&node);
    let words = [
        "-l",
        log.to_str().expect("utf-8"),
        "-s",
        "-m",
        "fast",
        "restart",
    ];
    pg_ctl(&lab.data(&node), &words).await;
}

/// `pg_ctl` as the servers' user; whether it succeeded.
async fn pg_ctl(data: &std::path::Path, words: &[&str]) -> bool {
    let bin =
        std::env::var("PGBATON_PG_BIN").unwrap_or_else(|_| "/usr/lib/postgresql/15/bin".to_owned());
    let mut argv = Vec::new();
    if rustix::process::geteuid().is_root() {
        argv.extend(["runuser", "-u", "postgres", "--"].map(str::to_owned));
    }
    argv.extend([
        format!("{bin}/pg_ctl"),
        "-D".to_owned(),
        data.display().to_string(),
    ]);
    argv.extend(words.iter().map(|word| (*word).to_owned()));
    let ended = tokio::process::Command::new(&argv[0])
        .args(&argv[1..])
        .status()
        .await
        .expect("pg_ctl");
    ended.success()
}

async fn promote_and_follow(rig: &Rig, new: &str) {
    let candidate = rig.client(new);
    let followers: Vec<&str> = rig.standbys().into_iter().filter(|n| *n != new).collect();
    slots(rig, new, followers.iter().copied()).await;
    promote(candidate).await;
    follow(rig, new, &followers).await;
}

pub(crate) async fn slots<'a>(rig: &Rig, on: &str, of: impl Iterator<Item = &'a str>) {
    for node in of.filter(|node| *node != on) {
        let slot = format!("SELECT pg_create_physical_replication_slot('pgbaton_{node}', true)");
        rig.client(on).simple_query(&slot).await.expect("slot");
    }
}

pub(crate) async fn promote(candidate: &tokio_postgres::Client) {
    candidate
        .simple_query("SELECT pg_promote(false)")
        .await
        .expect("promote");
    while candidate
        .query_one("SELECT pg_is_in_recovery()", &[])
        .await
        .expect("recovery")
        .get::<_, bool>(0)
    {
        sleep(STEP).await;
    }
}

pub(crate) async fn follow(rig: &Rig, new: &str, followers: &[&str]) {
    let endpoint = rig.endpoint(new);
    let follow = followers.iter().map(|node| async move {
        let client = rig.client(node);
        let conninfo = format!(
            "host={} port={} user={} application_name={node}",
            endpoint.host, endpoint.port, endpoint.user
        );
        client
            .simple_query(&format!("ALTER SYSTEM SET primary_conninfo = '{conninfo}'"))
            .await
            .expect("upstream");
        client
            .simple_query(&format!(
                "ALTER SYSTEM SET primary_slot_name = 'pgbaton_{node}'"
            ))
            .await
            .expect("slot");
        client
            .simple_query("SELECT pg_reload_conf()")
            .await
            .expect("reload");
    });
    futures_util::future::join_all(follow).await;
}
