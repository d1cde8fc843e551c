//! A failover of the lab after `kill -9`, against two bare scripts over open connections. Ratios within one run.
//!
//! `cargo bench --bench failover -- --standbys 2 --rounds 5`

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement prints, and one that cannot run must stop"
)]

#[path = "support/bare.rs"]
mod bare;
#[path = "support/mod.rs"]
mod support;

use pgbaton::runs::{Order, World};
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::{Rig, line, median, option};
use tokio_util::sync::CancellationToken;

#[derive(Clone, Copy)]
enum Variant {
    First,
    Second,
    Warm,
    Process,
}

async fn once(variant: Variant, standbys: u32) -> (Duration, Duration, Duration) {
    let rig = Rig::up("failover", standbys).await;
    let candidates = rig.standbys();
    let watched = rig.watch(&candidates, candidates.len() - 1).await;
    let site = rig.lab.site_file().to_owned();
    let world = World::open(Some(&site), None).expect("world");
    if matches!(variant, Variant::Warm) {
        world.warm().await;
    }
    rig.kill_primary().await;
    let began = Instant::now();
    let work = async {
        match variant {
            Variant::First => bare::first_floor(&rig).await,
            Variant::Second => bare::second_floor(&rig).await,
            Variant::Warm => {
                let order = Order {
                    playbook: "failover".into(),
                    trigger: "bench".into(),
                    ..Order::default()
                };
                let finished = world
                    .run(order, Vec::new(), CancellationToken::new())
                    .await
                    .expect("run");
                assert_eq!(
                    finished.report.outcome,
                    pgbaton::engine::Outcome::Ok,
                    "{:?}",
                    finished.report
                );
            }
            Variant::Process => {
                let status = tokio::process::Command::new(env!("CARGO_BIN_EXE_pgbaton"))
                    .args(["--site", site.to_str().expect("utf-8"), "run", "failover"])
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status()
                    .await
                    .expect("pgbaton");
                assert!(status.success(), "{status}");
            }
        }
        began.elapsed()
    };
    let ((promoted, attached), ended) = tokio::join!(watched.attached(began), work);
    rig.lab.down().await.expect("down");
    (promoted, attached, ended)
}

#[tokio::main]
async fn main() {
    let (standbys, rounds) = (option("standbys", 2), option("rounds", 5));
    println!(
        "failover after kill -9, {standbys} standbys, from the start to all standbys streaming"
    );
    let names = [
        "first floor: promote and follow alone",
        "second floor: freeze, proof and mark too",
        "pgbaton, warm connections",
        "pgbaton, whole process",
    ];
    let variants = [
        Variant::First,
        Variant::Second,
        Variant::Warm,
        Variant::Process,
    ];
    let mut attached = vec![Vec::new(); 4];
    let mut promoted = vec![Vec::new(); 4];
    let mut ended = vec![Vec::new(); 4];
    for _ in 0..rounds {
        // Interleaved, so that a slow moment of the machine meets all of them.
        for (index, variant) in variants.iter().enumerate() {
            let (p, a, e) = once(*variant, standbys).await;
            promoted[index].push(p);
            attached[index].push(a);
            ended[index].push(e);
        }
    }
    for (index, name) in names.iter().enumerate() {
        println!("{}", line(name, &attached[index]));
        println!(
            "{}",
            line("    … first node out of recovery", &promoted[index])
        );
        println!(
            "{}",
            line("    … until it ends, mark verified", &ended[index])
        );
    }
    let ratio = |of: usize, against: usize| median(&attached[of]) / median(&attached[against]);
    println!(
        "warm against second floor:    {:.2}  (target at most 1.5)",
        ratio(2, 1)
    );
    println!(
        "process against second floor: {:.2}  (target at most 3)",
        ratio(3, 1)
    );
    println!("warm against first floor:     {:.2}", ratio(2, 0));
    println!("process against first floor:  {:.2}", ratio(3, 0));
}
