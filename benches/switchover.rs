//! Switchover with two standbys under a steady writer: the longest gap in acknowledged writes, and all attached.
//!
//! `cargo bench --bench switchover -- --rounds 5`

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement prints, and one that cannot run must stop"
)]

#[path = "support/mod.rs"]
mod support;

use pgbaton::lab::Writer;
use pgbaton::runs::{Order, World};
use std::time::{Duration, Instant};
use support::{Rig, line, median, option};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() {
    let (standbys, rounds) = (option("standbys", 2), option("rounds", 5));
    let mut gaps = Vec::new();
    let mut attached = Vec::new();
    let mut ended = Vec::new();
    for _ in 0..rounds {
        let rig = Rig::up("switchover", standbys).await;
        let world = World::open(Some(rig.lab.site_file()), None).expect("world");
        world.warm().await;
        let writer = Writer::start(rig.lab.endpoints()).await.expect("writer");
        assert!(
            writer.wait_for(200, Duration::from_secs(30)).await,
            "the writer does not get going"
        );
        let watched = rig.watch(&["n2"], standbys as usize).await;
        let began = Instant::now();
        let work = async {
            let order = Order {
                playbook: "switchover".into(),
                params: vec![("candidate".into(), "n2".into())],
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
            began.elapsed()
        };
        let ((_, all), end) = tokio::join!(watched.attached(began), work);
        assert!(
            writer.wait_for(200, Duration::from_secs(30)).await,
            "writes go on"
        );
        let report = writer.finish().await;
        let verdict = report.verify(rig.endpoint("n2")).await.expect("verify");
        assert!(verdict.lost.is_empty(), "rows are lost");
        gaps.push(report.longest_gap().length);
        attached.push(all);
        ended.push(end);
        rig.lab.down().await.expect("down");
    }
    println!("switchover, {standbys} standbys, steady writer, warm connections");
    println!("{}", line("longest gap in acknowledged writes", &gaps));
    println!("{}", line("from the start to all attached", &attached));
    println!("{}", line("    … until the run ends", &ended));
    println!(
        "gap {:.0} ms (target at most 400), attached {:.0} ms (target at most 800)",
        median(&gaps),
        median(&attached)
    );
}
