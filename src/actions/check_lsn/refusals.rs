//! Why a node cannot follow, in words, and what to do about it.

use super::{Comparison, Standing};
use crate::cluster::{History, Lsn, NodeName, Timeline, Trouble};
use crate::engine::Failure;
use crate::playbook::TroubleKind;

pub(super) fn refusal(
    node: &NodeName,
    upstream: &NodeName,
    standing: &Standing,
    history: &History,
    verdict: &Comparison,
) -> Failure {
    let message = match (verdict.divergence, verdict.fork) {
        ("rewindable", Some(fork)) if standing.timeline != history.timeline => format!(
            "{node} is {} bytes beyond the point where {upstream} left its timeline: it stands at {} on timeline {}, \
             {upstream} forked off at {fork} and is on timeline {}",
            verdict.bytes, standing.at, standing.timeline, history.timeline
        ),
        ("rewindable", _) => format!(
            "{node} is {} bytes ahead of {upstream} on the same timeline {}: it stands at {}",
            verdict.bytes, standing.timeline, standing.at
        ),
        _ => format!(
            "timeline {} of {node} is not in the history of {upstream} (timeline {}): another promotion happened there",
            standing.timeline, history.timeline
        ),
    };
    let help = "nothing was changed; run `rejoin` for it: it must be rewound or copied anew before it can follow";
    Failure {
        kind: TroubleKind::Conflict,
        ..Failure::refused(message)
    }
    .with_help(help)
}

pub(super) fn stray_refusal(node: &NodeName, upstream: &NodeName, stray: Timeline) -> Failure {
    let message = format!(
        "{node} has a history file of timeline {stray} that does not belong to the history of {upstream}: it would follow it \
         astray"
    );
    Failure {
        kind: TroubleKind::Conflict,
        ..Failure::refused(message)
    }
    .with_help(format!(
        "nothing was changed; it was left by another promotion: take {:08X}.history out of pg_wal of {node} (and out of its \
         archive), then follow again",
        stray.0
    ))
}

/// Its server reads the file where it lies; what could not be asked for is told as it is.
pub(super) fn missing_history(node: &NodeName, timeline: Timeline, trouble: Trouble) -> Failure {
    if trouble.kind != TroubleKind::Failed {
        return trouble.into();
    }
    Failure::from(trouble).with_help(format!(
        "nothing was changed; without it nobody can tell where {node} left the timeline before: put it back, {:08X}.history \
         in its pg_wal, from its archive or from another node on this timeline",
        timeline.0
    ))
}

pub(super) fn wal_gone(
    node: &NodeName,
    upstream: &NodeName,
    standing: &Standing,
    begins: Lsn,
) -> Failure {
    let message = format!(
        "{node} stands at {}, and the WAL of {upstream} begins at {begins}: what it needs next is gone, and no \
         restore_command is set that could have it",
        standing.at
    );
    Failure {
        kind: TroubleKind::Conflict,
        ..Failure::refused(message)
    }
    .with_help("nothing was changed; give it a restore_command, or run `rejoin` with `-p rebuild=auto` to copy it anew")
}

pub(super) fn half_rewound(node: &NodeName) -> Failure {
    let message = format!(
        "a rewind of {node} did not end: what lies there is no state that any server ever had"
    );
    Failure {
        kind: TroubleKind::Conflict,
        ..Failure::refused(message)
    }
    .with_help("nothing was changed; run `rejoin` for it: it rewinds it again, or with `-p rebuild=auto` copies it anew")
}
