//! Follow, and a failover with a standby that does not stop, beside repmgr and a bare script in one run.
//!
//! `cargo bench --bench rivals -- --rounds 5`; `--stuck 1` for the standby that does not stop (bounded by 90 s each).
//! Needs repmgr beside the server (`scripts/test` installs it).

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement prints, and one that cannot run must stop"
)]

#[path = "support/bare.rs"]
mod bare;
#[path = "support/repmgr.rs"]
mod repmgr;
#[path = "support/mod.rs"]
mod support;

use pgbaton::runs::{Order, World};
use repmgr::Repmgr;
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::{Rig, line, median, option};
use tokio_util::sync::CancellationToken;

/// What does not end by then has not done it.
const BOUND: Duration = Duration::from_secs(90);

/// Everybody but the old primary and the new one follows the new one.
const PLAYBOOK: &str = "playbook: follow_all
version: 1.0.0
summary: Every standby follows n2.
timeout: 5m
steps:
  follow:
    for_each: { items: \"cluster.names.filter(name, name != 'n1' && name != 'n2')\" }
    playbook: follow
    with: { node: \"{{ item }}\", upstream: n2, apply: APPLY }
    timeout: 3m
";

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Bare,
    Warm,
    Process,
    Repmgr,
}

const WAYS: [(Way, &str); 4] = [
    (Way::Bare, "bare script, looks at nothing"),
    (Way::Warm, "pgbaton, warm connections"),
    (Way::Process, "pgbaton, whole process"),
    (Way::Repmgr, "repmgr standby follow, all at once"),
];

fn followers(rig: &Rig) -> Vec<&str> {
    let standbys = rig.standbys().into_iter();
    standbys.filter(|node| *node != "n2").collect()
}

/// From the order to all followers streaming from n2, which was promoted before; none where that took too long.
async fn follow(way: Way, standbys: u32, restart: bool) -> Option<Duration> {
    let rig = Rig::up("rivals", standbys).await;
    let repmgr = match way {
        Way::Repmgr => Some(Repmgr::register(&rig, restart).await),
        _ => None,
    };
    let site = rig.lab.site_file().to_owned();
    let world = World::open(Some(&site), None).expect("world");
    if way == Way::Warm {
        world.warm().await;
    }
    rig.kill_primary().await;
    bare::promote(rig.client("n2")).await;
    // Its first checkpoint on the new timeline is nobody's to wait for.
    let checkpoint = rig.client("n2").simple_query("CHECKPOINT").await;
    checkpoint.expect("checkpoint");
    if let Some(repmgr) = &repmgr {
        repmgr.promoted().await;
    }
    let apply = if restart { "restart" } else { "auto" };
    let file = rig.lab.dir().join("follow_all.yaml");
    std::fs::write(&file, PLAYBOOK.replace("APPLY", apply)).expect("playbook");
    let watched = rig.watch(&["n2"], followers(&rig).len()).await;
    let began = Instant::now();
    let work = async {
        match way {
            Way::Bare => bare_follow(&rig, restart).await,
            Way::Warm => warm(&world, &file.display().to_string(), &[]).await,
            Way::Process => process(&site, &file.display().to_string(), &[]).await,
            Way::Repmgr => repmgr.as_ref().expect("registered").follow_all().await,
        }
    };
    let attached = async { tokio::time::timeout(BOUND, watched.attached(began)).await };
    let (attached, ()) = tokio::join!(attached, work);
    rig.lab.down().await.expect("down");
    attached.ok().map(|(_, all)| all)
}

async fn bare_follow(rig: &Rig, restart: bool) {
    let names = followers(rig);
    bare::slots(rig, "n2", names.iter().copied()).await;
    bare::follow(rig, "n2", &names).await;
    if restart {
        let restarts = names.iter().map(|node| bare::restart(&rig.lab, node));
        futures_util::future::join_all(restarts).await;
    }
}

async fn warm(world: &World, playbook: &str, params: &[(&str, &str)]) {
    let order = Order {
        playbook: playbook.to_owned(),
        params: params
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        trigger: "bench".into(),
        ..Order::default()
    };
    let ran = world.run(order, Vec::new(), CancellationToken::new()).await;
    let report = ran.expect("run").report;
    assert_eq!(report.outcome, pgbaton::engine::Outcome::Ok, "{report:?}");
}

async fn process(site: &std::path::Path, playbook: &str, params: &[(&str, &str)]) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pgbaton"));
    command.args(["--site", site.to_str().expect("utf-8"), "run", playbook]);
    for (name, value) in params {
        command.args(["-p", &format!("{name}={value}")]);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().await.expect("pgbaton");
    assert!(status.success(), "{status}");
}

/// A failover whose followers restart, where one session of n3 is stopped by a signal, so that n3 does not stop. From the
/// order to all followers streaming; none where they do not.
async fn stuck(way: Way, standbys: u32) -> Option<Duration> {
    let rig = Rig::up("stuck", standbys).await;
    let repmgr = match way {
        Way::Repmgr => Some(Repmgr::register(&rig, true).await),
        _ => None,
    };
    let session = support::connect(rig.endpoint("n3")).await;
    let row = session.query_one("SELECT pg_backend_pid()", &[]).await;
    let pid = rustix::process::Pid::from_raw(row.expect("pid").get(0)).expect("pid");
    let site = rig.lab.site_file().to_owned();
    let world = World::open(Some(&site), None).expect("world");
    if way == Way::Warm {
        world.warm().await;
    }
    rig.kill_primary().await;
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("stopped");
    let watched = rig.watch(&rig.standbys(), followers(&rig).len()).await;
    let began = Instant::now();
    let restart = [("apply", "restart")];
    let work = async {
        match way {
            Way::Bare => {
                bare::promote(rig.client("n2")).await;
                bare_follow(&rig, true).await;
            }
            Way::Warm => warm(&world, "failover", &restart).await,
            Way::Process => process(&site, "failover", &restart).await,
            Way::Repmgr => {
                let repmgr = repmgr.as_ref().expect("registered");
                repmgr.promote().await;
                repmgr.follow_all().await;
            }
        }
    };
    let attached = async { tokio::time::timeout(BOUND, watched.attached(began)).await };
    let attached = tokio::select! {
        attached = attached => attached.ok().map(|(_, all)| all),
        // Whoever gave up has not done it later either; whoever is done may be a moment ahead of the watcher.
        () = async { work.await; tokio::time::sleep(Duration::from_secs(10)).await } => None,
    };
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    rig.lab.down().await.expect("down");
    attached
}

/// Each way's times, a line each, and its ratio against the bare script.
fn told(what: &str, times: &[Vec<Option<Duration>>]) {
    println!("{what}");
    let done: Vec<Vec<Duration>> = times
        .iter()
        .map(|times| times.iter().flatten().copied().collect())
        .collect();
    for (index, (_, name)) in WAYS.iter().enumerate() {
        let failed = times[index].len() - done[index].len();
        if failed > 0 {
            println!(
                "  {name:<44} not attached in {failed} of {} rounds",
                times[index].len()
            );
        }
        if !done[index].is_empty() {
            println!("  {}", line(name, &done[index]));
        }
    }
    for (index, (_, name)) in WAYS.iter().enumerate().skip(1) {
        if !done[0].is_empty() && !done[index].is_empty() {
            println!(
                "  {name} against bare: {:.2}",
                median(&done[index]) / median(&done[0])
            );
        }
    }
    if !done[3].is_empty() && !done[2].is_empty() {
        println!(
            "  repmgr against pgbaton, whole process: {:.2}",
            median(&done[3]) / median(&done[2])
        );
    }
}

#[tokio::main]
async fn main() {
    let rounds = option("rounds", 5);
    for standbys in [2, 4] {
        for restart in [false, true] {
            let mut times = vec![Vec::new(); WAYS.len()];
            for _ in 0..rounds {
                // Interleaved, so that a slow moment of the machine meets all of them.
                for (index, (way, _)) in WAYS.iter().enumerate() {
                    times[index].push(follow(*way, standbys, restart).await);
                }
            }
            let by = if restart { "restart" } else { "reload" };
            told(&format!("follow by {by}, {standbys} standbys"), &times);
        }
        if option("stuck", 0) > 0 {
            let mut times = vec![Vec::new(); WAYS.len()];
            for (index, (way, _)) in WAYS.iter().enumerate() {
                times[index].push(stuck(*way, standbys).await);
            }
            told(
                &format!("failover, followers restart, n3 does not stop, {standbys} standbys"),
                &times,
            );
        }
    }
}
