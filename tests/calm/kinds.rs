//! The disturbances: what each does, what shows that it bites, and what ends it.

use super::disk::Disk;
use super::ground::{Ground, Hba, PASSWORD, WATCHER};
use super::hosts_support::answers;
use super::serve_support::{crowd, reload};
use super::starved::{Starved, of_host};
use super::support::name;
use pgbaton::lab::{Cut, Fault, Peer};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng as _;
use rustix::process::Signal;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// What happens to a cluster whose primary is not dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    ObserverCutOff,
    OneLinkCut,
    PrimaryFrozen,
    ConnectionsExhausted,
    PasswordRotated,
    HbaBroken,
    StandbyStopped,
    ClockJumps,
    SlowDisk,
    CpuStarved,
}

impl Kind {
    pub(crate) const ALL: [Self; 10] = [
        Self::ObserverCutOff,
        Self::OneLinkCut,
        Self::PrimaryFrozen,
        Self::ConnectionsExhausted,
        Self::PasswordRotated,
        Self::HbaBroken,
        Self::StandbyStopped,
        Self::ClockJumps,
        Self::SlowDisk,
        Self::CpuStarved,
    ];

    /// Whether this machine can be disturbed so.
    pub(crate) fn is_possible(self) -> bool {
        match self {
            Self::SlowDisk => Disk::is_possible(),
            Self::CpuStarved => Starved::is_possible(),
            _ => true,
        }
    }
}

const NODES: [&str; 3] = ["n1", "n2", "n3"];
/// How long a question may take before it has no answer.
const MOMENT: Duration = Duration::from_millis(700);

fn below(random: &mut ChaCha8Rng, limit: u64) -> u64 {
    random.next_u64() % limit
}

fn one<'a>(random: &mut ChaCha8Rng, of: &[&'a str]) -> &'a str {
    of[usize::try_from(below(random, of.len() as u64)).unwrap()]
}

fn between(random: &mut ChaCha8Rng, from: u64, to: u64) -> Duration {
    Duration::from_millis(from + below(random, to - from))
}

/// One round of it, begun and ended; panics where it did not bite.
pub(crate) async fn disturb(ground: &Ground, kind: Kind, random: &mut ChaCha8Rng) {
    match kind {
        Kind::ObserverCutOff => {
            let far = below(random, 2) == 0;
            for node in NODES {
                let cut = if far {
                    Cut::From(Peer::Here)
                } else {
                    Cut::To(Peer::Here)
                };
                ground.cluster.lab.cut(&name(node), &cut).await.unwrap();
            }
            for node in NODES {
                assert!(mute(ground, node).await, "{node} answers");
            }
            sleep(between(random, 1000, 12_000)).await;
            heal(ground).await;
        }
        Kind::OneLinkCut => one_link(ground, random).await,
        Kind::PrimaryFrozen => {
            ground.cluster.fault("n1", Fault::Freeze).await;
            assert!(mute(ground, "n1").await, "n1 answers");
            // Far less than the limit of 30 s, the looks included.
            sleep(between(random, 100, 15_000)).await;
            ground.cluster.fault("n1", Fault::Thaw).await;
        }
        Kind::ConnectionsExhausted => {
            let node = one(random, &NODES);
            let all = crowd(&ground.cluster, node).await;
            let refused = ground.ask(node, "SELECT 1::int8").await;
            assert_eq!(refused, None, "there is room on {node}");
            sleep(between(random, 1000, 15_000)).await;
            drop(all);
        }
        Kind::PasswordRotated => rotate(ground, random).await,
        Kind::HbaBroken => hba(ground, random).await,
        Kind::StandbyStopped => {
            let node = one(random, &NODES[1..]);
            ground.cluster.fault(node, Fault::Stop).await;
            assert!(mute(ground, node).await, "{node} answers");
            sleep(between(random, 1000, 8000)).await;
            ground.cluster.fault(node, Fault::Start).await;
        }
        Kind::ClockJumps => clocks(ground, random).await,
        Kind::SlowDisk => slow_disk(ground, random).await,
        Kind::CpuStarved => starve(ground, random).await,
    }
}

/// Whether nobody answers there.
async fn mute(ground: &Ground, node: &str) -> bool {
    let asked = timeout(MOMENT, ground.ask(node, "SELECT 1::int8")).await;
    !matches!(asked, Ok(Some(_)))
}

/// Whether nobody accepts a connection at its ssh port.
async fn ssh_is_mute(ground: &Ground, node: &str) -> bool {
    let address = (ground.cluster.endpoint(node).host, 22);
    let tried = timeout(MOMENT, tokio::net::TcpStream::connect(address)).await;
    !matches!(tried, Ok(Ok(_)))
}

async fn heal(ground: &Ground) {
    for node in NODES {
        ground.cluster.fault(node, Fault::Heal).await;
    }
}

/// In one direction or in both, between the observer and a node, or between the primary and a standby; or ssh alone.
async fn one_link(ground: &Ground, random: &mut ChaCha8Rng) {
    let standby = one(random, &NODES[1..]);
    let (node, peer) = match below(random, 4) {
        0 => (one(random, &NODES), Some(Peer::Here)),
        1 => ("n1", Some(Peer::Here)),
        2 => (standby, Some(Peer::Node("n1".to_owned()))),
        _ => (one(random, &NODES), None),
    };
    let cuts = match (&peer, below(random, 3)) {
        (None, _) => vec![Cut::Ssh],
        (Some(peer), 0) => vec![Cut::From(peer.clone())],
        (Some(peer), 1) => vec![Cut::To(peer.clone())],
        (Some(peer), _) => vec![Cut::From(peer.clone()), Cut::To(peer.clone())],
    };
    for cut in &cuts {
        ground.cluster.lab.cut(&name(node), cut).await.unwrap();
    }
    let n1 = ground.cluster.endpoint("n1").host;
    let bites = match &peer {
        Some(Peer::Here) => mute(ground, node).await,
        Some(Peer::Node(_)) => !answers(&ground.cluster, node, &n1).await,
        None => ssh_is_mute(ground, node).await,
    };
    assert!(bites, "nothing is cut at {node}: {cuts:?}");
    sleep(between(random, 1000, 12_000)).await;
    ground.cluster.fault(node, Fault::Heal).await;
}

/// pgbaton has the old password; its sessions go on, and nobody lets it in anew.
async fn rotate(ground: &Ground, random: &mut ChaCha8Rng) {
    let set = |password: &str| format!("ALTER ROLE {WATCHER} PASSWORD '{password}'");
    ground.cluster.tell("n1", &set("the second one")).await;
    let refused = ground
        .ask_as("n1", WATCHER, PASSWORD, "SELECT 1::int8")
        .await;
    let why = refused.expect_err("the old password still works");
    assert!(why.contains("password authentication failed"), "{why}");
    // Longer than between two of its new connections, in most rounds.
    sleep(between(random, 4000, 15_000)).await;
    ground.cluster.tell("n1", &set(PASSWORD)).await;
}

/// Nobody gets in any more at one node or at all of them, the standbys' receivers neither.
async fn hba(ground: &Ground, random: &mut ChaCha8Rng) {
    let everywhere = below(random, 3) == 0;
    let nodes = if everywhere { &NODES } else { &NODES[..1] };
    let mut kept = Vec::new();
    for node in nodes {
        let right = Hba::of(&ground.cluster, node);
        let wrong = "host all all 0.0.0.0/0 reject\nhost replication all 0.0.0.0/0 reject\n";
        std::fs::write(&right.file, wrong).unwrap();
        reload(&ground.cluster, node);
        kept.push((node, right));
    }
    sleep(Duration::from_millis(300)).await;
    let refused = ground.ask_as("n1", "postgres", "", "SELECT 1::int8").await;
    let why = refused.expect_err("n1 still lets in");
    assert!(why.contains("pg_hba.conf rejects"), "{why}");
    sleep(between(random, 1000, 13_000)).await;
    for (node, right) in kept {
        std::fs::write(&right.file, &right.text).unwrap();
        reload(&ground.cluster, node);
    }
}

/// The primary's, the observer's, or both; forward or back, and right again.
async fn clocks(ground: &Ground, random: &mut ChaCha8Rng) {
    let far = i64::try_from(10 + below(random, 40_000)).unwrap();
    let far = if below(random, 2) == 0 { far } else { -far };
    let whose = below(random, 3);
    let now = "SELECT extract(epoch FROM clock_timestamp())::int8";
    if whose != 0 {
        let before = ground.ask("n1", now).await.unwrap();
        ground.servers.jump(far);
        let after = ground.ask("n1", now).await.unwrap();
        let moved = after - before;
        assert!(
            (moved - far).abs() < 8,
            "n1's clock moved by {moved} s, not {far}"
        );
    }
    if whose != 1 {
        ground.observer.jump(far);
    }
    sleep(between(random, 1000, 10_000)).await;
    ground.servers.jump(0);
    ground.observer.jump(0);
}

/// Held for a while, and again; in between a few writes get through.
async fn slow_disk(ground: &Ground, random: &mut ChaCha8Rng) {
    let disk = ground.disk.as_ref().expect("this machine has one");
    for _ in 0..=below(random, 3) {
        disk.hold();
        let got_on = ground.writer.wait_for(20, MOMENT).await;
        sleep(between(random, 100, 6000)).await;
        disk.release();
        assert!(!got_on, "it is written to all the same");
        sleep(between(random, 20, 300)).await;
    }
}

/// All that runs on the primary's host gets next to nothing; or the observer gets nothing at all, time and again.
async fn starve(ground: &Ground, random: &mut ChaCha8Rng) {
    if below(random, 3) == 0 {
        for _ in 0..=below(random, 4) {
            ground.serving.signal(Signal::STOP);
            sleep(between(random, 200, 5000)).await;
            ground.serving.signal(Signal::CONT);
            sleep(between(random, 1, 100)).await;
        }
        return;
    }
    let processes = of_host(&ground.namespace("n1"));
    let starved = Starved::new(ground.cluster.lab.name(), &processes);
    sleep(between(random, 2000, 10_000)).await;
    let throttled = starved.throttled();
    drop(starved);
    assert!(throttled > 0, "nobody had to wait for a processor");
}
