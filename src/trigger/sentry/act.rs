//! What a watch does about a loss: starts what the site file says, through the gate.

use super::super::analysis::Analysis;
use super::super::code::Code;
use super::super::gap::Gap;
use super::super::gate::{Passage, passage};
use super::super::run_news::ended_so;
use super::{Ended, HeldBack, Sentry, TRIGGER};
use crate::cluster::{ASKED_FIRST, Mode};
use crate::document::format_duration;
use crate::runs::Order;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// What is remembered of a primary may be so much older than its loss.
const FRESH: Duration = Duration::from_secs(10);

/// What a dead primary is replaced by, and the same with a question before it.
pub(in super::super) const FAILOVER: &str = "failover";
const APPROVED: &str = "approved_failover";

impl Sentry {
    /// Starts what the site file says, where the gate is open.
    pub(super) async fn act(&mut self, found: &Analysis) {
        // Before anything that takes its time: it waits for nothing.
        self.not_well(found);
        let Some(order) = self.order(found) else {
            let text = format!(
                "{}; the site file starts nothing for {}",
                found.text, found.code
            );
            self.tell_loss(found, text, None).await;
            return;
        };
        let known = self.desk.known(TRIGGER).await;
        let passage = passage(self.detector.mode, self.detector.cooldown, known);
        let passage = match (passage, self.stale(found)) {
            (Passage::Open, Some(seconds)) => Passage::Stale { seconds },
            (passage, _) => passage,
        };
        if passage != Passage::Open {
            let text = format!(
                "{}; `{}` would have been run, and nothing was started: {}",
                found.text,
                order.playbook,
                passage.told()
            );
            self.held(found, &passage, &order, &text);
            let held_back = HeldBack {
                passage,
                playbook: order.playbook,
                params: order.params,
            };
            self.state
                .send_modify(|state| state.held_back = Some(held_back.clone()));
            self.tell_loss(found, text, Some(held_back)).await;
            return;
        }
        let Ok(_turn) = Arc::clone(&self.limit).try_acquire_owned() else {
            // Whoever waits looks again when it is its turn: much may have happened.
            let turn = Arc::clone(&self.limit).acquire_owned().await;
            drop(turn);
            self.told = None;
            return;
        };
        self.state.send_modify(|state| {
            state.running = true;
            state.held_back = None;
        });
        if self.detector.mode == Mode::Approve {
            let text = format!(
                "{}; `{}` is started, and asks before it does anything",
                found.text, order.playbook
            );
            self.held(found, &passage, &order, &text);
        }
        let playbook = order.playbook.clone();
        let sign = self.sign();
        let ended = self.desk.start(order).await;
        let gap = ended.as_ref().ok().and_then(|ended| {
            let seconds = ended.first_write?.duration_since(sign?).as_secs_f64();
            // A clock that was set back meanwhile measures nothing.
            (seconds >= 0.0).then(|| Gap {
                run: ended.run.to_string(),
                seconds,
            })
        });
        self.state.send_modify(|state| {
            state.running = false;
            state.gap = gap.or(state.gap.take());
        });
        let came = match ended {
            Ok(Ended {
                run, outcome: how, ..
            }) => format!("was run and {} (run {run})", ended_so(how)),
            Err(why) => format!("could not be run: {why}"),
        };
        let text = format!("{}; `{playbook}` {came}", found.text);
        self.tell_came(found, came, text).await;
    }

    /// When the first sign of what goes on came, by the clock.
    fn sign(&self) -> Option<Timestamp> {
        Timestamp::now().checked_sub(self.lost?.elapsed()).ok()
    }

    /// What is remembered of a primary whose host is gone would be part of the proof. Where others saw it longer than we did, it
    /// may have changed meanwhile: for how many seconds it has not been seen here.
    fn stale(&self, found: &Analysis) -> Option<u64> {
        let silent = matches!(
            found.code,
            Code::PrimaryDead | Code::PrimaryDeadAndSomeStandbys
        );
        let primary = found.primary.as_ref().filter(|_| silent)?;
        let names = self.cluster.remembered(primary).synchronous_standby_names;
        let age = Duration::from_millis(names?.age_ms);
        let lost = self.lost.map_or(Duration::ZERO, |since| since.elapsed());
        (age > lost + FRESH).then_some(age.as_secs())
    }

    /// What the site file wants to be run; none where it wants nothing.
    fn order(&self, found: &Analysis) -> Option<Order> {
        let playbook = self.detector.playbook_for(found.code.as_str())?;
        let mut params: Vec<(String, String)> = Vec::new();
        if let Some(primary) = &found.primary {
            params.push(("old_primary".to_owned(), primary.to_string()));
        }
        // The run looks once more itself. What has been silent for so long already need not be waited for as long again.
        if matches!(
            found.code,
            Code::PrimaryDead | Code::PrimaryDeadAndSomeStandbys
        ) {
            let patience = format_duration(self.detector.patience / 2);
            params.push(("patience".to_owned(), patience));
        }
        for (name, value) in &self.detector.params {
            params.retain(|(known, _)| known != name);
            params.push((name.clone(), value.clone()));
        }
        Some(Order {
            playbook: as_allowed(self.detector.mode, playbook).to_owned(),
            params,
            trigger: TRIGGER.to_owned(),
            silent: found.primary.clone().into_iter().collect(),
            ..Order::default()
        })
    }
}

/// What is run in place of a playbook, where a person is to be asked first. `restart` may end in a failover: the question is
/// the same.
pub(in super::super) fn as_allowed(mode: Mode, playbook: &str) -> &str {
    if mode == Mode::Approve && ASKED_FIRST.contains(&playbook) {
        APPROVED
    } else {
        playbook
    }
}
