//! Switchover with two standbys under a steady writer: the longest gap in acknowledged writes, and all attached;
//! beside it the servers' own part, by a bare script over open connections that looks at nothing and proves nothing.
//!
//! `cargo bench --bench switchover -- --rounds 5`

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

use pgbaton::lab::Writer;
use pgbaton::runs::{Order, World};
use std::time::{Duration, Instant};
use support::{Rig, line, median, option};
use tokio_util::sync::CancellationToken;

#[derive(Clone, Copy)]
enum Variant {
    Bare,
    SamePromise,
    Ours,
}

/// What one switchover took.
struct Taken {
    gap: Duration,
    attached: Duration,
    ended: Duration,
}

async fn once(variant: Variant, standbys: u32) -> Taken {
    let rig = Rig::up("switchover", standbys).await;
    let world = World::open(Some(rig.lab.site_file()), None).expect("world");
    if matches!(variant, Variant::Ours) {
        world.warm().await;
    }
    let writer = Writer::start(rig.lab.endpoints()).await.expect("writer");
    assert!(
        writer.wait_for(200, Duration::from_secs(30)).await,
        "the writer does not get going"
    );
    let watched = rig.watch(&["n2"], standbys as usize).await;
    let began = Instant::now();
    let work = async {
        match variant {
            Variant::Bare => bare::switchover(&rig, false).await,
            Variant::SamePromise => bare::switchover(&rig, true).await,
            Variant::Ours => run(&world).await,
        }
        began.elapsed()
    };
    let ((_, attached), ended) = tokio::join!(watched.attached(began), work);
    assert!(
        writer.wait_for(200, Duration::from_secs(30)).await,
        "writes go on"
    );
    let report = writer.finish().await;
    let verdict = report.verify(rig.endpoint("n2")).await.expect("verify");
    // The bare script proves nothing, so nobody answers for its rows.
    if matches!(variant, Variant::Ours) {
        assert!(verdict.lost.is_empty(), "rows are lost");
    }
    let gap = report.longest_gap().length;
    rig.lab.down().await.expect("down");
    Taken {
        gap,
        attached,
        ended,
    }
}

async fn run(world: &World) {
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
}

#[tokio::main]
async fn main() {
    let (standbys, rounds) = (option("standbys", 2), option("rounds", 5));
    let (mut bare, mut same, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        // Interleaved, so that a slow moment of the machine meets all.
        bare.push(once(Variant::Bare, standbys).await);
        same.push(once(Variant::SamePromise, standbys).await);
        ours.push(once(Variant::Ours, standbys).await);
    }
    println!("switchover, {standbys} standbys, steady writer, warm connections");
    for (who, taken) in [
        ("bare script", &bare),
        ("… that stays synchronous", &same),
        ("pgbaton", &ours),
    ] {
        let of = |figure: fn(&Taken) -> Duration| taken.iter().map(figure).collect::<Vec<_>>();
        let gap = format!("{who}: longest gap in acknowledged writes");
        println!("{}", line(&gap, &of(|t| t.gap)));
        let attached = of(|t| t.attached);
        println!(
            "{}",
            line("    … from the start to all attached", &attached)
        );
        println!("{}", line("    … until it ends", &of(|t| t.ended)));
    }
    let middle = |taken: &[Taken], figure: fn(&Taken) -> Duration| {
        median(&taken.iter().map(figure).collect::<Vec<_>>())
    };
    let (gap, attached) = (middle(&ours, |t| t.gap), middle(&ours, |t| t.attached));
    println!(
        "gap {gap:.0} ms (target at most 400), attached {attached:.0} ms (target at most 800)"
    );
    for (whom, taken) in [("", &bare), (" that stays synchronous", &same)] {
        println!(
            "against the bare script{whom}: gap {:.2}, attached {:.2}",
            gap / middle(taken, |t| t.gap),
            attached / middle(taken, |t| t.attached)
        );
    }
}
