//! Looking at a cluster: lightly, thoroughly, and closely where there is a suspicion.

use super::readiness::{Obstacle, obstacles};
use super::snapshot::{Room, Snapshot, Witness};
use crate::cluster::{
    Inventory, NodeName, Reach, Server, Slot, Trouble, TroubleKind, WalStatus, Watch,
};
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// One of them has to be on in a primary that is to be rewound later.
const REWINDS: [&str; 2] = ["wal_log_hints", "data_checksums"];

/// How many a server can send to at once.
const SENDERS: &str = "max_wal_senders";

/// Every node's server is asked for its own view on a session that is open; nothing else.
pub(super) async fn lightly(
    cluster: &dyn Watch,
    primary: Option<&NodeName>,
    patience: Duration,
) -> Snapshot {
    let looks = cluster.inventory().nodes.keys().map(|node| async move {
        let mut witness = Witness::default();
        see(cluster, node, patience, &mut witness).await;
        (node.clone(), witness)
    });
    Snapshot {
        primary: primary.cloned(),
        closer: false,
        nodes: join_all(looks).await.into_iter().collect(),
    }
}

/// The same with new connections and everything that is told of a cluster that works.
pub(super) async fn thoroughly(
    cluster: &dyn Watch,
    primary: Option<&NodeName>,
    patience: Duration,
) -> Snapshot {
    let looks = cluster.inventory().nodes.keys().map(|node| async move {
        let mut witness = Witness::default();
        let ((), knock, identity) = tokio::join!(
            see(cluster, node, patience, &mut witness),
            cluster.knock(node, patience),
            timeout(patience, cluster.identify(node)),
        );
        if witness.answers() {
            let acting = timeout(patience, cluster.acting(node, patience)).await;
            witness.managers = acting.ok().and_then(Result::ok).unwrap_or_default();
        }
        witness.knock = knock.ok();
        witness.timeline = identity.ok().and_then(Result::ok).map(|i| i.timeline);
        if witness.is_primary() {
            look_at_primary(cluster, node, patience, &mut witness).await;
        } else if witness.is_standby() {
            witness.room = room(cluster, node, patience).await;
            if witness.upstream.is_none() && !witness.elsewhere {
                let told = timeout(patience, cluster.upstream(node)).await;
                if let Ok(Ok(Some((host, port)))) = told {
                    place(cluster.inventory(), &host, port, &mut witness);
                }
            }
        }
        (node.clone(), witness)
    });
    Snapshot {
        primary: primary.cloned(),
        closer: false,
        nodes: join_all(looks).await.into_iter().collect(),
    }
}

/// A look at a suspicion that began then: new connections to the primary from here and from every standby, and its host.
/// Nothing here waits for anything else; it takes hardly longer than `patience`.
pub(super) async fn closely(
    cluster: &dyn Watch,
    primary: &NodeName,
    patience: Duration,
    suspicion: Instant,
) -> Snapshot {
    let looks = cluster.inventory().nodes.keys().map(|node| async move {
        let witness = if node == primary {
            suspect(cluster, node, patience).await
        } else {
            bystander(cluster, node, primary, patience, suspicion).await
        };
        (node.clone(), witness)
    });
    Snapshot {
        primary: Some(primary.clone()),
        closer: true,
        nodes: join_all(looks).await.into_iter().collect(),
    }
}

async fn suspect(cluster: &dyn Watch, node: &NodeName, patience: Duration) -> Witness {
    let mut witness = Witness::default();
    let ((), knock, host) = tokio::join!(
        see(cluster, node, patience, &mut witness),
        cluster.knock(node, patience),
        timeout(patience, cluster.host(node)),
    );
    witness.knock = knock.ok();
    witness.host = host.ok().and_then(Result::ok);
    let runs = witness
        .host
        .as_ref()
        .is_some_and(|host| host.postmaster.is_some() && !host.frozen);
    if runs && !witness.answers() && witness.knock.is_none_or(|knock| !knock.is_word()) {
        let told = timeout(patience * 2, cluster.disk_answers(node, patience)).await;
        witness.disk = told.ok().and_then(Result::ok);
    }
    witness
}

async fn bystander(
    cluster: &dyn Watch,
    node: &NodeName,
    primary: &NodeName,
    patience: Duration,
    suspicion: Instant,
) -> Witness {
    let mut witness = Witness::default();
    // The way to its host may take its time, too; the try itself is what is bounded.
    let tried = timeout(patience * 2, cluster.reach(Some(node), primary, patience));
    let ((), reach) = tokio::join!(see(cluster, node, patience, &mut witness), tried);
    witness.reaches = reach.ok().and_then(Result::ok);
    // Whoever streams is asked last what it has heard, so that it had time to hear it.
    if witness.streams()
        && witness.reaches != Some(Reach::Accepts)
        && (witness.upstream.as_ref() == Some(primary) || witness.elsewhere)
        && let Ok(Ok(server)) = timeout(patience, cluster.server(node)).await
    {
        let since = i64::try_from(suspicion.elapsed().as_millis()).unwrap_or(i64::MAX);
        let silent = server.receiver.as_ref().and_then(|r| r.silent_ms);
        witness.heard = silent.is_some_and(|silent| silent < since);
    }
    witness
}

/// The server's own view.
async fn see(cluster: &dyn Watch, node: &NodeName, patience: Duration, witness: &mut Witness) {
    match timeout(patience, cluster.server(node)).await {
        Ok(Ok(server)) => {
            receives(cluster.inventory(), &server, witness);
            witness.server = Some(server);
        }
        Ok(Err(Trouble { kind, .. })) => witness.trouble = Some(kind),
        Err(_) => witness.trouble = Some(TroubleKind::Timeout),
    }
}

fn receives(inventory: &Inventory, server: &Server, witness: &mut Witness) {
    if let Some(receiver) = server.receiver.as_ref().filter(|r| r.status == "streaming") {
        place(inventory, &receiver.host, receiver.port, witness);
    }
}

fn place(inventory: &Inventory, host: &str, port: u16, witness: &mut Witness) {
    match inventory.node_at(host, port) {
        Some(node) => witness.upstream = Some(node.name.clone()),
        None => witness.elsewhere = true,
    }
}

/// What only a running primary tells.
async fn look_at_primary(
    cluster: &dyn Watch,
    node: &NodeName,
    patience: Duration,
    witness: &mut Witness,
) {
    let (load, slots, settings) = tokio::join!(
        timeout(patience, cluster.load(node)),
        timeout(patience, cluster.slots(node)),
        timeout(patience, cluster.settings(node, &REWINDS)),
    );
    if let Ok(Ok(settings)) = settings {
        let told = REWINDS.iter().filter_map(|name| settings.get(*name));
        witness.can_be_rewound = told
            .map(|setting| setting.value == "on")
            .reduce(|a, b| a || b);
    }
    witness.load = load.ok().and_then(Result::ok);
    if let Ok(Ok((slots, _))) = slots {
        witness.slots_at_risk = slots.iter().filter_map(at_risk).collect();
    }
    let inventory = cluster.inventory();
    if let Some(names) = cluster.remembered(node).synchronous_standby_names {
        let others: Vec<NodeName> = inventory
            .nodes
            .keys()
            .filter(|other| *other != node)
            .cloned()
            .collect();
        witness.synchronous = Some(names.value.clone());
        witness.deviation = inventory.synchronous.deviation(&names.value, &others, &[]);
    }
}

/// What a standby has for those who would follow it; none where it does not tell in time.
async fn room(cluster: &dyn Watch, node: &NodeName, patience: Duration) -> Option<Room> {
    let (slots, settings) = tokio::join!(
        timeout(patience, cluster.slots(node)),
        timeout(patience, cluster.settings(node, &[SENDERS])),
    );
    let (slots, most) = slots.ok()?.ok()?;
    let settings = settings.ok()?.ok()?;
    let senders = settings.get(SENDERS);
    Some(Room {
        senders: senders.and_then(|setting| setting.value.parse().ok()),
        free: (most as usize).saturating_sub(slots.len()),
        slots: slots.into_iter().map(|slot| slot.name).collect(),
    })
}

fn at_risk(slot: &Slot) -> Option<String> {
    let how = match slot.wal_status {
        WalStatus::Lost => "has lost the WAL that its owner needs",
        WalStatus::Unreserved => "is about to lose the WAL that its owner needs",
        _ => return None,
    };
    Some(format!("slot {} {how}", slot.name))
}

/// What a failover would meet now; none where there is no one primary that works. Bounded by a few seconds.
pub async fn could_fail_over(cluster: &dyn Watch) -> Option<Vec<Obstacle>> {
    let patience = cluster.inventory().detector.patience;
    let seen = thoroughly(cluster, None, patience).await;
    obstacles(cluster.inventory(), &seen)
}
