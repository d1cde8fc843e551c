//! What a watch does about an old primary that is there again.

use super::super::analysis::Analysis;
use super::super::gate::{Passage, passage};
use super::super::run_news::ended_so;
use super::super::snapshot::{Snapshot, Witness};
use super::{Notice, RETURN, Sentry};
use crate::cluster::{Mode, OnReturn};
use std::sync::Arc;

impl Sentry {
    /// Starts the return of an old primary, beside the watch: it may take long.
    pub(super) async fn bring_back(&mut self, seen: &Snapshot, found: &Analysis) {
        let acts = self.detector.mode == Mode::Auto && self.detector.on_return == OnReturn::Rejoin;
        let busy = self
            .returning
            .as_ref()
            .is_some_and(|run| !run.is_finished());
        let Some(primary) = self.primary.clone().filter(|_| acts && !busy) else {
            return;
        };
        if !seen.nodes.get(&primary).is_some_and(Witness::is_primary) {
            return;
        }
        let replaced = self.desk.replaced().await;
        let patience = self.detector.patience;
        let cluster = self.cluster.as_ref();
        let due = self
            .returns
            .due(cluster, seen, &primary, &replaced, patience)
            .await;
        let Some((node, order)) = due else { return };
        let known = self.desk.known(RETURN).await;
        let passage = passage(self.detector.mode, self.detector.cooldown, known);
        if passage != Passage::Open {
            if self.returns.is_news(&node, &passage) {
                let text = format!(
                    "{node} is there again; `{}` would have been run, and nothing was started: {}",
                    order.playbook,
                    passage.told()
                );
                self.tell(found, text, None).await;
            }
            return;
        }
        // Whoever finds no room looks again.
        let Ok(turn) = Arc::clone(&self.limit).try_acquire_owned() else {
            return;
        };
        let desk = Arc::clone(&self.desk);
        let notice = self.notice(found, String::new());
        self.returning = Some(tokio::spawn(async move {
            let _turn = turn;
            let text = match desk.start(order).await {
                Ok(ended) => {
                    let (run, how) = (ended.run, ended_so(ended.outcome));
                    format!("`rejoin` of {node} was run and {how} (run {run})")
                }
                Err(why) => format!("`rejoin` of {node} could not be run: {why}"),
            };
            desk.tell(Notice { text, ..notice }).await;
        }));
    }
}
