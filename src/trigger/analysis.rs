//! From what everybody said to a conclusion with a name: one pure function (rule 9).

use super::code::Code;
use super::snapshot::{Snapshot, Witness};
use crate::cluster::{ControlState, Detector, Host, Knock, NodeName, Reach, TroubleKind};
use serde::{Deserialize, Serialize};

/// What a look comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// What it says of the primary.
    pub code: Code,
    /// In a sentence.
    pub text: String,
    /// The primary that it is about.
    pub primary: Option<NodeName>,
    /// The primary was shut down cleanly, by its control data.
    pub shut_down: bool,
    /// What each witness says of the primary.
    pub votes: Vec<Vote>,
    /// What else is not as it should be.
    pub findings: Vec<Finding>,
}

/// What one witness says of the primary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who: `here`, a standby, or `host` for the primary's own.
    pub witness: String,
    /// Whether it takes the primary for alive; none where it cannot tell.
    pub alive: Option<bool>,
    /// Why.
    pub says: String,
}

/// Something about one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub code: Code,
    /// Where.
    pub node: Option<NodeName>,
    /// In a sentence.
    pub text: String,
}

/// Draws the conclusion.
pub fn analyse(seen: &Snapshot, detector: &Detector) -> Analysis {
    let running: Vec<&NodeName> = seen
        .nodes
        .iter()
        .filter(|(_, witness)| witness.is_primary())
        .map(|(node, _)| node)
        .collect();
    let mut analysis = Analysis {
        code: Code::Ok,
        text: String::new(),
        primary: running
            .first()
            .copied()
            .cloned()
            .or_else(|| seen.primary.clone()),
        shut_down: false,
        votes: Vec::new(),
        findings: findings(seen),
    };
    match running[..] {
        [] => (analysis.code, analysis.text) = of_silent(seen, &mut analysis),
        [primary] => of_running(seen, primary, detector, &mut analysis),
        [..] => {
            let names: Vec<&str> = running.iter().map(|node| node.as_str()).collect();
            analysis.code = Code::TwoPrimaries;
            analysis.text = format!("{} are primaries at once", names.join(" and "));
        }
    }
    analysis
}

fn of_running(seen: &Snapshot, primary: &NodeName, detector: &Detector, found: &mut Analysis) {
    let Some(witness) = seen.nodes.get(primary) else {
        return;
    };
    let stalled = i64::try_from(detector.stalled.as_millis()).unwrap_or(i64::MAX);
    let waits = witness
        .load
        .filter(|load| load.waiting > 0 && load.longest_ms >= stalled);
    let flushes = witness.load.filter(|load| load.flushing_ms >= stalled);
    let (code, text) = match (witness.knock, waits) {
        _ if flushes.is_some() => (
            Code::DiskStalled,
            format!(
                "what is written on {primary} is not made durable: its disk does not answer, or hardly"
            ),
        ),
        (Some(Knock::Full), _) => (
            Code::ConnectionsExhausted,
            format!("{primary} works, and has no free connection"),
        ),
        (Some(Knock::Denied), _) => (
            Code::AuthFailure,
            format!(
                "{primary} works, and lets pgbaton in no more: a session that is open still answers"
            ),
        ),
        (Some(Knock::Mute | Knock::Closed | Knock::Silent), _) => (
            Code::PrimaryUnreachable,
            format!(
                "{primary} answers on a session that is open, and accepts no new one from here"
            ),
        ),
        (_, Some(load)) => (
            Code::CommitStalled,
            format!(
                "{} commits on {primary} wait for standbys, one for {} s",
                load.waiting,
                load.longest_ms / 1000
            ),
        ),
        _ => (Code::Ok, format!("{primary} is the primary")),
    };
    (found.code, found.text) = (code, text);
}

/// No node says that it is a primary.
fn of_silent(seen: &Snapshot, found: &mut Analysis) -> (Code, String) {
    let Some((primary, witness)) = seen
        .primary
        .as_ref()
        .and_then(|node| Some((node, seen.nodes.get(node)?)))
    else {
        return (
            Code::NoPrimary,
            "no node is a primary, and nobody knows which one was".to_owned(),
        );
    };
    if witness.is_standby() {
        return (
            Code::NoPrimary,
            format!("{primary} was the primary and is a standby now; no node is a primary"),
        );
    }
    if let Some(word) = word_of(primary, witness) {
        return word;
    }
    let others: Vec<(&NodeName, &Witness)> = seen
        .nodes
        .iter()
        .filter(|(node, _)| *node != primary)
        .collect();
    let silent = others.iter().filter(|(_, other)| !other.answers()).count();
    let host = witness.host.as_ref();
    found.votes.push(Vote {
        witness: "here".to_owned(),
        alive: Some(false),
        says: met(witness.knock).to_owned(),
    });
    found
        .votes
        .extend(host.map(|host| by_host(host, witness.disk)));
    found
        .votes
        .extend(others.iter().map(|(node, other)| by_standby(node, other)));
    // The host itself may be reached where the server is not; a reached host is somebody, too.
    if silent == others.len() && host.is_none() {
        return (Code::NobodyReachable, "nothing of the cluster is reached from here: the network of this host is the first suspect".to_owned());
    }
    let alive = |vote: &&Vote| vote.witness != "host" && vote.alive == Some(true);
    if let Some(vote) = found.votes.iter().find(alive) {
        return (
            Code::PrimaryUnreachable,
            format!(
                "{primary} is not reached from here, and lives: {} {}",
                vote.witness, vote.says
            ),
        );
    }
    // It may be in good order with the primary: its own word is missing.
    let untold = |other: &Witness| other.answers() && other.streams() && other.reaches.is_none();
    if let Some((node, _)) = others.iter().find(|(_, other)| untold(other)) {
        return (
            Code::PrimaryUnreachable,
            format!(
                "{primary} is not reached from here; {node} has a stream, and could not try a connection"
            ),
        );
    }
    let failed = others
        .iter()
        .any(|(_, other)| other.answers() && other.reaches == Some(Reach::Silent));
    if !failed {
        return (
            Code::PrimaryUnreachable,
            format!(
                "{primary} is not reached from here, and no standby could try a connection of its own"
            ),
        );
    }
    let (code, text) = of_dead(primary, witness, silent);
    found.shut_down = code == Code::PostgresDownHostUp
        && host
            .and_then(|host| host.control.as_ref())
            .is_some_and(|c| c.state == ControlState::ShutDown);
    (code, text)
}

/// Nobody reaches it: what it is, by its host.
fn of_dead(primary: &NodeName, witness: &Witness, silent: usize) -> (Code, String) {
    let Some(host) = &witness.host else {
        return if silent == 0 {
            (
                Code::PrimaryDead,
                format!("nobody reaches {primary}, nor its host"),
            )
        } else {
            let text = format!(
                "nobody reaches {primary}, nor its host, and {silent} standbys are silent, too"
            );
            (Code::PrimaryDeadAndSomeStandbys, text)
        };
    };
    match host.postmaster {
        None => (
            Code::PostgresDownHostUp,
            format!("nobody reaches {primary}, and its host says that the server does not run"),
        ),
        Some(_) if witness.disk == Some(false) => (
            Code::DiskStalled,
            format!(
                "nobody reaches {primary}; its server is there, and the disk below its data does not answer"
            ),
        ),
        Some(pid) => {
            let how = if host.frozen {
                "is stopped by a signal"
            } else {
                "runs and does not answer"
            };
            (
                Code::PrimaryHangs,
                format!("nobody reaches {primary}, whose postmaster {pid} {how}"),
            )
        }
    }
}

/// What the primary's own server said, where it said anything.
fn word_of(primary: &NodeName, witness: &Witness) -> Option<(Code, String)> {
    let recovers = |host: &Host| {
        host.control
            .as_ref()
            .is_some_and(|c| c.state == ControlState::CrashRecovery)
    };
    match (witness.knock, witness.trouble) {
        (Some(Knock::NotNow), _) => {
            let doing = if witness.host.as_ref().is_some_and(recovers) {
                "recovers from a crash"
            } else {
                "starts up, shuts down or recovers"
            };
            Some((
                Code::PrimaryInCrashRecovery,
                format!("{primary} {doing}: it is not dead"),
            ))
        }
        (Some(Knock::Full), _) => Some((
            Code::ConnectionsExhausted,
            format!("{primary} has no free connection: it is not dead"),
        )),
        (Some(Knock::Denied | Knock::Refuses), _)
        | (Some(Knock::Opens), Some(TroubleKind::Denied)) => Some((
            Code::AuthFailure,
            format!("{primary} answers and does not let pgbaton in: it is not dead"),
        )),
        (Some(Knock::Opens), _) => Some((
            Code::PrimaryUnreachable,
            format!("{primary} begins a session and does not go on with it: it is slow, not dead"),
        )),
        _ => None,
    }
}

fn met(knock: Option<Knock>) -> &'static str {
    match knock {
        Some(Knock::Closed) => "its host says that nobody listens there",
        Some(Knock::Mute) => "a connection is made, and nothing is said",
        Some(Knock::Silent) => "nothing answers",
        None => "it was not tried",
        Some(_) => "it answers",
    }
}

fn by_host(host: &Host, disk: Option<bool>) -> Vote {
    let (alive, says) = match (host.postmaster, disk) {
        (None, _) => (Some(false), "no postmaster runs there".to_owned()),
        (Some(pid), _) if host.frozen => (
            Some(false),
            format!("its postmaster {pid} is stopped by a signal"),
        ),
        (Some(pid), Some(false)) => (
            None,
            format!("its postmaster {pid} is there, and its disk does not answer"),
        ),
        (Some(pid), _) => (Some(true), format!("its postmaster {pid} runs")),
    };
    Vote {
        witness: "host".to_owned(),
        alive,
        says,
    }
}

/// A stream that only says `streaming` is no vote: it says so for `wal_receiver_timeout` after its primary froze.
fn by_standby(node: &NodeName, witness: &Witness) -> Vote {
    let (alive, says) = if !witness.answers() {
        (None, "does not answer itself")
    } else if witness.heard {
        (
            Some(true),
            "had a message from it after the suspicion began",
        )
    } else {
        match witness.reaches {
            Some(Reach::Accepts) => (Some(true), "connects to it"),
            Some(Reach::Rejects) => (Some(true), "is answered by it, and refused"),
            Some(Reach::Silent) => (
                Some(false),
                "tried a connection of its own, and met nothing",
            ),
            None => (None, "could not try a connection"),
        }
    };
    Vote {
        witness: node.to_string(),
        alive,
        says: says.to_owned(),
    }
}

/// What is not as it should be, whatever the primary does.
fn findings(seen: &Snapshot) -> Vec<Finding> {
    let primary = seen.nodes.iter().find(|(_, witness)| witness.is_primary());
    let mut findings = Vec::new();
    for (node, witness) in &seen.nodes {
        let mut find = |code, text: String| {
            let node = Some(node.clone());
            findings.push(Finding { code, node, text });
        };
        if witness.is_primary() {
            for slot in &witness.slots_at_risk {
                find(Code::SlotAtRisk, format!("on {node}: {slot}"));
            }
            if let Some(deviation) = &witness.deviation {
                find(Code::SyncSetMismatch, format!("on {node}: {deviation}"));
            }
            continue;
        }
        if !witness.is_standby() {
            if seen.primary.as_ref() != Some(node) {
                find(Code::StandbyDown, format!("{node} does not answer"));
            }
            continue;
        }
        if let Some((primary, of_primary)) = primary {
            let (own, its) = (witness.timeline, of_primary.timeline);
            if witness.elsewhere {
                find(
                    Code::StandbyWrongUpstream,
                    format!("{node} streams from no node of this cluster"),
                );
            } else if !witness.streams() {
                match witness.reaches {
                    Some(Reach::Silent) => find(
                        Code::ReplicationLinkCut,
                        format!("{node} cannot connect to {primary}, and both answer here"),
                    ),
                    _ => find(Code::StandbyNotStreaming, format!("{node} does not stream")),
                }
            }
            if let (Some(own), Some(its)) = (own, its)
                && own > its
            {
                find(
                    Code::StandbyForked,
                    format!("{node} is on timeline {own}, {primary} on {its}"),
                );
            }
        }
    }
    findings
}
