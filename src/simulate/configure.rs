//! Operations that change a node's settings.

use super::cluster::SimCluster;
use super::conf::{CONNINFO, RESTORE, SYNC_NAMES, SYNC_SLOTS, Value};
use super::effects::Changes;
use super::fault::partly;
use super::perform::Done;
use super::world::World;
use crate::cluster::{NodeName, Outcome, SlotName, Trouble, TroubleKind, UpstreamRoute};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

impl SimCluster {
    /// `ALTER SYSTEM` for each of these, then what follows.
    async fn alter(
        &self,
        node: &NodeName,
        changes: Vec<(String, Option<Value>)>,
        then_reload: bool,
    ) -> Done {
        let parts = changes.len() + usize::from(then_reload);
        for (index, (name, value)) in changes.into_iter().enumerate() {
            let shown = format!("ALTER SYSTEM SET {name} = …");
            let change: Changes = BTreeMap::from([(name, value)]);
            let told = self.tell(node, &shown, |w, id| {
                w.edit(id, &change);
                Ok(Json::Null)
            });
            told.await.map_err(|o| partly(index, parts, o))?;
        }
        if then_reload {
            let reloaded = self.reload(node).await;
            reloaded.map_err(|o| partly(parts - 1, parts, o))?;
        }
        Ok(Json::Null)
    }

    pub(super) async fn freeze(&self, node: &NodeName) -> Done {
        let empty = |name: &str| (name.to_owned(), Some(Value::text("")));
        let mut changes = vec![empty(CONNINFO)];
        let id = self
            .id(node)
            .map_err(|why| why.when_doing(node, "failed"))?;
        if self.look(|w| w.reloads(id, RESTORE)) {
            changes.push(empty(RESTORE));
        }
        self.alter(node, changes, true).await
    }

    pub(super) async fn set_synchronous(&self, node: &NodeName, text: Option<String>) -> Done {
        let change = (SYNC_NAMES.to_owned(), text.map(Value::Text));
        self.alter(node, vec![change], true).await
    }

    /// The server takes only physical slots that it has.
    pub(super) async fn set_synchronized(&self, node: &NodeName, slots: &[SlotName]) -> Done {
        let names: Vec<&str> = slots.iter().map(SlotName::as_str).collect();
        let text = names.join(", ");
        let id = self
            .id(node)
            .map_err(|why| why.when_doing(node, "failed"))?;
        let all = self.look(|w| {
            let there = |slot| w.node(id).slots.get(slot).is_some_and(|s| s.physical);
            slots.iter().all(there)
        });
        if !all {
            let why = "invalid value for parameter \"synchronized_standby_slots\" [22023]";
            return Err(Outcome::Failed(Trouble::on(TroubleKind::Failed, node, why)));
        }
        let change = (SYNC_SLOTS.to_owned(), Some(Value::Text(text)));
        self.alter(node, vec![change], true).await
    }

    pub(super) async fn set_upstream(
        &self,
        node: &NodeName,
        upstream: &NodeName,
        slot: Option<&SlotName>,
        route: UpstreamRoute,
    ) -> Done {
        let Some(about) = self.inventory.node(upstream) else {
            let why = "there is no such node in the site file";
            return Err(Outcome::Failed(Trouble::on(
                TroubleKind::Failed,
                upstream,
                why,
            )));
        };
        let address = (about.host.clone(), about.port);
        let values = World::upstream_values(node, address, slot);
        let changes = values.map(|(name, value)| (name.to_owned(), Some(value)));
        match route {
            UpstreamRoute::Sql => self.alter(node, changes.into(), false).await,
            UpstreamRoute::File => {
                self.run(node, |w, id| {
                    w.node_mut(id).signal = true;
                    Ok(())
                })
                .await?;
                let changes: Changes = changes.into();
                let edited = self.run(node, |w, id| {
                    w.edit(id, &changes);
                    Ok(Json::Null)
                });
                edited.await.map_err(|o| partly(1, 2, o))
            }
        }
    }

    pub(super) fn saved_file(&self, node: &NodeName, tag: &str) -> Result<String, Outcome> {
        let good = (1..=120).contains(&tag.len())
            && tag
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if !good {
            let why = format!("`{tag}` cannot be the name of saved settings");
            return Err(Outcome::Failed(Trouble::on(TroubleKind::Failed, node, why)));
        }
        let data = self.inventory.node(node).map(|n| n.data.clone());
        let file = data
            .unwrap_or_default()
            .join(format!("pgbaton.saved.{tag}"));
        Ok(file.display().to_string())
    }

    pub(super) async fn restore(
        &self,
        node: &NodeName,
        tag: &str,
        archive_only: bool,
        route: UpstreamRoute,
    ) -> Done {
        self.saved_file(node, tag)?;
        let kept = self
            .run(node, |w, id| w.kept(id, tag, archive_only))
            .await?;
        let Some(changes) = kept else {
            return Ok(json!({ "restored": false }));
        };
        match route {
            UpstreamRoute::Sql => {
                self.alter(node, changes.into_iter().collect(), true)
                    .await?;
            }
            UpstreamRoute::File => {
                self.run(node, |w, id| {
                    w.edit(id, &changes);
                    Ok(())
                })
                .await?;
            }
        }
        match self.forget(node, tag).await {
            Ok(_) => Ok(json!({ "restored": true })),
            Err(outcome) => Err(partly(1, 2, outcome)),
        }
    }

    pub(super) async fn forget(&self, node: &NodeName, tag: &str) -> Done {
        self.run(node, |w, id| {
            w.node_mut(id).saved.remove(tag);
            Ok(Json::Null)
        })
        .await
    }
}
