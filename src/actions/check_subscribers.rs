//! Is a subscriber ahead of a primary that took over? It would pass over what is written up to where it stands, without an
//! error.

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{Lsn, Slot};
use crate::engine::{Failure, Probe};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, Type};
use async_trait::async_trait;
use serde_json::json;
use std::time::Duration;

pub(super) struct CheckSubscribers;

#[async_trait]
impl Deed for CheckSubscribers {
    fn signature() -> Signature {
        Signature {
            name: "check_subscribers",
            summary: "Name the subscribers that have confirmed more than this primary holds, as far as they have connected to it: \
                      they would miss what is written up to there.",
            node: NodeRule::Required,
            inputs: vec![],
            outputs: vec![Field::required(
                "ahead",
                Type::List,
                "the slots of subscribers that are ahead",
            )],
            effect: Some(EffectClass::Read),
            roles: vec![],
            timeout: Duration::from_secs(10),
        }
    }

    async fn probe(&self, _scene: &Scene<'_>) -> Result<Probe, Failure> {
        Ok(Probe::Needed("to be looked at anew".to_owned()))
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let node = scene.node()?;
        let (slots, _) = scene.cluster.slots(&node).await?;
        let mut ahead = Vec::new();
        if slots.iter().any(|slot| !slot.physical) {
            // Asked after the slots: what was written meanwhile makes nobody look ahead who is not.
            let end = scene.server(&node).await?.position();
            ahead = ahead_of(&slots, end);
            for (slot, at) in &ahead {
                let end = end.map_or_else(|| "nowhere".to_owned(), |end| end.to_string());
                let text = format!(
                    "the subscriber of slot {slot} stands at {at} and {node} ends at {end}: it holds what {node} never had, and \
                     misses what is written up to there; let it copy its tables again"
                );
                let data = json!({ "slot": slot, "at": at, "node": node });
                scene.note("debt", text, data).await;
            }
        }
        let ahead: Vec<String> = ahead.into_iter().map(|(slot, _)| slot).collect();
        Ok(outputs([("ahead", ahead.into())]))
    }
}

/// Beyond the end of the log no subscriber of this history can be.
fn ahead_of(slots: &[Slot], end: Option<Lsn>) -> Vec<(String, Lsn)> {
    let beyond = |slot: &Slot| {
        let at = slot.confirmed.filter(|at| Some(*at) > end)?;
        (!slot.physical).then(|| (slot.name.to_string(), at))
    };
    slots.iter().filter_map(beyond).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{SlotName, SlotOrigin, WalStatus};

    #[test]
    fn only_what_lies_beyond_the_end_is_ahead() {
        let slot = |name: &str, confirmed| Slot {
            name: SlotName::parse(name).unwrap(),
            physical: false,
            active_pid: None,
            restart: Some(Lsn(1)),
            wal_status: WalStatus::Reserved,
            failover: false,
            origin: SlotOrigin::Own,
            confirmed,
        };
        let slots = [
            slot("before", Some(Lsn(0x100))),
            slot("at", Some(Lsn(0x200))),
            slot("beyond", Some(Lsn(0x201))),
            slot("nothing", None),
        ];
        let found = ahead_of(&slots, Some(Lsn(0x200)));
        assert_eq!(found, [("beyond".to_owned(), Lsn(0x201))]);
    }
}
