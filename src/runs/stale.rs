//! Whether what an interrupted run proved still holds when somebody goes on with it.
//!
//! A proof is as old as the runner has been gone, and meanwhile people act: whoever finds a cluster without a primary at
//! night starts the old one again.

use crate::cluster::{NodeName, Topology};
use crate::engine::{Envelope, RunState};

/// A node that this run proved unable to acknowledge commits and that is a running primary now, where the run may still
/// promote another. What a person waived was never proven.
pub(super) fn contradicted(events: &[Envelope], topology: &Topology) -> Option<NodeName> {
    let state = RunState::fold(events).ok()?;
    let ending = state.cancelled() || state.scope("").is_some_and(|top| top.ended.is_some());
    if ending || state.point_of_no_return().is_some() {
        return None;
    }
    let proven = state.noted("proof").filter(|e| e.data["proof"] != "waived");
    proven
        .filter_map(|evidence| evidence.data["node"].as_str())
        .find_map(|node| {
            let mut rows = topology.rows.iter();
            rows.find(|row| row.name.as_str() == node && row.role.as_deref() == Some("primary"))
        })
        .map(|row| row.name.clone())
}
