//! Restart follow of all standbys at once: wall time against the longest item of the same run.
//!
//! `cargo bench --bench follow -- --rounds 5`

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement prints, and one that cannot run must stop"
)]

#[path = "support/mod.rs"]
mod support;

use pgbaton::engine::{Event, StepPath};
use pgbaton::runs::{Order, World};
use std::collections::BTreeMap;
use support::{Rig, option};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Everybody restarts and follows n1 again.
const PLAYBOOK: &str = "playbook: restart_all
version: 1.0.0
summary: Restart-follow of every standby at once.
timeout: 5m
steps:
  follow:
    for_each: { items: cluster.standbys }
    playbook: follow
    with: { node: \"{{ item }}\", upstream: n1, apply: restart }
    timeout: 3m
";

#[tokio::main]
async fn main() {
    for standbys in [2, 4] {
        let mut ratios = Vec::new();
        let mut walls = Vec::new();
        for _ in 0..option("rounds", 5) {
            let rig = Rig::up("follow", standbys).await;
            let world = World::open(Some(rig.lab.site_file()), None).expect("world");
            world.warm().await;
            let file = rig.lab.dir().join("restart_all.yaml");
            std::fs::write(&file, PLAYBOOK).expect("playbook");
            let (sender, mut receiver) = mpsc::unbounded_channel();
            let order = Order {
                playbook: file.display().to_string(),
                trigger: "bench".into(),
                ..Order::default()
            };
            let finished = world
                .run(order, vec![sender], CancellationToken::new())
                .await
                .expect("run");
            assert_eq!(
                finished.report.outcome,
                pgbaton::engine::Outcome::Ok,
                "{:?}",
                finished.report
            );
            let mut opened: BTreeMap<StepPath, f64> = BTreeMap::new();
            let mut longest = 0.0_f64;
            let (mut first, mut last) = (f64::MAX, 0.0_f64);
            while let Ok(envelope) = receiver.try_recv() {
                match &envelope.event {
                    Event::ScopeOpened { path, .. } if path.0.starts_with("follow[") => {
                        opened.insert(path.clone(), envelope.at_ms);
                        first = first.min(envelope.at_ms);
                    }
                    Event::ScopeClosed { path, .. } => {
                        if let Some(began) = opened.get(path) {
                            longest = longest.max(envelope.at_ms - began);
                            last = last.max(envelope.at_ms);
                        }
                    }
                    _ => {}
                }
            }
            walls.push(last - first);
            ratios.push((last - first) / longest);
            rig.lab.down().await.expect("down");
        }
        ratios.sort_by(f64::total_cmp);
        walls.sort_by(f64::total_cmp);
        println!(
            "restart follow, {standbys} standbys: wall {:.0} ms, against the longest item {:.2} (target at most 1.5)",
            walls[walls.len() / 2],
            ratios[ratios.len() / 2]
        );
    }
}
