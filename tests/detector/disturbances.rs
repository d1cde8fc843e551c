//! What is not a dead primary starts nothing (rule 9): a thousand rounds of it, each from a seed.

use super::support::{auto, name, watched};
use pgbaton::simulate::{Disruption as D, Door, Place, Shell};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use std::time::Duration;

const ROUNDS: u64 = 1000;

fn below(random: &mut ChaCha8Rng, limit: u64) -> u64 {
    random.next_u64() % limit
}

/// Disturbances, and what ends each.
#[expect(clippy::too_many_lines, reason = "it is one table")]
fn disturbance(random: &mut ChaCha8Rng) -> (&'static str, Vec<D>, Vec<D>, f64) {
    let nodes = ["n1", "n2", "n3"].map(name);
    let any = nodes[usize::try_from(below(random, 3)).unwrap()].clone();
    let standby = nodes[usize::try_from(1 + below(random, 2)).unwrap()].clone();
    let n1 = name("n1");
    let runner_to =
        |node: &pgbaton::cluster::NodeName| D::Cut(Place::Runner, Place::Node(node.clone()));
    let runner_from =
        |node: &pgbaton::cluster::NodeName| D::Cut(Place::Node(node.clone()), Place::Runner);
    let mended = |node: &pgbaton::cluster::NodeName| {
        vec![
            D::Mend(Place::Runner, Place::Node(node.clone())),
            D::Mend(Place::Node(node.clone()), Place::Runner),
        ]
    };
    let time = |ms| Duration::from_millis(ms).as_secs_f64();
    let long = time(1000 + below(random, 60_000));
    let (what, begin, end, seconds) = match below(random, 12) {
        0 => {
            let begin = nodes
                .iter()
                .flat_map(|n| [runner_to(n), runner_from(n)])
                .collect();
            (
                "the observer is cut off",
                begin,
                nodes.iter().flat_map(mended).collect(),
                long,
            )
        }
        1 => (
            "the observer loses one node",
            vec![D::Lose(any.clone())],
            mended(&any),
            long,
        ),
        2 => (
            "one direction is cut",
            vec![runner_to(&any)],
            mended(&any),
            long,
        ),
        3 => (
            "the other direction is cut",
            vec![runner_from(&any)],
            mended(&any),
            long,
        ),
        4 => {
            let link = (Place::Node(n1), Place::Node(standby));
            let begin = vec![D::Cut(link.0.clone(), link.1.clone())];
            (
                "a replication link is cut",
                begin,
                vec![D::Mend(link.0, link.1)],
                long,
            )
        }
        5 => {
            // Less than the limit of 30 s, the looks included.
            let seconds = time(100 + below(random, 25_000));
            (
                "the primary is frozen",
                vec![D::Freeze(n1.clone())],
                vec![D::Thaw(n1)],
                seconds,
            )
        }
        6 => (
            "no connection is left",
            vec![D::Door(any.clone(), Door::Full)],
            vec![D::Door(any, Door::Open)],
            long,
        ),
        7 => (
            "pg_hba is broken",
            vec![D::Door(any.clone(), Door::Barred)],
            vec![D::Door(any, Door::Open)],
            long,
        ),
        8 => (
            "the password is rotated",
            vec![D::Door(any.clone(), Door::Password)],
            vec![D::Door(any, Door::Open)],
            long,
        ),
        9 => (
            "a standby is stopped",
            vec![D::StopServer(standby.clone())],
            vec![D::StartServer(standby)],
            long,
        ),
        10 => (
            "the disk is slow",
            vec![D::StallDisk(n1.clone())],
            vec![D::ResumeDisk(n1)],
            long,
        ),
        _ => (
            "ssh hangs",
            vec![D::Shell(any.clone(), Shell::Hangs)],
            vec![D::Shell(any, Shell::Works)],
            long,
        ),
    };
    (what, begin, end, seconds)
}

/// In two halves, for two cores.
#[test]
fn five_hundred_disturbances_start_nothing() {
    rounds(0..ROUNDS / 2);
}

#[test]
fn five_hundred_others_start_nothing_either() {
    rounds(ROUNDS / 2..ROUNDS);
}

fn rounds(seeds: std::ops::Range<u64>) {
    let mut kinds = std::collections::BTreeMap::new();
    for seed in seeds {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (what, begin, end, seconds) = disturbance(&mut random);
        *kinds.entry(what).or_insert(0_u32) += 1;
        watched(auto(), seed, async |site| {
            for disruption in begin {
                site.disrupt(disruption);
            }
            site.seconds(seconds).await;
            for disruption in end {
                site.disrupt(disruption);
            }
            site.seconds(10.0).await;
            assert_eq!(
                site.orders(),
                0,
                "seed {seed}: {what} for {seconds} s: {:?}",
                site.told()
            );
        });
    }
    assert!(
        kinds.len() == 12 && kinds.values().all(|n| *n > 20),
        "{kinds:?}"
    );
}
