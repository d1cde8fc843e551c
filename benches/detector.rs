//! From the end of a primary to the first write on the new one and to all standbys streaming, with `pgbaton serve` as a
//! process of its own, each node on a host of its own, and the policy that is shipped (but for `mode: auto`).
//!
//! `cargo bench --bench detector -- --rounds 10` for `kill -9`, `-- --rounds 10 --cut 1` for a host that is cut off,
//! with `--steps 1` also when each step began and ended. Needs root.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement prints, and one that cannot run must stop"
)]

#[path = "support/mod.rs"]
mod support;

use pgbaton::engine::Event;
use pgbaton::journal::Filter;
use pgbaton::lab::{Fault, Writer};
use pgbaton::runs::Records;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};
use support::{Rig, line, median, name, option};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// What one round took, from the fault.
struct Taken {
    /// Until the run began.
    detected: Duration,
    /// Until the first row that the new primary acknowledged.
    written: Duration,
    /// Until all standbys streamed from it.
    attached: Duration,
}

async fn once(standbys: u32, cut: bool) -> Taken {
    let rig = Rig::on("detector", standbys, true).await;
    let site = rig.lab.site_file().to_owned();
    let text = std::fs::read_to_string(&site).expect("site file");
    let text = text.replacen("    nodes:\n", "    detector: auto\n    nodes:\n", 1);
    std::fs::write(&site, text).expect("site file");
    let mut serving = tokio::process::Command::new(env!("CARGO_BIN_EXE_pgbaton"))
        .args(["--site", site.to_str().expect("path"), "serve"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("serve");
    let mut lines = BufReader::new(serving.stderr.take().expect("stderr")).lines();
    while let Some(said) = lines.next_line().await.expect("stderr") {
        if said.contains("is the primary") {
            break;
        }
    }
    let writer = Writer::start(rig.lab.endpoints()).await.expect("writer");
    assert!(writer.wait_for(400, Duration::from_secs(30)).await);
    let candidates = rig.standbys();
    let watched = rig.watch(&candidates, standbys as usize - 1).await;
    let pid = std::fs::read_to_string(rig.lab.data(&name("n1")).join("postmaster.pid"));
    let pid: i32 = pid
        .expect("pid")
        .lines()
        .next()
        .and_then(|l| l.parse().ok())
        .expect("pid");
    let (began, at) = (Instant::now(), SystemTime::now());
    if cut {
        rig.lab.fault(&name("n1"), Fault::Cut).await.expect("cut");
    } else {
        let pid = rustix::process::Pid::from_raw(pid).expect("pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill");
    }
    let (_, attached) = watched.attached(began).await;
    assert!(writer.wait_for(200, Duration::from_secs(30)).await);
    let report = writer.finish().await;
    let gap = report.longest_gap();
    let since = at.duration_since(report.started).expect("clock");
    let written = (gap.from + gap.length).saturating_sub(since);
    let records = Records::open(Some(&site)).expect("records");
    let runs = records.list(&Filter::default()).await.expect("runs");
    assert_eq!(runs.len(), 1, "one run");
    let started: jiff::Timestamp = runs[0].started.parse().expect("time");
    let detected = SystemTime::from(started)
        .duration_since(at)
        .unwrap_or_default();
    if option("steps", 0) > 0 {
        let events = records.read(&runs[0].run).await.expect("events");
        for envelope in events {
            if let Event::StepStarted { path, .. } | Event::StepEnded { path, .. } = &envelope.event
            {
                let what = match &envelope.event {
                    Event::StepStarted { .. } => "begins",
                    _ => "ends",
                };
                println!("  {:>7.1} ms {what:<7} {path}", envelope.at_ms);
            }
        }
    }
    drop(serving);
    rig.lab.down().await.expect("down");
    Taken {
        detected,
        written,
        attached,
    }
}

#[tokio::main]
async fn main() {
    let (standbys, rounds) = (option("standbys", 2), option("rounds", 10));
    let cut = option("cut", 0) > 0;
    let mut taken = Vec::new();
    for _ in 0..rounds {
        taken.push(once(standbys, cut).await);
    }
    let what = if cut {
        "its host is cut off"
    } else {
        "kill -9 of the primary"
    };
    println!("{what}, {standbys} standbys on hosts of their own, serve with the shipped policy");
    let of = |figure: fn(&Taken) -> Duration| taken.iter().map(figure).collect::<Vec<_>>();
    let (detected, written, attached) = (of(|t| t.detected), of(|t| t.written), of(|t| t.attached));
    println!("{}", line("until the run begins", &detected));
    println!(
        "{}",
        line("until the first write on the new primary", &written)
    );
    println!("{}", line("until all standbys stream", &attached));
    let (first, all) = if cut { (3000, 3500) } else { (500, 600) };
    println!(
        "written after {:.0} ms (target at most {first}), attached after {:.0} ms (target at most {all})",
        median(&written),
        median(&attached)
    );
}
