//! Many rounds, on some clusters side by side.

use super::ground::Ground;
use super::hosts_support::can_have_hosts;
use super::kinds::{Kind, disturb};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

/// So many of each kind, unless `PGBATON_CALM_ROUNDS` says otherwise.
const EACH: u64 = 10;
/// Clusters side by side, unless `PGBATON_CALM_CLUSTERS` says otherwise.
const CLUSTERS: u64 = 6;
/// How long after a disturbance a run could still begin because of it.
const AFTERMATH: Duration = Duration::from_millis(1500);

/// The rounds that are still to come, in an order that mixes the kinds.
fn all(kinds: &[Kind], each: u64) -> Vec<(Kind, u64)> {
    let rounds = kinds
        .iter()
        .copied()
        .flat_map(|kind| (0..each).map(move |round| (kind, round)));
    let mut rounds: Vec<(Kind, u64)> = rounds.collect();
    let mut random = ChaCha8Rng::seed_from_u64(each);
    for last in (1..rounds.len()).rev() {
        let other = random.next_u64() % (last as u64 + 1);
        rounds.swap(last, usize::try_from(other).unwrap());
    }
    rounds
}

/// Takes rounds until there are none left.
async fn play(index: u64, rounds: Arc<Mutex<Vec<(Kind, u64)>>>) -> BTreeMap<Kind, u64> {
    let mut done = BTreeMap::new();
    let ground = Ground::up(&format!("calm-{index}")).await;
    loop {
        let Some((kind, round)) = rounds.lock().unwrap().pop() else {
            break;
        };
        let mut random = ChaCha8Rng::seed_from_u64(round * 100 + kind as u64);
        let words = ground.serving.said().len();
        disturb(&ground, kind, &mut random).await;
        ground.well_again().await;
        sleep(AFTERMATH).await;
        let said = ground.serving.said();
        let said = said.get(words..).unwrap_or_default();
        assert_eq!(ground.runs().await, 0, "{kind:?}, round {round}:\n{said}");
        println!(
            "{kind:?} {round}: nothing was started; it was said to be {:?}",
            names(said)
        );
        *done.entry(kind).or_insert(0) += 1;
    }
    assert_eq!(ground.cluster.primary().await, "n1");
    ground.end_by_a_kill().await;
    done
}

/// The names that the watch gave to what it saw.
fn names(said: &str) -> BTreeSet<&str> {
    let after = said.split("code=").skip(1);
    after
        .filter_map(|rest| rest.split_whitespace().next())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_dead_primary_starts_nothing_with_the_shipped_policy() {
    if !can_have_hosts().await {
        return;
    }
    let given = |name, default| std::env::var(name).map_or(default, |n| n.parse().unwrap());
    let each = given("PGBATON_CALM_ROUNDS", EACH);
    let clusters = given("PGBATON_CALM_CLUSTERS", CLUSTERS);
    let (kinds, left_out): (Vec<Kind>, Vec<Kind>) =
        Kind::ALL.into_iter().partition(|kind| kind.is_possible());
    println!("this machine cannot be disturbed by: {left_out:?}");
    let rounds = Arc::new(Mutex::new(all(&kinds, each)));
    let players = (0..clusters).map(|index| tokio::spawn(play(index, Arc::clone(&rounds))));
    let players: Vec<_> = players.collect();
    let mut total = BTreeMap::new();
    for player in players {
        for (kind, rounds) in player.await.unwrap() {
            *total.entry(kind).or_insert(0) += rounds;
        }
    }
    println!("rounds that started nothing: {total:#?}");
    let expected: BTreeMap<Kind, u64> = kinds.into_iter().map(|kind| (kind, each)).collect();
    assert_eq!(total, expected);
}
